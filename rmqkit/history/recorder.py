"""The recorder: append-only columns in memory, with JSON lines as an export.

What belongs here: facts with times. What does not: judgement (``checks/``) or knowledge of sockets.
Times are nanoseconds of one monotonic clock; ``wall_start`` ties them to UTC.
"""

from __future__ import annotations

import json
import threading
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from enum import IntEnum
from pathlib import Path
from typing import Any, TypeVar

from rmqkit.errors import UsageError

FORMAT = 3
"""Of the exported lines. Since 2 the last line counts them, so that a file cut short is found out; since 3 the run line
names the run's id prefixes, a read says whether its body is intact, and a reader why it is incomplete."""


class Outcome(IntEnum):
    """How a send ended. Only an acknowledged message can be lost."""

    ACKNOWLEDGED = 0
    REFUSED = 1
    UNKNOWN = 2


@dataclass(frozen=True, slots=True)
class SendRecord:
    """One send: ``queue`` and ``offset`` are -1 unless it was acknowledged."""

    message_id: str
    topic: str
    start_ns: int
    end_ns: int
    outcome: Outcome
    queue: int
    offset: int
    address: str
    reason: str


@dataclass(frozen=True, slots=True)
class ReadRecord:
    """One message found on one replica, whatever wrote it; ``message_id`` is empty where it carries none.

    ``intact``: its body matches the checksum that the leader of that time stored beside it.
    """

    replica: str
    message_id: str
    topic: str
    queue: int
    offset: int
    intact: bool = True


@dataclass(frozen=True, slots=True)
class FaultEvent:
    """A step of a fault: ``kind`` as in kill-leader, ``step`` as in injected, elected, restored."""

    kind: str
    step: str
    target: str
    at_ns: int


class _Names:
    """Strings that repeat (topics, addresses, reasons), each kept once."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.names: list[str] = []

    def number(self, name: str) -> int:
        found = self._numbers.get(name)
        if found is None:
            found = self._numbers[name] = len(self.names)
            self.names.append(name)
        return found


class History:
    """Everything of one run. Thread-safe to append to; read it when the writers are done."""

    def __init__(self) -> None:
        self.wall_start = time.time()
        self.start_ns = time.monotonic_ns()
        self._lock = threading.Lock()
        self._names = _Names()
        self._send_ids: list[str] = []
        self._send_times = array("q")  # start, end, start, end ...
        self._send_facts = array("q")  # topic, outcome, queue, offset, address, reason
        self._read_ids: list[str] = []
        self._read_facts = array("q")  # replica, topic, queue, offset, intact
        self._readers_done: dict[str, bool] = {}
        self._unread: dict[str, str] = {}
        self._run_prefixes: dict[str, None] = {}
        self.faults: list[FaultEvent] = []

    # ---- writing ----------------------------------------------------------------------------------------

    def add_run_prefix(self, prefix: str) -> None:
        """Every message id that begins so is this run's, sent or not. Raises UsageError for an empty one."""
        if not prefix:
            raise UsageError("an empty id prefix would claim everybody's messages", hint='for example "3f2a9c01-"')
        with self._lock:
            self._run_prefixes[prefix] = None

    def add_send(self, record: SendRecord) -> None:
        """Record one finished send."""
        with self._lock:
            number = self._names.number
            self._send_ids.append(record.message_id)
            self._send_times.extend((record.start_ns, record.end_ns))
            self._send_facts.extend(
                (
                    number(record.topic),
                    int(record.outcome),
                    record.queue,
                    record.offset,
                    number(record.address),
                    number(record.reason),
                )
            )

    def add_read(self, record: ReadRecord) -> None:
        """Record one message that a replica showed in the read-back."""
        with self._lock:
            self._read_ids.append(record.message_id)
            self._read_facts.extend(
                (
                    self._names.number(record.replica),
                    self._names.number(record.topic),
                    record.queue,
                    record.offset,
                    record.intact,
                )
            )

    def reader_done(self, replica: str, *, reached_end: bool, reason: str = "") -> None:
        """Record that the read-back of one replica ended, and whether it saw everything; ``reason`` if it did not."""
        with self._lock:
            self._readers_done[replica] = reached_end and self._readers_done.get(replica, True)
            if reason:
                self._unread.setdefault(replica, reason)

    def add_fault(self, kind: str, step: str, target: str) -> FaultEvent:
        """Record a step of a fault, now."""
        event = FaultEvent(kind, step, target, time.monotonic_ns())
        with self._lock:
            self.faults.append(event)
        return event

    # ---- reading ----------------------------------------------------------------------------------------

    @property
    def send_count(self) -> int:
        """How many sends were recorded."""
        return len(self._send_ids)

    @property
    def read_count(self) -> int:
        """How many messages the replicas showed, counted per replica."""
        return len(self._read_ids)

    @property
    def readers(self) -> dict[str, bool]:
        """Each replica that was read back, and whether its reader reached the end."""
        return dict(self._readers_done)

    @property
    def unread(self) -> dict[str, str]:
        """Why a replica was not read to its end, where that is known."""
        return dict(self._unread)

    @property
    def run_prefixes(self) -> tuple[str, ...]:
        """What this run's message ids begin with."""
        return tuple(self._run_prefixes)

    def sends(self) -> Iterator[SendRecord]:
        """Every send in the order in which it ended."""
        names, facts, times = self._names.names, self._send_facts, self._send_times
        for index, message_id in enumerate(self._send_ids):
            topic, outcome, queue, offset, address, reason = facts[index * 6 : index * 6 + 6]
            yield SendRecord(
                message_id,
                names[topic],
                times[index * 2],
                times[index * 2 + 1],
                Outcome(outcome),
                queue,
                offset,
                names[address],
                names[reason],
            )

    def reads(self) -> Iterator[ReadRecord]:
        """Every message of every replica's read-back."""
        names, facts = self._names.names, self._read_facts
        for index, message_id in enumerate(self._read_ids):
            replica, topic, queue, offset, intact = facts[index * 5 : index * 5 + 5]
            yield ReadRecord(names[replica], message_id, names[topic], queue, offset, bool(intact))

    def export_jsonl(self, path: Path) -> None:
        """Write everything as JSON lines. An existing file is never overwritten: UsageError, as for no such folder."""
        try:
            with path.open("x", encoding="utf-8") as out:
                count = 0
                for kind, record in self._lines():
                    out.write(json.dumps({"type": kind, **record}) + "\n")
                    count += 1
                out.write(json.dumps({"type": "end", "lines": count}) + "\n")
        except FileExistsError as error:
            raise UsageError(f"{path} exists already", hint="name a file that does not exist yet") from error
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}", hint="name a file in a folder") from error

    @classmethod
    def import_jsonl(cls, path: Path) -> History:
        """What :meth:`export_jsonl` wrote, to be judged again.

        A file that is missing, cut short, of another format or not a history raises UsageError naming the line: half a
        history must not be judged as if it were whole.
        """
        try:
            with path.open(encoding="utf-8") as lines:
                return loaded(cls(), lines, where=str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path} cannot be read: {error}", hint="name a file written by --history") from error

    def _lines(self) -> Iterator[tuple[str, dict[str, Any]]]:
        run = {"format": FORMAT, "wall_start": self.wall_start, "start_ns": self.start_ns}
        yield "run", {**run, "id_prefixes": list(self._run_prefixes)}
        for fault in self.faults:
            yield "fault", asdict(fault)
        for send in self.sends():
            yield "send", {**asdict(send), "outcome": send.outcome.name}
        for read in self.reads():
            yield "read", asdict(read)
        for replica, reached_end in self._readers_done.items():
            yield "reader", {"replica": replica, "reached_end": reached_end, "reason": self._unread.get(replica, "")}


