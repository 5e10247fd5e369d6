"""The steps of the faults of a run, in order and in words: the timeline, and the marks in the figures."""

from __future__ import annotations

from dataclasses import dataclass

from rmqkit.history import FaultEvent

MEANING = {
    "injected": "the fault was there",
    "left": "{target} named its leader no longer",
    "elected": "Raft elected {target}, as the surviving peers say",
    "registered": "every NameServer shows {target} as broker 0",
    "serves": "{target} serves as master, as its live config says",
    "acked": "first send acknowledged by {target}",
    "unfelt": "{target}: no packet had met the rules",
    "healed": "{target}: what was done to it was undone",
    "restored": "{target} is back, every peer has caught up",
}
"""What the steps that ``faults/`` records mean; others are shown by their names."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One recorded step: its number in the timeline and in the figures."""

    number: int
    kind: str
    step: str
    target: str
    at_s: float
    """Since the run's origin."""
    since_fault_s: float | None
    """Since the last injection of a fault of this kind; None before any."""
    since_step_s: float | None
    """Since the step before of the same kind."""

    @property
    def meaning(self) -> str:
        """The step in words."""
        words = MEANING.get(self.step)
        # Not str.format: a target may hold braces of its own.
        return words.replace("{target}", self.target) if words else f"{self.step} ({self.target})"


def marks(events: list[FaultEvent], origin_ns: int) -> list[Mark]:
    """Every step of every fault, numbered from 1 in the order of time."""
    found: list[Mark] = []
    injected: dict[str, int] = {}
    before: dict[str, int] = {}
    for number, event in enumerate(sorted(events, key=lambda event: event.at_ns), start=1):
        if event.step == "injected":
            injected[event.kind] = event.at_ns
        found.append(
            Mark(
                number,
                event.kind,
                event.step,
                event.target,
                (event.at_ns - origin_ns) / 1e9,
                _since(injected.get(event.kind), event.at_ns),
                _since(before.get(event.kind), event.at_ns),
            )
        )
        before[event.kind] = event.at_ns
    return found


def _since(earlier: int | None, at_ns: int) -> float | None:
    return None if earlier is None else (at_ns - earlier) / 1e9
