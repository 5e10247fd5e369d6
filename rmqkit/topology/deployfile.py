"""Reads ``cluster.yaml``: every mistake in it at once, each with its line, its path and the mend.

What belongs here: the keys of the file and their types. What does not: what a valid deployment means
(``deployment.py``), who runs where (``placement.py``), opening the file.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

import yaml

from rmqkit.errors import SpecError
from rmqkit.topology import deployment as values
from rmqkit.topology.deployment import Deployment, Environment, Role
from rmqkit.topology.placement import Plan, placed

T = TypeVar("T")

_TOP: Final = (
    "name", "cluster", "edition", "environment", "image", "hosts", "nameservers", "groups", "brokers", "ports",
    "share_hosts",
)  # fmt: skip
_HOST: Final = ("name", "address", "cores", "memory", "store", "runs", "engine")
_NAMESERVERS: Final = ("on", "port", "heap", "memory_limit", "config")
_GROUP: Final = ("name", "replicas", "on", "config")
_BROKERS: Final = ("heap", "direct", "threads", "nofile", "memory_limit", "config")
_PORTS: Final = ("listen", "raft")


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: the line it stands in (from 1), its path such as ``hosts[1].address``, what, and the mend."""

    line: int
    path: str
    what: str
    mend: str


@dataclass(frozen=True, slots=True)
class ParsedDeployment:
    """What was read: a plan, or the problems; ``lines`` maps each path of the file to its line."""

    plan: Plan | None
    problems: tuple[Problem, ...]
    lines: Mapping[str, int]


def load_deployment(text: str, *, source: str) -> Plan:
    """The deployment that ``text`` describes, placed. ``source`` is the file's name, for errors.

    Raises :class:`SpecError` that lists every mistake with its line, path and mend.
    """
    parsed = parse_deployment(text)
    if parsed.plan is not None:
        return parsed.plan
    details = [f"{source}:{p.line}: {p.path + ': ' if p.path else ''}{p.what}: {p.mend}" for p in parsed.problems]
    number = len(details)
    raise SpecError(
        f"{source} has {number} mistake{'s' if number > 1 else ''}",
        details=details,
        hint="mend what each line says; docs/production.md describes every key",
    )


def parse_deployment(text: str) -> ParsedDeployment:
    """Read ``text`` and place it; never raises for its content."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = f"not YAML: {getattr(error, 'problem', None) or error}"
        return ParsedDeployment(
            None, (Problem(mark.line + 1 if mark else 1, "", what, "mend the line's indentation or quoting"),), {}
        )
    reader = _Reader()
    if not isinstance(node, yaml.MappingNode):
        reader.problem(1, "", "not a mapping of keys", "begin with `name:`, `edition:` and `hosts:`")
        return ParsedDeployment(None, tuple(reader.problems), {})
    made = _deployment(reader, _Table(reader, node, "", _TOP))
    plan = None
    if made is not None and not reader.problems:
        plan = reader.checked(1, "", lambda: placed(made))
    return ParsedDeployment(plan, tuple(reader.problems), reader.lines)


@dataclass(slots=True)
class _Reader:
    """Collects problems and lines; lives for one file."""

    problems: list[Problem] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)

    def problem(self, line: int, path: str, what: str, mend: str) -> None:
        self.problems.append(Problem(line, path, what, mend))

    def checked(self, line: int, path: str, make: Callable[[], T]) -> T | None:
        """What ``make`` gives; a broken rule becomes a problem, at the key that the rule's text begins with."""
        try:
            return make()
        except SpecError as error:
            name = error.what.split("=", 1)[0].split(":", 1)[0].split(" ", 1)[0]
            place = f"{path}.{name}" if path else name
            known = place in self.lines
            self.problem(self.lines[place] if known else line, place if known else path, error.what, error.hint)
            return None


