"""The history of one run: what was asked, what was answered, what was done to the cluster.

What belongs here: appending facts with times and giving them back. What does not: judgement (``checks/``), knowledge of
sockets, and how rows are kept (``table.py``) or written (``jsonl.py``, ``storage.py``).
Times are nanoseconds of one monotonic clock; ``wall_start`` ties them to UTC.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmqkit.errors import UsageError
from rmqkit.history import jsonl
from rmqkit.history.brokerside import BrokerSide
from rmqkit.history.records import ConsumerEnd, FaultEvent, Outcome, ReadRecord, ReceiveRecord, SendRecord
from rmqkit.history.table import READS, RECEIVES, SENDS, STEM, Columns, Shared, Table

if TYPE_CHECKING:
    from rmqkit.history.chunks import Ints, PackedChunk

    Numbers = Sequence[int] | Ints
    Ids = Sequence[str] | tuple[str, Numbers]
    Texts = str | Sequence[str]


@dataclass(frozen=True, slots=True)
class Batch:
    """Operations on their way from a worker process: compact, and can be pickled. See :meth:`History.take`."""

    chunks: Mapping[str, Sequence[PackedChunk]]
    texts: tuple[str, ...]
    stems: tuple[str, ...]
    run_prefixes: tuple[str, ...]

    @property
    def rows(self) -> int:
        """How many operations."""
        return sum(chunk.rows for chunks in self.chunks.values() for chunk in chunks)


class History(BrokerSide):
    """Everything of one run. Any number of threads may append; what was appended so far can be read at any time."""

    def __init__(self) -> None:
        self.wall_start = time.time()
        self.start_ns = time.monotonic_ns()
        self.faults: list[FaultEvent] = []
        self.format = jsonl.FORMAT
        """The format of the file that it was read from."""
        self.incomplete = ""
        """Why this is not everything that the run recorded; empty for a whole history. Judged as INCONCLUSIVE."""
        self.shared = Shared()
        """What the tables share; for the rooms of ``history/`` only, as ``tables`` and the hooks below."""
        self.on_fact: Callable[[str, dict[str, Any]], None] = lambda _kind, _fact: None
        self.on_flush: Callable[[], None] = lambda: None
        super().__init__(self.shared)
        self._sends = Table(SENDS, self.shared)
        self._reads = Table(READS, self.shared)
        self._receives = Table(RECEIVES, self.shared)
        self._readers_done: dict[str, bool] = {}
        self._unread: dict[str, str] = {}
        self._run_prefixes: dict[str, None] = {}
        self._consumers: dict[str, ConsumerEnd] = {}

    # ---- writing ----------------------------------------------------------------------------------------

    def add_run_prefix(self, prefix: str) -> None:
        """Every message id that begins so is this run's, sent or not. Raises UsageError for an empty one."""
        if not prefix:
            raise UsageError("an empty id prefix would claim everybody's messages", hint='for example "3f2a9c01-"')
        with self.shared.lock:
            if prefix not in self._run_prefixes:
                self._run_prefixes[prefix] = None
                self.on_fact("prefix", {"prefix": prefix})

    def add_send(self, record: SendRecord) -> None:
        """Record one finished send."""
        self._sends.append(record)

    def add_read(self, record: ReadRecord) -> None:
        """Record one message that a replica showed in the read-back."""
        self._reads.append(record)

    def add_receive(self, record: ReceiveRecord) -> None:
        """Record one message that a consumer was handed."""
        self._receives.append(record)

    def add_sends(
        self,
        *,
        message_id: Ids,
        topic: Texts,
        start_ns: Numbers,
        end_ns: Numbers,
        outcome: Numbers | Outcome,
        queue: Numbers | int = -1,
        offset: Numbers | int = -1,
        address: Texts = "",
        reason: Texts = "",
        sender: Texts = "",
        attempts: Numbers | int = 1,
        sharding_key: Texts = "",
        delay_ms: Numbers | int = 0,
        transaction: Texts = "",
    ) -> None:
        """Record many finished sends: each column is a sequence, or one value for all of them.

        ``message_id`` may be a pair of what all ids begin with and their numbers: ``("3f2a9c01-4-", range(1000))`` is
        much cheaper than a thousand texts. Raises UsageError for columns that do not fit together.
        """
        columns = {name: value for name, value in locals().items() if name != "self"}
        self._sends.append_columns(columns)

    def add_reads(
        self,
        *,
        replica: Texts,
        message_id: Ids,
        topic: Texts,
        queue: Numbers | int,
        offset: Numbers | int,
        intact: Sequence[bool] | Numbers | bool = True,
    ) -> None:
        """Record many messages that replicas showed; columns as in :meth:`add_sends`."""
        columns = {name: value for name, value in locals().items() if name != "self"}
        self._reads.append_columns(columns)

    def add_receives(
        self,
        *,
        consumer: Texts,
        message_id: Ids,
        topic: Texts,
        queue: Numbers | int,
        offset: Numbers | int,
        at_ns: Numbers,
    ) -> None:
        """Record many messages that consumers were handed; columns as in :meth:`add_sends`."""
        columns = {name: value for name, value in locals().items() if name != "self"}
        self._receives.append_columns(columns)

    def reader_done(self, replica: str, *, reached_end: bool, reason: str = "") -> None:
        """Record that the read-back of one replica ended, and whether it saw everything; ``reason`` if it did not."""
        with self.shared.lock:
            self._readers_done[replica] = reached_end and self._readers_done.get(replica, True)
            if reason:
                self._unread.setdefault(replica, reason)
            self.on_fact("reader", {"replica": replica, "reached_end": reached_end, "reason": reason})

    def consumer_done(
        self, group: str, *, drained: bool, topics: Sequence[str] = (), reason: str = "", at_ns: int | None = None
    ) -> None:
        """Record that a consumer group ended, and whether it was handed everything there was (``drained``).

        ``topics``: what it consumed whole, from the first message on and without a filter; none named means every topic
        of the history. Once not drained it stays so; ``reason`` says why it was not. ``at_ns``: when (now).
        """
        if "/" in group:
            raise UsageError(f"{group!r} is a member, not a group", hint="name what stands before the slash")
        with self.shared.lock:
            end = ConsumerEnd(group, drained, tuple(topics), reason, time.monotonic_ns() if at_ns is None else at_ns)
            before = self._consumers.get(group)
            if before is not None:
                both = {*before.topics, *end.topics} if before.topics and end.topics else set[str]()
                reason, at_ns = before.reason or reason, min(before.at_ns, end.at_ns)
                end = ConsumerEnd(group, before.drained and drained, tuple(sorted(both)), reason, at_ns)
            self._consumers[group] = end
            self.on_fact("consumer", jsonl.consumer_line(end))

    def add_fault(
        self, kind: str, step: str, target: str, *, at_ns: int | None = None, within_s: float = 0.0
    ) -> FaultEvent:
        """Record a step of a fault: now, or at a moment that has been; it came at most ``within_s`` seconds before."""
        at_ns = time.monotonic_ns() if at_ns is None else at_ns
        event = FaultEvent(kind, step, target, at_ns, round(within_s * 1e9))
        with self.shared.lock:
            self.faults.append(event)
            self.on_fact("fault", asdict(event))
        return event

    # ---- from worker processes --------------------------------------------------------------------------

    def take(self) -> Batch:
        """Every operation recorded here since the last call, to be pickled and added to another process's history.

        A worker process keeps a History of its own, appends to it, and ships what :meth:`take` gives every second or
        so; the main process calls :meth:`add`. Monotonic time is one clock for all processes of a machine.
        """
        with self.shared.lock:
            taken = {table.layout.name: table.take() for table in self.tables}
            shared, self.shared.texts, self.shared.stems = (
                (tuple(self.shared.texts.texts), tuple(self.shared.stems.texts)),
                type(self.shared.texts)(),
                type(self.shared.stems)(),
            )
        return Batch(taken, *shared, self.run_prefixes)  # type: ignore[arg-type]  # chunks of memory only

    def add(self, batch: Batch) -> None:
        """Record what a worker process took from its history."""
        from rmqkit.history.chunks import renumbered  # noqa: PLC0415 - numpy

        with self.shared.lock:
            texts = [self.shared.texts[text] for text in batch.texts]
            stems = [self.shared.stems[stem] for stem in batch.stems]
            for prefix in batch.run_prefixes:
                self.add_run_prefix(prefix)
            for table in self.tables:
                maps = {**dict.fromkeys(table.layout.texts, texts), **({STEM: stems} if table.layout.has_ids else {})}
                for chunk in batch.chunks.get(table.layout.name, ()):
                    table.append_chunk(renumbered(chunk, maps))

    # ---- reading ----------------------------------------------------------------------------------------

    @property
    def send_count(self) -> int:
        """How many sends were recorded."""
        return len(self._sends)

    @property
    def read_count(self) -> int:
        """How many messages the replicas showed, counted per replica."""
        return len(self._reads)

    @property
    def receive_count(self) -> int:
        """How many messages consumers were handed, every delivery counted."""
        return len(self._receives)

    @property
    def readers(self) -> dict[str, bool]:
        """Each replica that was read back, and whether its reader reached the end."""
        return dict(self._readers_done)

    @property
    def unread(self) -> dict[str, str]:
        """Why a replica was not read to its end, where that is known."""
        return dict(self._unread)

    @property
    def consumers(self) -> dict[str, ConsumerEnd]:
        """Each consumer group whose end was recorded."""
        return dict(self._consumers)

    @property
    def run_prefixes(self) -> tuple[str, ...]:
        """What this run's message ids begin with."""
        return tuple(self._run_prefixes)

    def sends(self) -> Iterator[SendRecord]:
        """Every send in the order in which it ended."""
        return self._sends.records()

    def reads(self) -> Iterator[ReadRecord]:
        """Every message of every replica's read-back."""
        return self._reads.records()

    def receives(self) -> Iterator[ReceiveRecord]:
        """Every message that a consumer was handed."""
        return self._receives.records()

    def send_columns(self) -> Columns:
        """The sends so far as numpy arrays: ``columns["start_ns"]``, ``columns.texts("sender")``."""
        return Columns(self._sends, self.shared)

    def read_columns(self) -> Columns:
        """The read-back so far as numpy arrays."""
        return Columns(self._reads, self.shared)

    def receive_columns(self) -> Columns:
        """What consumers were handed so far, as numpy arrays."""
        return Columns(self._receives, self.shared)

    # ---- files ------------------------------------------------------------------------------------------

    def export_jsonl(self, path: Path) -> None:
        """Write everything as JSON lines. An existing file is never overwritten: UsageError, as for no such folder."""
        jsonl.write(self, path)

    @classmethod
    def import_jsonl(cls, path: Path) -> History:
        """What :meth:`export_jsonl` wrote, to be judged again.

        A file that is missing, cut short, of another format or not a history raises UsageError naming the line: half a
        history must not be judged as if it were whole.
        """
        try:
            with path.open(encoding="utf-8") as lines:
                return jsonl.load(cls(), lines, where=str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path} cannot be read: {error}", hint="name a file written by --history") from error

    def save(self, path: Path) -> None:
        """Write everything into a new folder: Parquet files, and ``history.jsonl`` last. Some bytes an operation.

        Raises UsageError for a folder that exists or cannot be made, MachineError where writing fails.
        """
        from rmqkit.history import storage  # noqa: PLC0415 - pyarrow

        storage.save(self, path)

    @classmethod
    def load(cls, path: Path, *, incomplete_ok: bool = False) -> History:
        """What :meth:`save` or :meth:`recording` wrote, or, of a file, :meth:`export_jsonl`.

        Raises UsageError for what is no history, damaged, or cut short. ``incomplete_ok``: of a folder that was cut
        short whatever can be read, with ``incomplete`` saying so; it is judged as INCONCLUSIVE.
        """
        if path.is_file():
            return cls.import_jsonl(path)
        from rmqkit.history import storage  # noqa: PLC0415 - pyarrow

        return storage.load(cls(), path, incomplete_ok=incomplete_ok)

    @classmethod
    @contextmanager
    def recording(cls, path: Path) -> Iterator[History]:
        """A history that is written to a new folder while it grows: memory stays flat, and a killed run leaves it.

        Older operations are in the folder only and are read from it when asked for. Raises as :meth:`save`.
        """
        from rmqkit.history import storage  # noqa: PLC0415 - pyarrow

        with storage.recording(cls(), path) as history:
            yield history

    def flush(self) -> None:
        """Where this history is being recorded: write what was appended so far, for the sake of a run that is killed.

        Chunks are written as they are full, every ten seconds or so; slow traffic fills none for a while.
        """
        self.on_flush()

    @property
    def tables(self) -> tuple[Table[Any], ...]:
        """Sends, reads, receives and committed offsets."""
        return (self._sends, self._reads, self._receives, self._offsets)
