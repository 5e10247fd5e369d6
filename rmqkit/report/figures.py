"""Which figures a run has: each with its words for those who do not see it, and the table of its numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from rmqkit.checks import Outage
from rmqkit.report import plots
from rmqkit.report.analysis import CLOSEUPS, Analysis, Closeup
from rmqkit.report.canvas import Size, plain
from rmqkit.report.columns import UNNAMED
from rmqkit.report.phases import AFTERWARDS
from rmqkit.report.series import Distribution, cumulative, distribution
from rmqkit.report.words import Table, count, milliseconds, rate, seconds

Drawn = Callable[[Size], Figure]


@dataclass(frozen=True, slots=True)
class FigureBlock:
    """A figure of the page. ``alt`` says what it shows to those who cannot see it."""

    name: str
    title: str
    note: str
    alt: str
    table: Table
    draw: Drawn


def figures(run: Analysis) -> Iterator[FigureBlock]:
    """Every figure that the evidence has something for, in the order of the page."""
    if run.empty:
        return
    frame = plots.Frame(run.origin_ns, run.lasted_s, run.faults, run.marks)
    yield from _phases(run)
    yield _throughput(run, frame)
    yield from (_closeup(run, each) for each in run.closeups())
    if run.acked.any():
        yield _latency(run, frame)
        yield _cdf(run)
    if len(run.sends.drivers) > 1 and run.outages:
        yield _outages(run)
    if run.error_kinds:
        yield _errors(run, frame)
    if run.lag:
        yield _lag(run, frame)


_PHASES = "phases-"
"""What the figures are called that belong to the timeline, whose table is theirs."""


def _phases(run: Analysis) -> Iterator[FigureBlock]:
    """Each of the first faults in its phases, until the service was back."""
    several = len(run.timelines) > 1
    for number, timeline in enumerate(run.timelines[:CLOSEUPS], start=1):
        mine = [mark for mark in run.marks if mark.fault == number - 1 and mark.since_fault_s is not None]
        shown = [mark for mark in mine if mark.step not in AFTERWARDS]
        if len(shown) < 2:
            continue
        said = "; ".join(f"{plain(each.meaning)} at {seconds(each.since_fault_s, 3)}" for each in shown)
        what = f"{plain(timeline.fault)} of {plain(timeline.target)}"
        yield FigureBlock(
            f"{_PHASES}{number}",
            f"Fault {number} in its phases" if several else "The fault in its phases",
            f"{what}. A dot is when it was seen; it came within the bar before.",
            f"Phases of {what}. {said}.",
            Table([], []),
            partial(plots.phases, found=shown),
        )


def _throughput(run: Analysis, frame: plots.Frame) -> FigureBlock:
    parts = list(run.parts())
    acked = [int(np.count_nonzero(part.ended & run.acked)) for part in parts]
    received = [int(np.count_nonzero(part.received)) for part in parts]
    rates = [rate(_over(number, part.lasted_s)) for number, part in zip(acked, parts, strict=True)]
    rows = [
        ["lasted", *(seconds(part.lasted_s, 1) for part in parts)],
        ["sends ended", *(count(int(np.count_nonzero(part.ended))) for part in parts)],
        ["acknowledged", *map(count, acked)],
        ["a second", *rates],
    ]
    if len(run.receives):
        over = (rate(_over(number, part.lasted_s)) for number, part in zip(received, parts, strict=True))
        rows += [["received", *map(count, received)], ["a second", *over]]
    said = "; ".join(f"{part.name}: {each} acknowledged a second" for part, each in zip(parts, rates, strict=True))
    note = "Counted by when a send ended."
    if any(each.thinned for each in run.throughput.values()):
        note += " The pale band reaches from the slowest to the fastest second of each step."
    return FigureBlock(
        "throughput",
        "Throughput",
        note + _shaded(run),
        f"Curve of messages acknowledged a second over {run.lasted_s:.1f} seconds. {said}.{_faults_said(run)}",
        Table(["", *(part.name for part in parts)], rows),
        lambda size: plots.throughput(size, frame, run.throughput),
    )


def _closeup(run: Analysis, near: Closeup) -> FigureBlock:
    fault = run.faults[near.number - 1]
    frame = plots.Frame(run.origin_ns, near.end_s, run.faults, run.marks, near.begin_s)
    what = f"{plain(fault.kind)} of {plain(fault.target)}"
    rows = [
        [plain(each.sender) or UNNAMED, seconds(each.gap_s), count(each.refused), count(each.unknown)]
        for each in run.outages
        if each.injected_ns == fault.start_ns
    ]
    said = "; ".join(f"{row[0]}: no acknowledgement for {row[1]}" for row in rows)
    curves = {plain(name): each for name, each in near.curves.items()}
    return FigureBlock(
        f"fault-{near.number}",
        f"Fault {near.number} from near" if len(run.faults) > 1 else "The fault from near",
        f"{what}, by driver.{_shaded(run)}",
        f"Curves of messages acknowledged a second from {near.begin_s:.1f} to {near.end_s:.1f} s: {what}. {said}.",
        Table(["driver", "gap seen", "refused in it", "unknown"], rows),
        lambda size: plots.throughput(size, frame, curves, title="Messages acknowledged a second"),
    )


def _latency(run: Analysis, frame: plots.Frame) -> FigureBlock:
    edges, curves = run.latency_over_time
    found = {part.name: distribution(run.latency_ms[part.ended & run.acked]) for part in run.parts()}
    note = "From the request to the answer; logarithmic. Sends that were refused or got no answer are not in it."
    if "p99 since due" in curves:
        note += " “Since due” counts from when the load wanted to send: a late answer makes those behind it late."
    return FigureBlock(
        "latency",
        "Latency over time",
        note + _shaded(run),
        f"Curves of {', '.join(curves)} of the latency over {run.lasted_s:.1f} seconds. {_distributions_said(found)}",
        _distributions(found),
        lambda size: plots.latency(size, frame, edges, curves),
    )


def _distributions(found: Mapping[str, Distribution]) -> Table:
    """Percentiles downwards, what they are of to the right."""
    each = found.values()
    rows = [
        ["sends", *(count(one.count) for one in each)],
        ["mean", *(milliseconds(one.mean) for one in each)],
        ["p50", *(milliseconds(one.p50) for one in each)],
        ["p90", *(milliseconds(one.p90) for one in each)],
        ["p99", *(milliseconds(one.p99) for one in each)],
        ["p99.9", *(milliseconds(one.p999) for one in each)],
        ["max", *(milliseconds(one.high) for one in each)],
    ]
    return Table(["", *found], rows)


def _distributions_said(found: Mapping[str, Distribution]) -> str:
    known = ((name, each) for name, each in found.items() if each.count)
    return (
        "; ".join(
            f"{name}: half within {milliseconds(each.p50)}, 99 % within {milliseconds(each.p99)}, "
            f"slowest {milliseconds(each.high)}"
            for name, each in known
        )
        + "."
    )


def _cdf(run: Analysis) -> FigureBlock:
    curves, found = {}, {}
    for number, driver in enumerate(run.sends.drivers):
        values = run.latency_ms[run.acked & run.sends.of(number)]
        if len(values):
            name = plain(driver) if driver != UNNAMED or len(run.sends.drivers) > 1 else "all sends"
            curves[name], found[name] = cumulative(values), distribution(values)
    return FigureBlock(
        "latency-cdf",
        "Latency distribution",
        "Both axes are logarithmic: each line upwards is ten times rarer.",
        f"Cumulative distribution of the latency. {_distributions_said(found)}",
        _distributions(found),
        lambda size: plots.latency_cdf(size, curves),
    )


def outage_table(run: Analysis) -> Table:
    """Each driver's outage in each fault, with its bounds."""
    several = len(run.faults) > 1
    rows = [
        [
            plain(each.sender) or UNNAMED,
            *([plain(f"{each.fault} of {each.target}")] if several else []),
            seconds(each.lower_s),
            seconds(each.gap_s) if each.upper_s is not None else f"> {seconds(each.gap_s)}",
            seconds(each.upper_s) if each.upper_s is not None else unbounded(each),
            count(each.refused),
            count(each.unknown),
        ]
        for each in run.outages
    ]
    columns = ["driver", *(["fault"] if several else []), "at least", "gap seen", "at most", "refused", "unknown"]
    return Table(columns, rows, words=2 if several else 1)


