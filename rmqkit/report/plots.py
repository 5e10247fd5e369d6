"""The figures: one function each, from numbers to a drawing. What they mean in words is beside them in ``contents``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from rmqkit.checks import Outage
from rmqkit.checks.intervals import Interval
from rmqkit.report.canvas import (
    SERIES,
    Size,
    colour,
    count_axis,
    faults_on,
    key,
    legend,
    line,
    log_ms,
    panel,
    plain,
    time_axis,
)
from rmqkit.report.columns import Floats
from rmqkit.report.phases import Mark
from rmqkit.report.series import Bins, Curve, curve


@dataclass(frozen=True, slots=True)
class Frame:
    """What every figure over time shares: its origin and end, and what was done to the cluster."""

    origin_ns: int
    end_s: float
    faults: Sequence[Interval]
    marks: Sequence[Mark]
    begin_s: float = 0.0


def throughput(size: Size, frame: Frame, curves: Mapping[str, Curve], *, title: str = "Messages a second") -> Figure:
    """Sends acknowledged (and messages received) a second; a pale band is the lowest and highest second of a step."""
    figure, axes = panel(size, title=title, named=True, numbered=bool(frame.marks))
    time_axis(axes, size, begin_s=frame.begin_s, end_s=frame.end_s)
    highest = 0.0
    for place, each in enumerate(curves.values()):
        if each.thinned:
            axes.stairs(
                each.high,
                each.edges_s,
                baseline=each.low,
                fill=True,
                color=colour(SERIES[place]),
                alpha=0.25,
                linewidth=0,
            )
        elif place == 0 and len(curves) < 3:
            axes.stairs(each.mean, each.edges_s, fill=True, color=colour(SERIES[place]), alpha=0.13, linewidth=0)
        axes.stairs(each.mean, each.edges_s, baseline=None, **line(place))
        highest = max(highest, float(each.high.max(initial=0)))
    count_axis(axes, highest)
    faults_on(axes, size, frame.faults, frame.marks, origin_ns=frame.origin_ns)
    legend(figure, size, [(plain(name, 24), key(place)) for place, name in enumerate(curves)])
    return figure


def latency(size: Size, frame: Frame, edges_s: Floats, rows: Mapping[str, Floats]) -> Figure:
    """Percentiles of acknowledged sends, by when they ended, on a logarithmic axis; a hole where none ended."""
    figure, axes = panel(size, title="Latency of acknowledged sends", named=True, numbered=bool(frame.marks))
    time_axis(axes, size, begin_s=frame.begin_s, end_s=frame.end_s)
    everything = np.concatenate([*rows.values(), np.empty(0)])
    low, high = _decades(everything[np.isfinite(everything)])
    log_ms(axes.yaxis, low, high)
    drawn = [line(place) if name != "max" else _FAINT for place, name in enumerate(rows)]
    for style, values in zip(drawn, rows.values(), strict=True):
        axes.stairs(values, edges_s, baseline=None, **style)
    axes.set_ylim(low, high)
    faults_on(axes, size, frame.faults, frame.marks, origin_ns=frame.origin_ns)
    legend(figure, size, [(name, Line2D([], [], **style)) for name, style in zip(rows, drawn, strict=True)])
    return figure


_FAINT: dict[str, Any] = {"color": colour("s6"), "linestyle": "-", "linewidth": 0.9}
"""How what jumps from step to step is drawn: there, and not in the way."""


def latency_cdf(size: Size, curves: Mapping[str, tuple[Floats, Floats]]) -> Figure:
    """The share of sends (in nines, upwards) that took no longer than a time (logarithmic, to the right)."""
    figure, axes = panel(
        size, title="Share of acknowledged sends at most this slow", named=len(curves) > 1, numbered=False, left=0.8
    )
    everything = np.concatenate([*(values for _, values in curves.values()), np.empty(0)])
    low, high = _decades(everything)
    log_ms(axes.xaxis, low, high)
    most = 1.0
    for place, (shares, values) in enumerate(curves.values()):
        # Of the slowest one none is slower: it is drawn half a rank before that.
        nines = -np.log10(np.maximum(1 - shares, shares[:1].min(initial=1) / 2))
        axes.plot(values, nines, drawstyle="steps-post", **line(place))
        most = max(most, float(nines.max(initial=0)))
    ticks = [-np.log10(0.5), *(float(nine) for nine in range(1, int(most) + 1))]
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_major_formatter(FixedFormatter([_percent(tick) for tick in ticks]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylim(0, most * 1.04)
    axes.set_xlim(low, high)
    axes.grid(visible=True, axis="x", color=colour("grid"), linewidth=0.8)
    axes.set_xlabel("from request to answer", size=8.5)
    if len(curves) > 1:
        legend(figure, size, [(plain(name, 24), key(place)) for place, name in enumerate(curves)])
    return figure


def stacked(bins: Bins, rates: Mapping[str, Floats]) -> tuple[Floats, dict[str, Floats]]:
    """What :func:`errors` draws: means over steps that are few enough."""
    curves = {name: curve(bins, values) for name, values in rates.items()}
    edges = next(iter(curves.values())).edges_s
    return edges, {name: each.mean for name, each in curves.items()}


def errors(size: Size, frame: Frame, edges_s: Floats, stacks: Mapping[str, Floats]) -> Figure:
    """Sends that were not acknowledged, by kind, stacked."""
    figure, axes = panel(size, title="Sends not acknowledged, a second", named=True, numbered=bool(frame.marks))
    time_axis(axes, size, begin_s=frame.begin_s, end_s=frame.end_s)
    total = np.zeros(len(edges_s) - 1)
    entries = []
    for place, (name, values) in enumerate(stacks.items()):
        tone = colour(SERIES[(place + 1) % 6])
        axes.stairs(total + values, edges_s, baseline=total.copy(), fill=True, facecolor=tone, linewidth=0)
        total += values
        entries.append((plain(name, 24), Patch(facecolor=tone)))
    count_axis(axes, float(total.max(initial=0)))
    faults_on(axes, size, frame.faults, frame.marks, origin_ns=frame.origin_ns)
    legend(figure, size, entries)
    return figure


def consumer_lag(size: Size, frame: Frame, curves: Mapping[str, Curve]) -> Figure:
    """Messages acknowledged and not yet received, by group."""
    figure, axes = panel(
        size, title="Messages acknowledged and not yet received", named=len(curves) > 1, numbered=bool(frame.marks)
    )
    time_axis(axes, size, begin_s=frame.begin_s, end_s=frame.end_s)
    for place, each in enumerate(curves.values()):
        axes.stairs(each.high, each.edges_s, baseline=None, **line(place))
    count_axis(axes, max(float(each.high.max(initial=0)) for each in curves.values()))
    faults_on(axes, size, frame.faults, frame.marks, origin_ns=frame.origin_ns)
    if len(curves) > 1:
        legend(figure, size, [(plain(name, 24), key(place)) for place, name in enumerate(curves)])
    return figure


def outage_bars(size: Size, found: Sequence[tuple[str, Outage]]) -> Figure:
    """For each name a bar from the lower to the upper bound, and a line at the gap that the client lived through."""
    tall = replace(size, height=1.35 + 0.36 * len(found))
    left = 0.35 + 0.078 * max(len(name) for name, _ in found)
    figure, axes = panel(
        tall, title="Time without service", named=True, numbered=False, left=min(left, size.width * 0.45)
    )
    highest = 0.0
    for place, (_, each) in enumerate(found):
        upper = each.gap_s if each.upper_s is None else each.upper_s
        highest = max(highest, upper)
        axes.barh(place, each.lower_s, height=0.5, color=colour("s1"))
        axes.barh(place, upper - each.lower_s, left=each.lower_s, height=0.5, color=colour("s1"), alpha=0.35)
        axes.plot([each.gap_s] * 2, [place - 0.36, place + 0.36], color=colour("ink"), linewidth=1.8)
        if each.upper_s is None:
            said = "▸ not back" if each.first_ack_ns is None else "no service before"
            axes.text(upper, place, f" {said}", va="center", size=8, color=colour("edge"))
    axes.set_yticks(range(len(found)), [name for name, _ in found], color=colour("ink"), size=8.5)
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.set_xlim(0, max(highest, 0.001) * (1.2 if any(each.upper_s is None for _, each in found) else 1.05))
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x", color=colour("grid"), linewidth=0.8)
    axes.set_xlabel("seconds", size=8.5)
    entries = [
        ("at least", Patch(facecolor=colour("s1"))),
        ("at most", Patch(facecolor=colour("s1"), alpha=0.35)),
        ("gap seen", key(0, color=colour("ink"), linestyle="-", linewidth=1.8)),
    ]
    legend(figure, tall, entries)
    return figure


def phases(size: Size, found: Sequence[Mark]) -> Figure:
    """One fault's phases downwards: a dot when each was seen, and a bar over the time in which it may have come."""
    names = [f"{each.number}  {plain(f'{each.step} {each.target}', 26)}" for each in found]
    tall = replace(size, height=1.1 + 0.24 * len(found))
    left = min(0.35 + 0.072 * max(map(len, names)), size.width * 0.45)
    figure, axes = panel(tall, title="When each phase was seen", named=False, numbered=False, left=left)
    at_s = [each.since_fault_s or 0.0 for each in found]
    low, high = min([0.0, *at_s]), max([0.0, *at_s])
    room = max(high - low, 0.001) * 0.04
    for place, (each, at) in enumerate(zip(found, at_s, strict=True)):
        since = max(low - room, at - each.within_s)
        axes.barh(place, at - since, left=since, height=0.5, color=colour("s1"), alpha=0.35)
        axes.plot([at], [place], marker="o", markersize=4.5, color=colour("s1"), linestyle="none")
    axes.axvline(0.0, color=colour("edge"), linewidth=0.9, zorder=0.5)
    axes.set_yticks(range(len(found)), names, color=colour("ink"), size=8)
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.set_xlim(low - room, high + room)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x", color=colour("grid"), linewidth=0.8)
    axes.set_xlabel("seconds since the fault", size=8.5)
    return figure


def _decades(values: Floats) -> tuple[float, float]:
    """Whole decades around the values, at least one; 1 to 10 ms where there are none."""
    values = values[values > 0]
    if not len(values):
        return 1.0, 10.0
    low = 10.0 ** np.floor(np.log10(values.min()))
    high = 10.0 ** np.ceil(np.log10(values.max()))
    return float(low), float(high if high > low else low * 10)


def _percent(nines: float) -> str:
    share = 100 * (1 - 10.0**-nines)
    return f"{share:.{max(0, int(nines) - 2)}f} %"
