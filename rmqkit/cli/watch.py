"""``rmqkit status --watch``: the status again every second, and what changed meanwhile, until Ctrl-C.

On a terminal: one picture, drawn anew, with the last changes below it. Elsewhere (a pipe, a file) only the changes, a
line each: pictures that nobody can take back would bury them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rmqkit.cli import EXIT_FAILED, EXIT_OK
from rmqkit.cli.common import show
from rmqkit.cli.status import NUMBERS, table, views
from rmqkit.cluster.status import ClusterStatus

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

EVERY_S = 1.0
LEFT_OUT: tuple[tuple[str, ...], ...] = (
    (),
    NUMBERS,
    (*NUMBERS, "Version", "Cluster"),
    (*NUMBERS, "Version", "Cluster", "Addr"),
)
"""Columns that a narrow terminal does without, the least missed first: a picture cannot wrap its lines."""
_KEPT = 500


def watch(
    ask: Callable[[], ClusterStatus],
    *,
    pause: Callable[[float], None] = time.sleep,
    console: Console | None = None,
) -> int:
    """Ask every second until Ctrl-C, which is the end that was asked for: the exit code is that of the last answer.

    It ends as well when what reads its lines has gone. Ctrl-C before there is one is raised on.
    """
    if console is None:
        from rich.console import Console  # noqa: PLC0415 - costs 80 ms

        console = Console(highlight=False)
    changes = Changes()
    status: ClusterStatus | None = None
    try:
        with _shown(console, changes) as picture:
            while picture(status := ask()):
                pause(EVERY_S)
    except KeyboardInterrupt:
        if status is None:
            raise
    return EXIT_OK if status is not None and status.healthy else EXIT_FAILED


class Changes:
    """The lines of a status that differ from the one before, with the time in UTC; ``all`` keeps the last of them."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._said: dict[str, object] = {}

    def of(self, status: ClusterStatus) -> list[str]:
        """What is new in ``status``: of the first one every line.

        In which words a dead peer's connection fails is nothing new: that differs from second to second.
        """
        now: dict[str, tuple[object, str]] = {}
        for group in status.groups:
            absent = [text.partition(" (")[0] for text in group.absent]
            now[group.name] = (group.raft_leader, group.disagreements, absent), group.summary
        for server in status.nameservers:
            if server.error:
                now[server.address] = (), f"NameServer {server.address}: {server.error}"
        new = [line for key, (what, line) in now.items() if key not in self._said or self._said[key] != what]
        new += [f"NameServer {key} answers again" for key in self._said if key not in now]
        self._said = {key: what for key, (what, _) in now.items()}
        stamp = time.strftime("%H:%M:%SZ", time.gmtime())
        stamped = [f"{stamp} {line}" for line in new]
        self.all = [*self.all, *stamped][-_KEPT:]
        return stamped


@contextmanager
def _shown(console: Console, changes: Changes) -> Iterator[Callable[[ClusterStatus], bool]]:
    """What shows a status, by where it is shown, and says whether somebody looks."""
    if not console.is_terminal:
        yield lambda status: not (new := changes.of(status)) or show(new)
        return
    from rich.console import Group  # noqa: PLC0415
    from rich.live import Live  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    with Live(console=console, auto_refresh=False) as live:

        def draw(status: ClusterStatus) -> bool:
            changes.of(status)
            present = Group(fitting(status, console), Text("\n".join([*views(status), ""])))
            now = time.strftime("%H:%M:%SZ now; Ctrl-C ends it", time.gmtime())
            room = console.height - len(console.render_lines(present)) - 2
            last = _last(changes.all, room=room, width=console.width)
            live.update(Group(present, Text("\n".join([*last, now]))), refresh=True)
            return True

        yield draw


def _last(lines: list[str], *, room: int, width: int) -> list[str]:
    """As many of the last lines as ``room`` lines of the screen hold when they are wrapped; one at least."""
    kept: list[str] = []
    for line in reversed(lines):
        room -= -(-len(line) // width)
        if kept and room < 0:
            break
        kept.insert(0, line)
    return kept


def fitting(status: ClusterStatus, console: Console) -> Table:
    """The table with as many columns as the terminal has room for, none of them cut."""
    from rich.measure import Measurement  # noqa: PLC0415

    for names in LEFT_OUT:
        drawn = table(status, without=names)
        if Measurement.get(console, console.options.update(max_width=1000), drawn).maximum <= console.width:
            break
    return drawn
