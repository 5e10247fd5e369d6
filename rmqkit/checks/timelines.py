"""Each fault in its phases, from the history alone: what the clients saw, and what peers and NameServers said.

last acknowledgement before → the fault → each peer gives its leader up → elected → its broker serves → every NameServer
shows it → first acknowledgement to each client → first delivery to each group of what was acknowledged after.

What the kit asked for is known to the time between two questions; it is recorded with the step. What a client saw is
its own: an acknowledgement was given while its send was under way, a delivery is when it was handed out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rmqkit.checks.outages import Outage, outages
from rmqkit.history import FaultEvent, History, Outcome, group_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from rmqkit.checks.slots import Ints

_S = 1e9
LAST_ACK, FIRST_ACK, FIRST_CONSUMED = "last-ack", "first-ack", "first-consumed"
MEANING = {
    LAST_ACK: "{who}: last acknowledgement before the gap",
    "injected": "the order was given: from now on the fault may be there",
    "left": "{who} named its leader no longer",
    "elected": "Raft elected {who}, as a majority of the peers says",
    "serves": "{who} serves as master, as its live config says",
    "registered": "every NameServer shows {who} as broker 0",
    "acked": "first send acknowledged by {who}, to the kit itself",
    FIRST_ACK: "{who}: first acknowledgement after {gap} without one",
    FIRST_CONSUMED: "{who}: first delivery of what was acknowledged since",
    "unfelt": "{who}: no packet had met the rules",
    "healed": "{who}: what was done to it was undone",
    "restored": "{who} is back, every peer has caught up",
}
"""What the phases mean; others are shown by their names. Of two at the same moment the earlier one here comes first."""
_ORDER = list(MEANING)


@dataclass(frozen=True, slots=True)
class Moment:
    """One phase. ``who`` is a peer, a client (a driver) or a consumer group, ``at_ns`` on the history's clock.

    ``at_s`` counts from the injection, and is below 0 before it; None where no injection was recorded. It came at most
    ``within_s`` before; 0 where the moment is known, or how finely it is was not recorded. ``gap_s``: of a client's
    first acknowledgement, how long there was none before.
    """

    name: str
    who: str
    at_ns: int
    at_s: float | None
    within_s: float = 0.0
    gap_s: float = 0.0

    @property
    def meaning(self) -> str:
        """The phase in words."""
        words = MEANING.get(self.name, f"{self.name} ({{who}})")
        # Not str.format: a name may hold braces of its own.
        return words.replace("{gap}", f"{self.gap_s:.2f} s").replace("{who}", self.who)

    @property
    def precision(self) -> str:
        """How finely it is known, in words; empty where it is exact, or that was not recorded."""
        return f"known to {max(1, round(self.within_s * 1000))} ms" if self.within_s > 0 else ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "phase": self.name,
            "who": self.who,
            "at_s": None if self.at_s is None else round(self.at_s, 4),
            "within_s": round(self.within_s, 4),
        }


@dataclass(frozen=True, slots=True)
class Timeline:
    """One fault and its phases in the order of time; ``injected_ns`` is None where no injection was recorded."""

    fault: str
    target: str
    injected_ns: int | None
    moments: tuple[Moment, ...]

    def lines(self) -> list[str]:
        """A line a phase: seconds since the fault, since the phase before, meaning, and how finely it is known."""
        lines, before = [f"{self.fault} of {self.target}"], None
        for each in self.moments:
            at = "       –  " if each.at_s is None else f"{each.at_s:8.3f} s"
            step = " " * 9 if before is None else f"(+{(each.at_ns - before) / _S:6.3f})"
            lines.append(f"{at}  {step}  {each.meaning}" + (f" ({each.precision})" if each.precision else ""))
            before = each.at_ns
        return lines

    def __str__(self) -> str:
        steps = []
        for each in self.moments:
            who = "" if each.who == self.target else f" {each.who}"
            steps.append(f"{each.name}{who}" + (f" {each.at_s:.2f} s" if each.at_s is not None else ""))
        return f"{self.fault} of {self.target}: {', '.join(steps)}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"fault": self.fault, "target": self.target, "phases": [each.as_dict() for each in self.moments]}


def timelines(history: History) -> tuple[Timeline, ...]:
    """The timeline of each fault, in the order of their beginnings. Linear in the operations, as the verdict is."""
    if not history.faults:
        return ()
    seen = outages(history)
    found = []
    faults = [_Fault(events) for events in _by_fault(history.faults)]
    back: list[int | None] = []
    for fault in faults:
        at_ns = fault.injected.at_ns if fault.injected else None
        mine = (at_ns, fault.kind, fault.target)
        of_it = [each for each in seen if (each.injected_ns, each.fault, each.target) == mine]
        fault.moments += [moment for outage in of_it for moment in _of_client(outage)]
        acks = [each.first_ack_ns for each in of_it if each.first_ack_ns is not None]
        back.append(min(acks) if acks else None)
    for fault, consumed in zip(faults, _first_consumed(history, back), strict=True):
        fault.moments += [Moment(FIRST_CONSUMED, group, at_ns, None) for group, at_ns in consumed.items()]
        found.append(fault.timeline())
    return tuple(found)


def timeline_lines(found: Sequence[Timeline]) -> list[str]:
    """The timeline of one fault in full; of several a line each."""
    return found[0].lines() if len(found) == 1 else list(map(str, found))


class _Fault:
    """What is gathered of one fault."""

    def __init__(self, events: Sequence[FaultEvent]) -> None:
        self.injected = next((event for event in events if event.step == "injected"), None)
        first = self.injected or events[0]
        self.kind, self.target = first.kind, first.target
        self.moments = [Moment(e.step, e.target, e.at_ns, None, e.within_ns / _S) for e in events]

    def timeline(self) -> Timeline:
        zero = self.injected.at_ns if self.injected else None
        since = [
            each if zero is None else replace(each, at_s=(each.at_ns - zero) / _S)
            for each in sorted(self.moments, key=lambda each: (each.at_ns, _place(each.name)))
        ]
        return Timeline(self.kind, self.target, zero, tuple(since))


def _place(name: str) -> int:
    return _ORDER.index(name) if name in _ORDER else len(_ORDER)


def _by_fault(events: Iterable[FaultEvent]) -> list[list[FaultEvent]]:
    """The steps of each fault. What is seen between a fault's recovery and the next injection of its kind is of the
    next one: who watches begins before. Of faults of one kind that overlap, a change of leader is the latest one's."""
    found: list[list[FaultEvent]] = []
    open_: dict[str, list[list[FaultEvent]]] = {}
    for event in sorted(events, key=lambda event: event.at_ns):
        of_kind = open_.setdefault(event.kind, [])
        if event.step == "injected":
            if not (of_kind and not _is_injected(of_kind[-1])):
                of_kind.append([])
                found.append(of_kind[-1])
            of_kind[-1].append(event)
            continue
        mine = next((each for each in reversed(of_kind) if _target(each) == event.target), None)
        if mine is None or event.step not in ("unfelt", "healed", "restored"):
            if not of_kind:
                of_kind.append([])
                found.append(of_kind[-1])
            mine = of_kind[-1]
        mine.append(event)
        if event.step == "restored":
            of_kind[:] = [each for each in of_kind if each is not mine]
    return found


