"""What the checks look at: brokers, NameServers, hosts, and facts about a machine and the network; all plain values.

What belongs here: the values, and what can be read off them. What does not: how they came out of files
(``documents.py``, ``composeread.py``), and what is wrong with them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

CONF_VIEW = "plain"
"""Brokers as configuration files describe them."""
COMPOSE_VIEW = "docker"
"""Brokers as a Compose file and its `.env` describe them."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One value with its place, ``file:line``."""

    value: str
    where: str


@dataclass(frozen=True, slots=True)
class RaftPeer:
    """One entry of dLegerPeers."""

    id: str
    host: str
    port: int

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Member:
    """One broker's configuration. ``settings`` are keys of broker.conf; ``process`` is what Docker is told.

    ``source`` is the file it was read from, ``view`` keeps two descriptions of the same broker apart, ``host`` is the
    machine that the file belongs to where that is known, and ``edition`` what runs it where that is known.
    """

    name: str
    source: str
    view: str
    settings: Mapping[str, Setting]
    process: Mapping[str, Setting] = field(default_factory=dict)
    host: str | None = None
    edition: str | None = None
    notes: tuple[Note, ...] = ()

    def get(self, key: str, default: str = "") -> str:
        """A value, without the blanks around it."""
        setting = self.settings.get(key)
        return default if setting is None else setting.value.strip()

    def where(self, key: str) -> str:
        """Where a key stands; the file itself where it does not."""
        setting = self.settings.get(key)
        return setting.where if setting is not None else f"{self.source}:1"

    def number(self, key: str, default: int) -> int:
        """A whole number; the default where it is none, as RocketMQ takes it."""
        try:
            return int(self.get(key, str(default)))
        except ValueError:
            return default

    @property
    def listen_port(self) -> int:
        """RocketMQ's default is 10911."""
        return self.number("listenPort", 10911)

    @property
    def peers(self) -> tuple[RaftPeer, ...] | None:
        """dLegerPeers; None where it is missing or malformed."""
        return parsed_peers(self.get("dLegerPeers"))

    @property
    def own_peer(self) -> RaftPeer | None:
        """Its own entry among the peers."""
        return next((peer for peer in self.peers or () if peer.id == self.get("dLegerSelfId")), None)

    @property
    def machine(self) -> str | None:
        """What tells its machine apart: the host of its file, or else the address that its group has of it."""
        if self.host is not None:
            return self.host
        own = self.own_peer
        return own.host if own else self.get("brokerIP1") or None

    @property
    def spans_hosts(self) -> bool:
        """Whether its group lies on more than one machine, as its peers say."""
        return any(not is_loopback(peer.host) for peer in self.peers or ())


@dataclass(frozen=True, slots=True)
class Note:
    """Something that only the reader of a file could see: which finding it is, where, and what was seen."""

    finding: str
    where: str
    seen: str


@dataclass(frozen=True, slots=True)
class Server:
    """One NameServer."""

    name: str
    source: str
    view: str
    port: int
    where: str
    host: str | None = None
    process: Mapping[str, Setting] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HostSize:
    """What a specification says of a machine; MiB."""

    name: str
    memory_mb: int
    cores: int
    where: str


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """The file system under a store path; bytes."""

    fstype: str
    total: int
    free: int


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """What was seen on this machine. ``here`` names the members (``view``, ``name``) that are meant for it."""

    name: str
    addresses: frozenset[str]
    memory_mb: int
    cores: int
    nofile_hard: int
    engine_nofile: int | None
    ephemeral: tuple[int, int]
    reserved: frozenset[int]
    listening: frozenset[int]
    stores: Mapping[str, StoreFacts]
    clock_synchronised: bool | None
    here: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """What was seen from here. ``failures`` maps an address to why it was not reached; those not in it were.

    ``clock_offsets`` maps a broker's address to the least and the most that its clock may be ahead of ours, seconds.
    """

    asked: frozenset[str] = frozenset()
    failures: Mapping[str, str] = field(default_factory=dict)
    clock_offsets: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Case:
    """Everything that was read and asked, for one examination. ``notes`` belong to no single broker."""

    members: tuple[Member, ...] = ()
    servers: tuple[Server, ...] = ()
    hosts: tuple[HostSize, ...] = ()
    notes: tuple[Note, ...] = ()
    machine: MachineFacts | None = None
    network: NetworkFacts | None = None
    staging: bool = False

    def groups(self) -> dict[tuple[str, str], list[Member]]:
        """Members by view and dLegerGroup (brokerName where it is missing), in order."""
        found: dict[tuple[str, str], list[Member]] = {}
        for member in self.members:
            name = member.get("dLegerGroup") or member.get("brokerName")
            found.setdefault((member.view, name), []).append(member)
        return found

    def members_here(self) -> list[Member]:
        """Those that are meant for the machine that was looked at."""
        here = self.machine.here if self.machine else frozenset()
        return [member for member in self.members if (member.view, member.source + member.name) in here]


def identity(member: Member) -> tuple[str, str]:
    """What :attr:`MachineFacts.here` holds for a member."""
    return (member.view, member.source + member.name)


def parsed_peers(text: str) -> tuple[RaftPeer, ...] | None:
    """dLegerPeers taken apart as MemberState does it; None where that would throw or give nonsense."""
    found = []
    for entry in text.split(";"):
        peer_id, dash, address = entry.partition("-")
        host, colon, port = address.rpartition(":")
        if not (peer_id and dash and host and colon and port.isascii() and port.isdigit()):
            return None
        if peer_id != peer_id.strip() or address != address.strip() or not 0 < int(port) < 65536 or ":" in host:
            return None
        found.append(RaftPeer(peer_id, host, int(port)))
    return tuple(found)


def is_loopback(host: str) -> bool:
    """127.0.0.0/8 or its name."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_bridge(host: str) -> bool:
    """Docker's default bridge, or an address that no machine is reached at from another (0.0.0.0)."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address in ipaddress.ip_network("172.17.0.0/16") or address.is_unspecified
