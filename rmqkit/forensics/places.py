"""What was found of one message on each replica, and what that means: pure values and rules.

What belongs here: the kinds of loss, and which evidence makes which. What does not: asking for it (``locate``), text
for people (``words``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from rmqkit.wire.messages import StoredMessage

IdOf = Callable[[StoredMessage], str]
"""Tells a message's id."""


class Kind(StrEnum):
    """What became of a message, in the order in which a reader should worry.

    * DATA_LOSS: no majority of the logs has it committed. The group promised to keep it and does not.
    * LOST_ON: a majority has it, some peers have not.
    * NOT_DISPATCHED: it is in the log, but a consume queue lacks it, so that no consumer is ever given it.
    * CONSUMER_MISSED: the leader would deliver it, and no consumer of the history was handed it.
    * TRIMMED: the broker deleted it by its rules of retention.
    * UNDECIDED: too few replicas could be asked or read.
    * PRESENT: everything is in order now; it came late, or the reader erred.
    """

    DATA_LOSS = "data loss"
    LOST_ON = "lost on"
    NOT_DISPATCHED = "not dispatched"
    CONSUMER_MISSED = "consumer missed it"
    TRIMMED = "trimmed"
    UNDECIDED = "undecided"
    PRESENT = "present"


@dataclass(frozen=True, slots=True)
class Told:
    """What the producer was told: ``outcome`` in lower case, with queue and offset (-1: none) if acknowledged."""

    outcome: str
    topic: str = ""
    queue: int = -1
    offset: int = -1
    address: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LogPlace:
    """One entry of a replica's log that holds the message. ``position`` is the entry's, in bytes.

    ``committed`` is None where it is not known: the peer is down, and its checkpoint lags by up to 3 s.
    """

    index: int
    term: int
    position: int
    queue: int
    offset: int
    committed: bool | None
    dispatched: bool


@dataclass(frozen=True, slots=True)
class ReplicaView:
    """What one replica has of one message.

    ``log`` are its entries; empty and ``unread`` empty: its log was read, and has none. ``unread`` says why its files
    were not read, ``unasked`` why the broker was not asked. ``served``: a pull gave it; ``keyed``: a query by its key
    did; None where it was not asked. ``trimmed``: the queue begins behind the offset that the producer was told.
    ``extent`` is what the log has, in words.
    """

    peer: str
    log: tuple[LogPlace, ...] = ()
    unread: str = ""
    unasked: str = ""
    served: bool | None = None
    keyed: bool | None = None
    trimmed: bool = False
    leads: bool = False
    extent: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether the replica has it at all; None where that is not known."""
        if self.log or self.served:
            return True
        return None if self.unread and not self.trimmed else False

    @property
    def deliverable(self) -> bool | None:
        """Whether a consumer would be given it from here; None where that is not known."""
        if self.served is not None:
            return self.served
        return any(place.dispatched for place in self.log) if not self.unread else None


@dataclass(frozen=True, slots=True)
class Place:
    """What became of one message; ``peers`` are those that ``kind`` speaks of, ``why`` is the reason in a sentence."""

    message_id: str
    kind: Kind
    peers: tuple[str, ...]
    why: str
    told: Told | None
    views: tuple[ReplicaView, ...]

    @property
    def title(self) -> str:
        """The kind with its peers: ``lost on n1, n2``."""
        if self.kind is Kind.LOST_ON:
            return f"{self.kind} {', '.join(self.peers)}"
        return f"{self.kind} on {', '.join(self.peers)}" if self.peers else str(self.kind)


@dataclass(frozen=True, slots=True)
class _Ruling:
    kind: Kind
    peers: tuple[str, ...]
    why: str


def classify(
    message_id: str, views: Sequence[ReplicaView], *, told: Told | None = None, handed_out: bool | None = None
) -> Place:
    """What the views of all replicas mean. ``handed_out``: whether a consumer got it; None where none was recorded."""
    ruling = _missing(views) or _not_committed(views) or _undelivered(views)
    if ruling is None and handed_out is False:
        ruling = _Ruling(Kind.CONSUMER_MISSED, (), "every replica would deliver it, and no consumer was handed it")
    if ruling is None:
        ruling = _Ruling(Kind.PRESENT, (), "every replica that could be asked has it and would deliver it")
    return Place(message_id, ruling.kind, ruling.peers, ruling.why, told, tuple(views))


def majority(views: Sequence[ReplicaView]) -> int:
    """How many replicas of a group make a majority."""
    return len(views) // 2 + 1


def _missing(views: Sequence[ReplicaView]) -> _Ruling | None:
    """Rulings over logs that do not have it."""
    having = [view.peer for view in views if view.holds]
    lacking = [view for view in views if view.holds is False]
    unknown = [view.peer for view in views if view.holds is None]
    peers = tuple(view.peer for view in lacking)
    if lacking and all(view.trimmed for view in lacking):
        return _Ruling(Kind.TRIMMED, peers, "the queue begins behind it: retention or a full disk removed it")
    if len(having) + len(unknown) < majority(views):
        where = f"only {', '.join(having)} still has it" if having else "no replica's log has it"
        if unknown:
            where = f"{where}; {', '.join(unknown)} could not be read, and cannot make a majority"
        return _Ruling(Kind.DATA_LOSS, (), f"{where}: no majority of {len(views)} replicas keeps it")
    if len(having) < majority(views):
        text = f"{', '.join(unknown)} could neither be asked nor read, and may have it"
        return _Ruling(Kind.UNDECIDED, tuple(unknown), text)
    if lacking:
        text = f"{', '.join(having)} {'has' if len(having) == 1 else 'have'} it, {', '.join(peers)} not"
        leading = [view.peer for view in lacking if view.leads]
        if leading:
            text = f"{text}; {leading[0]} leads, so that nobody is given it"
        return _Ruling(Kind.LOST_ON, peers, text)
    return None


def _not_committed(views: Sequence[ReplicaView]) -> _Ruling | None:
    """Rulings over logs of which a majority has it, but not as committed."""
    if any(view.served for view in views):
        return None
    known = {place.committed for view in views for place in view.log}
    if True in known:
        return None
    if None in known:
        text = "it is in the logs, but not known to be committed: the peers that have it are down"
        return _Ruling(Kind.UNDECIDED, tuple(view.peer for view in views if view.log), text)
    text = (
        "it is in logs, but uncommitted: it may be cut off or still be committed, and counts as not stored until then"
    )
    return _Ruling(Kind.DATA_LOSS, (), text)


def _undelivered(views: Sequence[ReplicaView]) -> _Ruling | None:
    """Rulings over consume queues: the leader's counts first."""
    without = [view for view in views if view.holds and view.deliverable is False]
    if not without:
        return None
    peers = tuple(view.peer for view in without)
    text = f"it is in the log, but {', '.join(peers)} would not deliver it"
    if any(view.leads for view in without):
        return _Ruling(Kind.NOT_DISPATCHED, peers, f"{text}, and a consumer asks the leader")
    return _Ruling(Kind.NOT_DISPATCHED, peers, f"{text}: no consumer misses it until one of them leads")
