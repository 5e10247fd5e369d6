"""What a load shows while it runs: a live table on a terminal, one line a second anywhere else.

On standard error, so that standard output stays the answer. What does not belong here: the summary (``load_text``).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rmqkit.cli.common import say
from rmqkit.load.runner import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

_MOST_QUEUES = 16


@contextmanager
def screen(*, sends: bool, receives: bool) -> Iterator[Callable[[Progress], None]]:
    """Shows each :class:`Progress` that it is given."""
    if not sys.stderr.isatty():
        yield lambda progress: say(line(progress, sends=sends, receives=receives))
        return
    from rich.console import Console  # noqa: PLC0415 - costs 80 ms
    from rich.live import Live  # noqa: PLC0415

    with Live(console=Console(stderr=True), auto_refresh=False, transient=True) as live:
        yield lambda progress: live.update(table(progress, sends=sends, receives=receives), refresh=True)


def line(progress: Progress, *, sends: bool, receives: bool) -> str:
    """One second in one line."""
    window, latency = progress.window, progress.window.latency
    parts = [f"[{progress.elapsed_s:6.1f} s]"]
    if progress.phase == "draining":
        parts.append("draining")
    if sends:
        parts.append(f"{window.acknowledged} acked/s")
        parts.append(f"p50 {latency.p50_ms:.1f} p99 {latency.p99_ms:.1f} max {latency.max_ms:.1f} ms")
        parts.append(f"{progress.acknowledged} acked")
        parts += [f"{count} {kind}" for kind, count in progress.errors.items() if count]
    if receives:
        parts.append(f"{window.received} received/s, {progress.received} in all, lag {sum(progress.lag.values())}")
    if progress.trouble:
        parts.append(progress.trouble)
    return "  ".join(parts)


def table(progress: Progress, *, sends: bool, receives: bool) -> Table:
    """The live screen."""
    from rich.table import Table  # noqa: PLC0415

    window, latency = progress.window, progress.window.latency
    shown = Table(box=None, show_header=False, pad_edge=False)
    shown.add_column(style="bold")
    shown.add_column()
    shown.add_row(progress.phase, f"{progress.elapsed_s:.0f} s   Ctrl-C ends it")
    if sends:
        shown.add_row("rate", f"{window.acknowledged} acknowledged/s   {progress.acknowledged} of {progress.sent} sent")
        shown.add_row(
            "latency",
            f"p50 {latency.p50_ms:.2f}   p99 {latency.p99_ms:.2f}   max {latency.max_ms:.2f} ms   (last second)",
        )
        shown.add_row("errors", "   ".join(f"{count} {kind}" for kind, count in progress.errors.items()))
    if receives:
        shown.add_row("received", f"{window.received}/s   {progress.received} in all")
        shown.add_row("lag", lags(progress))
    if progress.trouble:
        shown.add_row("trouble", progress.trouble)
    return shown


def lags(progress: Progress) -> str:
    """The lag of each queue, and of all."""
    each = [f"{queue.rpartition('/')[2]}: {lag}" for queue, lag in list(progress.lag.items())[:_MOST_QUEUES]]
    more = len(progress.lag) - len(each)
    return f"{sum(progress.lag.values())}   ({', '.join(each)}{f', and {more} more queues' if more > 0 else ''})"
