"""When faults lasted, from their recorded steps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rmqkit.history import FaultEvent


@dataclass(slots=True)
class Interval:
    """One fault: it lasts from its injection until the service is back, ``end_ns``; None while it has not ended."""

    kind: str
    target: str
    start_ns: int
    end_ns: int | None = None


def intervals(events: Iterable[FaultEvent]) -> list[Interval]:
    """Each fault of a history, in the order of injection.

    A fault ends at the first send that a successor acknowledged (``acked``); where none came, as when followers are
    killed, at the healing of its target. ``acked`` names the successor, not the victim, so it ends the oldest fault
    of its kind that still lasts. An end with no fault to it counts for none.
    """
    found: list[Interval] = []
    lasting: dict[str, list[Interval]] = {}
    for event in sorted(events, key=lambda event: event.at_ns):
        of_kind = lasting.setdefault(event.kind, [])
        if event.step == "injected":
            of_kind.append(Interval(event.kind, event.target, event.at_ns))
            found.append(of_kind[-1])
            continue
        ended = [each for each in of_kind if event.step == "acked" or each.target == event.target]
        if ended and event.step in ("acked", "healed"):
            ended[0].end_ns = event.at_ns
            of_kind.remove(ended[0])
    return found
