"""What the replicas show, compared with what was sent and with each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from rmqkit.checks.delayed import Awaited
from rmqkit.checks.findings import Finding
from rmqkit.checks.index import Index
from rmqkit.checks.sends import Sends
from rmqkit.checks.slots import Flags, Ints
from rmqkit.checks.trimmed import Trims
from rmqkit.history import History

_NOTHING = -1
_ROWS = 1 << 20


class _Shown:
    """The message that was first met at each place, and those met there beside it."""

    def __init__(self, places: int) -> None:
        self.at: Ints = np.full(places, _NOTHING, np.int32)  # slots of ids: fewer than two thousand million
        self._others: list[tuple[Ints, Ints]] = []

    def meet(self, place: Ints, message: Ints) -> None:
        """Messages in the order in which they were read."""
        free = np.flatnonzero(self.at[place] == _NOTHING)
        # Of several in one free place the first stays: the last assignment holds.
        self.at[place[free[::-1]]] = message[free[::-1]]
        other = np.flatnonzero(self.at[place] != message)
        if len(other):
            self._others.append((place[other], message[other]))

    def others(self) -> tuple[Ints, Ints]:
        """Place and message of each that was met beside the first one, in order."""
        if not self._others:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        places, messages = zip(*self._others, strict=True)
        return np.concatenate(places), np.concatenate(messages)


class _Replica(_Shown):
    def __init__(self, name: str, places: int, *, complete: bool) -> None:
        super().__init__(places)
        self.name = name
        self.complete = complete
        self.has: Flags = np.empty(0, np.bool_)
        self.began_ns = 0
        """When the first of its queues was asked what it holds; 0 where that is not known."""

    def copies(self, sends: Sends) -> Ints:
        """At how many places each id of this run is. A message that a reader met twice at one place is there once."""
        index = sends.index
        copies: Ints = np.zeros(index.ids.size, np.int32)
        for start in range(0, len(self.at), _ROWS):  # a part at a time: of ten million the whole would be copied
            some = self.at[start : start + _ROWS]
            np.add.at(copies, some[some != _NOTHING], 1)
        place, message = self.others()
        if len(place):
            messages = np.unique(np.stack([place, message]), axis=1)[1]
            np.add.at(copies, messages, 1)
        if index.no_id is not None:
            copies[index.no_id] = 0
        copies[~sends.ours(copies > 0)] = 0
        return copies


@dataclass(slots=True)
class Seen:
    """What the read-back came to: the findings, and what other checks go on from."""

    found: Flags
    """The ids that some replica shows."""
    lost: Flags
    """The ids that are lost: on a replica, or to a drained group. What was trimmed, or is not due yet, is not."""
    trims: Trims
    awaited: Awaited
    violations: list[Finding] = field(default_factory=list)
    doubts: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)
    unended: list[str] = field(default_factory=list)
    """The replicas of which something was read, or that said what they hold, and no end of reading was recorded."""


def compare_replicas(history: History, sends: Sends, *, delay_grace_s: float) -> Seen:
    """Every violation that the read-back shows, what it leaves open, and what is worth a note."""
    index = sends.index
    found, lost = np.zeros(index.ids.size, np.bool_), np.zeros(index.ids.size, np.bool_)
    seen = Seen(found, lost, Trims(history, index), Awaited(sends, grace_s=delay_grace_s))
    replicas, everywhere, corrupt = _read(history, index)
    seen.unended += sorted({*replicas, *(held.replica for held in history.ranges)} - history.readers.keys())
    for _, replica in sorted(replicas.items()):
        copies = replica.copies(sends)
        replica.has = copies > 0
        seen.found |= replica.has
        seen.violations += _on_replica(replica, copies, sends, seen)
    seen.violations += phantoms(seen.found, sends, where="found")
    complete = [replica for _, replica in sorted(replicas.items()) if replica.complete]
    seen.violations += _divergent(everywhere, complete, sends, seen)
    if corrupt:
        seen.violations.append(_corrupt(index, *map(np.concatenate, zip(*corrupt, strict=True))))
    seen.notes += _notes(seen.found, sends)
    return seen


Damaged = list[tuple[Ints, Ints, Ints]]


def _read(history: History, index: Index) -> tuple[dict[str, _Replica], _Shown, Damaged]:
    places = index.places.size
    replicas = {name: _Replica(name, places, complete=whole) for name, whole in history.readers.items()}
    for held in history.ranges:
        if held.replica in replicas:
            replica = replicas[held.replica]
            replica.began_ns = min(replica.began_ns or held.at_ns, held.at_ns)
    everywhere = _Shown(places)
    corrupt: Damaged = []
    names = ("id_stem", "id_number", "topic", "queue", "offset", "replica", "intact")
    for stem, number, topic, queue, offset, who, intact in index.reads.batches(*names):
        message = index.ids.of(stem, number)
        place = index.place(topic, queue, offset)
        everywhere.meet(place, message)
        for number_of_replica in np.unique(who).tolist():
            name = index.texts[number_of_replica]
            replica = replicas.setdefault(name, _Replica(name, places, complete=False))
            rows = np.flatnonzero(who == number_of_replica)
            replica.meet(place[rows], message[rows])
        damaged = np.flatnonzero(intact == 0)
        if len(damaged):
            corrupt.append((message[damaged], place[damaged], who[damaged]))
    return replicas, everywhere, corrupt


def _on_replica(replica: _Replica, copies: Ints, sends: Sends, seen: Seen) -> Iterator[Finding]:
    index = sends.index
    if replica.complete:
        missing = sends.acknowledged & ~replica.has
        trims = seen.trims.on(replica.name, missing, sends)
        missing &= ~trims.excused
        late = seen.awaited.missing(missing, replica.began_ns, where=f"not on {replica.name}")
        seen.doubts += [*late.doubts, *trims.doubts]
        seen.notes += trims.notes
        lost = np.flatnonzero(missing & ~sends.delayed)
        seen.lost[lost] = seen.lost[late.lost] = True
        if len(lost):
            total = sends.acknowledged_ids
            text = f"acknowledged-lost: {len(lost)} of {total} acknowledged not on {replica.name}"
            yield Finding("acknowledged-lost", len(lost), text, index.some_ids(lost))
        yield from late.violations
        elsewhere, promised = _misplaced(replica, index, seen.trims)
        if len(elsewhere):
            text = f"misplaced: {len(elsewhere)} not where their receipt says on {replica.name}"

            def texts(rows: Ints) -> list[str]:
                places = promised[rows]
                parts = (index.id_texts(elsewhere[rows]), index.where(places), index.who(replica.at[places]))
                return [f"{mid}: {where} holds {who}" for mid, where, who in zip(*parts, strict=True)]

            yield Finding("misplaced", len(elsewhere), text, index.some_by_id(elsewhere, texts))
    twice = np.flatnonzero(copies > np.maximum(1, sends.attempts))
    if len(twice):
        text = f"duplicated: {len(twice)} stored more often than sent on {replica.name}"
        yield Finding("duplicated", len(twice), text, index.some_ids(twice))


def _misplaced(replica: _Replica, index: Index, trims: Trims) -> tuple[Ints, Ints]:
    """Id and promised place of each receipt that does not hold, though the message is there."""
    ids, places = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for stem, number, topic, queue, offset in index.placed_sends():
        message = index.ids.of(stem, number)
        place = index.place(topic, queue, offset)
        wrong = np.flatnonzero(replica.has[message] & (replica.at[place] != message))
        wrong = wrong[~trims.gone(replica.name, place[wrong])]
        ids.append(message[wrong])
        places.append(place[wrong])
    return np.concatenate(ids), np.concatenate(places)


def phantoms(found: Flags, sends: Sends, *, where: str) -> Iterator[Finding]:
    """Messages that are ``found`` though no send can have stored them."""
    phantom = np.flatnonzero(sends.cannot_be(found))
    if len(phantom):
        refused = int(sends.refused[phantom].sum())
        rolled_back = int(sends.rolled_back[phantom].sum())
        which = f"{refused} of them were refused" + (f", {rolled_back} rolled back" if rolled_back else "")
        text = f"phantom: {len(phantom)} {where} that no send can have stored ({which})"
        yield Finding("phantom", len(phantom), text, sends.index.some_ids(phantom))


def _divergent(everywhere: _Shown, complete: list[_Replica], sends: Sends, seen: Seen) -> Iterator[Finding]:
    index = sends.index
    place, other = everywhere.others()
    places, rows = np.unique(place, return_index=True)  # the first other message of each place
    differing = [(places, everywhere.at[places].astype(np.int64), other[rows], np.full(len(places), _NOTHING))]
    told: Flags = np.zeros(index.places.size, np.bool_)
    told[places] = True
    shown: Ints = np.full(index.places.size, _NOTHING, np.int32)
    for replica in complete:
        there = replica.at != _NOTHING
        shown[there] = replica.at[there]
    for number, replica in enumerate(complete):
        absent = np.flatnonzero((shown != _NOTHING) & (replica.at == _NOTHING) & ~told)
        message = shown[absent].astype(np.int64)
        # What is told already as acknowledged-lost is not told twice.
        untold = ~(sends.acknowledged[message] & ~replica.has[message])
        # What it has deleted it need not show, nor what may have become due after it was read.
        untold &= ~seen.trims.gone(replica.name, absent) & ~seen.awaited.pending(message, replica.began_ns)
        absent, message = absent[untold], message[untold]
        told[absent] = True
        differing.append((absent, message, np.full(len(absent), _NOTHING), np.full(len(absent), number)))
    at, one, another, missing_on = (np.concatenate(columns) for columns in zip(*differing, strict=True))
    if not len(at):
        return

    def texts(rows: Ints) -> list[str]:
        on = [f" on {complete[number].name}" if number >= 0 else "" for number in missing_on[rows].tolist()]
        parts = (index.where(at[rows]), index.who(one[rows]), index.who(another[rows]), on)
        return [f"{where}: {first} / {second}{tail}" for where, first, second, tail in zip(*parts, strict=True)]

    text = f"divergent: replicas differ at {len(at)} places"
    yield Finding("divergent", len(at), text, index.some_by_place(at, texts))


def _corrupt(index: Index, message: Ints, place: Ints, replica: Ints) -> Finding:
    message, place, replica = np.unique(np.stack([message, place, replica]), axis=1)

    def texts(rows: Ints) -> list[str]:
        parts = (index.who(message[rows]), index.where(place[rows]), replica[rows].tolist())
        return [f"{who} at {where} on {index.texts[name]}" for who, where, name in zip(*parts, strict=True)]

    text = f"corrupt: {len(message)} bodies do not match the checksum stored with them"
    return Finding("corrupt", len(message), text, index.some_by_id(message, texts))


def _notes(found: Flags, sends: Sends) -> list[Finding]:
    if not sends.unknown_sends:
        return []
    recovered = int((found & sends.possible & ~sends.acknowledged).sum())
    text = f"{sends.unknown_sends} sends of unknown outcome; {recovered} of them are there (recovered)"
    return [Finding("recovered", recovered, text)]
