"""Counts and latencies of a load, by the second and in all, from the batches that its workers ship.

What belongs here: numbers. What does not: who sends, the clock, what is shown. HDR histograms (the ``hdrhistogram``
package) hold microseconds from 1 to an hour in three digits, so that memory does not grow with the number of messages.

An operation counts to the second in which it ended. A second stays open for ``SETTLE_S`` after its end, for batches
that come late; then its percentiles are taken and its histogram is given up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from rmqkit.load.batches import Ending, ReceivedRow, SendBatch, SendColumns
from rmqkit.load.plan import SendPlan
from rmqkit.load.summary import ErrorCount, Percentiles, Traffic, Window

if TYPE_CHECKING:
    from hdrh.histogram import HdrHistogram

    from rmqkit.load.batches import Column

SETTLE_S = 3
SECOND_NS = 1_000_000_000
MOST_US = 3_600_000_000
MOST_REASONS = 200
_DIGITS = 3
_KEPT_BITS = 11
_OTHER = "other reasons"


def new_histogram() -> HdrHistogram:
    """An empty histogram of microseconds."""
    from hdrh.histogram import HdrHistogram  # noqa: PLC0415 - only a load needs it

    return HdrHistogram(1, MOST_US, _DIGITS)


def percentiles_of(histogram: HdrHistogram) -> Percentiles:
    """A histogram's figures in milliseconds."""
    count = int(histogram.get_total_count())
    if not count:
        return Percentiles()
    at = histogram.get_percentile_to_value_dict([50, 90, 99, 99.9])
    return Percentiles(
        count=count,
        mean_ms=histogram.get_mean_value() / 1000,
        p50_ms=at[50] / 1000,
        p90_ms=at[90] / 1000,
        p99_ms=at[99] / 1000,
        p999_ms=at[99.9] / 1000,
        max_ms=histogram.get_max_value() / 1000,
    )


def record_all(histogram: HdrHistogram, values_us: Column) -> None:
    """Record every value; one that is out of range counts as the nearest that is in it.

    Values that a histogram does not tell apart are joined before: to record one takes Python 2 µs.
    """
    if not len(values_us):
        return
    inside = np.clip(values_us, 1, MOST_US)
    # Three digits are 2048 steps in each power of two: the low bits beyond 11 are lost in any case.
    bits = np.frexp(inside.astype(np.float64))[1].astype(np.int64)
    lost = np.maximum(bits - _KEPT_BITS, 0)
    values, counts = np.unique((inside >> lost) << lost, return_counts=True)
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        histogram.record_value(value, count)


def _counted(numbers: Column) -> Counter[int]:
    values, counts = np.unique(numbers, return_counts=True)
    return Counter(dict(zip(values.tolist(), counts.tolist(), strict=True)))


class Gaps:
    """The longest time between two acknowledgements, though batches of several workers come out of order.

    Ends are sorted while they are young; what is older than the newest by ``SETTLE_S`` is settled.
    """

    def __init__(self) -> None:
        self._young: Column = np.empty(0, dtype=np.int64)
        self._last: int | None = None
        self._longest = 0

    def add(self, ends_ns: Column) -> None:
        """More acknowledgements."""
        if not len(ends_ns):
            return
        self._young = np.sort(np.concatenate((self._young, ends_ns)))
        settled = int(np.searchsorted(self._young, self._young[-1] - SETTLE_S * SECOND_NS, side="right"))
        self._longest, self._last = self._walk(settled)
        self._young = self._young[settled:]

    @property
    def longest_s(self) -> float:
        """Between any two acknowledgements so far; 0 where there were not two."""
        return self._walk(len(self._young))[0] / 1e9

    def _walk(self, until: int) -> tuple[int, int | None]:
        if not until:
            return self._longest, self._last
        ends = self._young[:until]
        # An end that comes after its time was settled is no gap turned backwards.
        first = int(ends[0]) if self._last is None else self._last
        steps = np.diff(np.maximum(ends, first), prepend=first)
        return max(self._longest, int(steps.max())), max(first, int(ends[-1]))


