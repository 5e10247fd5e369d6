"""What workers ship to whoever counts and records: finished sends and received messages, many at a time.

What belongs here: the rows, collected by threads and taken by one. What does not: what they mean together
(``statistics``), where they are kept (``rmqkit.history``).
numpy is imported when columns are asked for: the steady traffic of a drill, and what only starts up, need none.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from rmqkit.client.outcomes import Receipt, Refused, SendOutcome
from rmqkit.history import Outcome
from rmqkit.wire.codes import ResponseCode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Column: TypeAlias = NDArray[np.int64]


class Ending(IntEnum):
    """How a send ended: the three outcomes, and those refusals by which a broker sheds load."""

    ACKNOWLEDGED = 0
    REFUSED = 1
    UNKNOWN = 2
    FLOW_CONTROL = 3

    @property
    def outcome(self) -> Outcome:
        """The outcome that the history knows."""
        return Outcome.REFUSED if self is Ending.FLOW_CONTROL else Outcome(int(self))


_FLOW_CONTROL = (ResponseCode.SYSTEM_BUSY, ResponseCode.FLOW_CONTROL)


def ending_of(outcome: SendOutcome) -> Ending:
    """What came of a send.

    Flow control is code 2 (NettyRemotingAbstract, BrokerFastFailure) or 215 (since 4.9), or a remark that says
    "system busy": an answer that the broker gives instead of touching the store.
    """
    if isinstance(outcome, Receipt):
        return Ending.ACKNOWLEDGED
    if isinstance(outcome, Refused):
        busy = outcome.code in _FLOW_CONTROL or "system busy" in outcome.remark.lower()
        return Ending.FLOW_CONTROL if busy else Ending.REFUSED
    return Ending.UNKNOWN


class Times(NamedTuple):
    """When a send was due, when it began and when it ended, in monotonic nanoseconds."""

    due_ns: int
    start_ns: int
    end_ns: int


class SendRow(NamedTuple):
    """One finished send; ``address`` and ``reason`` are numbers of the batch's names. Times are monotonic ns."""

    worker: int
    sequence: int
    due_ns: int
    start_ns: int
    end_ns: int
    ending: int
    queue: int
    offset: int
    address: int
    reason: int
    attempts: int


@dataclass(frozen=True, slots=True)
class SendBatch:
    """Finished sends: ``numbers`` holds the rows one after the other."""

    numbers: array[int]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.numbers) // len(SendRow._fields)

    def rows(self) -> Iterator[SendRow]:
        """Each send, one by one."""
        width = len(SendRow._fields)
        for at in range(0, len(self.numbers), width):
            yield SendRow._make(self.numbers[at : at + width])

    def columns(self) -> SendColumns:
        """The same, column by column."""
        import numpy as np  # noqa: PLC0415

        table = np.frombuffer(self.numbers, dtype=np.int64).reshape(-1, len(SendRow._fields))
        return SendColumns(*table.T)


class SendColumns(NamedTuple):
    """The fields of :class:`SendRow`, each for every send of a batch."""

    worker: Column
    sequence: Column
    due_ns: Column
    start_ns: Column
    end_ns: Column
    ending: Column
    queue: Column
    offset: Column
    address: Column
    reason: Column
    attempts: Column

    def where(self, chosen: NDArray[np.bool_]) -> SendColumns:
        """Only those sends."""
        return SendColumns(*(column[chosen] for column in self))


class SendRecorder:
    """Collects what several threads have sent; :meth:`take` empties it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._start()

    def _start(self) -> None:
        self._numbers = array("q")
        self._names: dict[str, int] = {}

    def add(self, worker: int, sequence: int, times: Times, outcome: SendOutcome) -> None:
        """One send has ended."""
        ending = ending_of(outcome)
        queue, offset, reason = -1, -1, ""
        if isinstance(outcome, Receipt):
            queue, offset = outcome.queue_id, outcome.queue_offset
        else:
            reason = outcome.reason
        address = outcome.address or ""
        with self._lock:
            number = self._names.setdefault
            facts = (
                worker,
                sequence,
                *times,
                ending,
                queue,
                offset,
                number(address, len(self._names)),
                number(reason, len(self._names)),
                len(outcome.attempts),
            )
            self._numbers.extend(facts)

    def take(self) -> SendBatch | None:
        """What came since the last call; None for nothing."""
        with self._lock:
            if not self._numbers:
                return None
            batch = SendBatch(self._numbers, tuple(self._names))
            self._start()
        return batch


class ReceivedRow(NamedTuple):
    """One message that a consumer took; ``at_ns`` is when it was handed out, monotonic."""

    message_id: str
    member: int
    queue: int
    offset: int
    at_ns: int
    retried: bool = False


class ReceiveRecorder:
    """Collects what several consumers took; :meth:`take` empties it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: list[ReceivedRow] = []

    def add(self, rows: list[ReceivedRow]) -> None:
        """One poll has ended."""
        with self._lock:
            self._rows += rows

    def take(self) -> list[ReceivedRow]:
        """What came since the last call."""
        with self._lock:
            rows, self._rows = self._rows, []
        return rows
