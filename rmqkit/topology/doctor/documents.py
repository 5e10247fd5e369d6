"""Turns the texts of files into a :class:`Case`: broker.conf, .env, Compose files and cluster.yaml.

What belongs here: what each kind of file says, and what only several of them together can say. What does not:
finding and opening files (``deploy/inputs.py``), judging values (the modules of checks).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import PurePath
from typing import Final

from rmqkit.topology.committed import committed_compose
from rmqkit.topology.compose import compose_file
from rmqkit.topology.deployfile import ParsedDeployment, parse_deployment
from rmqkit.topology.deployment import Environment
from rmqkit.topology.doctor.composeread import EnvFile, Services, port_number, read_compose, read_env
from rmqkit.topology.doctor.model import CONF_VIEW, Case, HostSize, Member, Note, Server, Setting
from rmqkit.topology.hostfiles import host_env
from rmqkit.topology.placement import USUAL_NAMESERVERS, Plan

_SECRET = re.compile(r"SECRET|PASSWORD|PASSWD|ACCESS_?KEY|TOKEN", re.IGNORECASE)
_COMPARED: Final = ("brokerClusterName", "brokerName", "listenPort", "namesrvAddr", "brokerIP1", "dLegerPeers")


class FileKind(StrEnum):
    """What a file is."""

    BROKER = "broker.conf"
    NAMESERVER = "namesrv.conf"
    ENV = ".env"
    COMPOSE = "Compose file"
    SPEC = "specification"
    SECRET = "file with secrets"  # noqa: S105 - what a file is called


@dataclass(frozen=True, slots=True)
class Document:
    """One file. ``host`` is the machine that its folder is for; ``beside`` the names of the files around it."""

    path: str
    kind: FileKind
    text: str
    host: str | None = None
    beside: tuple[str, ...] = ()
    readable_by_all: bool = False


def read_properties(text: str, source: str) -> tuple[dict[str, Setting], list[Note]]:
    """A file as java.util.Properties.load reads it, blanks at the end of a value included; and what is odd in it."""
    settings: dict[str, Setting] = {}
    notes: list[Note] = []
    lines = iter(enumerate(re.split(r"\r\n|\r|\n", text), 1))
    for number, raw in lines:
        line = raw.lstrip(" \t\f")
        if not line or line[0] in "#!":
            continue
        while len(line) - len(line.rstrip("\\")) & 1:
            line = line[:-1] + next(lines, (0, ""))[1].lstrip(" \t\f")
        match = re.match(r"((?:\\.|[^\\=: \t\f])*)[ \t\f]*[=:]?[ \t\f]*(.*)$", line, re.DOTALL)
        assert match is not None
        key, value = _unescaped(match[1]), _unescaped(match[2])
        where = f"{source}:{number}"
        if key in settings:
            notes.append(Note("key-twice", where, f"{key}, also at {settings[key].where}"))
        settings[key] = Setting(value, where)
    return settings, notes


def _unescaped(text: str) -> str:
    plain = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
    return re.sub(r"\\(?:u([0-9A-Fa-f]{4})|(.))", lambda m: chr(int(m[1], 16)) if m[1] else plain.get(m[2], m[2]), text)


def build_case(documents: Sequence[Document], *, edition: str | None = None) -> Case:
    """Everything that ``documents`` say. ``edition`` is that of brokers whose files do not tell."""
    members: list[Member] = []
    servers: list[Server] = []
    notes = list(_secrets(documents))
    hosts: list[HostSize] = []
    staging = False
    for document in documents:
        if document.kind is FileKind.BROKER:
            members.append(_broker(document, edition))
        elif document.kind is FileKind.NAMESERVER:
            settings, odd = read_properties(document.text, document.path)
            port = settings.get("listenPort", Setting("9876", f"{document.path}:1"))
            number = port_number(port.value, 9876)
            servers.append(Server(document.path, document.path, CONF_VIEW, number, port.where, document.host))
            notes += odd
        elif document.kind is FileKind.SPEC:
            parsed = parse_deployment(document.text)
            case = _spec(document, parsed)
            members += case.members
            servers += case.servers
            hosts += case.hosts
            notes += case.notes
            staging = staging or case.staging
    for services in _composed(documents, edition, notes):
        members += services.members
        servers += services.servers
        notes += services.notes
    notes += _disagreements(members)
    return Case(tuple(members), tuple(servers), tuple(hosts), tuple(notes), staging=staging)


def _broker(document: Document, edition: str | None) -> Member:
    settings, notes = read_properties(document.text, document.path)
    process = {"@files": Setting("\n".join(document.beside), f"{document.path}:1")}
    return Member(document.path, document.path, CONF_VIEW, settings, process, document.host, edition, tuple(notes))


def _composed(documents: Sequence[Document], edition: str | None, notes: list[Note]) -> Iterator[Services]:
    """Each Compose file with the `.env` beside it; a `.env` alone belongs to the committed Compose file."""
    composes = {_folder(document): document for document in documents if document.kind is FileKind.COMPOSE}
    envs = [document for document in documents if document.kind is FileKind.ENV]
    found: list[tuple[EnvFile, Services]] = []
    for document in envs:
        env = read_env(document.text, document.path)
        notes += env.notes
        compose = composes.get(_folder(document))
        text = compose.text if compose else committed_compose().text
        source = compose.path if compose else "docker-compose.dledger.yml"
        services = read_compose(text, source=source, env=env, host=document.host or "this host", edition=edition)
        if not services.members and not services.servers and not services.notes:
            notes.append(Note("nothing-runs", f"{document.path}:1", "every process is switched off"))
        found.append((env, services))
        yield services
    with_env = {_folder(document) for document in envs}
    for folder, document in composes.items():
        if folder not in with_env:
            none = EnvFile(document.path, {})
            host = document.host or "this host"
            yield read_compose(document.text, source=document.path, env=none, host=host, edition=edition)
    if len(found) > 1:
        notes += _switches(found)


def _switches(found: Sequence[tuple[EnvFile, Services]]) -> Iterator[Note]:
    """Peers that no host runs, or more than one."""
    names = dict.fromkeys(name for _, services in found for name in services.switches)
    for name in names:
        running = [env for env, services in found if name in services.switches and name not in services.off]
        variable = next(services.switches[name] for _, services in found if name in services.switches)
        if not running:
            env = found[0][0]
            place = env.variables[variable].where if variable in env.variables else f"{env.source}:1"
            yield Note("runs-nowhere", place, f"{variable} is 0 on all {len(found)} hosts")
        for env in running[1:]:
            place = env.variables[variable].where if variable in env.variables else f"{env.source}:1"
            yield Note("runs-twice", place, f"{variable}=1, as in {running[0].source}")


def _disagreements(members: Sequence[Member]) -> Iterator[Note]:
    """The same broker of the same host, described by broker.conf and by Compose differently."""
    composed = {_who(member): member for member in members if member.view != CONF_VIEW}
    for member in members:
        other = composed.get(_who(member))
        if member.view != CONF_VIEW or member.host is None or other is None:
            continue
        for key in _COMPARED:
            if member.get(key) != other.get(key):
                seen = f"{key}={member.get(key)}, {other.where(key)} has {other.get(key)}"
                yield Note("files-disagree", member.where(key), seen)


def _who(member: Member) -> tuple[str | None, str, str]:
    return (member.host, member.get("dLegerGroup"), member.get("dLegerSelfId"))


def _secrets(documents: Sequence[Document]) -> Iterator[Note]:
    for document in documents:
        if not document.readable_by_all:
            continue
        if document.kind is FileKind.SECRET:
            yield Note("secret-readable", f"{document.path}:1", "readable by everyone")
        elif document.kind is FileKind.ENV:
            for name, setting in read_env(document.text, document.path).variables.items():
                if _SECRET.search(name) and setting.value:
                    yield Note("secret-readable", setting.where, f"{name}, in a file readable by everyone")


def _spec(document: Document, parsed: ParsedDeployment) -> Case:
    notes = [
        Note("spec-invalid", f"{document.path}:{p.line}", f"{p.path + ': ' if p.path else ''}{p.what} ({p.mend})")
        for p in parsed.problems
    ]
    plan = parsed.plan
    if plan is None:
        return Case(notes=tuple(notes))
    deployment = plan.deployment
    staging = deployment.environment is Environment.STAGING
    places = _SpecPlaces(document.path, parsed.lines, plan)
    if not staging and len(plan.spec.nameservers) < USUAL_NAMESERVERS:
        where = places.first("nameservers.on", "nameservers", "hosts")
        notes.append(Note("one-nameserver", where, f"{len(plan.spec.nameservers)} NameServer(s)"))
    compose = compose_file(plan.spec, parametrized=True, off=tuple(plan.host_of), build=False)
    members: list[Member] = []
    servers: list[Server] = []
    hosts = []
    for number, host in enumerate(deployment.hosts):
        hosts.append(HostSize(host.name, host.memory_mb, host.cores, places.first(f"hosts[{number}].memory")))
        env = read_env(host_env(plan, host, compose.variables), document.path)
        services = read_compose(
            compose.text,
            source=document.path,
            env=replace(env, source=document.path),
            host=host.name,
            where=partial(places.of, number),
        )
        members += services.members
        servers += services.servers
    return Case(tuple(members), tuple(servers), tuple(hosts), tuple(notes), staging=staging)


@dataclass(frozen=True, slots=True)
class _SpecPlaces:
    """The line of a specification that decides a value of a broker."""

    source: str
    lines: Mapping[str, int]
    plan: Plan

    def first(self, *paths: str) -> str:
        """The place of the first of ``paths`` that is in the file."""
        return f"{self.source}:{next((self.lines[path] for path in paths if path in self.lines), 1)}"

    def of(self, host: int, service: str, key: str, _: list[str]) -> str:
        """The place of a key of one service; which variables it would be rendered from does not matter."""
        group = next(
            (
                number
                for number, spec in enumerate(self.plan.spec.groups)
                if service in {self.plan.spec.service_of(spec, peer) for peer in spec.peers}
            ),
            0,
        )
        paths = {
            "brokerIP1": (f"hosts[{host}].address",),
            "@store": (f"hosts[{host}].store", f"hosts[{host}].name"),
            "@heap": ("brokers.heap", f"hosts[{host}].memory"),
            "@nofile": ("brokers.nofile",),
            "@memory": ("brokers.memory_limit",),
            "listenPort": ("ports.listen",),
            "dLegerPeers": (f"groups[{group}].replicas", f"groups[{group}].on", "share_hosts"),
            "namesrvAddr": ("nameservers.on",),
            "sendMessageThreadPoolNums": ("brokers.threads", f"hosts[{host}].cores"),
        }.get(key, (f"groups[{group}].config.{key}", f"brokers.config.{key}"))
        return self.first(*paths, f"groups[{group}].name", "groups")


def _folder(document: Document) -> str:
    return str(PurePath(document.path).parent)