def _is_injected(events: Sequence[FaultEvent]) -> bool:
    return any(event.step == "injected" for event in events)


def _target(events: Sequence[FaultEvent]) -> str | None:
    return next((event.target for event in events if event.step == "injected"), None)


def _of_client(outage: Outage) -> Iterator[Moment]:
    who = outage.sender or "(unnamed)"
    if outage.last_ack_ns is not None:
        yield Moment(LAST_ACK, who, outage.last_ack_ns, None, outage.last_ack_took_s)
    if outage.first_ack_ns is not None:
        yield Moment(FIRST_ACK, who, outage.first_ack_ns, None, outage.first_ack_took_s, outage.gap_s)


def _first_consumed(history: History, back: Sequence[int | None]) -> list[Mapping[str, int]]:
    """For each fault, by group, when a message was first delivered that was acknowledged at ``back`` or later."""
    nothing: Mapping[str, int] = {}
    if not history.receive_count or not any(each is not None for each in back):
        return [nothing] * len(back)
    import numpy as np  # noqa: PLC0415 - what starts up need not

    receives = history.receive_columns()
    acknowledged_at = _acknowledged_at(history)
    never = np.iinfo(np.int64).max
    since = np.unique([each for each in back if each is not None])
    texts = receives.texts("consumer")
    groups: dict[str, int] = {}
    of_consumer = np.full(len(texts), -1, np.int64)
    for (consumer,) in receives.batches("consumer"):
        for number in np.unique(consumer).tolist():
            of_consumer[number] = groups.setdefault(group_of(texts[number]), len(groups))
    first = np.full((len(groups), len(since)), never)
    for stem, number, consumer, at in receives.batches("id_stem", "id_number", "consumer", "at_ns"):
        acked = acknowledged_at(stem, number)
        place = np.searchsorted(since, acked, side="right") - 1
        rows = np.flatnonzero((place >= 0) & (acked < never))
        np.minimum.at(first, (of_consumer[consumer[rows]], place[rows]), at[rows])
    # What was acknowledged after a later fault was so after each before it, too.
    first = np.minimum.accumulate(first[:, ::-1], axis=1)[:, ::-1]
    found: list[Mapping[str, int]] = []
    for each in back:
        row = [] if each is None else first[:, int(np.searchsorted(since, each))].tolist()
        found.append({name: at for name, at in zip(groups, row, strict=False) if at < never})
    return found


def _acknowledged_at(history: History) -> Callable[[Ints, Ints], Ints]:
    """Tells when messages, by stem and number of their ids, were first acknowledged; the largest number for never."""
    import numpy as np  # noqa: PLC0415

    from rmqkit.checks.slots import Slots  # noqa: PLC0415 - numpy

    sends, receives = history.send_columns(), history.receive_columns()

    def ids() -> Iterator[tuple[Ints, Ints]]:
        for columns in (sends, receives):
            yield from ((stem, number) for stem, number in columns.batches("id_stem", "id_number"))

    slots = Slots(len(sends.texts("id_stem")), ids)
    at = np.full(slots.size, np.iinfo(np.int64).max)
    for stem, number, outcome, end in sends.batches("id_stem", "id_number", "outcome", "end_ns"):
        rows = np.flatnonzero(outcome == Outcome.ACKNOWLEDGED)
        np.minimum.at(at, slots.of(stem[rows], number[rows]), end[rows])
    return lambda stem, number: at[slots.of(stem, number)]
