"""No wait and no outcome hangs on the clock on the wall, which may jump: these modules alone look at it, and why."""

from __future__ import annotations

import ast
from pathlib import Path

import rmqkit

PACKAGE = Path(rmqkit.__file__).parent
ON_THE_WALL = {
    ("time", "time"),
    ("time", "time_ns"),
    ("datetime", "now"),
    ("datetime", "today"),
    ("datetime", "utcnow"),
}

MAY = {
    "cli/build.py": "a value that is never the same, for a build that shall not come from the cache",
    "cli/drill_report.py": "when a run began, as words",
    "cli/status.py": "the age of the oldest message, which a broker gives as a date",
    "client/batch.py": "when a message was born, a field of it",
    "client/heartbeat.py": "a client's id and a subscription's version, as Java's clients have them",
    "client/send.py": "when a message was born, a field of it",
    "client/uniqkey.py": "part of a unique key; one never comes twice whatever it says (test_message.py)",
    "deploy/engines.py": "it is what is measured: how far a host's clock is off",
    "deploy/probes.py": "it is what is measured: how far a broker's clock is off",
    "history/recorder.py": "when a history began, as a date; its times are of the monotonic clock",
    "load/runner.py": "when a load began, as words",
    "report/evidence.py": "when a report was written, as words",
    "witness/status.py": "when a sample was taken, as a date to be held against brokers' logs",
}


def looks(source: str) -> bool:
    """Whether the source reads the clock on the wall, called or handed on, or imports what reads it by name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            read = {(node.value.id, node.attr)}
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            read = {("time", alias.name) for alias in node.names}
        else:
            continue
        if read & ON_THE_WALL:
            return True
    return False


def test_only_what_says_a_date_looks_at_the_clock_on_the_wall() -> None:
    found = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if looks(path.read_text("utf-8"))}
    assert found == set(MAY)


def test_a_look_is_found_however_it_is_written() -> None:
    assert looks("import time\ndeadline = time.time() + 5")
    assert looks("from time import time")
    assert looks("from datetime import datetime\nx = datetime.now()")
    assert looks("import time\nnow = field(default_factory=time.time_ns)")
    assert not looks("import time\nend = time.monotonic() + 5\ntime.sleep(1)")
