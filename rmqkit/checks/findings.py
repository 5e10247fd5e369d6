"""One thing found by a check, and how its examples are chosen."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rmqkit.checks.slots import Flags, Ints

_SHOWN = 10
_FEW = 50_000
"""So many texts are made and compared; of more, only those that can be among the first."""
_CLASSES = 2_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found: ``kind`` as in ``verdict``'s prose, ``ids`` at most ten examples of ``count``."""

    kind: str
    count: int
    text: str
    ids: tuple[str, ...] = ()


def some(ids: Iterable[str]) -> tuple[str, ...]:
    """The first examples, in order."""
    return tuple(heapq.nsmallest(_SHOWN, ids))


def first_texts(
    group: Ints, number: Ints, texts: Callable[[Ints], Iterable[str]], *, of_one_length: Flags
) -> tuple[str, ...]:
    """What ``some`` gives of the texts of all rows, without making all of them.

    ``texts`` makes those of the given rows. Texts of one group begin alike, then comes the number: in decimal, or
    unsigned and ``of_one_length``. So of numbers of equally many digits those nearest to 0 come first.
    """
    import numpy as np  # noqa: PLC0415

    everything = np.arange(len(group))
    if len(group) <= _FEW:
        return some(texts(everything))
    negative = (number < 0) & ~of_one_length
    size = np.where(negative, -number, number).astype(np.uint64)
    powers = np.array([10**power for power in range(1, 20)], np.uint64)
    digits = np.where(of_one_length, 0, np.searchsorted(powers, size, side="right"))
    classes = group * 64 + digits * 2 + negative
    kinds = np.unique(classes)
    if len(kinds) > _CLASSES:
        return some(texts(everything))
    rows = []
    for kind in kinds:
        of_kind = np.flatnonzero(classes == kind)
        sizes = size[of_kind]
        last = np.partition(sizes, _SHOWN - 1)[_SHOWN - 1] if len(sizes) > _SHOWN else sizes.max()
        rows.append(of_kind[sizes <= last])
    return some(texts(np.concatenate(rows)))
