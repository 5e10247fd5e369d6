"""Holds the table of rooms in the building plan: who may import whom, and where nothing may touch the outside.

Reads the sources' syntax trees; nothing is imported. A room is a folder or a module directly below ``rmqkit/``.
What is imported inside a function or under TYPE_CHECKING counts too: a border that is crossed there is crossed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "rmqkit"

DIRECT: Mapping[str, frozenset[str]] = {
    room: frozenset(below.split())
    for room, below in {
        "errors": "",
        "waiting": "errors",
        "resources": "errors",
        "settings": "errors",
        "history": "errors",
        "wire": "errors",
        "topology": "errors",
        "store": "errors wire",
        "transport": "errors waiting wire",
        "client": "errors waiting wire transport",
        "cluster": "errors waiting resources topology client",
        "deploy": "topology cluster",
        "drivers": "topology cluster",
        "faults": "topology cluster history",
        "load": "client history drivers",
        "checks": "errors history",
        "report": "history checks",
        "forensics": "cluster load store checks",
        "witness": "cluster faults",
        "scenario": "faults load checks report deploy store settings drivers forensics witness",
        "fixtures": "scenario",
        "cli": "scenario",
        "__main__": "cli",
        "__init__": "",
    }.items()
}
"""Each room and the rooms right below it; what those may import, it may import too."""

PURE = frozenset({"wire", "topology", "checks"})
OUTSIDE_MODULES = frozenset(
    {
        "asyncio",
        "concurrent",
        "docker",
        "fcntl",
        "fileinput",
        "ftplib",
        "glob",
        "http",
        "importlib",
        "linecache",
        "logging",
        "mmap",
        "multiprocessing",
        "os",
        "paramiko",
        "psutil",
        "requests",
        "select",
        "selectors",
        "shutil",
        "signal",
        "smtplib",
        "socket",
        "socketserver",
        "sqlite3",
        "ssl",
        "subprocess",
        "tempfile",
        "tenacity",
        "testcontainers",
        "threading",
        "time",
        "urllib.request",
        "urllib3",
    }
)
OUTSIDE_CALLS = frozenset({"open", "print", "input", "breakpoint", "__import__"})
OUTSIDE_METHODS = frozenset(
    {
        "read_text",
        "read_bytes",
        "write_text",
        "write_bytes",
        "mkdir",
        "rmdir",
        "unlink",
        "touch",
        "rename",
        "iterdir",
        "rglob",
        "symlink_to",
        "exists",
        "is_file",
        "is_dir",
        "stat",
        "cwd",
        "home",
        "expanduser",
        "now",
        "utcnow",
        "today",
    }
)


def allowed_below(room: str) -> frozenset[str]:
    """All rooms that ``room`` may import from."""
    found: set[str] = set()
    ahead = list(DIRECT[room])
    while ahead:
        below = ahead.pop()
        if below not in found:
            found.add(below)
            ahead.extend(DIRECT[below])
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line that breaks the plan."""

    path: Path
    line: int
    text: str
    what: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}\n    {self.text}"


def findings(package: Path) -> list[Finding]:
    """Everything in ``package`` (a folder named rmqkit) that breaks the plan, in order."""
    found: list[Finding] = []
    for path in sorted(package.rglob("*.py")):
        room = path.relative_to(package).parts[0].removesuffix(".py")
        source = path.read_text(encoding="utf-8")
        lines = source.splitlines()
        try:
            broken = sorted(set(_broken(room, ast.parse(source, str(path)))))
        except SyntaxError as error:
            broken = [(error.lineno or 1, f"not Python: {error.msg}")]
        found += [Finding(path, n, lines[n - 1].strip() if lines else "", what) for n, what in broken]
    return found


