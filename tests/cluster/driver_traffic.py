"""Traffic through one driver, with every outcome in a history: for the tests that compare what clients see."""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from rmqkit.client.message import OutgoingMessage
from rmqkit.client.outcomes import OutcomeUnknown, Receipt, SendOutcome
from rmqkit.drivers import DriverProducer
from rmqkit.drivers.interface import HIDDEN_RETRIES
from rmqkit.history import History, Outcome, SendRecord
from rmqkit.waiting import Pending, wait_until

QUICK_S = 0.5
"""A send that is acknowledged within this time had no time for a second attempt of the client's own."""

MOST_ATTEMPTS = 5


class DriverTraffic:
    """A few threads that send one message after the other, until told to stop."""

    def __init__(self, producer: DriverProducer, *, topic: str, threads: int = 2, pause_s: float = 0.02) -> None:
        self.producer = producer
        self.topic = topic
        self.history = History()
        self.stop = threading.Event()
        self._threads = threads
        self._pause_s = pause_s
        self._prefix = f"{secrets.token_hex(4)}-"
        self._lock = threading.Lock()
        self.acks: list[tuple[float, float]] = []
        self.outcomes: Counter[Outcome] = Counter()

    @contextmanager
    def running(self) -> Iterator[DriverTraffic]:
        self.history.add_run_prefix(self._prefix)
        threads = [threading.Thread(target=self._send, args=(n,), daemon=True) for n in range(self._threads)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self.stop.set()
            for thread in threads:
                thread.join(60)
        assert not any(thread.is_alive() for thread in threads), f"{self.producer.name} did not end"

    def wait_acknowledged(self, more: int, *, timeout_s: float) -> None:
        """Wait for ``more`` messages that were both sent and acknowledged from now on."""
        since = time.monotonic()

        def enough() -> bool | Pending:
            new = sum(1 for started, _ in list(self.acks) if started > since)
            return new >= more or Pending(f"{new} of {more}")

        wait_until(enough, label=f"{self.producer.name} is acknowledged {more} times", timeout_s=timeout_s)

    def _send(self, thread: int) -> None:
        number = 0
        while not self.stop.wait(self._pause_s):
            number += 1
            message = OutgoingMessage(self.topic, b"Test", message_id=f"{self._prefix}{thread}-{number}")
            started = time.monotonic_ns()
            outcome = self.producer.send(message)
            self._record(thread, message, started, time.monotonic_ns(), outcome)

    def _record(self, thread: int, message: OutgoingMessage, started: int, ended: int, outcome: SendOutcome) -> None:
        kind, queue, offset, reason = Outcome.REFUSED, -1, -1, getattr(outcome, "reason", "")
        if isinstance(outcome, Receipt):
            kind, queue, offset = Outcome.ACKNOWLEDGED, outcome.queue_id, outcome.queue_offset
            with self._lock:  # the threads', not the history's
                self.acks.append((started / 1e9, ended / 1e9))
        elif isinstance(outcome, OutcomeUnknown):
            kind = Outcome.UNKNOWN
        with self._lock:
            self.outcomes[kind] += 1

        # A client that tries again by itself may have stored a message more than once, and says nothing of it.
        quick = kind is Outcome.ACKNOWLEDGED and ended - started < QUICK_S * 1e9
        attempts = 1 if quick or HIDDEN_RETRIES not in self.producer.capabilities else MOST_ATTEMPTS
        self.history.add_send(
            SendRecord(
                message.message_id,
                self.topic,
                started,
                ended,
                kind,
                queue,
                offset,
                "",
                reason,
                sender=f"{self.producer.name}/{thread}",
                attempts=attempts,
            )
        )
