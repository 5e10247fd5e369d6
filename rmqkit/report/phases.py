"""The phases of the faults of a run, in order and in words: the timeline, and the marks in the figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rmqkit.checks import Timeline

AFTERWARDS = ("healed", "restored")
"""What comes long after the service is back: not drawn with the phases."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One phase: its number in the timeline and in the figures."""

    number: int
    fault: int
    """Which fault it is of, from 0."""
    kind: str
    step: str
    target: str
    """A peer, a client or a consumer group."""
    meaning: str
    """The phase in words."""
    at_s: float
    """Since the run's origin."""
    since_fault_s: float | None
    """Since the injection of its fault; None where there is none."""
    since_step_s: float | None
    """Since the phase before of the same fault."""
    within_s: float = 0.0
    """It came at most so long before; 0 where it is exact, or that is not known."""


def marks(timelines: Sequence[Timeline], origin_ns: int) -> list[Mark]:
    """Every phase of every fault, numbered from 1 in the order of time."""
    found = []
    for fault, timeline in enumerate(timelines):
        before: int | None = None
        for each in timeline.moments:
            since = None if before is None else (each.at_ns - before) / 1e9
            found.append((each, fault, timeline.fault, since))
            before = each.at_ns
    return [
        Mark(
            number=number,
            fault=fault,
            kind=kind,
            step=each.name,
            target=each.who,
            meaning=each.meaning,
            at_s=(each.at_ns - origin_ns) / 1e9,
            since_fault_s=each.at_s,
            since_step_s=since,
            within_s=each.within_s,
        )
        for number, (each, fault, kind, since) in enumerate(sorted(found, key=lambda row: row[0].at_ns), start=1)
    ]
