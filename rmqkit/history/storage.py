"""A history on disk: a folder of Parquet files with the operations, and ``history.jsonl`` with everything else.

``history.jsonl`` is written last and in one piece: a folder without it is of a run that was killed. It has the lines of
the export (``jsonl.py``) but no operations; instead a line for each Parquet file with its rows. While a run is recorded
its facts are in ``facts.jsonl``, a line as each comes.

In the Parquet files texts are texts and an id is its two columns, ``id_stem`` and ``id_number`` (see ``ids.py``).
What does not belong here: what the records mean.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rmqkit.errors import MachineError, UsageError
from rmqkit.history import jsonl
from rmqkit.history.chunks import Chunk, Ints, PackedChunk, chunk_of, together
from rmqkit.history.records import Outcome
from rmqkit.history.table import SENDS, STEM, Layout, Shared, Table, rows_of

if TYPE_CHECKING:
    from rmqkit.history.recorder import History

WHOLE, FACTS = "history.jsonl", "facts.jsonl"
PART_ROWS = 1 << 18
PART_S = 10.0
_LOADED_ROWS = 1 << 16
_UNFINISHED = ".unfinished"
_OUTCOMES = [outcome.name for outcome in Outcome]


def save(history: History, folder: Path) -> None:
    """Write everything into a new folder. Raises UsageError for one that exists or cannot be made."""
    _make(folder)
    parts: list[_Part] = []
    for table in history.tables:
        waiting: list[Chunk] = []
        for chunk in [*table.chunks(), None]:
            if waiting and (chunk is None or sum(each.rows for each in waiting) >= PART_ROWS):
                parts.append(_write_part(folder, table.layout, waiting, history.shared, number=len(parts)))
                waiting = []
            if chunk is not None:
                waiting.append(chunk)
    _finish(history, folder, parts)


def load(history: History, folder: Path, *, incomplete_ok: bool) -> History:
    """Fill an empty history from a folder. Raises UsageError for what is no whole history, unless that is allowed."""
    try:
        if (folder / WHOLE).exists():
            parts: list[_Part] = []
            with (folder / WHOLE).open(encoding="utf-8") as lines:
                jsonl.load(history, lines, where=str(folder / WHOLE), part=lambda each: parts.append(_Part(**each)))
        else:
            parts = _left_behind(history, folder, incomplete_ok=incomplete_ok)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{folder} cannot be read: {error}", hint="name a folder that a history was saved to"
        ) from error
    tables = {table.layout.name: table for table in history.tables}
    for part in parts:
        if part.table not in tables or Path(part.file).name != part.file:
            raise UsageError(f"{folder / WHOLE} names a part that cannot be: {part.file} of {part.table}")
        table = tables[part.table]
        read = _read_part(
            folder / part.file,
            table.layout,
            history.shared,
            table.layout.columns,
            older=jsonl.unknown_to(history.format),
        )
        rows = rows_of(read)
        if part.rows not in (rows, None):
            raise UsageError(f"{folder / part.file} has {rows} rows; {part.rows} were written", hint=_DAMAGED)
        for start in range(0, rows, _LOADED_ROWS):
            table.append_chunk(chunk_of({name: each[start : start + _LOADED_ROWS] for name, each in read.items()}))
    return history


@contextmanager
def recording(history: History, folder: Path) -> Iterator[History]:
    """Write ``history`` to a new folder while it grows, and finish it when the block ends, however it ends."""
    _make(folder)
    with (folder / FACTS).open("x", encoding="utf-8") as facts:
        spill = _Spill(history, folder)

        def fact(kind: str, record: dict[str, Any]) -> None:
            facts.write(json.dumps({"type": kind, **record}) + "\n")
            facts.flush()

        for kind, record in jsonl.facts(history):
            fact(kind, record)
        history.on_fact = fact
        history.on_flush = spill.everything
        for table in history.tables:
            table.on_packed = spill.hook(table)
        try:
            yield history
        finally:
            try:
                spill.everything()
            finally:
                history.on_fact = lambda _kind, _record: None
                history.on_flush = lambda: None
                for table in history.tables:
                    table.on_packed = lambda _chunks: None
            _finish(history, folder, spill.parts)
    (folder / FACTS).unlink()


_DAMAGED = "the file was changed or damaged after it was written: what it proved is lost"


@dataclass(frozen=True, slots=True)
class _Part:
    table: str
    file: str
    rows: int | None


@dataclass(frozen=True, slots=True)
class _FileChunk:
    """Rows that are in a file; a column is read when it is asked for."""

    rows: int
    path: Path
    layout: Layout[Any]
    shared: Shared

    def column(self, name: str) -> Ints:
        """One column, read now."""
        return _read_part(self.path, self.layout, self.shared, (name,))[name]


class _Spill:
    """Moves packed rows of a history's tables into files: when there are many, or when the last time is long ago."""

    def __init__(self, history: History, folder: Path) -> None:
        self.parts: list[_Part] = []
        self._history = history
        self._folder = folder
        self._last_s = time.monotonic()

    def hook(self, table: Table[Any]) -> Callable[[list[Chunk]], None]:
        """What the table calls when it has packed some rows."""

        def packed(chunks: list[Chunk]) -> None:
            waiting = sum(chunk.rows for chunk in _in_memory(chunks))
            if waiting >= PART_ROWS or time.monotonic() - self._last_s >= PART_S:
                self._write(table, chunks)

        return packed

    def everything(self) -> None:
        """Write all that was recorded so far."""
        with self._history.shared.lock:
            for table in self._history.tables:
                table.with_chunks(partial(self._write, table))

    def _write(self, table: Table[Any], chunks: list[Chunk]) -> None:
        waiting = _in_memory(chunks)
        self._last_s = time.monotonic()
        if not waiting:
            return
        shared = self._history.shared
        part = _write_part(self._folder, table.layout, waiting, shared, number=len(self.parts))
        self.parts.append(part)
        rows = sum(chunk.rows for chunk in waiting)
        chunks[-len(waiting) :] = [_FileChunk(rows, self._folder / part.file, table.layout, shared)]


