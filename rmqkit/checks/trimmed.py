"""What a replica deleted by its own retention or disk rules: gone, and not lost.

A replica that says of a queue that its first offset is 1,000 has deleted what was below (DefaultMessageStore's
CleanCommitLogService, by age or by a full disk). So an acknowledged message is trimmed on it where every place that its
receipts name lies below the first offset. Where a receipt names no place, another replica that still shows the message
tells; and where none does, it cannot be told, and that is a doubt.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from rmqkit.checks.findings import Finding
from rmqkit.checks.index import Index
from rmqkit.checks.slots import Flags, Ints
from rmqkit.history import History, Outcome

if TYPE_CHECKING:
    from rmqkit.checks.sends import Sends


@dataclass(slots=True)
class Excused:
    """Which of the missing messages are no loss, and what is said of them."""

    excused: Flags
    doubts: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)


class Trims:
    """The first offsets of every replica that deleted something."""

    def __init__(self, history: History, index: Index) -> None:
        self._index = index
        self.ids: Flags = np.zeros(index.ids.size, np.bool_)
        """Everything that was found trimmed, or perhaps trimmed, on some replica."""
        self._first: dict[str, Ints] = {}
        self._topics: dict[str, set[int]] = {}
        deleted = [held for held in history.ranges if held.first > 0]
        if not deleted:
            return
        topics, queues = index.lanes.pairs(np.arange(index.lanes.size))
        pairs = zip(topics.tolist(), queues.tolist(), strict=True)
        lanes = {(index.texts[topic], queue): lane for lane, (topic, queue) in enumerate(pairs)}
        for held in deleted:
            self._topics.setdefault(held.replica, set()).add(index.number_of(held.topic))
            lane = lanes.get((held.topic, held.queue))
            first = self._first.setdefault(held.replica, np.zeros(index.lanes.size, np.int64))
            if lane is not None:
                first[lane] = max(int(first[lane]), held.first)

    def gone(self, replica: str, places: Ints) -> Flags:
        """Which places are below the first offset of their queue on ``replica``."""
        if replica not in self._first:
            return np.zeros(len(places), np.bool_)
        lanes, offsets = self._index.places.pairs(places)
        below: Flags = offsets < self._first[replica][lanes]
        return below

    def on(self, replica: str, missing: Flags, sends: Sends) -> Excused:
        """Which of the acknowledged messages that are ``missing`` on ``replica`` it has deleted itself, or may have."""
        if replica not in self._first or not missing.any():
            return Excused(np.zeros(len(missing), np.bool_))
        below, kept = self._told_by_receipts(replica, missing)
        untold = missing & ~below & ~kept
        if untold.any():
            shown_below, shown_kept = self._told_by_others(replica, untold)
            below, kept = below | shown_below, kept | shown_kept
            untold = missing & ~below & ~kept & self._of_trimmed_topics(replica, untold)
        trimmed = missing & below & ~kept
        self.ids |= trimmed | untold
        said = Excused(trimmed | untold)
        if trimmed.any():
            count, left = int(trimmed.sum()), sends.acknowledged_ids - int(trimmed.sum())
            text = f"trimmed: {count} of {sends.acknowledged_ids} acknowledged were deleted by {replica} itself"
            said.notes.append(Finding("trimmed", count, text, self._index.some_ids(np.flatnonzero(trimmed))))
            if not left:
                said.doubts.append(
                    Finding(
                        "all-trimmed",
                        count,
                        f"{replica} deleted all that was acknowledged: what is left proves nothing",
                    )
                )
        if untold.any():
            count = int(untold.sum())
            text = f"{count} acknowledged are not on {replica}, and nothing tells whether it deleted them itself"
            said.doubts.append(Finding("trimmed-untold", count, text, self._index.some_ids(np.flatnonzero(untold))))
        return said

    def _told_by_receipts(self, replica: str, missing: Flags) -> tuple[Flags, Flags]:
        below, kept = np.zeros(len(missing), np.bool_), np.zeros(len(missing), np.bool_)
        for stem, number, topic, queue, offset in self._index.placed_sends():
            message = self._index.ids.of(stem, number)
            rows = np.flatnonzero(missing[message])
            gone = self.gone(replica, self._index.place(topic[rows], queue[rows], offset[rows]))
            below[message[rows[gone]]] = True
            kept[message[rows[~gone]]] = True
        return below, kept

    def _told_by_others(self, replica: str, untold: Flags) -> tuple[Flags, Flags]:
        """The same from the places at which any replica shows them."""
        index = self._index
        below, kept = np.zeros(len(untold), np.bool_), np.zeros(len(untold), np.bool_)
        for stem, number, topic, queue, offset in index.reads.batches(
            "id_stem", "id_number", "topic", "queue", "offset"
        ):
            message = index.ids.of(stem, number)
            rows = np.flatnonzero(untold[message])
            gone = self.gone(replica, index.place(topic[rows], queue[rows], offset[rows]))
            below[message[rows[gone]]] = True
            kept[message[rows[~gone]]] = True
        return below, kept

    def _of_trimmed_topics(self, replica: str, ids: Flags) -> Flags:
        """Which were acknowledged on a topic of which the replica deleted something."""
        found: Flags = np.zeros(len(ids), np.bool_)
        topics = np.array(sorted(self._topics[replica]), np.int64)
        for stem, number, topic, outcome in self._index.sends.batches("id_stem", "id_number", "topic", "outcome"):
            rows = np.flatnonzero((outcome == Outcome.ACKNOWLEDGED) & np.isin(topic, topics))
            message = self._index.ids.of(stem[rows], number[rows])
            found[message[ids[message]]] = True
        return found
