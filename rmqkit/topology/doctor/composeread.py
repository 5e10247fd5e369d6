"""Reads a Compose file with the variables of a `.env`, as Compose does, and keeps track of where each value is from.

What belongs here: interpolation, `.env` syntax, services as brokers and NameServers. What does not: other files
(``documents.py``), and what is wrong with the values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from rmqkit.topology.doctor.model import COMPOSE_VIEW, Member, Note, Server, Setting

CONF_PREFIX: Final = "RMQ_CONF_"
DATA_TARGET: Final = "/var/lib/rocketmq"
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.]*)\s*=\s*(.*)$")
_OPERATORS: Final = (":-", ":+", ":?", "-", "+", "?")


@dataclass(frozen=True, slots=True)
class EnvFile:
    """A `.env` that was read: variables with their lines, and the lines that are none."""

    source: str
    variables: Mapping[str, Setting]
    notes: tuple[Note, ...] = ()

    @property
    def values(self) -> dict[str, str]:
        """Names and values alone."""
        return {name: setting.value for name, setting in self.variables.items()}


@dataclass(frozen=True, slots=True)
class Services:
    """What a Compose file runs with given variables: brokers, NameServers, and who is switched off."""

    members: tuple[Member, ...] = ()
    servers: tuple[Server, ...] = ()
    off: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    switches: Mapping[str, str] = field(default_factory=dict)
    """Broker services -> variable that switches them."""


def read_env(text: str, source: str) -> EnvFile:
    """The variables of a `.env`, as Compose reads it: quotes, comments after a blank, earlier variables filled in."""
    variables: dict[str, Setting] = {}
    notes: list[Note] = []
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{source}:{number}"
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.match(line)
        if match is None:
            notes.append(Note("unreadable", where, f"not NAME=value: {line.strip()[:60]}"))
            continue
        name, value = match[1], match[2]
        if value.startswith("'") and value.rstrip().endswith("'") and len(value.rstrip()) > 1:
            value = value.rstrip()[1:-1].replace("\\'", "'").replace("\\\\", "\\")
        else:
            if value.startswith('"') and value.rstrip().endswith('"') and len(value.rstrip()) > 1:
                value = value.rstrip()[1:-1]
            else:
                value = re.sub(r"(^|\s)#.*$", "", value).strip()
            value = filled(value, {key: setting.value for key, setting in variables.items()})[0]
        if name in variables:
            notes.append(Note("key-twice", where, f"{name}, also at {variables[name].where}"))
        variables[name] = Setting(value, where)
    return EnvFile(source, variables, tuple(notes))


def filled(text: str, variables: Mapping[str, str]) -> tuple[str, list[str]]:
    """``text`` with its variables filled in, as Compose does it, and the names that it reads, outer ones first."""
    out: list[str] = []
    used: list[str] = []
    at = 0
    while at < len(text):
        if text[at] != "$" or at + 1 == len(text):
            out.append(text[at])
            at += 1
        elif text[at + 1] == "$":
            out.append("$")
            at += 2
        elif text[at + 1] == "{":
            end = _closing(text, at + 2)
            value, names = _expanded(text[at + 2 : end], variables)
            out.append(value)
            used += names
            at = end + 1
        else:
            match = _NAME.match(text, at + 1)
            if match is None:
                out.append("$")
                at += 1
            else:
                used.append(match[0])
                out.append(variables.get(match[0], ""))
                at = match.end()
    return "".join(out), used


def _closing(text: str, at: int) -> int:
    depth = 1
    while at < len(text):
        if text.startswith("${", at):
            depth += 1
            at += 1
        elif text[at] == "}":
            depth -= 1
            if not depth:
                return at
        at += 1
    return len(text)


def _expanded(inner: str, variables: Mapping[str, str]) -> tuple[str, list[str]]:
    match = _NAME.match(inner)
    if match is None:
        return "", []
    name, rest = match[0], inner[match.end() :]
    operator = next((each for each in _OPERATORS if rest.startswith(each)), "")
    word, names = filled(rest[len(operator) :], variables)
    value = variables.get(name)
    given = value is not None and (value != "" or not operator.startswith(":"))
    if operator.endswith("-"):
        return (value or "" if given else word), [name, *names]
    if operator.endswith("+"):
        return (word if given else ""), [name, *names]
    return value or "", [name]


Where = Callable[[str, str, list[str]], str]
"""Service, key and the variables that the value reads -> place of the value."""


def read_compose(
    text: str, *, source: str, env: EnvFile, host: str | None, where: Where | None = None, edition: str | None = None
) -> Services:
    """The services of a Compose file with ``env``'s variables. ``host`` is the machine that both are for."""
    try:
        tree = yaml.load(text, Loader=_LOADER)  # noqa: S506 - the safe loader, in C where it is there
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        return Services(
            notes=(Note("unreadable", f"{source}:{line}", f"not YAML: {getattr(error, 'problem', error)}"),)
        )
    services = tree.get("services") if isinstance(tree, dict) else None
    if not isinstance(services, dict):
        return Services(notes=(Note("unreadable", f"{source}:1", "a Compose file without services"),))
    reader = _ComposeReader(text, source=source, env=env, host=host, where=where, edition=edition)
    for name, service in services.items():
        if isinstance(service, dict):
            reader.service(str(name), service)
    notes = (*reader.notes, *_unknown(text, env))
    return Services(tuple(reader.members), tuple(reader.servers), tuple(reader.off), notes, reader.switches)


def _unknown(text: str, env: EnvFile) -> list[Note]:
    read = set(re.findall(r"\$\{?(RMQ_\w+)", text))
    return [
        Note("unknown-variable", setting.where, name)
        for name, setting in env.variables.items()
        if name.startswith("RMQ_") and name not in read
    ]