@dataclass(slots=True)
class _Second:
    endings: Counter[int] = field(default_factory=Counter)
    latency: HdrHistogram = field(default_factory=new_histogram)
    received: int = 0


@dataclass(slots=True)
class _Driver:
    endings: Counter[int] = field(default_factory=Counter)
    gaps: Gaps = field(default_factory=Gaps)
    latency: HdrHistogram = field(default_factory=new_histogram)
    service: HdrHistogram = field(default_factory=new_histogram)

    def count(self, endings: Column, acknowledged: SendColumns) -> None:
        """Some of its sends, and those of them that were acknowledged."""
        self.endings += _counted(endings)
        self.gaps.add(acknowledged.end_ns)
        record_all(self.latency, (acknowledged.end_ns - acknowledged.due_ns) // 1000)
        record_all(self.service, (acknowledged.end_ns - acknowledged.start_ns) // 1000)


class Statistics:
    """Everything counted so far; for one thread. ``start_ns`` is where second 0 begins."""

    def __init__(self, start_ns: int, plan: SendPlan | None = None) -> None:
        self.start_ns = start_ns
        self.received = 0
        self.received_until_s = 0.0
        self._plan = plan
        self._drivers: dict[str, _Driver] = {name: _Driver() for name in (plan.drivers if plan else ())}
        self._errors: Counter[tuple[str, str]] = Counter()
        self._open: dict[int, _Second] = {}
        self._windows: list[Window] = []
        self._all_gaps = Gaps()

    # ---- counting

    def add_sends(self, batch: SendBatch) -> None:
        """Count finished sends."""
        assert self._plan is not None
        sends = batch.columns()
        self._count_by_second(sends)
        self._count_errors(sends, batch.names)
        acknowledged = sends.where(sends.ending == Ending.ACKNOWLEDGED)
        self._all_gaps.add(acknowledged.end_ns)
        if len(self._drivers) == 1:
            (driver,) = self._drivers.values()
            driver.count(sends.ending, acknowledged)
            return
        whose, whose_acknowledged = sends.worker // self._plan.threads, acknowledged.worker // self._plan.threads
        for number, driver in enumerate(self._drivers.values()):
            driver.count(sends.ending[whose == number], acknowledged.where(whose_acknowledged == number))

    def _count_by_second(self, sends: SendColumns) -> None:
        # What comes after its second was closed counts in the oldest that is open: late, but not lost.
        numbers = np.maximum((sends.end_ns - self.start_ns) // SECOND_NS, len(self._windows))
        latencies_us = (sends.end_ns - sends.due_ns) // 1000
        for number in np.unique(numbers):
            second = self._open.setdefault(int(number), _Second())
            here = numbers == number
            second.endings += _counted(sends.ending[here])
            record_all(second.latency, latencies_us[here & (sends.ending == Ending.ACKNOWLEDGED)])

    def _count_errors(self, sends: SendColumns, names: tuple[str, ...]) -> None:
        for ending in (Ending.REFUSED, Ending.UNKNOWN, Ending.FLOW_CONTROL):
            reasons = _counted(sends.reason[sends.ending == ending])
            for reason, count in reasons.items():
                self._add_error(ending, names[reason], count)

    def add_received(self, rows: list[ReceivedRow]) -> None:
        """Count received messages."""
        self.received += len(rows)
        if rows:
            self.received_until_s = max(self.received_until_s, (rows[-1].at_ns - self.start_ns) / 1e9)
        for row in rows:
            self._second(row.at_ns).received += 1

    def settle(self, now_ns: int) -> None:
        """Close the seconds that are past; ``now_ns`` is of the same clock as the operations' times."""
        last = self._number(now_ns) - SETTLE_S - 1
        while len(self._windows) <= last:
            number = len(self._windows)
            self._windows.append(_window(number, self._open.pop(number, _Second())))

    def _second(self, at_ns: int) -> _Second:
        # What comes after its second was closed counts in the oldest that is open: late, but not lost.
        number = max(self._number(at_ns), len(self._windows))
        return self._open.setdefault(number, _Second())

    def _number(self, at_ns: int) -> int:
        return max(0, at_ns - self.start_ns) // SECOND_NS

    def _add_error(self, ending: Ending, reason: str, count: int) -> None:
        kind = {Ending.FLOW_CONTROL: "flow control", Ending.UNKNOWN: "unknown"}.get(ending, "refused")
        if (kind, reason) not in self._errors and len(self._errors) >= MOST_REASONS:
            reason = _OTHER
        self._errors[kind, reason] += count

    # ---- reading

    @property
    def sent(self) -> int:
        """Sends that have ended."""
        return sum(driver.endings.total() for driver in self._drivers.values())

    def ended(self, ending: Ending) -> int:
        """Sends that ended so."""
        return sum(driver.endings[ending] for driver in self._drivers.values())

    def latest(self, now_ns: int) -> Window:
        """The last whole second, for a screen: what has come of it so far."""
        number = self._number(now_ns) - 1
        if number < 0:
            return Window(second=0)
        if number < len(self._windows):
            return self._windows[number]
        return _window(number, self._open.get(number, _Second()))

    def windows(self, end_ns: int) -> tuple[Window, ...]:
        """Every second from the start to ``end_ns``, or to what ended last, without holes."""
        last = max([self._number(end_ns), *self._open])
        still_open = range(len(self._windows), last + 1)
        return (*self._windows, *(_window(number, self._open.get(number, _Second())) for number in still_open))

    def traffic(self, duration_s: float) -> Traffic:
        """All senders together."""
        assert self._plan is not None
        latency, service = new_histogram(), new_histogram()
        endings: Counter[int] = Counter()
        for driver in self._drivers.values():
            latency.add(driver.latency)
            service.add(driver.service)
            endings += driver.endings
        together = _Driver(endings, self._all_gaps, latency, service)
        return _traffic("all", together, threads=self._plan.senders, duration_s=duration_s)

    def by_driver(self, duration_s: float) -> tuple[Traffic, ...]:
        """Each driver's senders."""
        assert self._plan is not None
        threads = self._plan.threads
        return tuple(
            _traffic(name, driver, threads=threads, duration_s=duration_s) for name, driver in self._drivers.items()
        )

    def errors(self) -> tuple[ErrorCount, ...]:
        """What was not acknowledged, by kind and reason, the most frequent first."""
        return tuple(
            ErrorCount(kind=kind, reason=reason, count=count) for (kind, reason), count in self._errors.most_common()
        )

    def error_kinds(self) -> Mapping[str, int]:
        """Sends that were not acknowledged, by kind."""
        return {
            "refused": self.ended(Ending.REFUSED),
            "unknown": self.ended(Ending.UNKNOWN),
            "flow control": self.ended(Ending.FLOW_CONTROL),
        }


def _window(number: int, second: _Second) -> Window:
    return Window(
        second=number,
        acknowledged=second.endings[Ending.ACKNOWLEDGED],
        refused=second.endings[Ending.REFUSED] + second.endings[Ending.FLOW_CONTROL],
        unknown=second.endings[Ending.UNKNOWN],
        flow_control=second.endings[Ending.FLOW_CONTROL],
        received=second.received,
        latency=percentiles_of(second.latency),
    )


def _traffic(name: str, driver: _Driver, *, threads: int, duration_s: float) -> Traffic:
    endings = driver.endings
    return Traffic(
        driver=name,
        threads=threads,
        sent=endings.total(),
        acknowledged=endings[Ending.ACKNOWLEDGED],
        refused=endings[Ending.REFUSED] + endings[Ending.FLOW_CONTROL],
        unknown=endings[Ending.UNKNOWN],
        flow_control=endings[Ending.FLOW_CONTROL],
        acked_per_s=endings[Ending.ACKNOWLEDGED] / duration_s if duration_s > 0 else 0.0,
        outage_s=driver.gaps.longest_s,
        latency=percentiles_of(driver.latency),
        service=percentiles_of(driver.service),
    )
