"""The recorder: append-only columns in memory, with JSON lines as an export.

What belongs here: facts with times. What does not: judgement (``checks/``) or knowledge of sockets.
Times are nanoseconds of one monotonic clock; ``wall_start`` ties them to UTC.
"""

from __future__ import annotations

import json
import threading
import time
from array import array
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from rmqkit.errors import UsageError


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
    """One message found on one replica, whatever wrote it; an empty ``message_id`` is not one of the kit's."""

    replica: str
    message_id: str
    topic: str
    queue: int
    offset: int


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
        self._read_facts = array("q")  # replica, topic, queue, offset
        self._readers_done: dict[str, bool] = {}
        self.faults: list[FaultEvent] = []

    # ---- writing ----------------------------------------------------------------------------------------

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
                (self._names.number(record.replica), self._names.number(record.topic), record.queue, record.offset)
            )

    def reader_done(self, replica: str, *, reached_end: bool) -> None:
        """Record that the read-back of one replica ended, and whether it saw everything."""
        with self._lock:
            self._readers_done[replica] = reached_end and self._readers_done.get(replica, True)

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
            replica, topic, queue, offset = facts[index * 4 : index * 4 + 4]
            yield ReadRecord(names[replica], message_id, names[topic], queue, offset)

    def export_jsonl(self, path: Path) -> None:
        """Write everything as JSON lines. An existing file is never overwritten: UsageError."""
        try:
            with path.open("x", encoding="utf-8") as out:
                for kind, record in self._lines():
                    out.write(json.dumps({"type": kind, **record}) + "\n")
        except FileExistsError as error:
            raise UsageError(f"{path} exists already", hint="name a file that does not exist yet") from error

    def _lines(self) -> Iterator[tuple[str, dict[str, Any]]]:
        yield "run", {"format": 1, "wall_start": self.wall_start, "start_ns": self.start_ns}
        for fault in self.faults:
            yield "fault", asdict(fault)
        for send in self.sends():
            yield "send", {**asdict(send), "outcome": send.outcome.name}
        for read in self.reads():
            yield "read", asdict(read)
        for replica, reached_end in self._readers_done.items():
            yield "reader", {"replica": replica, "reached_end": reached_end}
