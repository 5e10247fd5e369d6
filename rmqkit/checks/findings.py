"""One thing found by a check, and how its examples are chosen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found: ``kind`` as in ``verdict``'s prose, ``ids`` at most ten examples of ``count``."""

    kind: str
    count: int
    text: str
    ids: tuple[str, ...] = ()


def some(ids: Iterable[str]) -> tuple[str, ...]:
    """The first examples, in order."""
    return tuple(sorted(ids)[:_SHOWN])
