"""From data and index files to the entries of a log, by the rules with which DLedger recovers it at its next start.

What belongs here: where the log begins and ends, and what in the files contradicts it. What does not: what an entry
holds (``reading.py``).

DLedger truncates a log by moving its end back; the old bytes stay in the files until they are overwritten. So what
follows the last entry may be the rest of a truncated log, which is no damage, and whole old entries that follow
are entries again: a recovery takes them back as well (DLedgerMmapFileStore.recover).
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from rmqkit.store.segments import STEP, Segment, Segments, is_zero
from rmqkit.store.units import BLANK_MAGIC, ENTRY_HEADER, INDEX_UNIT, MAGIC, IndexUnit, index_unit


@dataclass(frozen=True, slots=True)
class TermRun:
    """Consecutive entries of one term."""

    term: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Walked:
    """The entries found: ``positions[i]`` is where entry ``begin + i`` lies. ``begin`` is -1 where there is none.
    ``end_position`` is where the last one ends; ``index_behind`` counts the last entries that the index has not yet.

    ``ended`` says what follows the last one; ``damage`` what cannot be in a sound store.
    """

    begin: int
    positions: Sequence[int]
    end_position: int
    terms: tuple[TermRun, ...]
    ended: str
    damage: tuple[str, ...]
    index_behind: int = 0
    cut_short: bool = False
    """Whether files speak of entries behind the last one that was found."""

    @property
    def end(self) -> int:
        """The index of the last entry; -1 where there is none."""
        return self.begin + len(self.positions) - 1 if self.positions else -1


def walk(data: Segments, index: Segments) -> Walked:
    """Every entry of the log, in order, up to the first place where there is none."""
    walker = _Walker(data, index)
    ended = walker.run()
    damage = [f"{each.folder.name}/{name} is no file of a log" for each in (data, index) for name in each.strangers]
    damage += walker.against_index()
    if later := walker.later():
        damage.append(f"the log ends before {', '.join(later)}, which was written to")
    return Walked(
        walker.begin,
        walker.positions,
        walker.at,
        tuple(walker.terms),
        ended,
        tuple(damage),
        index_behind=walker.index_behind,
        cut_short=bool(walker.beyond or later),
    )


class _Walker:
    """One pass over the headers of the data files."""

    def __init__(self, data: Segments, index: Segments) -> None:
        self.data = data
        self.index = index
        self.positions = array("q")
        self.terms: list[TermRun] = []
        self.begin = -1
        self.at = 0
        self._next = -1
        self._wrong: tuple[int, IndexUnit, IndexUnit | None] | None = None
        self._wrong_count = 0
        self.beyond = 0
        """How many entries the index knows behind the last one."""
        self.index_behind = 0
        """How many entries up to the last one have no unit. DLedger writes the unit after the entry, and a recovery
        makes units anew, so that this alone is no damage."""

    def run(self) -> str:
        """Walk to the end; gives what was found there."""
        if not self.data.segments:
            return "there are no data files"
        segment: Segment | None = self.data.segments[0]
        self.at = self._first_position(self.data.segments[0])
        while segment is not None:
            came_to = self._through(segment)
            if came_to is not None:
                return came_to
            segment = self.data.at(self.at)
            if segment is None or segment.start != self.at:
                return f"the data file that begins at {self.at} is missing"
        raise AssertionError("a walk ends in one of the files")

    def _first_position(self, first: Segment) -> int:
        """A file that was begun anew in its middle (MmapFileList.rebuildWithPos) has zeros before its first entry."""
        if not is_zero(first.data[: ENTRY_HEADER.size]):
            return first.start
        unit = _first_unit(self.index)
        return unit.position if unit is not None and first.start <= unit.position < first.end else first.start

    def _through(self, segment: Segment) -> str | None:
        """The entries of one file: None when it ends with a blank, else what ended the log."""
        while True:
            self._plain(segment)
            if blank := _blank_at(segment, self.at - segment.start):
                self.at += blank
                return None
            if ended := self._entry(segment):
                return ended

    def _plain(self, segment: Segment) -> None:
        """Take all entries that are as the one before leads one to expect, fast: a log has millions of them.

        Whatever is not (another term, another index file, the end, damage) is left to :meth:`_entry`.
        """
        units = self.index.at(self._next * INDEX_UNIT.size) if self.terms else None
        if units is None:
            return
        data, end, run = segment.data, segment.end - segment.start, self.terms[-1]
        at, expected = self.at - segment.start, self._next
        unit_at, width = expected * INDEX_UNIT.size - units.start, INDEX_UNIT.size
        unpack, pack, take = ENTRY_HEADER.unpack_from, INDEX_UNIT.pack, self.positions.append
        while at + ENTRY_HEADER.size <= end:
            magic, size, index, term, position, _, _, _, body = unpack(data, at)
            if (magic, index, term, position) != (MAGIC, expected, run.term, segment.start + at):
                break
            if body <= 0 or size != body + ENTRY_HEADER.size or at + size > end:
                break
            if units.data[unit_at : unit_at + width] != pack(magic, position, size, index, term):
                break
            take(position)
            at, expected, unit_at = at + size, expected + 1, unit_at + width
        if expected > self._next:
            self.at, self._next, self.index_behind = segment.start + at, expected, 0
            self.terms[-1] = TermRun(run.term, run.first, expected - 1)

    def _entry(self, segment: Segment) -> str:
        """Take the entry that comes next; where there is none, what is there instead."""
        there = segment.end - self.at
        header = segment.data[self.at - segment.start : self.at - segment.start + ENTRY_HEADER.size]
        if is_zero(header):
            return f"nothing is written at {self.at}" if there > 0 else f"{segment.path.name} ends at {self.at}"
        if there < ENTRY_HEADER.size:
            return f"an entry at {self.at} that is cut off: only {there} bytes of its header are there"
        magic, size, index, term, position, _, _, _, body = ENTRY_HEADER.unpack(header)
        wrong = _why_not(magic, size, position, body, at=self.at) or self._why_not_next(index, term)
        if wrong:
            return f"bytes at {self.at} that are no entry ({wrong}): the rest of a truncated log, or damage"
        if there < size:
            return f"an entry at {self.at} that is cut off: entry {index} has {size} bytes, of which {there} are there"
        self._take(index, term, size)
        return ""

    def _why_not_next(self, index: int, term: int) -> str:
        if self._next not in (-1, index):
            return f"entry {index} follows entry {self._next - 1}"
        if self.terms and term < self.terms[-1].term:
            return f"entry {index} of term {term} follows one of term {self.terms[-1].term}"
        return ""

    def _take(self, index: int, term: int, size: int) -> None:
        if self.begin < 0:
            self.begin = index
        if not self.terms or self.terms[-1].term != term:
            self.terms.append(TermRun(term, index, index))
        else:
            self.terms[-1] = TermRun(term, self.terms[-1].first, index)
        self.positions.append(self.at)
        expected = IndexUnit(self.at, size, index, term)
        unit = index_unit(self.index.read(index * INDEX_UNIT.size, INDEX_UNIT.size))
        if unit != expected:
            self._wrong = self._wrong or (index, expected, unit)
            self._wrong_count += 1
        self.index_behind = self.index_behind + 1 if unit is None else 0
        self.at += size
        self._next = index + 1

    def against_index(self) -> list[str]:
        """What the index files say otherwise."""
        if not self.positions:
            return []
        damage = []
        if self._wrong is not None and self._wrong_count > self.index_behind:
            index, expected, unit = self._wrong
            of = f"{self._wrong_count} of {len(self.positions)} units of the index are not what the data files say"
            says = "nothing" if unit is None else _said(unit)
            damage.append(f"{of}, the first for entry {index}: {says} instead of {_said(expected)}")
        while (unit := self._unit_beyond(self.beyond)) is not None and unit.term >= self.terms[-1].term:
            self.beyond += 1
        if self.beyond:
            last = self._next - 1
            damage.append(f"the index goes on to entry {last + self.beyond}, the data files end with entry {last}")
        return damage

    def _unit_beyond(self, count: int) -> IndexUnit | None:
        wanted = self._next + count
        unit = index_unit(self.index.read(wanted * INDEX_UNIT.size, INDEX_UNIT.size))
        return unit if unit is not None and unit.index == wanted else None

    def later(self) -> list[str]:
        """Data files behind the log's end that were written to."""
        return [each.path.name for each in self.data.segments if each.start > self.at and not each.is_blank()]


def _blank_at(segment: Segment, at: int) -> int:
    """The size of the blank there; 0 where there is none."""
    magic, size = (int.from_bytes(segment.data[at + n : at + n + 4], "big", signed=True) for n in (0, 4))
    return size if magic == BLANK_MAGIC and size >= 8 else 0


def _why_not(magic: int, size: int, position: int, body: int, *, at: int) -> str:
    """Why a header is none; empty when it is one."""
    if magic != MAGIC:
        return f"magic {magic}"
    if position != at:
        return f"it says that it lies at {position}"
    if body <= 0 or size != body + ENTRY_HEADER.size:
        return f"{size} bytes with a body of {body}"
    return ""


def _said(unit: IndexUnit) -> str:
    return f"entry {unit.index} of term {unit.term}, {unit.size} bytes at {unit.position}"


def _first_unit(index: Segments) -> IndexUnit | None:
    for segment in index.segments:
        for at in range(0, len(segment.data), STEP):
            piece = segment.data[at : at + STEP]
            if is_zero(piece):
                continue
            for offset in range(0, len(piece), INDEX_UNIT.size):
                if (unit := index_unit(piece[offset : offset + INDEX_UNIT.size])) is not None:
                    return unit
    return None