OUTAGE_NOTE = (
    "At least: between the first and the last send in the gap that was refused, and so certainly not taken; a send "
    "without an answer proves nothing. At most: from the last request that was taken before to the first answer after. "
    "Gap seen: between two acknowledgements."
)


def unbounded(outage: Outage) -> str:
    """Why nothing is known of an outage's length."""
    return "not back" if outage.first_ack_ns is None else "no service before"


def _outages(run: Analysis) -> FigureBlock:
    begun = [each.start_ns for each in run.faults]

    def name(each: Outage) -> str:
        of = f" · {begun.index(each.injected_ns) + 1}" if len(begun) > 1 else ""
        return (plain(each.sender, 18) or UNNAMED) + of

    found = [(name(each), each) for each in run.outages]
    table = outage_table(run)
    said = "; ".join(f"{row[0]}: at least {row[-5]}, gap {row[-4]}, at most {row[-3]}" for row in table.rows)
    return FigureBlock(
        "outages",
        "Outage as each driver saw it",
        OUTAGE_NOTE,
        f"Bars of the time without service. {said}.",
        table,
        lambda size: plots.outage_bars(size, found),
    )


def _errors(run: Analysis, frame: plots.Frame) -> FigureBlock:
    rows = [
        [
            each.letter,
            each.outcome,
            plain(each.reason),
            count(len(each.ended_ns)),
            *(seconds((int(at) - run.origin_ns) / 1e9, 1) for at in (each.ended_ns.min(), each.ended_ns.max())),
        ]
        for each in run.error_kinds
    ]
    rates = {f"{each.letter} {each.outcome}": run.bins.rates(each.ended_ns) for each in run.error_kinds}
    steps = plots.stacked(run.bins, rates)
    said = "; ".join(f"{row[3]} {row[1]} ({row[2]}) from {row[4]} to {row[5]}" for row in rows)
    return FigureBlock(
        "errors",
        "Sends that were not acknowledged",
        "Refused: certainly not stored. Unknown: may be stored." + _shaded(run),
        f"Stacked areas of sends not acknowledged a second, by kind. {said}.",
        Table(["", "outcome", "reason", "sends", "first", "last"], rows, words=3),
        lambda size: plots.errors(size, frame, *steps),
    )


