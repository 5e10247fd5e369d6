"""One kind of record, append-only: the newest rows as they came, the older ones packed into columns.

What belongs here: appending one record or many, and giving them back. What does not: what records mean, and files.
numpy is imported when the first rows are packed, so that what only starts up does not pay for it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rmqkit.errors import UsageError
from rmqkit.history.ids import Numbers, counted, join, numbered
from rmqkit.history.records import OffsetRecord, Outcome, ReadRecord, ReceiveRecord, SendRecord

if TYPE_CHECKING:
    from rmqkit.history.chunks import Chunk, Ints

ROWS = 8192
"""A chunk's rows: so few that packing them hardly holds a sending thread up, so many that numpy's own cost is small."""

_BULK_ROWS = 1 << 16

STEM, NUMBER = "id_stem", "id_number"
Record = TypeVar("Record", SendRecord, ReadRecord, ReceiveRecord, OffsetRecord)
_OUTCOMES = tuple(Outcome)


class Shared:
    """What the tables of one history share: the lock, the texts and the stems of ids, each kept once."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.texts = Numbers()
        self.stems = Numbers()


class Layout(Generic[Record]):
    """The columns of one kind of record: the record's own fields, its id as two of them."""

    def __init__(self, name: str, record: type[Record]) -> None:
        self.name = name
        self.record: type[Record] = record
        self.fields: Mapping[str, str] = {each.name: str(each.type) for each in fields(record)}
        """Each field and its type, in order."""
        self.columns: tuple[str, ...] = tuple(
            column for name in self.fields for column in ((STEM, NUMBER) if name == "message_id" else (name,))
        )
        """Every column, in order."""
        self.texts: tuple[str, ...] = tuple(
            name for name, kind in self.fields.items() if kind == "str" and name != "message_id"
        )
        """The columns of numbered texts."""
        self.has_ids: bool = "message_id" in self.fields


SENDS = Layout("sends", SendRecord)
READS = Layout("reads", ReadRecord)
RECEIVES = Layout("receives", ReceiveRecord)
OFFSETS = Layout("offsets", OffsetRecord)


