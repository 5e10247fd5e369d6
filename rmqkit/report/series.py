"""Counts and percentiles over time, from columns: pure arithmetic, linear (or a sort) in the number of operations.

What belongs here: numbers that a figure or a table shows. What does not: how they are drawn or worded.

A percentile is the nearest rank: the smallest value that at least so many percent of the values do not exceed. It is
always a value that was measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rmqkit.checks.intervals import Interval
from rmqkit.report.columns import Bools, Floats, Ints, ReceiveColumns, SendColumns

SECOND_NS = 1_000_000_000
SHORT_S = 60
"""Runs up to this long are counted in half seconds, longer ones in seconds."""
MOST_POINTS = 900
"""No curve has more points than this, however long the run: figures stay small, and a screen has no more pixels."""
PERCENTS = (50.0, 90.0, 99.0, 99.9)


@dataclass(frozen=True, slots=True)
class Bins:
    """Equal steps of time from ``origin_ns`` on; the last one takes in a rest of less than a step."""

    origin_ns: int
    width_ns: int
    edges_ns: Ints

    def __len__(self) -> int:
        return len(self.edges_ns) - 1

    @property
    def edges_s(self) -> Floats:
        """The borders in seconds since the origin, one more than there are bins."""
        return (self.edges_ns - self.origin_ns) / SECOND_NS

    @property
    def widths_s(self) -> Floats:
        """How long each bin is."""
        return np.diff(self.edges_s)

    def index(self, times_ns: Ints) -> Ints:
        """The bin of each time; what lies outside belongs to the first or the last one."""
        return np.clip((times_ns - self.origin_ns) // self.width_ns, 0, len(self) - 1)

    def counts(self, times_ns: Ints) -> Ints:
        """How many of the times lie in each bin."""
        return np.bincount(self.index(times_ns), minlength=len(self))

    def rates(self, times_ns: Ints) -> Floats:
        """The same, a second."""
        return self.counts(times_ns) / self.widths_s


def span_ns(sends: SendColumns, receives: ReceiveColumns, faults: list[int]) -> tuple[int, int] | None:
    """The first and the last moment of a run; None for an empty one. A run begins with its first send."""
    ends = [int(times.max()) for times in (sends.end_ns, receives.at_ns) if len(times)]
    starts = [int(times.min()) for times in (sends.start_ns, receives.at_ns) if len(times)]
    if not starts:
        return (min(faults), max(faults)) if faults else None
    return min(starts), max(ends + faults)


def bins_over(span: tuple[int, int], *, fine: bool = True) -> Bins:
    """Steps over a span: half seconds for short runs, else seconds.

    Not ``fine``: as many seconds each as keep them below :data:`MOST_POINTS`.
    """
    start, end = span
    lasted = max(end - start, 1)
    width = SECOND_NS // 2 if lasted <= SHORT_S * SECOND_NS else SECOND_NS
    if not fine:
        width *= -(-lasted // (width * MOST_POINTS))
    # A rest of less than a step would show a rate from next to nothing: the step before takes it in.
    count = max(1, lasted // width)
    edges = start + np.arange(count + 1, dtype=np.int64) * width
    edges[-1] = start + lasted
    return Bins(start, width, edges)


@dataclass(frozen=True, slots=True)
class Curve:
    """A quantity over time: for each step its mean, and the lowest and highest second (or half second) in it."""

    edges_s: Floats
    mean: Floats
    low: Floats
    high: Floats

    @property
    def thinned(self) -> bool:
        """Whether a step is longer than what was counted, so that low and high say more than the mean."""
        return bool(np.any(self.low != self.high))


def curve(bins: Bins, values: Floats) -> Curve:
    """Values of each bin as a curve of at most :data:`MOST_POINTS` points."""
    step = -(-len(bins) // MOST_POINTS)
    firsts = np.arange(0, len(bins), step)
    widths = bins.widths_s
    mean = np.add.reduceat(values * widths, firsts) / np.add.reduceat(widths, firsts)
    edges = np.append(bins.edges_s[:-1][firsts], bins.edges_s[-1])
    return Curve(edges, mean, np.minimum.reduceat(values, firsts), np.maximum.reduceat(values, firsts))


def latencies_ms(sends: SendColumns) -> Floats:
    """How long each send took, from its request to its end."""
    return (sends.end_ns - sends.start_ns) / 1e6


def ranked(values: Floats, percent: float) -> float:
    """The percentile of values that are sorted already; nan for none."""
    if not len(values):
        return float("nan")
    # The rank is rounded first: 99.9 % of 1000 is 999, not 999.0000000000001.
    rank = int(np.ceil(round(len(values) * percent / 100, 6)))
    return float(values[max(rank, 1) - 1])


@dataclass(frozen=True, slots=True)
class Distribution:
    """Times in milliseconds. All nan where ``count`` is 0."""

    count: int
    mean: float
    p50: float
    p90: float
    p99: float
    p999: float
    high: float


def distribution(values: Floats) -> Distribution:
    """Of values in any order."""
    if not len(values):
        return Distribution(0, *[float("nan")] * 6)
    ordered = np.sort(values)
    p50, p90, p99, p999 = (ranked(ordered, each) for each in PERCENTS)
    return Distribution(len(ordered), float(ordered.mean()), p50, p90, p99, p999, float(ordered[-1]))


def percentiles_over_time(bins: Bins, times_ns: Ints, values: Floats, percents: tuple[float, ...]) -> Floats:
    """A row for each percent, a column for each bin; nan where a bin has no value."""
    found = np.full((len(percents), len(bins)), np.nan)
    index = bins.index(times_ns)
    grouped = values[np.argsort(index, kind="stable")]
    ends = np.cumsum(np.bincount(index, minlength=len(bins)))
    first = 0
    for place, end in enumerate(ends.tolist()):
        if end > first:
            ordered = np.sort(grouped[first:end])
            found[:, place] = [ranked(ordered, percent) for percent in percents]
        first = end
    return found


def cumulative(values: Floats, *, points: int = 240) -> tuple[Floats, Floats]:
    """Some points of the distribution: shares of the values (0 to 1), and what that share does not exceed.

    The points are dense towards 1, where the slow ones are: equal steps of log10(1 - share).
    """
    if not len(values):
        return np.empty(0), np.empty(0)
    ordered = np.sort(values)
    nines = np.linspace(0, np.log10(len(ordered)), points)
    ranks = np.unique(np.append(np.ceil(len(ordered) * (1 - 10.0**-nines)), [1, len(ordered)]).astype(np.int64))
    ranks = ranks[ranks > 0]
    return ranks / len(ordered), ordered[ranks - 1]


def within(times_ns: Ints, faults: list[Interval], end_ns: int) -> Bools:
    """Which times lie in a fault; one without an end lasts to ``end_ns``, and the end itself belongs to it then."""
    inside = np.zeros(len(times_ns), dtype=np.bool_)
    for fault in faults:
        last = end_ns + 1 if fault.end_ns is None else fault.end_ns
        inside |= (times_ns >= fault.start_ns) & (times_ns < last)
    return inside


def lag(bins: Bins, sends: SendColumns, receives: ReceiveColumns, group: int) -> Floats:
    """Messages that were acknowledged and that a group had not been handed yet, at each bin's end.

    A message counts from its acknowledgement until it is first delivered; one that was delivered before its sender
    knew never counts.
    """
    acked = sends.acknowledged
    messages, acked_ns = _firsts(sends.message[acked], sends.end_ns[acked])
    mine = receives.group == group
    taken, taken_ns = _firsts(receives.message[mine], receives.at_ns[mine])
    place = np.minimum(np.searchsorted(taken, messages), max(len(taken) - 1, 0))
    known = taken[place] == messages if len(taken) else np.zeros(len(messages), dtype=np.bool_)
    gone_ns = np.maximum(taken_ns[place[known]], acked_ns[known])
    return np.cumsum(bins.counts(acked_ns) - bins.counts(gone_ns)).astype(np.float64)


def _firsts(messages: Ints, times_ns: Ints) -> tuple[Ints, Ints]:
    """Each message once, in order, and its earliest time."""
    order = np.argsort(times_ns, kind="stable")
    found, first = np.unique(messages[order], return_index=True)
    return found, times_ns[order][first]
