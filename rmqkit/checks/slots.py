"""Numbers for the distinct values of columns, so that what is known of each value is an array and not a dictionary.

What belongs here: arithmetic. What does not: what the numbered things are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
_HOLES = 4
"""A group whose numbers span at most so many times what it has rows gets a slot for every number of the span."""


class Slots:
    """Every distinct pair (group, number) has a slot from 0 to ``size`` - 1; equal slots mean equal pairs.

    Counters of one sender and offsets of one queue lie close together, so a slot is the number plus what the group
    adds: one look-up, no sorting. Groups with wide gaps (ids made of the time of day) are sorted and searched instead.
    """

    def __init__(self, groups: int, batches: Callable[[], Iterator[tuple[Ints, Ints]]]) -> None:
        """``batches`` gives the same columns every time it is called."""
        low = np.full(groups, np.iinfo(np.int64).max)
        high = np.full(groups, np.iinfo(np.int64).min)
        count = np.zeros(groups, np.int64)
        for group, number in batches():
            np.minimum.at(low, group, number)
            np.maximum.at(high, group, number)
            count += np.bincount(group, minlength=groups)
        span = high.astype(np.uint64) - low.astype(np.uint64)  # wraps as it should
        self.seen: Flags = count > 0
        """Which groups have rows at all; of others nothing may be asked."""
        self._dense: Flags = self.seen & (span < (_HOLES * count).astype(np.uint64))
        slots = np.where(self._dense, span + np.uint64(1), np.uint64(0)).astype(np.int64)
        self._starts = np.cumsum(slots) - slots
        self._dense_size = int(slots.sum())
        with np.errstate(over="ignore"):
            self._shift = self._starts - low
        self._sparse = np.flatnonzero(self.seen & ~self._dense)
        self._place_in_sparse = np.zeros(groups, np.int64)
        self._place_in_sparse[self._sparse] = np.arange(len(self._sparse))
        self._values: Ints = np.empty(0, np.int64)
        self._keys: Ints = np.empty(0, np.int64)
        if len(self._sparse):
            self._sort(batches)
        self.size = self._dense_size + len(self._keys)

    def _sort(self, batches: Callable[[], Iterator[tuple[Ints, Ints]]]) -> None:
        groups, numbers = [], []
        for group, number in batches():
            wanted = ~self._dense[group]
            groups.append(self._place_in_sparse[group[wanted]])
            numbers.append(number[wanted])
        everything = np.concatenate(numbers)
        self._values = np.unique(everything)
        ranks = np.searchsorted(self._values, everything)
        self._keys = np.unique(np.concatenate(groups) * len(self._values) + ranks)

    def of(self, group: Ints, number: Ints) -> Ints:
        """The slots of pairs that the batches had."""
        with np.errstate(over="ignore"):
            slots: Ints = self._shift[group] + number
        if len(self._sparse):
            rows = np.flatnonzero(~self._dense[group])
            if len(rows):
                ranks = np.searchsorted(self._values, number[rows])
                keys = self._place_in_sparse[group[rows]] * len(self._values) + ranks
                slots[rows] = self._dense_size + np.searchsorted(self._keys, keys)
        return slots

    def pairs(self, slots: Ints) -> tuple[Ints, Ints]:
        """Group and number of slots."""
        # A group without dense slots starts where the next one does; the last of them that start there has the slot.
        group = np.searchsorted(self._starts, slots, side="right") - 1
        with np.errstate(over="ignore"):
            number = slots - self._shift[group]
        sparse = np.flatnonzero(slots >= self._dense_size)
        if len(sparse):
            place, rank = np.divmod(self._keys[slots[sparse] - self._dense_size], len(self._values))
            group[sparse], number[sparse] = self._sparse[place], self._values[rank]
        return group, number


def highest_until(group: Ints, value: Ints) -> Ints:
    """For rows sorted by group: the highest value of the group up to and with each row."""
    if not len(value):
        return value
    ranks, rank = np.unique(value, return_inverse=True)
    starts = np.cumsum(np.concatenate([[0], np.diff(group) != 0]))
    highest: Ints = np.maximum.accumulate(starts * len(ranks) + rank) - starts * len(ranks)
    return ranks[highest]
