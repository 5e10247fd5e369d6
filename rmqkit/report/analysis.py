"""A run's numbers, worked out once: what both the figures and the tables show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from rmqkit.checks import Outage, Timeline, outages, timelines
from rmqkit.checks.intervals import Interval, intervals
from rmqkit.history import History, Outcome
from rmqkit.report.columns import Bools, Floats, Ints, columns
from rmqkit.report.evidence import reading_summary
from rmqkit.report.phases import Mark, marks
from rmqkit.report.series import (
    SECOND_NS,
    Bins,
    Curve,
    bins_over,
    curve,
    lag,
    latencies_ms,
    percentiles_over_time,
    span_ns,
    within,
)

CLOSEUPS = 3
"""Faults that are shown from near: of a run of a hundred faults, the first ones tell what one looks like."""
KINDS_SHOWN = 5
"""Kinds of errors that get a colour of their own; the rest is one more."""
OVER_TIME = {"p50": 50.0, "p99": 99.0, "max": 100.0}


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a run: before the first fault, in a fault, after; or the whole of it."""

    name: str
    lasted_s: float
    ended: Bools
    """Which sends ended in it."""
    received: Bools
    """Which messages were received in it."""


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """Sends that ended alike without an acknowledgement; ``letter`` names them in the figure."""

    letter: str
    outcome: str
    reason: str
    ended_ns: Ints


@dataclass(frozen=True, slots=True)
class Closeup:
    """What each driver had acknowledged a second around one fault, the ``number``th of the run."""

    number: int
    begin_s: float
    end_s: float
    curves: dict[str, Curve]