def _in_memory(chunks: Sequence[Chunk]) -> list[Chunk]:
    """The last chunks, those that are in no file yet."""
    waiting: list[Chunk] = []
    for chunk in reversed(chunks):
        if not isinstance(chunk, PackedChunk):
            break
        waiting.append(chunk)
    return waiting[::-1]


def _make(folder: Path) -> None:
    try:
        folder.mkdir()
    except FileExistsError as error:
        raise UsageError(f"{folder} exists already", hint="name a folder that does not exist yet") from error
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be made: {error.strerror}", hint="name a folder in one that is there"
        ) from error


def _finish(history: History, folder: Path, parts: Sequence[_Part]) -> None:
    lines = [json.dumps({"type": kind, **record}) for kind, record in jsonl.facts(history)]
    lines += [json.dumps({"type": "part", "table": each.table, "file": each.file, "rows": each.rows}) for each in parts]
    lines.append(json.dumps({"type": "end", "lines": len(lines)}))
    unfinished = folder / (WHOLE + _UNFINISHED)
    try:
        with unfinished.open("x", encoding="utf-8") as out:
            out.write("\n".join(lines) + "\n")
            out.flush()
            os.fsync(out.fileno())
        unfinished.rename(folder / WHOLE)
    except OSError as error:
        raise MachineError(
            f"the history in {folder} could not be finished: {error}", hint="is the disk full?"
        ) from error


def _left_behind(history: History, folder: Path, *, incomplete_ok: bool) -> list[_Part]:
    """What a run that did not finish has written: its facts, and the parts that were whole."""
    if not (folder / FACTS).exists() and not any(folder.glob("*.parquet*")):
        raise UsageError(f"{folder} is no history: it has no {WHOLE}", hint="name a folder that a history was saved to")
    why = f"{folder} was cut short: it has no {WHOLE}, which is written last"
    if not incomplete_ok:
        hint = "the run that wrote it was interrupted, and what it proves is not known: run it again"
        raise UsageError(why, hint=hint)
    with suppress(FileNotFoundError), (folder / FACTS).open(encoding="utf-8") as lines:
        jsonl.load_facts(history, lines, where=str(folder / FACTS))
    history.incomplete = why
    return [_Part(path.name.partition("-")[0], path.name, None) for path in sorted(folder.glob("*.parquet"))]


