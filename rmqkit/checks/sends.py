"""The sends of a run, sorted by what may be expected of them."""

from __future__ import annotations

import numpy as np

from rmqkit.checks.index import Index
from rmqkit.checks.intervals import intervals
from rmqkit.checks.slots import Flags, Ints
from rmqkit.errors import UsageError
from rmqkit.history import COMMIT, HALF, ROLLBACK, History, Outcome

NEVER = np.iinfo(np.int64).max
_MS = 1_000_000
_TOLERATED_NS = 10 * _MS
_SLEWED = 1000
_MOST_ATTEMPTS = 1 << 16
"""Of one send; more are as good as any number, and would not fit where they are added up."""


class Sends:
    """What is known of every id, as arrays over the index's slots.

    ``acknowledged``: it must be there; ``possible``: it may be; ``refused``: it cannot be, unless another send of it is
    one of those; ``attempts``: how often it may be there; ``delayed``: it was sent with a delay, and is due at
    ``due_ns``; ``soonest_ns``: before that nobody can be handed it. The two are there only where somebody asks.

    A transactional message may be there once its half was not refused, and must be once its commit was acknowledged.
    One whose rollback was acknowledged, and that was never committed, is ``rolled_back`` and cannot be there.
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
        self.attempts: Ints = np.zeros(size, np.int32)
        self.refused_sends = self.unknown_sends = 0
        self.acked_before = self.acked_during = self.acked_after = 0
        self.refused: Flags = np.zeros(size, np.bool_)
        self.rolled_back: Flags = np.zeros(size, np.bool_)
        self.delayed: Flags = np.zeros(size, np.bool_)
        delays = any((delay > 0).any() for (delay,) in index.sends.batches("delay_ms"))
        self.due_ns: Ints = np.full(size if delays else 0, NEVER)
        self.soonest_ns: Ints = np.full(size if index.receives.rows else 0, NEVER)
        self.backwards = 0
        """Sends that ended before they began, by their times."""
        self.steps = _Steps(index)
        names = ("id_stem", "id_number", "outcome", "start_ns", "end_ns", "attempts", "delay_ms", "transaction")
        for stem, number, outcome, start, end, attempts, delay, step in index.sends.batches(*names):
            slot = index.ids.of(stem, number)
            stores, may_store, refused = self.steps.sorted(outcome, step)
            self.acknowledged[slot[stores]] = True
            self.possible[slot[may_store]] = True
            self.refused[slot[refused]] = True
            np.add.at(self.attempts, slot[stores | may_store], np.clip(attempts[stores | may_store], 0, _MOST_ATTEMPTS))
            self.refused_sends += int((outcome == Outcome.REFUSED).sum())
            self.unknown_sends += int((outcome == Outcome.UNKNOWN).sum())
            self.backwards += int((end < start).sum())
            self._count_phases(end[outcome == Outcome.ACKNOWLEDGED])
            self._count_time(slot[~refused], start[~refused], np.maximum(delay[~refused], 0) * _MS)
            if self.steps.any:
                self.rolled_back[slot[(outcome == Outcome.ACKNOWLEDGED) & (step == self.steps.rollback)]] = True
        if self.steps.any:
            self._settle()
        self.acknowledged_ids = int(self.acknowledged.sum())

    def _count_time(self, slot: Ints, start: Ints, delay: Ints) -> None:
        late = np.flatnonzero(delay)
        if self.due_ns.size:
            self.delayed[slot[late]] = True
            np.minimum.at(self.due_ns, slot, start + delay)
        if self.soonest_ns.size:
            np.minimum.at(self.soonest_ns, slot, start + delay - _TOLERATED_NS - delay // _SLEWED)

    def _settle(self) -> None:
        """Who has both committed and rolled back cannot say what must be; a rollback alone means: it is not there."""
        committed: Flags = np.zeros(len(self.rolled_back), np.bool_)
        for stem, number, outcome, step in self.index.sends.batches("id_stem", "id_number", "outcome", "transaction"):
            rows = (step == self.steps.commit) & (outcome != Outcome.REFUSED)
            committed[self.index.ids.of(stem[rows], number[rows])] = True
        self.rolled_back &= ~committed
        self.possible &= ~self.rolled_back

    def ours(self, found: Flags) -> Flags:
        """Which of the ``found`` ids this run sent, or begin as its ids do: others' producers give ids as well."""
        sent = self.acknowledged | self.possible | self.refused | self.rolled_back
        mine = found & sent
        others = np.flatnonzero(found & ~sent)
        mine[others] = self.index.ours(others)
        return mine

    def cannot_be(self, found: Flags) -> Flags:
        """Which of the ``found`` ids no send can have stored."""
        return found & ~self.acknowledged & ~self.possible

    def acknowledged_of(self, ids: Flags) -> tuple[int, int]:
        """How many acknowledged sends of ``ids`` ended before the first fault, and after the last one's end."""
        if not ids.any():
            return 0, 0
        before = after = 0
        for stem, number, outcome, end in self.index.sends.batches("id_stem", "id_number", "outcome", "end_ns"):
            rows = (outcome == Outcome.ACKNOWLEDGED) & ids[self.index.ids.of(stem, number)]
            some_before, some_after = self._sides(end[rows])
            before, after = before + some_before, after + some_after
        return before, after

    def _count_phases(self, end: Ints) -> None:
        before, after = self._sides(end)
        self.acked_before += before
        self.acked_after += after
        self.acked_during += len(end) - before - after

    def _sides(self, end: Ints) -> tuple[int, int]:
        """How many of these times lie before the first fault, and after the last one's end."""
        if self.first_fault is None:
            return len(end), 0
        before = end < self.first_fault
        after = np.zeros(len(end), np.bool_) if self.last_end is None else ~before & (end >= self.last_end)
        return int(before.sum()), int(after.sum())


class _Steps:
    """The numbers that stand for the steps of a transaction. Raises UsageError where a send names another one."""

    def __init__(self, index: Index) -> None:
        self.plain, self.half, self.commit, self.rollback = map(index.number_of, ("", HALF, COMMIT, ROLLBACK))
        known = [self.plain, self.half, self.commit, self.rollback]
        found: set[int] = set()
        for (step,) in index.sends.batches("transaction"):
            found |= set(np.unique(step).tolist())
        if strange := sorted(index.texts[number] for number in found.difference(known)):
            hint = f"it is empty, {HALF}, {COMMIT} or {ROLLBACK}"
            raise UsageError(f"a send is the step {strange[0]!r} of a transaction", hint=hint)
        self.any: bool = bool(found - {self.plain})

    def sorted(self, outcome: Ints, step: Ints) -> tuple[Flags, Flags, Flags]:
        """Which sends must have stored a message that everybody sees, which may have, and which certainly have not."""
        acknowledged, refused = outcome == Outcome.ACKNOWLEDGED, outcome == Outcome.REFUSED
        unknown = outcome == Outcome.UNKNOWN
        if not self.any:
            return acknowledged, unknown, refused
        half, commit, rollback = step == self.half, step == self.commit, step == self.rollback
        ends = commit | rollback
        # A half that was taken may be committed by whoever is asked back; an end that was refused changes nothing.
        return acknowledged & ~half & ~rollback, (unknown & ~ends) | (acknowledged & half), refused & ~ends