class _Table:
    """One mapping of the file, with the keys that it may have."""

    def __init__(self, reader: _Reader, node: yaml.MappingNode, path: str, known: tuple[str, ...] | None) -> None:
        self.reader = reader
        self.path = path
        self.line = node.start_mark.line + 1
        self.entries: dict[str, yaml.Node] = {}
        for key_node, value in node.value:
            key = str(key_node.value)
            line = key_node.start_mark.line + 1
            where = self.at(key)
            if known is not None and key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                meant = f"did you mean {near[0]!r}? " if near else ""
                reader.problem(line, where, "unknown key", f"{meant}keys here are {', '.join(known)}")
            elif key in self.entries:
                reader.problem(line, where, "is there twice; YAML would take the last silently", "keep one of them")
            else:
                self.entries[key] = value
                reader.lines[where] = line

    def at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def wrong(self, key: str, what: str, mend: str) -> None:
        self.reader.problem(self.reader.lines.get(self.at(key), self.line), self.at(key), what, mend)

    def text(self, key: str, *, needed: bool = False) -> str | None:
        node = self.entries.get(key)
        if node is None:
            if needed:
                self.wrong(key, "is missing", f"add `{key}:`")
            return None
        if not isinstance(node, yaml.ScalarNode) or node.tag == "tag:yaml.org,2002:null":
            self.wrong(key, "is not a single value", "write one word or number after the colon")
            return None
        return str(node.value)

    def number(self, key: str, *, needed: bool = False) -> int | None:
        text = self.text(key, needed=needed)
        if text is None:
            return None
        if not text.isascii() or not text.isdigit():
            self.wrong(key, f"is {text!r}, not a whole number", "write digits only")
            return None
        return int(text)

    def flag(self, key: str) -> bool | None:
        text = self.text(key)
        if text is None or text in ("true", "false"):
            return None if text is None else text == "true"
        self.wrong(key, f"is {text!r}", "write true or false")
        return None

    def texts(self, key: str) -> tuple[str, ...] | None:
        node = self.entries.get(key)
        if node is None:
            return None
        if not isinstance(node, yaml.SequenceNode) or not all(isinstance(i, yaml.ScalarNode) for i in node.value):
            self.wrong(key, "is not a list of words", f"write it as {key}: [a, b, c]")
            return None
        return tuple(str(item.value) for item in node.value)

    def tables(self, key: str, known: tuple[str, ...]) -> list[_Table]:
        node = self.entries.get(key)
        if node is None:
            self.wrong(key, "is missing", f"add `{key}:` with a list")
            return []
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            self.wrong(key, "is not a list of entries", "write each entry after a dash")
            return []
        found = []
        for place, item in enumerate(node.value):
            where = f"{self.at(key)}[{place}]"
            if isinstance(item, yaml.MappingNode):
                found.append(_Table(self.reader, item, where, known))
            else:
                line = item.start_mark.line + 1
                self.reader.problem(line, where, "is not an entry of keys", f"its keys are {', '.join(known)}")
        return found

    def table(self, key: str, known: tuple[str, ...] | None) -> _Table | None:
        node = self.entries.get(key)
        if node is None:
            return None
        if not isinstance(node, yaml.MappingNode):
            self.wrong(key, "is not a mapping", f"its keys are {', '.join(known)}" if known else "write key: value")
            return None
        return _Table(self.reader, node, self.at(key), known)

    def config(self) -> dict[str, str] | None:
        table = self.table("config", None)
        if table is None:
            return None
        return {key: value for key in table.entries if (value := table.text(key)) is not None}


def _given(**fields: Any) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


def _deployment(reader: _Reader, top: _Table) -> Deployment | None:
    hosts = [made for table in top.tables("hosts", _HOST) if (made := _host(reader, table)) is not None]
    nameservers = top.table("nameservers", _NAMESERVERS)
    brokers = top.table("brokers", _BROKERS)
    ports = top.table("ports", _PORTS)
    environment = top.text("environment", needed=True)
    if environment is not None and environment not in tuple(Environment):
        top.wrong("environment", f"is {environment!r}", "write staging or production")
    fields = _given(
        name=top.text("name", needed=True),
        edition=top.text("edition", needed=True),
        environment=environment,
        hosts=tuple(hosts),
        groups=tuple(_groups(reader, top)),
        nameservers=_nameservers(reader, nameservers) if nameservers else None,
        brokers=_brokers(reader, brokers) if brokers else None,
        cluster_name=top.text("cluster"),
        image=top.text("image"),
        listen_port=ports.number("listen") if ports else None,
        raft_port=ports.number("raft") if ports else None,
        share_hosts=top.flag("share_hosts"),
    )
    if reader.problems:
        return None
    return reader.checked(top.line, "", lambda: Deployment(**fields))


def _host(reader: _Reader, table: _Table) -> values.HostSpec | None:
    before = len(reader.problems)
    runs = table.texts("runs")
    for role in runs or ():
        if role not in tuple(Role):
            table.wrong("runs", f"names {role!r}", "write nameserver, broker, or both")
    memory = table.text("memory", needed=True)
    memory_mb = None
    if memory is not None:
        memory_mb = reader.checked(table.line, table.path, lambda: values.megabytes("memory", memory))
    fields = _given(
        name=table.text("name", needed=True),
        address=table.text("address", needed=True),
        cores=table.number("cores", needed=True),
        memory_mb=memory_mb,
        store=table.text("store"),
        engine=table.text("engine"),
    )
    if len(reader.problems) > before:
        return None
    if runs is not None:
        fields["runs"] = frozenset(Role(role) for role in runs)
    return reader.checked(table.line, table.path, lambda: values.HostSpec(**fields))


def _groups(reader: _Reader, top: _Table) -> list[values.Group]:
    node = top.entries.get("groups")
    if isinstance(node, yaml.ScalarNode):
        number = top.number("groups")
        if number is not None and not 1 <= number <= 99:
            top.wrong("groups", f"is {number}", "give 1 to 99 groups, or list them by name")
            return []
        return [values.Group(name=f"RaftNode{place:02d}") for place in range(number or 0)]
    made = []
    for table in top.tables("groups", _GROUP):
        fields = _given(
            name=table.text("name", needed=True),
            replicas=table.number("replicas"),
            on=table.texts("on"),
            config=table.config(),
        )
        if "name" in fields:
            made.append(reader.checked(table.line, table.path, partial(values.Group, **fields)))
    return [group for group in made if group is not None]


def _nameservers(reader: _Reader, table: _Table) -> values.NameServers | None:
    fields = _given(
        on=table.texts("on"),
        port=table.number("port"),
        heap=table.text("heap"),
        memory_limit=table.text("memory_limit"),
        config=table.config(),
    )
    return reader.checked(table.line, table.path, lambda: values.NameServers(**fields))


def _brokers(reader: _Reader, table: _Table) -> values.Brokers | None:
    fields = _given(
        heap=table.text("heap"),
        direct=table.text("direct"),
        threads=table.text("threads"),
        nofile=table.number("nofile"),
        memory_limit=table.text("memory_limit"),
        config=table.config(),
    )
    return reader.checked(table.line, table.path, lambda: values.Brokers(**fields))