def _lag(run: Analysis, frame: plots.Frame) -> FigureBlock:
    rows = []
    for name, curve in run.lag.items():
        at = int(np.argmax(curve.high))
        rows.append([plain(name), count(curve.high[at]), seconds(curve.edges_s[at + 1], 1), count(curve.mean[-1])])
    return FigureBlock(
        "lag",
        "Consumer lag",
        "A message counts from its acknowledgement until it was first delivered to the group." + _shaded(run),
        "Curve of messages not yet received. "
        + "; ".join(f"{row[0]}: highest {row[1]} at {row[2]}, {row[3]} at the end" for row in rows)
        + ".",
        Table(["group", "highest", "at", "at the end"], rows),
        lambda size: plots.consumer_lag(size, frame, run.lag),
    )


def _over(number: float, lasted_s: float) -> float | None:
    return number / lasted_s if lasted_s > 0 else None


def _shaded(run: Analysis) -> str:
    return (
        " Shaded: the fault, until a send was acknowledged again; numbers: steps of the timeline." if run.marks else ""
    )


def _faults_said(run: Analysis) -> str:
    found = []
    for each in run.faults:
        begins_s = (each.start_ns - run.origin_ns) / 1e9
        ends = "has no recorded end" if each.end_ns is None else f"lasts to {(each.end_ns - run.origin_ns) / 1e9:.1f} s"
        found.append(f" {plain(each.kind)} of {plain(each.target)} begins at {begins_s:.1f} s and {ends}.")
    return "".join(found)
