"""What all figures share: sizes, colours, the axis of time, faults and phases on it, and how a figure becomes bytes.

No pyplot and no global state: each figure is a value of its own, drawn by Agg or as SVG under fixed settings, so that
the same evidence gives the same bytes. Text of the run never becomes markup: it is not parsed as mathematics, and
control characters are made visible.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from rmqkit.checks.intervals import Interval
from rmqkit.report.phases import Mark

COLOURS = {
    "surface": ("#ffffff", "#14191f"),
    "ink": ("#1c2329", "#e8ebee"),
    "muted": ("#59646e", "#a3adb7"),
    "grid": ("#e3e7ea", "#2b333b"),
    "fault": ("#fbe3d6", "#452a1d"),
    "edge": ("#c2410c", "#f0824a"),
    "s1": ("#0072b2", "#5ab4ee"),
    "s2": ("#d55e00", "#f58b45"),
    "s3": ("#00795a", "#35c498"),
    "s4": ("#a3457e", "#e59ac6"),
    "s5": ("#8c6a00", "#e7bd3e"),
    "s6": ("#6b767f", "#9ba7b1"),
}
"""Each colour on light and on dark ground: Okabe and Ito's hues, which the colour-blind can tell apart, darkened or
lightened until a thin line stands out. No two are the same, so that a page can exchange them."""
SERIES = ("s1", "s2", "s3", "s4", "s5", "s6")
DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (7, 2, 1.5, 2)), "-", (0, (3, 3)))
"""Beside the colour, so that lines can be told apart without any."""
PNG_DPI = 160
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
_RAIL = 1.055
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")


def colour(name: str) -> str:
    """The colour on light ground, by its name."""
    return COLOURS[name][0]


def plain(text: str, most: int = 0) -> str:
    """Text of the run, fit for XML and one line; cut to ``most`` characters where that is not 0."""
    text = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
    return f"{text[: most - 1]}…" if most and len(text) > most else text


@dataclass(frozen=True, slots=True)
class Size:
    """Of a figure, in inches of 72 units; ``narrow`` is drawn for a telephone's width rather than shrunk to it."""

    width: float = 8.0
    height: float = 3.1
    narrow: bool = False


WIDE, NARROW = Size(), Size(4.6, 3.1, narrow=True)


@contextmanager
def fixed_settings(salt: str) -> Iterator[None]:
    """Matplotlib's defaults and ours, whatever the machine's own are; they are put back afterwards."""
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of glyphs that the font lacks: SVG carries text, PNG shows a box
        mpl.rcdefaults()
        mpl.rcParams.update(
            {
                "svg.hashsalt": salt,
                "svg.fonttype": "none",
                "font.family": ["DejaVu Sans", "sans-serif"],
                "font.size": 9,
                "text.parse_math": False,
                "text.color": colour("ink"),
                "axes.edgecolor": colour("muted"),
                "axes.labelcolor": colour("muted"),
                "axes.unicode_minus": False,
                "xtick.color": colour("muted"),
                "ytick.color": colour("muted"),
                "path.simplify": True,
            }
        )
        yield


def svg(figure: Figure) -> str:
    """The figure as an SVG document: no date, no name of a program. Call it within :func:`fixed_settings`."""
    out = io.StringIO()
    nothing: dict[str, Any] = {"Date": None, "Creator": None, "Format": None, "Type": None}
    FigureCanvasSVG(figure).print_svg(out, metadata=nothing)  # type: ignore[no-untyped-call]
    return out.getvalue()


