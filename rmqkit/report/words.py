"""Numbers as a reader wants them: rounded, with their unit, and a dash where there is none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

NONE = "–"


def count(value: float | None) -> str:
    """``3,077``."""
    return NONE if value is None or not math.isfinite(value) else f"{value:,.0f}"


def rate(value: float | None) -> str:
    """A second: ``205``, below ten ``3.4``."""
    if value is None or not math.isfinite(value):
        return NONE
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:.1f}"


def seconds(value: float | None, digits: int = 2) -> str:
    """``6.00 s``."""
    return NONE if value is None or not math.isfinite(value) else f"{value:,.{digits}f} s"


def milliseconds(value: float | None) -> str:
    """Three digits: ``0.457 ms``, ``12.3 ms``, ``3,004 ms``."""
    if value is None or not math.isfinite(value):
        return NONE
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:,.{digits}f} ms"


def share(part: float, whole: float) -> str:
    """``66.8 %``; nothing of nothing is a dash. What is not all of it is never shown as 100 %."""
    if not whole:
        return NONE
    percent = 100 * part / whole
    return f"{99.9 if 99.95 <= percent < 100 else percent:.1f} %" if 0 < percent < 100 else f"{percent:.0f} %"


def size(value: int) -> str:
    """``1.2 MB``."""
    if value < 1000:
        return f"{value} B"
    return f"{value / 1000:.1f} kB" if value < 1_000_000 else f"{value / 1_000_000:.1f} MB"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under headings. ``words``: how many of the first columns hold words; the others hold numbers."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1
    caption: str = ""
