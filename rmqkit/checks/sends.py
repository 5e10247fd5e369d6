"""The sends of a run, sorted by what may be expected of them."""

from __future__ import annotations

import numpy as np

from rmqkit.checks.index import Index
from rmqkit.checks.intervals import intervals
from rmqkit.checks.slots import Flags, Ints
from rmqkit.history import History, Outcome


class Sends:
    """What is known of every id, as arrays over the index's slots.

    ``acknowledged``: it must be there; ``possible``: it may be; ``refused``: it cannot be, unless another send of it is
    one of those; ``attempts``: how often it may be there.
    """

    def __init__(self, history: History, index: Index) -> None:
        self.index = index
        faults = intervals(history.faults)
        ends = [fault.end_ns for fault in faults if fault.end_ns is not None]
        self.lasting = [fault for fault in faults if fault.end_ns is None]
        self.first_fault = faults[0].start_ns if faults else None
        self.last_end = max(ends) if ends and not self.lasting else None
        size = index.ids.size
        self.acknowledged: Flags = np.zeros(size, np.bool_)
        self.possible: Flags = np.zeros(size, np.bool_)
        self.attempts: Ints = np.zeros(size, np.int64)
        self.refused_sends = self.unknown_sends = 0
        self.acked_before = self.acked_during = self.acked_after = 0
        self.refused: Flags = np.zeros(size, np.bool_)
        names = ("id_stem", "id_number", "outcome", "end_ns", "attempts")
        for stem, number, outcome, end, attempts in index.sends.batches(*names):
            slot = index.ids.of(stem, number)
            was_acknowledged, was_refused = outcome == Outcome.ACKNOWLEDGED, outcome == Outcome.REFUSED
            was_unknown = outcome == Outcome.UNKNOWN
            self.acknowledged[slot[was_acknowledged]] = True
            self.possible[slot[was_unknown]] = True
            self.refused[slot[was_refused]] = True
            np.add.at(self.attempts, slot[~was_refused], attempts[~was_refused])
            self.refused_sends += int(was_refused.sum())
            self.unknown_sends += int(was_unknown.sum())
            self._count_phases(end[was_acknowledged])
        self.acknowledged_ids = int(self.acknowledged.sum())

    def ours(self, found: Flags) -> Flags:
        """Which of the ``found`` ids this run sent, or begin as its ids do: others' producers give ids as well."""
        sent = self.acknowledged | self.possible | self.refused
        mine = found & sent
        others = np.flatnonzero(found & ~sent)
        mine[others] = self.index.ours(others)
        return mine

    def cannot_be(self, found: Flags) -> Flags:
        """Which of the ``found`` ids no send can have stored."""
        return found & ~self.acknowledged & ~self.possible

    def _count_phases(self, end: Ints) -> None:
        if self.first_fault is None:
            self.acked_before += len(end)
            return
        before = end < self.first_fault
        after = np.zeros(len(end), np.bool_) if self.last_end is None else ~before & (end >= self.last_end)
        self.acked_before += int(before.sum())
        self.acked_after += int(after.sum())
        self.acked_during += len(end) - int(before.sum()) - int(after.sum())