class Analysis:
    """The numbers of one history. ``empty`` when nothing was sent, received or done."""

    def __init__(self, history: History, summary: Mapping[str, Any]) -> None:
        self.summary = summary
        self._history = history
        self.sends, self.receives = columns(history)
        self.faults: list[Interval] = intervals(history.faults)
        span = span_ns(self.sends, self.receives, [event.at_ns for event in history.faults])
        self.empty = span is None
        self.span = span or (history.start_ns, history.start_ns + 1)
        self.origin_ns = self.span[0]
        self.timelines: tuple[Timeline, ...] = timelines(history)
        self.marks: list[Mark] = marks(self.timelines, self.origin_ns)
        self.acked: Bools = self.sends.acknowledged
        self.latency_ms: Floats = latencies_ms(self.sends)
        self.bins: Bins = bins_over(self.span)

    @property
    def lasted_s(self) -> float:
        """From the first send to the last moment recorded."""
        return (self.span[1] - self.span[0]) / SECOND_NS

    @cached_property
    def outages(self) -> tuple[Outage, ...]:
        """Per fault and driver."""
        return outages(self._history)

    @cached_property
    def longest_gap(self) -> tuple[float, float] | None:
        """When the longest time without an acknowledgement began, whoever sent, and how long it was, in seconds."""
        ends = np.sort(self.sends.end_ns[self.acked])
        if len(ends) < 2:
            return None
        gaps = np.diff(ends)
        longest = int(np.argmax(gaps))
        return (int(ends[longest]) - self.origin_ns) / SECOND_NS, int(gaps[longest]) / SECOND_NS

    @cached_property
    def throughput(self) -> dict[str, Curve]:
        """Acknowledged and received messages a second."""
        curves = {}
        if len(self.sends):
            curves["acknowledged"] = curve(self.bins, self.bins.rates(self.sends.end_ns[self.acked]))
        if len(self.receives):
            curves["received"] = curve(self.bins, self.bins.rates(self.receives.at_ns))
        return curves

    @cached_property
    def latency_over_time(self) -> tuple[Floats, dict[str, Floats]]:
        """Borders of the steps, and each percentile in milliseconds."""
        bins = bins_over(self.span, fine=False)
        ended = self.sends.end_ns[self.acked]
        found = percentiles_over_time(bins, ended, self.latency_ms[self.acked], tuple(OVER_TIME.values()))
        rows = dict(zip(OVER_TIME, found, strict=True))
        due = self._due_p99(bins)
        # Where nobody waited for a turn, both are the same, and one line is enough.
        if due is not None and bool(np.any(due > 1.1 * rows["p99"])):
            rows["p99 since due"] = due
        return bins.edges_s, rows

    def _due_p99(self, bins: Bins) -> Floats | None:
        """The load's own p99 from when each message was due, the worst second of each step."""
        windows, start_ns = self.summary.get("windows"), self.summary.get("start_ns")
        if not windows or not isinstance(start_ns, int):
            return None
        with reading_summary("windows"):
            known = [each for each in windows if each["latency"]["count"]]
            seconds = np.array([each["second"] for each in known], dtype=np.int64)
            values = np.array([each["latency"]["p99_ms"] for each in known], dtype=np.float64)
        found = np.full(len(bins), np.nan)
        np.fmax.at(found, bins.index(start_ns + seconds * SECOND_NS + SECOND_NS // 2), values)
        return found

    def closeups(self) -> Iterator[Closeup]:
        """Each of the first faults from near, where the whole run is too long to show it."""
        for number, fault in enumerate(self.faults[:CLOSEUPS], start=1):
            begin_s = self._at_s(fault.start_ns)
            until = min((self._at_s(each.start_ns) for each in self.faults[number:]), default=self.lasted_s)
            steps = (mark.at_s for mark in self.marks if mark.kind == fault.kind and begin_s <= mark.at_s < until)
            first_s, last_s = max(0.0, begin_s - 5), min(self.lasted_s, max(steps, default=begin_s) + 5, begin_s + 120)
            if last_s - first_s < self.lasted_s / 3:
                yield self._closeup(number, first_s, last_s)

    def _at_s(self, at_ns: int) -> float:
        return (at_ns - self.origin_ns) / SECOND_NS

    def _closeup(self, number: int, first_s: float, last_s: float) -> Closeup:
        first, last = (self.origin_ns + round(at_s * SECOND_NS) for at_s in (first_s, last_s))
        bins = bins_over((first, last))
        near = self.acked & (self.sends.end_ns >= first) & (self.sends.end_ns < last)
        times, drivers = self.sends.end_ns[near], self.sends.driver[near]
        curves = {}
        for place, name in enumerate(self.sends.drivers):
            rates = bins.rates(times[drivers == place])
            curves[name] = Curve(bins.edges_s + first_s, rates, rates, rates)
        return Closeup(number, first_s, last_s, curves)

    @cached_property
    def error_kinds(self) -> list[ErrorKind]:
        """The most frequent kinds, then all others as one."""
        kind = (self.sends.outcome * max(1, len(self.sends.reasons)) + self.sends.reason)[~self.acked]
        ended = self.sends.end_ns[~self.acked]
        names, counts = np.unique(kind, return_counts=True)
        order = names[np.lexsort((names, -counts))]
        found = []
        for place, name in enumerate(order[:KINDS_SHOWN].tolist()):
            outcome, reason = divmod(name, max(1, len(self.sends.reasons)))
            found.append(
                ErrorKind(
                    "abcde"[place], Outcome(outcome).name.lower(), self.sends.reasons[reason], ended[kind == name]
                )
            )
        if len(order) > KINDS_SHOWN:
            rest = ended[np.isin(kind, order[KINDS_SHOWN:])]
            found.append(ErrorKind("f", "others", f"{len(order) - KINDS_SHOWN} more reasons", rest))
        return found

    @cached_property
    def lag(self) -> dict[str, Curve]:
        """Messages acknowledged that each group had not been handed yet."""
        if not len(self.sends):
            return {}
        return {
            name: curve(self.bins, lag(self.bins, self.sends, self.receives, number))
            for number, name in enumerate(self.receives.groups)
        }

    def parts(self) -> Iterator[Part]:
        """The whole run, and where there were faults its parts. A send belongs to the part in which it ended."""
        ends, received = self.sends.end_ns, self.receives.at_ns
        everything = np.ones(len(ends), dtype=np.bool_)
        yield Part("whole run", self.lasted_s, everything, np.ones(len(received), dtype=np.bool_))
        if not self.faults:
            return
        first = self.faults[0].start_ns
        inside, inside_received = (within(times, self.faults, self.span[1]) for times in (ends, received))
        in_faults_s = self._in_faults_s()
        before_s = max(0, first - self.span[0]) / SECOND_NS
        yield Part("before", before_s, ends < first, received < first)
        yield Part("fault", in_faults_s, inside, inside_received)
        after = (ends >= first) & ~inside
        yield Part("after", self.lasted_s - before_s - in_faults_s, after, (received >= first) & ~inside_received)

    def _in_faults_s(self) -> float:
        """How long at least one fault was on."""
        total, reached = 0, self.span[0]
        for fault in sorted(self.faults, key=lambda each: each.start_ns):
            end = self.span[1] if fault.end_ns is None else fault.end_ns
            total += max(0, end - max(reached, fault.start_ns))
            reached = max(reached, end)
        return total / SECOND_NS
