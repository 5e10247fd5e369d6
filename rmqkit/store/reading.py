"""One broker's store, read offline: what its log holds, what of it is committed, what of it can be delivered.

What belongs here: the joined view of log, states and consume queues. What does not: whose store it is, and what other
replicas hold (``rmqkit.forensics``).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rmqkit.errors import StoreError, WireError
from rmqkit.store.queues import QueueFiles
from rmqkit.store.segments import Segments
from rmqkit.store.states import Checkpoint, States, TermFile, read_states
from rmqkit.store.units import ENTRY_HEADER
from rmqkit.store.walk import TermRun, Walked, walk
from rmqkit.wire.messages import StoredMessage, decode_messages

CHUNK: Final = 10_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the log. ``position`` is its own in the data files; its message lies 48 bytes behind it."""

    index: int
    term: int
    position: int
    body: bytes

    def message(self) -> StoredMessage:
        """What it holds. Raises WireError where that is no message, as of an entry that was written half."""
        found = decode_messages(self.body)
        if len(found) != 1:
            raise WireError(f"entry {self.index} holds {len(found)} messages")
        return found[0]


@dataclass(frozen=True, slots=True)
class Found:
    """One place of a message in a store.

    ``committed`` is by the checkpoint, which lags by up to 3 s: False means "not known to be". ``dispatched``: the
    consume queue has it where the message says, so a consumer can be given it.
    """

    entry: Entry
    message: StoredMessage
    committed: bool
    dispatched: bool