# ---- one file ------------------------------------------------------------------------------------------------


def _write_part(folder: Path, layout: Layout[Any], chunks: Sequence[Chunk], shared: Shared, *, number: int) -> _Part:
    columns = {name: together(chunks, name) for name in layout.columns}
    arrays = {name: _arrow(name, values, layout, shared) for name, values in columns.items()}
    deltas = [name for name, array in arrays.items() if pa.types.is_int64(array.type)]
    path = folder / f"{layout.name}-{number:06d}.parquet"
    unfinished = Path(f"{path}{_UNFINISHED}")
    try:
        pq.write_table(
            pa.table(arrays),
            unfinished,
            compression="zstd",
            use_dictionary=[name for name in arrays if name not in deltas],
            column_encoding=dict.fromkeys(deltas, "DELTA_BINARY_PACKED"),
        )
        unfinished.rename(path)
    except (OSError, pa.ArrowException) as error:
        raise MachineError(f"the history's {path} could not be written: {error}", hint="is the disk full?") from error
    return _Part(layout.name, path.name, rows_of(columns))


def _arrow(name: str, values: Ints, layout: Layout[Any], shared: Shared) -> Any:
    if name in layout.texts or name == STEM:
        numbers, codes = np.unique(values, return_inverse=True)
        texts = shared.stems.texts if name == STEM else shared.texts.texts
        # What is no UTF-8 (a lone half of a pair) becomes what Python shows for it.
        some = [texts[each].encode("utf-8", "backslashreplace").decode() for each in numbers.tolist()]
        return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(some, pa.string()))
    if name == "outcome":
        return pa.DictionaryArray.from_arrays(pa.array(values.astype(np.int32)), pa.array(_OUTCOMES))
    if layout.fields.get(name) == "bool":
        return pa.array(values.astype(np.bool_))
    return pa.array(values)


def _read_part(
    path: Path, layout: Layout[Any], shared: Shared, names: Sequence[str], *, older: Mapping[str, Any] | None = None
) -> dict[str, Ints]:
    """The columns ``names``; those that the file has not, as ``older`` says where it is of an older format."""
    try:
        there = [name for name in names if layout is not SENDS or name not in (older or {})]
        table = pq.read_table(path, columns=there).unify_dictionaries()
        read = {name: _column(table.column(name).combine_chunks(), name, layout, shared) for name in there}
        for name in names:
            if name not in read:
                value = (older or {})[name]
                read[name] = np.full(table.num_rows, shared.texts[value] if isinstance(value, str) else value, np.int64)
    except (OSError, pa.ArrowException, KeyError, ValueError, AttributeError) as error:
        what = " ".join(str(error).split())[:200]
        raise UsageError(f"{path} is no part of a history that can be read: {what}", hint=_DAMAGED) from error
    return read


def _column(array: Any, name: str, layout: Layout[Any], shared: Shared) -> Ints:
    if array.null_count:
        raise ValueError(f"{name} has nothing in some rows")
    if name in layout.texts or name in (STEM, "outcome"):
        found: list[str] = array.dictionary.to_pylist()
        if name == "outcome":
            numbers = [int(Outcome[text]) for text in found]
        else:
            known = shared.stems if name == STEM else shared.texts
            with shared.lock:
                numbers = [known[text] for text in found]
        codes: Ints = array.indices.to_numpy(zero_copy_only=False)
        return np.array(numbers, np.int64)[codes]
    if layout.fields.get(name) != "bool" and not pa.types.is_int64(array.type):
        raise ValueError(f"{name} is of type {array.type}")
    values: Ints = array.to_numpy(zero_copy_only=False).astype(np.int64)
    return values
