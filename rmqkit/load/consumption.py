"""Members of a consumer group that take what comes, note it, and commit.

What belongs here: the receiving threads, and what they know of their lag. What does not: the group's protocol
(``rmqkit.client.groupconsumer``), counting (``statistics``).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, Self

from rmqkit.client.messagequeue import RETRY_PREFIX
from rmqkit.errors import RmqkitError, UsageError
from rmqkit.load.batches import ReceivedRow, ReceiveRecorder
from rmqkit.load.plan import ReceivePlan
from rmqkit.load.readback import unique_key
from rmqkit.load.team import Team
from rmqkit.wire.messages import StoredMessage

POLL_S = 0.2
LAG_EVERY_S = 1.0
_PAUSE_S = 0.2
_JOIN_S = 30.0


class Receiver(Protocol):
    """One member of a group."""

    def poll(self, timeout_s: float) -> Sequence[StoredMessage]:
        """What has come, waiting up to ``timeout_s`` for the first. What came before counts as consumed."""
        ...

    def queues(self) -> int:
        """How many queues of the topic this member has."""
        ...

    def lag(self) -> Mapping[str, int]:
        """Messages that the group has not consumed yet, by ``broker/queue``."""
        ...


OpenReceiver = Callable[[int], AbstractContextManager[Receiver]]
"""Gives a member, by its number, a receiver of its own."""


class Consumers:
    """The members of a load's group; use it with ``with``. Leaving ends them, each after a last commit."""

    def __init__(
        self,
        plan: ReceivePlan,
        open_receiver: OpenReceiver,
        *,
        id_of: Callable[[StoredMessage], str] = unique_key,
    ) -> None:
        self._id_of = id_of
        self._open_receiver = open_receiver
        self._recorder = ReceiveRecorder()
        self._lock = threading.Lock()
        self._lags: dict[int, Mapping[str, int]] = {}
        self._queues: dict[int, int] = {}
        self._team = Team(self._work, range(plan.threads), name="rmqkit-load-consumer")
        self.trouble: str = ""

    def __enter__(self) -> Self:
        self._team.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._team.join(_JOIN_S)
        except RmqkitError:
            if kind is None:
                raise

    @property
    def failure(self) -> BaseException | None:
        """What a thread raised first."""
        return self._team.errors[0] if self._team.errors else None

    def take(self) -> list[ReceivedRow]:
        """What came since the last call."""
        return self._recorder.take()

    def finish(self) -> None:
        """End all members; what they took last is there to be taken. Raises RmqkitError where one does not end."""
        self._team.join(_JOIN_S)

    @property
    def lag(self) -> dict[str, int]:
        """Of every queue, as of a second ago; of several members' answers the least: each knows its own queues
        better than the broker does."""
        with self._lock:
            every = list(self._lags.values())
        queues = sorted({queue for lags in every for queue in lags}, key=_by_number)
        return {queue: min(lags[queue] for lags in every if queue in lags) for queue in queues}

    @property
    def queues(self) -> int:
        """How many queues of the topic the members have."""
        with self._lock:
            return sum(self._queues.values())

    def _work(self, number: int, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                with self._open_receiver(number) as receiver:
                    self._receive(receiver, number, stop)
            except UsageError:
                raise
            except RmqkitError as error:
                # A group without a leader is what a load may be there to see: a new member tries again.
                self.trouble = str(error).splitlines()[0]
                stop.wait(_PAUSE_S)

    def _receive(self, receiver: Receiver, number: int, stop: threading.Event) -> None:
        asked_s = 0.0
        while not stop.is_set():
            messages = receiver.poll(POLL_S)
            if messages:
                now_ns = time.monotonic_ns()
                self._recorder.add([self._row(message, number, now_ns) for message in messages])
            if time.monotonic() - asked_s >= LAG_EVERY_S:
                asked_s = time.monotonic()
                self._ask(receiver, number)

    def _ask(self, receiver: Receiver, number: int) -> None:
        queues = receiver.queues()
        with self._lock:
            self._queues[number] = queues
        try:
            lags = receiver.lag()
        except UsageError:
            raise
        except RmqkitError as error:  # while there is no leader nobody can tell
            self.trouble = str(error).splitlines()[0]
            return
        self.trouble = ""
        with self._lock:
            self._lags[number] = lags

    def _row(self, message: StoredMessage, member: int, now_ns: int) -> ReceivedRow:
        retried = message.topic.startswith(RETRY_PREFIX)
        return ReceivedRow(self._id_of(message), member, message.queue_id, message.queue_offset, now_ns, retried)


def _by_number(queue: str) -> tuple[str, int]:
    broker, _, number = queue.rpartition("/")
    return broker, int(number)