class StoreReading:
    """A store as it was when it was opened; made by :func:`read_store`. Close it, or use it with ``with``.

    ``ended`` says what follows the last entry; ``damage`` lists what cannot be in a sound store.
    """

    def __init__(self, folder: Path, *, log: Path) -> None:
        self.folder = folder
        self.peer_id = log.name.removeprefix("dledger-")
        self._data = Segments(log / "data")
        self._index = Segments(log / "index")
        self._states: States = read_states(log)
        self._walked: Walked = walk(self._data, self._index)
        self.queues = QueueFiles(folder / "consumequeue")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Unmap the files; only values that were taken out of it stay usable."""
        for each in (self._data, self._index, self.queues):
            each.close()

    # ---- how far it is ----------------------------------------------------------------------------------

    @property
    def begin_index(self) -> int:
        """The first entry that it still has; -1 in an empty store. More than 0: what was before was trimmed."""
        return self._walked.begin

    @property
    def end_index(self) -> int:
        """The last entry; -1 in an empty store."""
        return self._walked.end

    @property
    def terms(self) -> tuple[TermRun, ...]:
        """The terms of its entries, in order."""
        return self._walked.terms

    @property
    def ended(self) -> str:
        """What follows the last entry."""
        return self._walked.ended

    @property
    def checkpoint(self) -> Checkpoint | None:
        """What was written down of it; None where there is no such file."""
        return self._states.checkpoint

    @property
    def term_file(self) -> TermFile | None:
        """The peer's own term and vote; None where there is no such file."""
        return self._states.term_file

    @property
    def committed_index(self) -> int:
        """The last entry that is known to be committed; -1 for none. A peer that is up may be 3 s further."""
        return min(self.checkpoint.committed_index, self.end_index) if self.checkpoint is not None else -1

    @property
    def cut_short(self) -> bool:
        """Whether it had entries behind the last one: then what is not in it may have been."""
        had = self.checkpoint.end_index if self.checkpoint is not None else -1
        return self._walked.cut_short or had > self.end_index

    @property
    def damage(self) -> tuple[str, ...]:
        """What cannot be in a sound store, each in a few words."""
        more = []
        if self.checkpoint is not None and self.checkpoint.end_index > self.end_index:
            had = self.checkpoint.end_index
            more.append(f"the log ends with entry {self.end_index}, but its checkpoint says that it had entry {had}")
        if self.end_index >= 0:
            try:
                self.entry(self.end_index).message()
            except WireError as error:
                more.append(f"entry {self.end_index}, the last, holds no message: {error.what}")
        return (*self._states.damage, *self._walked.damage, *more)

    def __str__(self) -> str:
        if self.end_index < 0:
            return f"an empty log ({self.ended})"
        terms = ", ".join(f"{run.first} to {run.last} of term {run.term}" for run in self.terms)
        behind = self._walked.index_behind
        index = f"; the index lacks the last {behind}" if behind else ""
        return f"entries {terms}; committed up to {self.committed_index} (checkpoint); {self.ended}{index}"

    # ---- what it holds ----------------------------------------------------------------------------------

    def entry(self, index: int) -> Entry:
        """One entry. Raises StoreError for an index that it has not."""
        if not self._walked.positions or not self.begin_index <= index <= self.end_index:
            raise StoreError(f"there is no entry {index} in {self.folder}", hint=f"it has {self}")
        return self._entry(self._walked.positions[index - self.begin_index])

    def entries(self, start: int | None = None) -> Iterator[Entry]:
        """Entries from index ``start`` (by default the first) to the last."""
        first = 0 if start is None else max(start - self.begin_index, 0)
        positions = self._walked.positions
        return (self._entry(positions[number]) for number in range(first, len(positions)))

    def chunks(self, *, size: int = CHUNK) -> Iterator[list[Entry]]:
        """All entries, up to ``size`` at a time: bounded memory, whatever the log's length."""
        waiting: list[Entry] = []
        for entry in self.entries():
            waiting.append(entry)
            if len(waiting) == size:
                yield waiting
                waiting = []
        if waiting:
            yield waiting

    def find(
        self, ids: Collection[str], *, id_of: Callable[[StoredMessage], str] = lambda message: message.unique_key
    ) -> dict[str, tuple[Found, ...]]:
        """Where the messages with ``ids`` are, each id that is here with all its places.

        ``id_of`` tells a message's id, which must be somewhere in its properties or body as it stands. Linear in the
        bytes of the log, at the speed of a search for text.
        """
        wanted = frozenset(ids) - {""}
        found: dict[str, list[Found]] = {}
        for entry in self._with_text(wanted):
            try:
                message = entry.message()
            except WireError:
                continue
            message_id = id_of(message)
            if message_id in wanted:
                found.setdefault(message_id, []).append(self._place(entry, message))
        return {message_id: tuple(places) for message_id, places in found.items()}

    def is_dispatched(self, message: StoredMessage) -> bool:
        """Whether the consume queue has the message where it says that it is."""
        unit = self.queues.at(message.topic, message.queue_id, message.queue_offset)
        return unit is not None and (unit.position, unit.size) == (message.physical_offset, message.stored_bytes)

    def _place(self, entry: Entry, message: StoredMessage) -> Found:
        return Found(entry, message, entry.index <= self.committed_index, self.is_dispatched(message))

    def _with_text(self, wanted: Collection[str]) -> Iterator[Entry]:
        """The entries in which one of the texts occurs, in order, each once."""
        positions: Sequence[int] = self._walked.positions
        if not wanted or not positions:
            return
        pattern = re.compile(b"|".join(re.escape(text.encode()) for text in sorted(wanted)))
        last = -1
        for segment in self._data.segments:
            # Behind the log's end lies what was truncated.
            for match in pattern.finditer(segment.data, 0, max(self._walked.end_position - segment.start, 0)):
                number = bisect_right(positions, segment.start + match.start()) - 1
                if number > last:
                    last = number
                    yield self._entry(positions[number])

    def _entry(self, position: int) -> Entry:
        _, size, index, term, _, _, _, _, _ = ENTRY_HEADER.unpack(self._data.read(position, ENTRY_HEADER.size))
        body = self._data.read(position + ENTRY_HEADER.size, size - ENTRY_HEADER.size)
        return Entry(index, term, position, body)


def read_store(folder: Path) -> StoreReading:
    """Open the store in ``folder``: a broker's storePathRootDir, or the folder ``dledger-ID`` in it.

    Damage is a value (``damage``, ``ended``), as long as files can be read. Raises StoreError where there is no store.
    """
    if folder.name.startswith("dledger-"):
        return StoreReading(folder.parent, log=folder)
    try:
        logs = sorted(path for path in folder.glob("dledger-*") if path.is_dir()) if folder.is_dir() else []
    except OSError as error:
        raise StoreError(f"{folder} cannot be read: {error.strerror}", hint="copy it first") from error
    if len(logs) != 1:
        names = ", ".join(path.name for path in logs)
        raise StoreError(
            f"{folder} holds {f'several logs: {names}' if logs else 'no log of DLedger'}",
            hint="name a broker's storePathRootDir: it holds one folder dledger-ID",
        )
    return StoreReading(folder, log=logs[0])