def loaded(history: History, lines: Iterable[str], *, where: str) -> History:
    """Fill an empty ``history`` from exported lines; ``where`` names them in errors. Raises UsageError."""
    count, ended = 0, False
    for count, line in enumerate(lines, start=1):
        if not line.endswith("\n"):
            raise _cut_short(where, f"in the middle of line {count}")
        try:
            if ended:
                raise ValueError("it follows the end")
            ended = _load_line(history, json.loads(line), count)
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            raise UsageError(
                f"{where} line {count} is not a line of a history: {_why(error)}",
                details=[line.rstrip()[:120]],
                hint=f"it must be what this version of rmqkit wrote (format {FORMAT})",
            ) from error
    if not ended:
        raise _cut_short(where, f"after line {count}")
    return history


def _cut_short(where: str, at: str) -> UsageError:
    hint = "the run that wrote it was interrupted, and what it proves is not known: run it again"
    return UsageError(f"{where} was cut short {at}: its last line is missing", hint=hint)


def _why(error: Exception) -> str:
    return f"{error.args[0]!r} is unknown or missing" if isinstance(error, KeyError) else str(error)


def _load_line(history: History, record: Any, number: int) -> bool:
    """Add one line's record; True for the last line, which must count those before it."""
    if not isinstance(record, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004 - about the file, not about a caller's types
    kind = record.pop("type")
    if (number == 1) != (kind == "run"):
        raise ValueError("a history has one run line, its first")
    if kind == "end":
        if record != {"lines": number - 1}:
            raise ValueError(f"{record.get('lines')} lines were written, {number - 1} are here")
        return True
    _LOADERS[kind](history, record)
    return False


_R = TypeVar("_R", SendRecord, ReadRecord, FaultEvent)
_TYPES = {"str": str, "int": int, "bool": bool, "Outcome": Outcome}


def _checked(kind: type[_R], values: dict[str, Any]) -> _R:
    record = kind(**values)
    for each in fields(record):
        if type(values[each.name]) is not _TYPES[str(each.type)]:
            raise ValueError(f"{each.name} is {values[each.name]!r}, which is no {each.type}")
    return record


def _load_run(history: History, record: dict[str, Any]) -> None:
    if record["format"] != FORMAT:
        raise ValueError(f"format {record['format']}, and this version reads format {FORMAT}")
    history.wall_start, history.start_ns = float(record["wall_start"]), int(record["start_ns"])
    for prefix in record["id_prefixes"]:
        if type(prefix) is not str or not prefix:
            raise ValueError(f"the id prefix {prefix!r} is no text")
        history.add_run_prefix(prefix)


def _load_send(history: History, record: dict[str, Any]) -> None:
    history.add_send(_checked(SendRecord, {**record, "outcome": Outcome[record["outcome"]]}))


def _load_reader(history: History, record: dict[str, Any]) -> None:
    if not isinstance(record["reached_end"], bool):
        raise ValueError(f"reached_end is {record['reached_end']!r}, which is neither true nor false")  # noqa: TRY004
    history.reader_done(str(record["replica"]), reached_end=record["reached_end"], reason=str(record["reason"]))


_LOADERS: dict[str, Callable[[History, dict[str, Any]], None]] = {
    "run": _load_run,
    "fault": lambda history, record: history.faults.append(_checked(FaultEvent, record)),
    "send": _load_send,
    "read": lambda history, record: history.add_read(_checked(ReadRecord, record)),
    "reader": _load_reader,
}