def png(figure: Figure) -> bytes:
    """The figure as a PNG. Call it within :func:`fixed_settings`."""
    out = io.BytesIO()
    figure.set_dpi(PNG_DPI)
    FigureCanvasAgg(figure).print_png(out, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return out.getvalue()


def panel(size: Size, *, title: str, named: bool, numbered: bool, left: float = 0.62) -> tuple[Figure, Axes]:
    """A figure with one axes and its title; room for a legend where lines are ``named``, and for ``numbered`` phases.

    What has no such rows is lower by their height: the plots themselves are all of one size.
    """
    top = 0.36 + 0.26 * numbered + 0.24 * (named and size.narrow)
    size = replace(size, height=size.height - 0.86 + top)
    figure = Figure(figsize=(size.width, size.height), facecolor=colour("surface"))
    axes = figure.add_axes(
        (left / size.width, 0.47 / size.height, 1 - (left + 0.22) / size.width, 1 - (0.47 + top) / size.height)
    )
    axes.set_facecolor("none")
    figure.text(0.0, 1 - 0.1 / size.height, title, va="top", weight="bold", size=9.5)
    axes.grid(visible=True, axis="y", color=colour("grid"), linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=3, width=0.8)
    axes.tick_params(axis="y", length=0)
    return figure, axes


def legend(figure: Figure, size: Size, entries: Sequence[tuple[str, Any]]) -> None:
    """Names and what they are drawn with, in one row: at the right of the title, or below it where it is narrow.

    Many of them stand closer together, so that the row ends before the title or the edge.
    """
    close = len(entries) > 4
    height = float(figure.get_figheight())
    handles = [handle for _, handle in entries]
    names = [name for name, _ in entries]
    figure.legend(
        handles,
        names,
        loc="upper left" if size.narrow else "upper right",
        bbox_to_anchor=(0.0, 1 - 0.25 / height) if size.narrow else (1 - 0.1 / size.width, 1 - 0.01 / height),
        ncols=len(entries),
        frameon=False,
        fontsize=(7.2 if close else 8) if size.narrow else (7.8 if close else 8.5),
        handlelength=0.8 if close else 1.9,
        handletextpad=0.3 if close else 0.8,
        columnspacing=0.6 if close else 1.3,
        labelcolor=colour("ink"),
    )


def line(place: int, **more: Any) -> dict[str, Any]:
    """How the curve of that place is drawn."""
    return {"color": colour(SERIES[place % 6]), "linestyle": DASHES[place % 6], "linewidth": 1.5, **more}


def key(place: int, **more: Any) -> Line2D:
    """The same for a legend."""
    return Line2D([], [], **line(place, **more))


def time_axis(axes: Axes, size: Size, *, end_s: float, begin_s: float = 0.0) -> None:
    """Seconds, or minutes and seconds, or hours and minutes, at round places."""
    axes.set_xlim(begin_s, end_s)
    lasts_s = end_s - begin_s
    most = 5 if size.narrow else 10
    if lasts_s < 3:
        axes.xaxis.set_major_locator(MaxNLocator(most))
        unit = "s"
    else:
        step = next((each for each in _STEPS_S if lasts_s / each <= most), _STEPS_S[-1])
        first = int(-(-begin_s // step))
        axes.xaxis.set_major_locator(FixedLocator([place * step for place in range(first, int(end_s // step) + 1)]))
        unit = "s" if end_s <= 180 else "min:s" if end_s <= 7200 or step < 60 else "h:min"
        axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: clock(at, unit)))
    axes.set_xlabel(f"{'seconds' if unit == 's' else unit} since the first send", size=8.5)


def clock(at_s: float, unit: str) -> str:
    """A moment in a unit of :func:`time_axis`."""
    whole = round(at_s)
    if unit == "min:s":
        return f"{whole // 60}:{whole % 60:02d}"
    return f"{whole // 3600}:{whole // 60 % 60:02d}" if unit == "h:min" else f"{at_s:g}"


def count_axis(axes: Axes, highest: float) -> None:
    """From 0 to a little above the highest value, with thousands set apart."""
    axes.set_ylim(0, max(highest, 1) * 1.06)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=highest >= 5, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if highest >= 5 else f"{value:g}"))


def log_ms(axis: Any, low: float, high: float) -> None:
    """A logarithmic axis of times, labelled in units that one reads without counting zeros."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    ticks = [10.0**power for power in range(-4, 8) if low <= 10.0**power <= high]
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: short_time(value)))


def short_time(value_ms: float) -> str:
    """``500 µs``, ``20 ms``, ``3 s``."""
    if value_ms < 0.9995:
        return f"{value_ms * 1000:.3g} µs"
    return f"{value_ms:.3g} ms" if value_ms < 999.5 else f"{value_ms / 1000:.4g} s"


def faults_on(axes: Axes, size: Size, faults: Sequence[Interval], marks: Sequence[Mark], *, origin_ns: int) -> None:
    """Shade each fault from its injection until service was back, and number its steps above the plot."""
    low, high = axes.get_xlim()
    marks = [each for each in marks if low <= each.at_s <= high]
    for fault in faults:
        begins = (fault.start_ns - origin_ns) / 1e9
        ends = high if fault.end_ns is None else (fault.end_ns - origin_ns) / 1e9
        if begins > high or ends < low:
            continue
        axes.axvspan(max(begins, low), min(ends, high), facecolor=colour("fault"), edgecolor="none", zorder=0)
    for each in marks:
        axes.axvline(each.at_s, color=colour("edge"), linewidth=0.7, zorder=0.5)
    width = axes.get_position().width * size.width * 72
    for at_s, name in rail(marks, (high - low) / width):
        axes.text(
            at_s,
            _RAIL,
            name,
            transform=axes.get_xaxis_transform(),
            ha="center",
            va="center",
            size=7.5,
            weight="bold",
            color=colour("surface"),
            bbox={"boxstyle": "round,pad=0.3,rounding_size=0.8", "facecolor": colour("edge"), "edgecolor": "none"},
            clip_on=False,
        )


def rail(marks: Sequence[Mark], unit_s: float) -> list[tuple[float, str]]:
    """Where the numbers of the steps go, in seconds, and as what: those too close to be read become one, ``2–5``.

    ``unit_s``: how many seconds one unit of the drawing's width is.
    """
    groups = [[mark] for mark in sorted(marks, key=lambda mark: mark.at_s)]

    def centre(group: list[Mark]) -> float:
        return (group[0].at_s + group[-1].at_s) / 2

    def name(group: list[Mark]) -> str:
        return f"{group[0].number}–{group[-1].number}" if len(group) > 1 else str(group[0].number)

    place = 0
    while place < len(groups) - 1:
        here, after = groups[place], groups[place + 1]
        needed = (len(name(here)) + len(name(after))) / 2 * 5.2 + 8
        if centre(after) - centre(here) < needed * unit_s:
            groups[place : place + 2] = [here + after]
            place = max(0, place - 1)
        else:
            place += 1
    return [(centre(group), name(group)) for group in groups]