def _broken(room: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    if room not in DIRECT:
        yield 1, f"the room {room!r} is not in the table of tests/test_layers.py: say what it may import"
        return
    allowed = allowed_below(room) | {room}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield node.lineno, "relative import: absolute ones show every border"
            continue
        if not isinstance(node, ast.Import | ast.ImportFrom | ast.Call):
            continue
        for module in _imported(node):
            target = _room_of(module)
            if target is not None and target not in allowed:
                below = ", ".join(sorted(allowed - {room})) or "nothing of the kit"
                yield node.lineno, f"{room} imports {target}, but may import {below}"
            if room in PURE and _is_outside(module):
                yield node.lineno, f"{room} is pure, but imports {module}"
        if room in PURE and isinstance(node, ast.Call):
            name = _outside_call(node.func)
            if name:
                yield node.lineno, f"{room} is pure, but calls {name}"


def _imported(node: ast.AST) -> list[str]:
    """Every module that an import statement may mean: ``from a import b`` is a, or a.b."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def _room_of(module: str) -> str | None:
    """The room that ``module`` lies in; None outside the kit, and for names of the package itself."""
    parts = module.split(".")
    if parts[0] != "rmqkit" or len(parts) == 1:
        return None
    if len(parts) == 2 and parts[1] not in DIRECT:  # from rmqkit import __version__
        return None
    return parts[1]


def _is_outside(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in OUTSIDE_MODULES)


def _outside_call(called: ast.expr) -> str | None:
    if isinstance(called, ast.Name) and called.id in OUTSIDE_CALLS:
        return f"{called.id}()"
    if isinstance(called, ast.Attribute) and called.attr in OUTSIDE_METHODS | OUTSIDE_CALLS:
        return f".{called.attr}()"
    return None


def test_every_import_points_down_and_pure_rooms_touch_nothing_outside() -> None:
    broken = findings(PACKAGE)
    assert not broken, "\n".join(["the building plan's table of rooms is broken:", *map(str, broken)])


def test_the_check_reads_the_real_sources() -> None:
    assert (PACKAGE / "errors.py").is_file()
    assert {path.name for path in PACKAGE.iterdir()} >= {"topology", "wire", "checks"}


def test_the_table_has_no_circle_and_nothing_imports_what_presents() -> None:
    for room in DIRECT:
        assert room not in allowed_below(room), f"{room} is below itself"
    assert {room for room in DIRECT if {"fixtures", "cli"} & allowed_below(room)} == {"__main__"}
    assert allowed_below("checks") == {"errors", "history"}
    assert allowed_below("topology") == allowed_below("wire") == {"errors"}
    assert (
        allowed_below("fixtures") == allowed_below("cli") == set(DIRECT) - {"fixtures", "cli", "__main__", "__init__"}
    )


BAD: list[tuple[str, str, str]] = [
    ("wire/frame.py", "from rmqkit.transport.pool import ChannelPool", "wire imports transport"),
    ("wire/frame.py", "import rmqkit.client.admin as admin", "wire imports client"),
    ("topology/spec.py", "from rmqkit import cluster", "topology imports cluster"),
    ("topology/spec.py", "from rmqkit.waiting import until", "topology imports waiting"),
    ("topology/spec.py", "def f():\n    from rmqkit.resources import images_dir", "topology imports resources"),
    ("checks/lost.py", "from rmqkit.client.send import Receipt", "checks imports client"),
    ("client/admin.py", "from rmqkit.cluster.cluster import Cluster", "client imports cluster"),
    ("load/worker.py", "from rmqkit.faults.kill import kill_leader", "load imports faults"),
    ("store/walk.py", "from rmqkit.client.pull import Gap", "store imports client"),
    ("store/walk.py", "from rmqkit.cluster.stores import copy_store", "store imports cluster"),
    ("checks/lost.py", "from rmqkit.store import read_store", "checks imports store"),
    ("forensics/locate.py", "from rmqkit.scenario import drill", "forensics imports scenario"),
    ("faults/kill.py", "from rmqkit.load.profile import Profile", "faults imports load"),
    ("fixtures/__init__.py", "from rmqkit.cli.main import app", "fixtures imports cli"),
    ("cli/main.py", "if TYPE_CHECKING:\n    import rmqkit.fixtures", "cli imports fixtures"),
    ("scenario.py", "from rmqkit.fixtures import rmq_cluster", "scenario imports fixtures"),
    ("errors.py", "from rmqkit.waiting import Deadline", "errors imports waiting"),
    ("client/admin.py", "from . import send", "relative import"),
    ("client/deep/admin.py", "from ..send import Receipt", "relative import"),
    ("client/admin.py", "def f(:", "not Python"),
    ("attic/old.py", "", "the room 'attic' is not in the table"),
    ("helpers.py", "", "the room 'helpers' is not in the table"),
    ("wire/frame.py", "import socket", "wire is pure, but imports socket"),
    ("wire/frame.py", "from time import monotonic", "wire is pure, but imports time.monotonic"),
    ("topology/spec.py", "import os.path", "topology is pure, but imports os.path"),
    ("topology/spec.py", "from os import environ", "topology is pure, but imports os.environ"),
    ("topology/spec.py", "import subprocess", "imports subprocess"),
    ("topology/spec.py", "from urllib import request", "imports urllib.request"),
    ("checks/lost.py", "import logging", "imports logging"),
    ("checks/lost.py", "import docker", "imports docker"),
    ("checks/lost.py", "import requests", "imports requests"),
    ("checks/lost.py", "def f(p):\n    return open(p)", "checks is pure, but calls open()"),
    ("checks/lost.py", "def f(p):\n    return p.read_text()", "checks is pure, but calls .read_text()"),
    ("checks/lost.py", "def f(p):\n    p.open('w')", "checks is pure, but calls .open()"),
    ("topology/spec.py", "def f():\n    return datetime.now()", "topology is pure, but calls .now()"),
]


@pytest.mark.parametrize(("place", "source", "words"), BAD)
def test_a_broken_border_is_found_and_named(tmp_path: Path, place: str, source: str, words: str) -> None:
    path = tmp_path / "rmqkit" / place
    path.parent.mkdir(parents=True)
    path.write_text(f"{source}\n", encoding="utf-8")
    found = findings(tmp_path / "rmqkit")
    assert len(found) == 1
    lines = source.splitlines()
    assert str(found[0]).startswith(f"{path}:{max(len(lines), 1)}: ")
    assert words in str(found[0])
    assert (lines[-1].strip() if lines else "") in str(found[0])


GOOD: list[tuple[str, str]] = [
    ("errors.py", "from __future__ import annotations"),
    ("wire/frame.py", "import struct\nfrom rmqkit.wire.codes import Code\nfrom rmqkit.errors import WireError"),
    ("topology/spec.py", "from urllib.parse import quote\nfrom datetime import datetime\nimport ipaddress"),
    ("cluster/cluster.py", "import docker\nfrom rmqkit.transport.pool import ChannelPool\nimport time"),
    ("faults/kill.py", "from rmqkit.client.admin import Admin"),
    ("report/page.py", "from rmqkit.checks.lost import Lost\nopen('x')"),
    ("cli/main.py", "from rmqkit import __version__\nfrom rmqkit.settings import Settings\nimport rmqkit"),
]


@pytest.mark.parametrize(("place", "source"), GOOD)
def test_what_the_plan_allows_is_not_a_finding(tmp_path: Path, place: str, source: str) -> None:
    path = tmp_path / "rmqkit" / place
    path.parent.mkdir(parents=True)
    path.write_text(f"{source}\n", encoding="utf-8")
    assert findings(tmp_path / "rmqkit") == []
