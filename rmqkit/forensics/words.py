"""What was found, as lines for people and as plain values for JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from rmqkit.forensics.places import Kind, LogPlace, Place, ReplicaView, Told

SHOWN: Final = 10

ADVICE: Final = {
    Kind.DATA_LOSS: (
        "the group goes on without it. If a peer's files still have it, copy them before that peer starts: a follower"
        " cuts off what its leader has not. What was sent must be sent again"
    ),
    Kind.LOST_ON: (
        "a replica that is only behind has it soon: wait until it has caught up and read again. If not, stop that peer,"
        " move its store away and start it: it copies everything from the leader. Until then it must not lead"
    ),
    Kind.NOT_DISPATCHED: (
        "it is safe, and nobody is given it. Restart that broker, which enters what its queues lack behind their end;"
        " if it stays so, stop it, move its consumequeue folder away and start it: they are made anew from the log"
    ),
    Kind.CONSUMER_MISSED: (
        "the brokers are not at fault: look at the group's offsets (were they set beyond it?), at its subscription and"
        " tags, and at what its members did with it"
    ),
    Kind.TRIMMED: "raise fileReservedTime, give the store a larger disk, or consume sooner",
    Kind.UNDECIDED: "bring the peers back or name their stores, and look again",
    Kind.PRESENT: "read again: the reader came too early, or looked elsewhere",
}


@dataclass(frozen=True, slots=True)
class Places:
    """What became of each message that was looked for. ``left_out``: how many were not, for want of time."""

    places: tuple[Place, ...]
    left_out: int = 0

    def of(self, kind: Kind) -> tuple[str, ...]:
        """The ids of one kind."""
        return tuple(place.message_id for place in self.places if place.kind is kind)

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self, *, shown: int = SHOWN) -> list[str]:
        """The kinds with their numbers and what to do; the first ids of each kind with every replica's answer."""
        out: list[str] = []
        for kind in Kind:
            of_kind = [place for place in self.places if place.kind is kind]
            if not of_kind:
                continue
            out.append(f"{kind}: {len(of_kind)} of {len(self.places)} messages that were looked for")
            for place in of_kind[:shown]:
                out += [f"  {line}" for line in _of_place(place)]
            if len(of_kind) > shown:
                out.append(f"  … and {len(of_kind) - shown} more")
            out.append(f"  What to do: {ADVICE[kind]}")
        if self.left_out:
            out.append(f"{self.left_out} more were not looked for")
        return out

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "kinds": {str(kind): len(self.of(kind)) for kind in Kind if self.of(kind)},
            "left_out": self.left_out,
            "places": [
                {
                    "id": place.message_id,
                    "kind": str(place.kind),
                    "peers": list(place.peers),
                    "why": place.why,
                    "told": asdict(place.told) if place.told is not None else None,
                    "replicas": [asdict(view) for view in place.views],
                }
                for place in self.places
            ],
        }


def _of_place(place: Place) -> Iterator[str]:
    yield f"{place.message_id}: {place.title}: {place.why}"
    yield f"  the producer was told: {_told(place.told)}"
    for view in place.views:
        yield f"  {view.peer}{' (leads)' if view.leads else ''}: {'; '.join(_of_view(view))}"


def _told(told: Told | None) -> str:
    if told is None:
        return "nothing that the history knows"
    if told.offset >= 0:
        return f"{told.outcome} by {told.address}, {told.topic} queue {told.queue} offset {told.offset}"
    return ": ".join(filter(None, (told.outcome, told.reason)))


def _of_view(view: ReplicaView) -> Iterator[str]:
    if view.unread:
        yield f"its files were not read ({view.unread})"
    elif not view.log:
        yield f"not in its log ({view.extent})"
    for entry in view.log:
        yield _of_entry(entry)
    if view.unasked:
        yield f"it does not answer ({view.unasked})"
    elif view.served is not None:
        yield "a pull gives it" if view.served else "no pull gives it"
        if view.keyed is not None:
            yield "found by its key" if view.keyed else "not found by its key"
    if view.trimmed:
        yield "its queue begins behind it"


def _of_entry(entry: LogPlace) -> str:
    committed = {True: "committed", False: "not committed", None: "not known to be committed"}[entry.committed]
    queued = "in" if entry.dispatched else "not in"
    return (
        f"entry {entry.index} of term {entry.term} at byte {entry.position}, {committed}, "
        f"{queued} its consume queue {entry.queue} at offset {entry.offset}"
    )
