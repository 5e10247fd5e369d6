"""``Deployment``: what ``cluster.yaml`` says, as frozen values that are valid as soon as they exist.

What belongs here: hosts, NameServers, groups and their sizes. What does not: reading the file
(``deployfile.py``), who runs where (``placement.py``), the text of files (``hostfiles.py``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from rmqkit.errors import SpecError
from rmqkit.topology import rules
from rmqkit.topology.config import Config, checked_config
from rmqkit.topology.parts import BROKER_OWNED_KEYS, NAMESERVER_OWNED_KEYS, check_unique

AUTO: Final = "auto"
_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SIZE = re.compile(r"([1-9][0-9]*)([mg])", re.IGNORECASE)

DERIVED_KEYS: Final[Mapping[str, str]] = {
    **dict.fromkeys(BROKER_OWNED_KEYS, "nothing: it follows from the specification"),
    "sendMessageThreadPoolNums": "brokers.threads",
    "brokerClusterName": "cluster",
    "brokerName": "the group's name",
    "brokerIP1": "the host's address",
    "listenPort": "ports.listen",
    "storePathRootDir": "the host's store",
    "storePathCommitLog": "the host's store",
}


class Environment(StrEnum):
    """What a deployment is for; destructive acts of the kit are for ``staging`` alone."""

    STAGING = "staging"
    PRODUCTION = "production"


class Role(StrEnum):
    """What a host may run."""

    NAMESERVER = "nameserver"
    BROKER = "broker"


def megabytes(field_name: str, text: str) -> int:
    """``32g`` or ``512m`` in MiB. Raises :class:`SpecError`."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise SpecError(f"{field_name}={text!r} is not a size", hint="write it as 512m or 32g")
    return int(match[1]) * (1024 if match[2].lower() == "g" else 1)


