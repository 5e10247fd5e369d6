"""A history as JSON lines: one object an operation, for people and other tools, and readable again.

Since format 2 the last line counts the others, so that a file cut short is found out; 3 names the run's id prefixes,
whether a body is intact and why a reader is incomplete; 4 adds who sent and how often, sharding keys, what consumers
got; 5 delays, the steps of transactions, committed offsets, what replicas still hold, who is in which group, and how
finely the steps of faults are known.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rmqkit.errors import UsageError
from rmqkit.history.records import (
    COMMIT,
    HALF,
    ROLLBACK,
    ConsumerEnd,
    FaultEvent,
    OffsetRecord,
    Outcome,
    RangeRecord,
    ReadRecord,
    ReceiveRecord,
    SendRecord,
)

if TYPE_CHECKING:
    from rmqkit.history.recorder import History

FORMAT = 5
READABLE = (3, 4, 5)
_SINCE: dict[int, dict[str, Any]] = {
    4: {"sender": "", "attempts": 1, "sharding_key": ""},
    5: {"delay_ms": 0, "transaction": ""},
}
_STEPS = ("", HALF, COMMIT, ROLLBACK)


def unknown_to(form: int) -> dict[str, Any]:
    """What sends of an older format do not have, and what it then is."""
    return {name: value for since, values in _SINCE.items() if form < since for name, value in values.items()}


def write(history: History, path: Path) -> None:
    """Write everything as JSON lines. An existing file is never overwritten: UsageError, as for no such folder."""
    try:
        with path.open("x", encoding="utf-8") as out:
            count = 0
            for kind, record in _lines(history):
                out.write(json.dumps({"type": kind, **record}) + "\n")
                count += 1
            out.write(json.dumps({"type": "end", "lines": count}) + "\n")
    except FileExistsError as error:
        raise UsageError(f"{path} exists already", hint="name a file that does not exist yet") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}", hint="name a file in a folder") from error


def _lines(history: History) -> Iterator[tuple[str, dict[str, Any]]]:
    beginning, end = _facts(history)
    yield from beginning
    for send in history.sends():
        yield "send", {**asdict(send), "outcome": send.outcome.name}
    for read in history.reads():
        yield "read", asdict(read)
    for receive in history.receives():
        yield "receive", asdict(receive)
    for offset in history.offsets():
        yield "offset", asdict(offset)
    yield from end


def facts(history: History) -> Iterator[tuple[str, dict[str, Any]]]:
    """Everything but the operations, as lines."""
    for lines in _facts(history):
        yield from lines


def _facts(history: History) -> tuple[list[tuple[str, dict[str, Any]]], list[tuple[str, dict[str, Any]]]]:
    run: dict[str, Any] = {"format": FORMAT, "wall_start": history.wall_start, "start_ns": history.start_ns}
    if history.incomplete:
        run["incomplete"] = history.incomplete
    beginning = [("run", {**run, "id_prefixes": list(history.run_prefixes)})]
    beginning += [("fault", asdict(fault)) for fault in history.faults]
    beginning += [("peer", {"address": address, "group": group}) for address, group in history.peers.items()]
    unread = history.unread
    end: list[tuple[str, dict[str, Any]]] = [
        ("reader", {"replica": replica, "reached_end": reached_end, "reason": unread.get(replica, "")})
        for replica, reached_end in history.readers.items()
    ]
    end += [("range", asdict(each)) for each in history.ranges]
    end += [("consumer", consumer_line(each)) for each in history.consumers.values()]
    return beginning, end


def consumer_line(end: ConsumerEnd) -> dict[str, Any]:
    """How a consumer's end is written."""
    return {**asdict(end), "topics": list(end.topics)}


def load_facts(history: History, lines: Iterable[str], *, where: str) -> None:
    """The same from lines that may end anywhere: what a killed run left."""
    loader = _Loader(history)
    for count, line in enumerate(lines, start=1):
        if line.endswith("\n"):
            loader.read(line, count, where)


def load(
    history: History, lines: Iterable[str], *, where: str, part: Callable[[dict[str, Any]], None] | None = None
) -> History:
    """Fill an empty ``history`` from exported lines; ``where`` names them in errors. Raises UsageError.

    ``part`` is called with each line that names a file of operations; without it there may be none.
    """
    loader = _Loader(history)
    if part is not None:
        loader.loaders["part"] = part
    count = 0
    for count, line in enumerate(lines, start=1):
        if not line.endswith("\n"):
            raise _cut_short(where, f"in the middle of line {count}")
        loader.read(line, count, where)
    if not loader.ended:
        raise _cut_short(where, f"after line {count}")
    return history


