"""Steady traffic: a few threads that send at a given rate, each outcome recorded, until they are told to stop.

One of the two places of the kit with threads. A send that fails is not tried again: the next message is the next
probe of the service, and every message has exactly one send, so that what comes back can be judged.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rmqkit.client.outcomes import OutcomeUnknown, Receipt, SendOutcome
from rmqkit.client.producer import Producer
from rmqkit.client.send import OutgoingMessage
from rmqkit.errors import RmqkitError, UsageError, WaitTimeoutError
from rmqkit.history import History, Outcome, SendRecord
from rmqkit.transport.pool import ChannelPool
from rmqkit.waiting import Pending, wait_until

_MARGIN_S = 5.0


class Pace:
    """When each of one thread's messages is due. After a long answer the schedule starts anew: no burst is owed."""

    def __init__(self, first_due_s: float, *, interval_s: float) -> None:
        self._due_s = first_due_s
        self._interval_s = interval_s

    def left_s(self, now_s: float) -> float:
        """How long to wait for the next message; 0 when it is due."""
        return max(0.0, self._due_s - now_s)

    def sends(self, now_s: float) -> None:
        """The message that was due is sent now."""
        self._due_s = max(self._due_s + self._interval_s, now_s)


class SteadyTraffic:
    """Sends to one topic from ``threads`` threads, together ``rate`` messages a second; use it with ``with``.

    Every thread has its own connections and its own route, as separate services have. Leaving the block ends the
    traffic and raises what a thread raised (a bug of the kit: trouble of the cluster is an outcome, not an error).
    """

    def __init__(
        self,
        nameservers: Sequence[str],
        *,
        topic: str,
        history: History,
        threads: int = 4,
        rate: float = 200.0,
        body: bytes = b"Test",
        timeout_s: float = 3.0,
    ) -> None:
        if not rate > 0 or threads < 1:
            raise UsageError(f"rate={rate}, threads={threads}: no traffic", hint="for example rate=200, threads=4")
        self.nameservers = tuple(nameservers)
        self.topic = topic
        self.history = history
        self.threads = threads
        self.rate = rate
        self.body = body
        self.timeout_s = timeout_s
        self.run = secrets.token_hex(4)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._acked = 0
        self._workers: list[threading.Thread] = []
        self._errors: list[BaseException] = []

    @property
    def acknowledged(self) -> int:
        """How many sends were acknowledged so far."""
        return self._acked

    def __enter__(self) -> Self:
        self.history.add_run_prefix(f"{self.run}-")
        for number in range(self.threads):
            worker = threading.Thread(target=self._work, args=(number,), name=f"rmqkit-load-{number}", daemon=True)
            self._workers.append(worker)
            worker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        # One send may ask every NameServer for the route, each for its whole time, before it comes to a broker.
        longest_send_s = (len(self.nameservers) + 2) * self.timeout_s
        for worker in self._workers:
            worker.join(timeout=longest_send_s + _MARGIN_S)
        if kind is not None:
            return
        if self._errors:
            raise self._errors[0]
        stuck = [worker.name for worker in self._workers if worker.is_alive()]
        if stuck:
            raise RmqkitError(
                f"traffic did not end: {', '.join(stuck)} still run, and their sends are not in the history",
                hint="this is a bug of the kit: a send is bounded by timeout_s for each NameServer and for the broker",
            )

    def wait_acknowledged(self, more: int, *, timeout_s: float) -> None:
        """Wait until ``more`` further sends were acknowledged. Raises WaitTimeoutError saying how many were."""
        goal = self._acked + more

        def probe() -> bool | Pending:
            if self._errors:
                raise self._errors[0]
            return self._acked >= goal or Pending(f"{self._acked} of {goal} acknowledged")

        try:
            wait_until(probe, label=f"{more} more sends are acknowledged", timeout_s=timeout_s, every_s=0.02)
        except WaitTimeoutError as error:
            error.hint = "is the group without a leader? `rmqkit status` tells"
            raise

    def _work(self, number: int) -> None:
        try:
            with ChannelPool() as pool:
                producer = Producer(pool, self.nameservers, timeout_s=self.timeout_s)
                interval = self.threads / self.rate
                pace = Pace(time.monotonic() + interval * number / self.threads, interval_s=interval)
                sequence = 0
                while not self._stop.wait(pace.left_s(time.monotonic())):
                    pace.sends(time.monotonic())
                    message_id = f"{self.run}-{number}-{sequence}"
                    sequence += 1
                    started = time.monotonic_ns()
                    outcome = producer.send_message(OutgoingMessage(self.topic, self.body, message_id=message_id))
                    self._record(message_id, started, outcome)
        except BaseException as error:  # noqa: BLE001 - handed to the caller by __exit__
            self._errors.append(error)

    def _record(self, message_id: str, started: int, outcome: SendOutcome) -> None:
        if isinstance(outcome, Receipt):
            kind, queue, offset, reason = Outcome.ACKNOWLEDGED, outcome.queue_id, outcome.queue_offset, ""
        else:
            kind = Outcome.UNKNOWN if isinstance(outcome, OutcomeUnknown) else Outcome.REFUSED
            queue, offset, reason = -1, -1, outcome.reason
        address = outcome.address or ""
        ended = time.monotonic_ns()
        record = SendRecord(
            message_id, self.topic, started, ended, kind, queue, offset, address, reason, sender="built-in"
        )
        self.history.add_send(record)
        if kind is Outcome.ACKNOWLEDGED:
            with self._lock:
                self._acked += 1
