"""A folder of files that together are one long run of bytes, each named by the position at which it begins.

What belongs here: names, sizes and bytes at a position. What does not: what the bytes mean.

The files are mapped, never read whole: they are sparse, and of a gigabyte a few hundred kilobytes may be written.
"""

from __future__ import annotations

import mmap
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from rmqkit.errors import StoreError

_NAME = re.compile(r"\d{20}")  # DLedgerUtils.offset2FileName, UtilAll.offset2FileName


@dataclass(frozen=True, slots=True)
class Segment:
    """One file, from position ``start`` on. ``data`` holds what the file has, its unwritten end included."""

    start: int
    path: Path
    data: bytes | mmap.mmap

    @property
    def end(self) -> int:
        """The position behind its last byte."""
        return self.start + len(self.data)

    def is_blank(self) -> bool:
        """Whether nothing was written into it."""
        return all(is_zero(self.data[at : at + STEP]) for at in range(0, len(self.data), STEP))


STEP = 1 << 20
"""So many bytes are looked at together."""


def is_zero(piece: bytes) -> bool:
    """Whether ``piece`` is all zeros, or empty."""
    return piece.count(0) == len(piece)


class Segments:
    """The files of ``folder`` in order. Close it, or use it with ``with``.

    A folder that is not there is one without files; ``strangers`` are the names in it that are no segment's. Raises
    StoreError where the folder or a file cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.segments: Sequence[Segment] = ()
        found: list[Segment] = []
        strangers: list[str] = []
        try:
            for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                if _NAME.fullmatch(path.name) and path.is_file():
                    found.append(Segment(int(path.name), path, _mapped(path)))
                else:
                    strangers.append(path.name)
        except OSError as error:
            for segment in found:
                _unmap(segment)
            raise StoreError(
                f"{error.filename or folder} cannot be read: {error.strerror}",
                hint="read the files as the broker's user or root, or copy them first",
            ) from error
        self.segments = tuple(found)
        self.strangers = tuple(strangers)
        self._starts = [segment.start for segment in found]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Unmap the files; nothing can be read afterwards."""
        for segment in self.segments:
            _unmap(segment)

    def at(self, position: int) -> Segment | None:
        """The file that begins at ``position`` or before it."""
        number = bisect_right(self._starts, position) - 1
        return self.segments[number] if number >= 0 else None

    def read(self, position: int, size: int) -> bytes:
        """Up to ``size`` bytes at ``position``: fewer where the file ends, none where there is no file."""
        segment = self.at(position)
        if segment is None or position >= segment.end:
            return b""
        at = position - segment.start
        return segment.data[at : at + size]


def _mapped(path: Path) -> bytes | mmap.mmap:
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            return b""
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _unmap(segment: Segment) -> None:
    if isinstance(segment.data, mmap.mmap):
        segment.data.close()
