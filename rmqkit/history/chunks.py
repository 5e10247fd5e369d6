"""Rows packed into numpy columns, each as narrow as its values allow.

What belongs here: how one chunk is kept and given back. What does not: when rows are packed, and files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
_NARROW = ((1 << 8, np.uint8), (1 << 16, np.uint16), (1 << 32, np.uint32))


@dataclass(frozen=True, slots=True)
class Packed:
    """One column: ``base`` plus ``steps``, or ``base`` everywhere where there are none."""

    rows: int
    base: int
    steps: NDArray[Any] | None

    def wide(self) -> Ints:
        """The values again."""
        if self.steps is None:
            return np.full(self.rows, self.base, np.int64)
        return self.steps.astype(np.int64) + self.base


def packed(values: Ints) -> Packed:
    """``values`` in the narrowest column that holds them."""
    if not len(values):
        return Packed(0, 0, None)
    low, high = int(values.min()), int(values.max())
    if low == high:
        return Packed(len(values), low, None)
    for end, kind in _NARROW:
        if high - low < end:
            return Packed(len(values), low, (values - low).astype(kind))
    return Packed(len(values), 0, values)


class Chunk(Protocol):
    """Some consecutive rows of a table, in memory or in a file."""

    @property
    def rows(self) -> int:
        """How many."""
        ...

    def column(self, name: str) -> Ints:
        """One column of them."""
        ...


@dataclass(frozen=True, slots=True)
class PackedChunk:
    """Rows in memory."""

    rows: int
    columns: Mapping[str, Packed]

    def column(self, name: str) -> Ints:
        """One column, wide."""
        return self.columns[name].wide()

    @property
    def nbytes(self) -> int:
        """Memory of the columns."""
        return sum(each.steps.nbytes for each in self.columns.values() if each.steps is not None)


def chunk_of(columns: Mapping[str, Ints]) -> PackedChunk:
    """A chunk of equally long columns."""
    return PackedChunk(len(next(iter(columns.values()))), {name: packed(each) for name, each in columns.items()})


def together(chunks: Sequence[Chunk], name: str) -> Ints:
    """One column of several chunks."""
    if not chunks:
        return np.empty(0, np.int64)
    return np.concatenate([chunk.column(name) for chunk in chunks])


def renumbered(chunk: PackedChunk, maps: Mapping[str, Sequence[int]]) -> PackedChunk:
    """The chunk with the numbers in some of its columns replaced: number ``n`` of a column by ``maps[column][n]``."""
    columns = dict(chunk.columns)
    for name, numbers in maps.items():
        column = columns[name]
        if column.steps is None:
            columns[name] = Packed(column.rows, int(numbers[column.base]), None)
        else:
            columns[name] = packed(np.asarray(numbers, np.int64)[column.wide()])
    return PackedChunk(chunk.rows, columns)