class Table(Generic[Record]):
    """All records of one kind. Any number of threads may append while others read what came before."""

    def __init__(self, layout: Layout[Record], shared: Shared) -> None:
        self.layout: Layout[Record] = layout
        self._shared = shared
        self._fields = layout.fields
        self._newest: deque[Record] = deque()
        self._chunks: list[Chunk] = []
        self._packed_rows = 0
        self.on_packed: Callable[[list[Chunk]], None] = lambda _chunks: None
        """Called with the list of chunks, under the lock, after one was added; may replace chunks by others."""

    def __len__(self) -> int:
        with self._shared.lock:
            return self._packed_rows + len(self._newest)

    def append(self, record: Record) -> None:
        """Add one record. Costs no lock but to the thread whose record fills a chunk."""
        self._newest.append(record)
        # Where another thread packs, this one need not wait: the next record asks again.
        if len(self._newest) >= ROWS and self._shared.lock.acquire(blocking=False):
            try:
                self._pack(at_least=ROWS)
            finally:
                self._shared.lock.release()

    def append_columns(self, columns: Mapping[str, Any]) -> None:
        """Add many rows: each field is a sequence, or one value for all. Raises UsageError for what does not fit."""
        from rmqkit.history.chunks import chunk_of  # noqa: PLC0415 - numpy

        with self._shared.lock:
            made = _columns(self.layout, columns, self._shared)
            for start in range(0, rows_of(made), _BULK_ROWS):
                self.append_chunk(chunk_of({name: each[start : start + _BULK_ROWS] for name, each in made.items()}))

    def append_chunk(self, chunk: Chunk) -> None:
        """Add rows whose texts and stems are numbered as this history's are."""
        with self._shared.lock:
            self._pack()  # what came before stays before
            self._add(chunk)

    def chunks(self) -> list[Chunk]:
        """Everything that was appended up to now."""
        with self._shared.lock:
            self._pack()
            return list(self._chunks)

    def take(self) -> list[Chunk]:
        """The same, and forget it. The caller holds the lock."""
        self._pack()
        taken, self._chunks, self._packed_rows = self._chunks, [], 0
        return taken

    def with_chunks(self, act: Callable[[list[Chunk]], None]) -> None:
        """Pack everything, then let ``act`` replace chunks of the list by others that hold the same rows."""
        with self._shared.lock:
            self._pack()
            act(self._chunks)

    def records(self) -> Iterator[Record]:
        """Every record in the order in which it was appended."""
        with self._shared.lock:
            chunks, texts, stems = self.chunks(), self._shared.texts.texts, self._shared.stems.texts
        for chunk in chunks:
            values: list[Iterator[Any]] = []
            for name, kind in self._fields.items():
                if name == "message_id":
                    pairs = zip(chunk.column(STEM).tolist(), chunk.column(NUMBER).tolist(), strict=True)
                    values.append(join(stems[stem], number) for stem, number in pairs)
                    continue
                column = chunk.column(name).tolist()
                if kind == "str":
                    values.append(map(texts.__getitem__, column))
                elif kind == "bool":
                    values.append(map(bool, column))
                elif kind == "Outcome":
                    values.append(map(_OUTCOMES.__getitem__, column))
                else:
                    values.append(iter(column))
            yield from map(self.layout.record, *values)

    def _add(self, chunk: Chunk) -> None:
        self._chunks.append(chunk)
        self._packed_rows += chunk.rows
        self.on_packed(self._chunks)

    def _pack(self, *, at_least: int = 1) -> None:
        while len(self._newest) >= at_least:
            rows = [self._newest.popleft() for _ in range(min(ROWS, len(self._newest)))]
            try:
                made = self._columns_of(rows)
            except (OverflowError, TypeError, ValueError, AttributeError) as error:
                # Put back: it must be heard of again rather than lost.
                self._newest.extendleft(reversed(rows))
                raise UsageError(
                    f"a record of the history's {self.layout.name} holds what does not fit its column: {error}",
                    hint="ids and names are text, numbers have 64 bits",
                ) from error
            from rmqkit.history.chunks import chunk_of  # noqa: PLC0415 - numpy

            self._add(chunk_of(made))

    def _columns_of(self, rows: list[Record]) -> dict[str, Ints]:
        import numpy as np  # noqa: PLC0415

        count = len(rows)
        made: dict[str, Ints] = {}
        texts = self._shared.texts
        for name, kind in self._fields.items():
            values = map(attrgetter(name), rows)
            if name == "message_id":
                of_stem, of_number = numbered(values, self._shared.stems)
                made[STEM], made[NUMBER] = (
                    np.fromiter(of_stem, np.int64, count),
                    np.fromiter(of_number, np.int64, count),
                )
            elif kind == "str":
                some = list(values)
                if some.count(some[0]) == count:  # most texts are the same for a while
                    made[name] = np.full(count, texts[some[0]], np.int64)
                else:
                    made[name] = np.fromiter(map(texts.__getitem__, some), np.int64, count)
            else:
                made[name] = np.fromiter(values, np.int64, count)
        return made


def rows_of(columns: Mapping[str, Any]) -> int:
    """How many rows columns have: all the same."""
    return len(next(iter(columns.values())))


def _columns(layout: Layout[Any], given: Mapping[str, Any], shared: Shared) -> dict[str, Ints]:
    """The columns of a bulk append, checked."""
    import numpy as np  # noqa: PLC0415

    unknown = given.keys() ^ layout.fields.keys()
    if unknown:
        raise UsageError(f"{', '.join(sorted(unknown))}: not a column of {layout.name}, or missing")
    made: dict[str, Any] = {}
    for name, kind in layout.fields.items():
        value = given[name]
        if name == "message_id":
            made[STEM], made[NUMBER] = _id_columns(value, shared.stems)
        elif kind != "str":
            made[name] = _integers(layout, name, value)
        elif isinstance(value, str):
            made[name] = shared.texts[value]
        else:
            made[name] = np.array([shared.texts[text] for text in value], np.int64)
    rows = {len(each) for each in made.values() if np.ndim(each)}
    if len(rows) != 1:
        lengths = {name: len(each) for name, each in made.items() if np.ndim(each)}
        raise UsageError(f"the columns of {layout.name} are not equally long: {lengths}")
    (count,) = rows
    return {name: each if np.ndim(each) else np.full(count, each, np.int64) for name, each in made.items()}