class _ComposeReader:
    """Lives for one file."""

    def __init__(
        self,
        text: str,
        *,
        source: str,
        env: EnvFile,
        host: str | None,
        where: Where | None,
        edition: str | None,
    ) -> None:
        self.keys = _key_lines(text)
        self.source = source
        self.env = env
        self.host = host
        self.where = where or self._where
        self.edition = edition
        self.members: list[Member] = []
        self.servers: list[Server] = []
        self.off: list[str] = []
        self.notes: list[Note] = []
        self.switches: dict[str, str] = {}

    def _where(self, service: str, key: str, used: list[str]) -> str:
        """The `.env` line that decides a value; where none does, the line of the Compose file."""
        for name in used:
            if name in self.env.variables:
                return self.env.variables[name].where
        words = {
            "@heap": "RMQ_HEAP:",
            "@direct": "RMQ_DIRECT:",
            "@java-opts": "RMQ_JAVA_OPTS:",
            "@memory": "mem_limit:",
        }
        words |= {"@nofile": "soft:", "@grace": "stop_grace_period:", "@restart": "restart:", "@user": "user:"}
        word = words.get(key, f"{CONF_PREFIX}{key}:")
        number = self.keys.get((service, word)) or self.keys.get(("", word)) or 1
        return f"{self.source}:{number}"

    def value(self, service: str, key: str, raw: Any) -> Setting:
        """One value, filled in."""
        text, used = filled("" if raw is None else str(raw), self.env.values)
        return Setting(text, self.where(service, key, used))

    def service(self, name: str, service: Mapping[str, Any]) -> None:
        """Sort one service: broker, NameServer, off, or something else."""
        command = service.get("command")
        words = command.split() if isinstance(command, str) else [str(word) for word in _items(command)]
        role = words[0] if words else ""
        if role not in ("broker", "namesrv"):
            return
        raw = _table(service.get("deploy")).get("replicas", service.get("scale", 1))
        replicas, used = filled(str(raw), self.env.values)
        if role == "broker" and used:
            self.switches[name] = used[0]
        if replicas not in ("0", "1"):
            place = self.where(name, "@replicas", used)
            self.notes.append(Note("not-a-switch", place, f"{used[0] if used else name}: {replicas}"))
        if replicas == "0":
            self.off.append(name)
            return
        environment = _mapping(service.get("environment"))
        conf = {
            key.removeprefix(CONF_PREFIX): self.value(name, key.removeprefix(CONF_PREFIX), raw)
            for key, raw in environment.items()
            if key.startswith(CONF_PREFIX)
        }
        process = self.process(name, service, environment)
        edition = (
            self.edition or filled(str(_mapping(service.get("labels")).get("rmqkit.edition", "")), self.env.values)[0]
        )
        source = self.env.source if self.env.variables else self.source
        shown = f"{name} on {self.host}" if self.host else name
        if role == "broker":
            self.members.append(Member(shown, source, COMPOSE_VIEW, conf, process, self.host, edition or None))
        else:
            port = conf.get("listenPort", Setting("9876", f"{source}:1"))
            number = port_number(port.value, 9876)
            self.servers.append(Server(shown, source, COMPOSE_VIEW, number, port.where, self.host, process))

    def process(self, name: str, service: Mapping[str, Any], environment: Mapping[str, Any]) -> dict[str, Setting]:
        """What Docker is told of the process, under names of our own."""
        nofile = _table(service.get("ulimits")).get("nofile")
        raws = {
            "@heap": environment.get("RMQ_HEAP"),
            "@direct": environment.get("RMQ_DIRECT"),
            "@java-opts": environment.get("RMQ_JAVA_OPTS"),
            "@memory": service.get("mem_limit"),
            "@nofile": nofile.get("soft") if isinstance(nofile, dict) else nofile,
            "@grace": service.get("stop_grace_period"),
            "@restart": service.get("restart", "no"),
            "@user": service.get("user"),
        }
        found = {key: self.value(name, key, raw) for key, raw in raws.items() if raw is not None}
        targets = []
        for volume in _items(service.get("volumes")):
            if isinstance(volume, dict):
                origin, target = str(volume.get("source", "")), str(volume.get("target", ""))
                setting = self.value(name, "@store", origin)
            else:
                setting = self.value(name, "@store", volume)
                origin, _, rest = setting.value.partition(":")
                target = rest.split(":")[0]
                setting = Setting(origin, setting.where)
            targets.append(target)
            if target == DATA_TARGET:
                found["@store"] = setting
        found["@files"] = Setting("\n".join(targets), f"{self.source}:1")
        return found


def port_number(text: str, default: int) -> int:
    """A port; the default where the text is none."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else default


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _key_lines(text: str) -> dict[tuple[str, str], int]:
    """(service, "key:") -> the first line with that key in the service; ("", "key:") anywhere in the file."""
    found: dict[tuple[str, str], int] = {}
    service = ""
    for number, line in enumerate(text.splitlines(), 1):
        key, colon, _ = line.strip().partition(":")
        if colon and line.startswith("  ") and line[2:3] != " ":
            service = key
        if colon:
            found.setdefault((service, key + colon), number)
            found.setdefault(("", key + colon), number)
    return found


def _mapping(value: Any) -> dict[str, Any]:
    """An environment or labels section, in either of Compose's two forms."""
    if isinstance(value, dict):
        return {str(key): item for key, item in value.items()}
    pairs = (str(item).partition("=") for item in _items(value))
    return {key: item for key, _, item in pairs}