def _check_limit(text: str) -> None:
    if text:
        rules.check_heap("memory_limit", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSpec:
    """One machine. ``address`` is where clients and all other hosts reach it; ``memory_mb`` is in MiB.

    ``store`` is ``volume`` (a named one for each process) or a directory of the host, below which each process
    gets one of its own. ``engine`` is how its Docker engine is reached: a DOCKER_HOST (``ssh://…``, ``unix://…``,
    ``tcp://…``) or the name of a Docker context; empty: ``ssh://`` and its address.
    """

    name: str
    address: str
    cores: int
    memory_mb: int
    store: str = "volume"
    runs: frozenset[Role] = frozenset(Role)
    engine: str = ""

    def __post_init__(self) -> None:
        if not _HOST_NAME.fullmatch(self.name):
            raise SpecError(
                f"name={self.name!r} cannot be a host's name",
                hint="use lower-case letters, digits and '-': it names a folder too",
            )
        rules.check_host("address", self.address)
        if self.cores < 1:
            raise SpecError(f"cores={self.cores}", hint="give the number of cores, 1 or more")
        if self.memory_mb < 1024:
            raise SpecError(
                f"memory={self.memory_mb}m is too little for a broker or NameServer", hint="give 1g or more"
            )
        rules.check_store("store", self.store)
        if self.engine:
            rules.check_engine("engine", self.engine)
        object.__setattr__(self, "runs", frozenset(self.runs))
        if not self.runs:
            raise SpecError("runs is empty", hint="name nameserver, broker, or both")

    @property
    def engine_ref(self) -> str:
        """How its Docker engine is reached."""
        return self.engine or f"ssh://{self.address}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NameServers:
    """All NameServers: on which hosts (empty: the first three that may), port, heap (``auto``: by memory).

    ``memory_limit`` is what Docker lets one take; empty: no limit.
    """

    on: tuple[str, ...] = ()
    port: int = 9876
    heap: str = AUTO
    memory_limit: str = ""
    config: Mapping[str, str] = field(default_factory=Config)

    def __post_init__(self) -> None:
        object.__setattr__(self, "on", tuple(self.on))
        rules.check_port("port", self.port)
        if self.heap != AUTO:
            rules.check_heap("heap", self.heap)
        _check_limit(self.memory_limit)
        checked = checked_config("config", self.config, owned=NAMESERVER_OWNED_KEYS)
        object.__setattr__(self, "config", checked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Brokers:
    """What every broker has: heap and direct memory (``auto``: by the host's), threads (``auto``: its cores).

    ``memory_limit`` is what Docker lets one take, page cache included; empty: no limit.
    """

    heap: str = AUTO
    direct: str = AUTO
    threads: str = AUTO
    nofile: int = 655_350
    memory_limit: str = ""
    config: Mapping[str, str] = field(default_factory=Config)

    def __post_init__(self) -> None:
        for name, value in (("heap", self.heap), ("direct", self.direct)):
            if value != AUTO:
                rules.check_heap(name, value)
        _check_limit(self.memory_limit)
        if self.threads != AUTO and not re.fullmatch(r"[1-9][0-9]{0,3}", self.threads):
            raise SpecError(f"threads={self.threads!r}", hint="give a number, or auto for the host's cores")
        if not 1024 <= self.nofile <= 2**30:
            raise SpecError(f"nofile={self.nofile} is no usable limit of open files", hint="give 655350")
        object.__setattr__(self, "config", checked_config("config", self.config, owned=DERIVED_KEYS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One group: how many replicas, and on which hosts (empty: placed by the kit)."""

    name: str
    replicas: int = 3
    on: tuple[str, ...] = ()
    config: Mapping[str, str] = field(default_factory=Config)

    def __post_init__(self) -> None:
        rules.check_rocketmq_name("name", self.name)
        object.__setattr__(self, "on", tuple(self.on))
        if not 1 <= self.replicas <= 9:
            raise SpecError(f"replicas={self.replicas}", hint="give 1 to 9; three is usual")
        if self.on and len(self.on) != self.replicas:
            raise SpecError(
                f"on names {len(self.on)} hosts for {self.replicas} replicas",
                hint="name one host for each replica, or leave `on` out",
            )
        object.__setattr__(self, "config", checked_config("config", self.config, owned=DERIVED_KEYS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A whole deployment. ``listen_port`` and ``raft_port`` are those of the first broker; the k-th broker gets
    ``listen_port + 10 k`` and ``raft_port + k``, counted through the groups in order, whatever its host."""

    name: str
    edition: str
    environment: Environment
    hosts: tuple[HostSpec, ...]
    groups: tuple[Group, ...]
    nameservers: NameServers = field(default_factory=NameServers)
    brokers: Brokers = field(default_factory=Brokers)
    cluster_name: str = "RaftCluster"
    image: str | None = None
    listen_port: int = 30911
    raft_port: int = 40911
    share_hosts: bool = False

    def __post_init__(self) -> None:
        rules.check_project_name("name", self.name)
        rules.check_edition("edition", self.edition)
        rules.check_rocketmq_name("cluster", self.cluster_name)
        object.__setattr__(self, "environment", Environment(self.environment))
        object.__setattr__(self, "hosts", tuple(self.hosts))
        object.__setattr__(self, "groups", tuple(self.groups))
        if not self.hosts:
            raise SpecError("hosts is empty", hint="give at least one host")
        if not self.groups:
            raise SpecError("groups is empty", hint="give at least one group")
        check_unique("hosts: name", (host.name for host in self.hosts))
        check_unique("hosts: address", (host.address for host in self.hosts))
        check_unique("groups: name (services are named in lower case)", (group.name.lower() for group in self.groups))
        rules.check_port("ports.listen", self.listen_port, lowest=3)
        rules.check_port("ports.raft", self.raft_port)

    def host(self, name: str) -> HostSpec | None:
        """The host of that name."""
        return next((host for host in self.hosts if host.name == name), None)
