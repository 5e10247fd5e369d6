"""Steady traffic: a few threads that send at a given rate, each outcome recorded, until they are told to stop.

The workers are a load's (``worker``); what differs is that each outcome is in the history at once, and that a pause of
the cluster owes no burst afterwards: the sends are probes of a service, at a rate.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rmqkit.client.outcomes import Receipt, SendOutcome
from rmqkit.errors import RmqkitError, UsageError, WaitTimeoutError
from rmqkit.history import History, Outcome, SendRecord
from rmqkit.load.batches import Times, ending_of
from rmqkit.load.clients import built_in_senders
from rmqkit.load.plan import SendPlan
from rmqkit.load.recording import sender_name
from rmqkit.load.team import Team
from rmqkit.load.worker import Shift, Worker
from rmqkit.waiting import Deadline, Pending, wait_until

MARGIN_S = 5.0


def longest_send_s(nameservers: Sequence[str], timeout_s: float) -> float:
    """One send may ask every NameServer for the route, each for its whole time, before it comes to a broker."""
    return (len(nameservers) + 2) * timeout_s


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
        self.body = body
        self.timeout_s = timeout_s
        self.run = secrets.token_hex(4)
        self._plan = SendPlan(topic=topic, tag="", threads=threads, rate=rate, timeout_s=timeout_s)
        self._shift: Shift | None = None
        self._team = Team(self._work, range(threads), name="rmqkit-load")
        self._lock = threading.Lock()
        self._acked = 0

    @property
    def acknowledged(self) -> int:
        """How many sends were acknowledged so far."""
        return self._acked

    def __enter__(self) -> Self:
        self.history.add_run_prefix(f"{self.run}-")
        self._shift = Shift(self.run, self._plan, time.monotonic_ns(), self.body)
        self._team.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._team.join(longest_send_s(self.nameservers, self.timeout_s) + MARGIN_S)
        except RmqkitError:
            if kind is None and not self._team.errors:
                raise
        if kind is None:
            self._team.check()

    def wait_acknowledged(self, more: int, *, timeout_s: float) -> None:
        """Wait until ``more`` further sends were acknowledged. Raises WaitTimeoutError saying how many were."""
        goal = self._acked + more

        def probe() -> bool | Pending:
            self._team.check()
            return self._acked >= goal or Pending(f"{self._acked} of {goal} acknowledged")

        try:
            wait_until(probe, label=f"{more} more sends are acknowledged", timeout_s=timeout_s, every_s=0.02)
        except WaitTimeoutError as error:
            error.hint = "is the group without a leader? `rmqkit status` tells"
            raise

    def run_for(self, seconds: float) -> None:
        """Let it go on for ``seconds``, whatever becomes of the sends. Raises what a thread raised."""
        end = Deadline.after(seconds)

        def probe() -> bool | Pending:
            self._team.check()
            return end.passed or Pending(f"{self._acked} sends acknowledged so far")

        # Its own end comes well before the wait's: that one is for a clock that stands still.
        wait_until(probe, label=f"{seconds:g} s of traffic", timeout_s=seconds + 60, every_s=0.05)

    def _work(self, number: int, stop: threading.Event) -> None:
        assert self._shift is not None
        worker = Worker(self._shift, number, record=self._record, catch_up=False)
        worker.run(built_in_senders(self.nameservers, self._plan), stop)

    def _record(self, worker: int, sequence: int, times: Times, outcome: SendOutcome) -> None:
        kind = ending_of(outcome).outcome
        queue, offset, reason = -1, -1, ""
        if isinstance(outcome, Receipt):
            queue, offset = outcome.queue_id, outcome.queue_offset
        else:
            reason = outcome.reason
        self.history.add_send(
            SendRecord(
                f"{self.run}-{worker}-{sequence}",
                self.topic,
                times.start_ns,
                times.end_ns,
                kind,
                queue,
                offset,
                outcome.address or "",
                reason,
                sender_name(self._plan, worker),
            )
        )
        if kind is Outcome.ACKNOWLEDGED:
            with self._lock:
                self._acked += 1
