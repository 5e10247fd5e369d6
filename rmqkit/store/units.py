"""The fixed layouts of a DLedger store and of a consume queue, as bytes to values and back.

What belongs here: one unit of each kind. What does not: files (``segments.py``), what follows from many units.

Source: DLedgerEntryCoder and DLedgerMmapFileStore of dledger 0.1 and 0.3.1.2, which write alike; ConsumeQueue.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

MAGIC: Final = 1
BLANK_MAGIC: Final = -1
"""What fills the rest of a data file (MmapFileList.BLANK_MAGIC_CODE); its size follows."""

ENTRY_HEADER: Final = struct.Struct(">iiqqqiiii")  # magic, size, index, term, position, channel, two CRCs, body length
INDEX_UNIT: Final = struct.Struct(">iqiqq")  # magic, position, size, index, term
QUEUE_UNIT: Final = struct.Struct(">qiq")  # position, size, tags' code

_PRE_BLANK_SIZE: Final = 0x7FFF_FFFF
"""Fills a consume queue that does not begin at its file's first unit (ConsumeQueue.fillPreBlank)."""


@dataclass(frozen=True, slots=True)
class IndexUnit:
    """Where an entry lies in the data files. ``size`` counts its header of 48 bytes."""

    position: int
    size: int
    index: int
    term: int

    def to_bytes(self) -> bytes:
        """The unit as DLedger writes it."""
        return INDEX_UNIT.pack(MAGIC, self.position, self.size, self.index, self.term)


def index_unit(data: bytes) -> IndexUnit | None:
    """The unit in ``data``; None for zeros, other magic, or fewer than 32 bytes."""
    if len(data) < INDEX_UNIT.size:
        return None
    magic, position, size, index, term = INDEX_UNIT.unpack_from(data)
    return IndexUnit(position, size, index, term) if magic == MAGIC else None


@dataclass(frozen=True, slots=True)
class QueueUnit:
    """One message of a queue: its position in the log (behind the entry's header), its size, its tags' hash."""

    position: int
    size: int
    tags_code: int

    def to_bytes(self) -> bytes:
        """The unit as ConsumeQueue writes it."""
        return QUEUE_UNIT.pack(self.position, self.size, self.tags_code)


def queue_unit(data: bytes) -> QueueUnit | None:
    """The unit in ``data``; None where no message was entered: zeros, the blanks before a queue's first, too few bytes.

    As ConsumeQueue.recover tells them; a message of the log lies at position 48 or beyond.
    """
    if len(data) < QUEUE_UNIT.size:
        return None
    position, size, tags_code = QUEUE_UNIT.unpack_from(data)
    if position < ENTRY_HEADER.size or not 0 < size < _PRE_BLANK_SIZE:
        return None
    return QueueUnit(position, size, tags_code)


def entry_bytes(body: bytes, *, index: int, term: int, position: int) -> bytes:
    """An entry as DLedger writes it (it fills in no checksum)."""
    size = ENTRY_HEADER.size + len(body)
    return ENTRY_HEADER.pack(MAGIC, size, index, term, position, 0, 0, 0, len(body)) + body
