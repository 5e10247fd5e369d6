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

from rmqkit.errors import RmqkitError, UsageError
from rmqkit.load.batches import ReceivedRow, ReceiveRecorder
from rmqkit.load.plan import ReceivePlan
from rmqkit.load.team import Team
from rmqkit.wire.messages import StoredMessage

POLL_S = 0.2
LAG_EVERY_S = 1.0
_PAUSE_S = 0.2
_JOIN_S = 30.0
_RETRY = "%RETRY%"


class Receiver(Protocol):
    """One member of a group."""

    def poll(self, timeout_s: float) -> Sequence[StoredMessage]:
        """What has come, waiting up to ``timeout_s`` for the first."""
        ...

    def commit(self) -> None:
        """What was handed out is consumed."""
        ...

    def lag(self) -> Mapping[str, int]:
        """Messages that are not committed yet, by ``broker/queue``, of the queues that this member has."""
        ...


OpenReceiver = Callable[[int], AbstractContextManager[Receiver]]
"""Gives a member, by its number, a receiver of its own."""


class Consumers:
    """The members of a load's group; use it with ``with``. Leaving ends them, each after a last commit."""

    def __init__(self, plan: ReceivePlan, open_receiver: OpenReceiver) -> None:
        self._open_receiver = open_receiver
        self._recorder = ReceiveRecorder()
        self._lock = threading.Lock()
        self._lags: dict[int, Mapping[str, int]] = {}
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
        """The lag of every queue that a member has, as of a second ago."""
        with self._lock:
            return {queue: lag for lags in self._lags.values() for queue, lag in sorted(lags.items())}

    @property
    def queues(self) -> int:
        """How many queues are assigned to members."""
        return len(self.lag)

    def _work(self, number: int, stop: threading.Event) -> None:
        with self._open_receiver(number) as receiver:
            asked_s = 0.0
            while not stop.is_set():
                try:
                    self._take_some(receiver, number)
                    if time.monotonic() - asked_s >= LAG_EVERY_S:
                        self._ask_lag(receiver, number)
                        asked_s = time.monotonic()
                    self.trouble = ""
                except UsageError:
                    raise
                except RmqkitError as error:
                    # A group without a leader is what a load may be there to see: it goes on.
                    self.trouble = str(error).splitlines()[0]
                    stop.wait(_PAUSE_S)

    def _take_some(self, receiver: Receiver, number: int) -> None:
        messages = receiver.poll(POLL_S)
        if not messages:
            return
        now_ns = time.monotonic_ns()
        self._recorder.add(
            [
                ReceivedRow(
                    message.unique_key,
                    number,
                    message.queue_id,
                    message.queue_offset,
                    now_ns,
                    message.topic.startswith(_RETRY),
                )
                for message in messages
            ]
        )
        receiver.commit()

    def _ask_lag(self, receiver: Receiver, number: int) -> None:
        lags = receiver.lag()
        with self._lock:
            self._lags[number] = lags