def _integers(layout: Layout[Any], name: str, value: Any) -> Any:
    import numpy as np  # noqa: PLC0415

    try:
        array = np.asarray(value)
        if not array.size:
            return np.empty(0, np.int64)
        if array.dtype.kind not in "iub" or array.ndim > 1:
            raise ValueError(f"it is of {array.ndim} dimensions and type {array.dtype}")
        if array.dtype == np.uint64 and int(array.max()) >= 1 << 63:
            raise ValueError("it has a number of more than 63 bits")
        if name == "outcome" and not 0 <= array.min() <= array.max() < len(Outcome):
            raise ValueError("it has a number that is no Outcome")
        return array.astype(np.int64)
    except (ValueError, TypeError, OverflowError) as error:
        hint = "give whole numbers: a list, an array, or one for all rows"
        raise UsageError(f"the column {name} of {layout.name} cannot be recorded: {error}", hint=hint) from error


def _id_columns(value: Any, stems: Numbers) -> tuple[Any, Any]:
    import numpy as np  # noqa: PLC0415

    if isinstance(value, tuple) and len(value) == 2 and not isinstance(value[1], str):
        prefix, numbers = value
        array = _integers(SENDS, "message_id", numbers)
        if array.size and not 0 <= array.min() <= array.max() < 10**18:
            raise UsageError(f"the ids {prefix!r} are counted with numbers below 0 or of more than 18 digits")
        return stems[counted(prefix)], array
    if isinstance(value, str):
        raise UsageError(
            "message_id is one text for all rows", hint='give a list of ids, or a pair ("3f2a9c01-4-", numbers)'
        )
    of_stem, of_number = numbered(value, stems)
    return np.array(of_stem, np.int64), np.array(of_number, np.int64)


class Columns:
    """A table as numpy arrays of 64-bit integers, as it was when this was made.

    ``columns["end_ns"]`` is one column. Texts are numbers: ``columns.texts("sender")[columns["sender"][0]]`` is the
    first sender. The id is two columns, ``id_stem`` and ``id_number``; ``message_ids(rows)`` gives the texts of some.
    """

    def __init__(self, table: Table[Any], shared: Shared) -> None:
        self._layout: Layout[Any] = table.layout
        with shared.lock:
            self._chunks = table.chunks()
            self._texts, self._stems = shared.texts.texts, shared.stems.texts
        self.rows = sum(chunk.rows for chunk in self._chunks)

    @property
    def names(self) -> tuple[str, ...]:
        """Every column."""
        return self._layout.columns

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, name: str) -> Ints:
        (column,) = self._together(self._chunks, (name,))
        return column

    def texts(self, name: str) -> Sequence[str]:
        """What the numbers of a column of texts stand for (all tables of a history share one list)."""
        if name == STEM:
            return self._stems
        if name not in self._layout.texts:
            raise UsageError(f"{name} of {self._layout.name} is no column of texts", hint=", ".join(self._layout.texts))
        return self._texts

    def batches(self, *names: str, rows: int = 1 << 18) -> Iterator[tuple[Ints, ...]]:
        """The columns ``names``, about ``rows`` rows at a time: bounded memory, whatever the history's size."""
        waiting: list[Chunk] = []
        count = 0
        for chunk in self._chunks:
            waiting.append(chunk)
            count += chunk.rows
            if count >= rows:
                yield self._together(waiting, names)
                waiting, count = [], 0
        if waiting:
            yield self._together(waiting, names)

    def message_ids(self, stems: Ints, numbers: Ints) -> list[str]:
        """The ids whose stem and number are given."""
        return [join(self._stems[stem], number) for stem, number in zip(stems.tolist(), numbers.tolist(), strict=True)]

    def _together(self, chunks: list[Chunk], names: Sequence[str]) -> tuple[Ints, ...]:
        from rmqkit.history.chunks import together  # noqa: PLC0415 - numpy

        for name in names:
            if name not in self._layout.columns:
                raise UsageError(f"{self._layout.name} have no column {name}", hint=", ".join(self._layout.columns))
        return tuple(together(chunks, name) for name in names)