def _cut_short(where: str, at: str) -> UsageError:
    hint = "the run that wrote it was interrupted, and what it proves is not known: run it again"
    return UsageError(f"{where} was cut short {at}: its last line is missing", hint=hint)


def _why(error: Exception) -> str:
    return f"{error.args[0]!r} is unknown or missing" if isinstance(error, KeyError) else str(error)


_R = TypeVar("_R", SendRecord, ReadRecord, ReceiveRecord, OffsetRecord, RangeRecord, FaultEvent)
_TYPES = {"str": str, "int": int, "bool": bool, "Outcome": Outcome}


def _checked(kind: type[_R], values: dict[str, Any]) -> _R:
    record = kind(**values)
    for each in fields(record):
        value = values[each.name]
        if type(value) is not _TYPES[str(each.type)]:
            raise ValueError(f"{each.name} is {value!r}, which is no {each.type}")
        if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
            raise ValueError(f"{each.name} is {value}, which has more than 64 bits")
    return record


class _Loader:
    """Adds lines to a history, one at a time, and knows whether the last one was among them."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.ended = False
        self.format = FORMAT
        self.loaders: dict[str, Callable[[dict[str, Any]], None]] = {
            "run": self._run,
            "prefix": lambda record: history.add_run_prefix(record["prefix"]),
            "fault": lambda record: history.faults.append(_checked(FaultEvent, {"within_ns": 0, **record})),
            "send": self._send,
            "read": lambda record: history.add_read(_checked(ReadRecord, record)),
            "receive": lambda record: history.add_receive(_checked(ReceiveRecord, record)),
            "offset": lambda record: history.add_offset(_checked(OffsetRecord, record)),
            "range": lambda record: history.add_range(_checked(RangeRecord, record)),
            "peer": lambda record: history.add_peer(_text(record, "address"), _text(record, "group")),
            "reader": self._reader,
            "consumer": self._consumer,
        }

    def read(self, line: str, number: int, where: str) -> None:
        """Add one line's record. Raises UsageError naming it."""
        try:
            self._add(json.loads(line), number)
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            raise UsageError(
                f"{where} line {number} is not a line of a history: {_why(error)}",
                details=[line.rstrip()[:120]],
                hint=f"it must be what rmqkit wrote (formats {READABLE[0]} to {READABLE[-1]})",
            ) from error

    def _add(self, record: Any, number: int) -> None:
        # The last line must count those before it.
        if self.ended:
            raise ValueError("it follows the end")
        if not isinstance(record, dict):
            raise ValueError("it is no JSON object")  # noqa: TRY004 - about the file, not about a caller's types
        kind = record.pop("type")
        if (number == 1) != (kind == "run"):
            raise ValueError("a history has one run line, its first")
        if kind == "end":
            if record != {"lines": number - 1}:
                raise ValueError(f"{record.get('lines')} lines were written, {number - 1} are here")
            self.ended = True
        else:
            self.loaders[kind](record)

    def _run(self, record: dict[str, Any]) -> None:
        self.format = record["format"]
        if self.format not in READABLE:
            raise ValueError(f"format {self.format}, and this version reads formats {READABLE[0]} to {READABLE[-1]}")
        self.history.format = self.format
        self.history.incomplete = str(record.get("incomplete", ""))
        self.history.wall_start, self.history.start_ns = float(record["wall_start"]), int(record["start_ns"])
        for prefix in record["id_prefixes"]:
            if type(prefix) is not str or not prefix:
                raise ValueError(f"the id prefix {prefix!r} is no text")
            self.history.add_run_prefix(prefix)

    def _send(self, record: dict[str, Any]) -> None:
        older = unknown_to(self.format)
        send = _checked(SendRecord, {**older, **record, "outcome": Outcome[record["outcome"]]})
        if send.transaction not in _STEPS:
            raise ValueError(f"transaction is {send.transaction!r}, which is no step of one")
        self.history.add_send(send)

    def _reader(self, record: dict[str, Any]) -> None:
        reached_end = _flag(record, "reached_end")
        self.history.reader_done(str(record["replica"]), reached_end=reached_end, reason=str(record["reason"]))

    def _consumer(self, record: dict[str, Any]) -> None:
        topics = tuple(map(str, record["topics"]))
        drained = _flag(record, "drained")
        at_ns = int(record["at_ns"]) if self.format >= 5 else 0
        self.history.consumer_done(
            str(record["group"]), drained=drained, topics=topics, reason=str(record["reason"]), at_ns=at_ns
        )


def _text(record: dict[str, Any], name: str) -> str:
    value = record[name]
    if not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}, which is no text")  # noqa: TRY004
    return value


def _flag(record: dict[str, Any], name: str) -> bool:
    value = record[name]
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}, which is neither true nor false")  # noqa: TRY004
    return value
