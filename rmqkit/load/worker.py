"""One sending thread: what it sends, when, and what it does after each outcome.

What belongs here: the loop. What does not: threads and processes (``team``, ``process``), the client (``clients``),
the schedule (``pace``).

Every message has one send and an id of its own, ``RUN-worker-sequence``: what comes back can be told from what others
sent, and what comes back twice was stored twice. A send that fails is not tried again: the next message is the next
probe of the service.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from rmqkit.client.outcomes import SendOutcome
from rmqkit.client.send import OutgoingMessage
from rmqkit.load.batches import Ending, Times, ending_of
from rmqkit.load.clients import OpenSender, Sender
from rmqkit.load.pace import Backoff, Pace
from rmqkit.load.plan import SendPlan

PROBE_EVERY_S = 0.005
"""A closed loop's next send begins no sooner than this after one that failed began.

A refusal by a port that nothing listens on takes microseconds. Ten threads that spin on it would take the processors
from the brokers whose election they time, and 5 ms are finer than any outage.
"""

Record = Callable[[int, int, Times, SendOutcome], None]
"""Takes the worker, the number of the message among its own, and the times and outcome of its send."""


@dataclass(frozen=True, slots=True)
class Shift:
    """What all workers of a run have in common; times are of the monotonic clock, which processes share."""

    run: str
    plan: SendPlan
    start_ns: int
    body: bytes

    @property
    def end_ns(self) -> int | None:
        """When the last message may be due; None where only a count or a stop ends it."""
        return None if self.plan.duration_s is None else self.start_ns + int(self.plan.duration_s * 1e9)


class Worker:
    """The sender ``number``; :meth:`run` sends until the plan's end, or until it is stopped."""

    def __init__(self, shift: Shift, number: int, *, record: Record, catch_up: bool = True) -> None:
        self._shift = shift
        self._number = number
        self._record = record
        plan = shift.plan
        self._backoff = Backoff(f"{plan.seed}/{number}")
        interval_s = plan.senders * plan.batch / plan.rate if plan.rate else 0.0
        first_s = shift.start_ns / 1e9 + interval_s * number / plan.senders
        self._pace = Pace(first_s, interval_s=interval_s, catch_up=catch_up and bool(plan.rate))
        self._limit = plan.share(number)
        self._sequence = 0
        self._lock = threading.Lock()
        self._hold_s = 0.0
        self._failed_at: float | None = None

    @property
    def backed_off_s(self) -> float:
        """How long it has held back because a broker shed load."""
        return self._backoff.total_s

    def owed(self, until_ns: int) -> int:
        """Messages that were due by then and not sent."""
        end_ns = min(until_ns, self._shift.end_ns or until_ns)
        owed = self._pace.owed(end_ns / 1e9) * self._shift.plan.batch
        return owed if self._limit is None else min(owed, self._limit - self._sequence)

    def run(self, open_sender: OpenSender, stop: threading.Event) -> None:
        """Send. Returns when all that was sent has come to its outcome."""
        with open_sender(self._number) as sender:
            while self._sequence != self._limit and self._wait_turn(stop):
                self._send_some(sender)
            sender.drain()

    def _wait_turn(self, stop: threading.Event) -> bool:
        """Wait until the next message is due; False when there is none any more."""
        now_s = time.monotonic()
        wait_s = self._pace.left_s(now_s)
        with self._lock:
            hold_s, self._hold_s = self._hold_s, 0.0
            failed_at, self._failed_at = self._failed_at, None
        if failed_at is not None:
            wait_s = max(wait_s, failed_at + PROBE_EVERY_S - now_s)
        wait_s = max(wait_s, hold_s)
        end_ns = self._shift.end_ns
        if end_ns is not None and now_s + wait_s >= end_ns / 1e9:
            stop.wait(max(0.0, end_ns / 1e9 - now_s))
            return False
        return not (stop.wait(wait_s) if wait_s > 0 else stop.is_set())

    def _send_some(self, sender: Sender) -> None:
        plan, run, body = self._shift.plan, self._shift.run, self._shift.body
        first = self._sequence
        number = plan.batch if self._limit is None else min(plan.batch, self._limit - first)
        messages = [
            OutgoingMessage(plan.topic, body, tags=plan.tag, message_id=f"{run}-{self._number}-{first + each}")
            for each in range(number)
        ]
        self._sequence += number
        start_ns = time.monotonic_ns()
        due_ns = min(int(self._pace.sends(start_ns / 1e9) * 1e9), start_ns)
        sender.send(messages, partial(self._done, first, due_ns, start_ns))

    def _done(self, first: int, due_ns: int, start_ns: int, number: int, outcome: SendOutcome) -> None:
        self._record(self._number, first + number, Times(due_ns, start_ns, time.monotonic_ns()), outcome)
        ending = ending_of(outcome)
        if ending is Ending.FLOW_CONTROL:
            if number == 0:  # a batch was refused as a whole: it is held back for once
                with self._lock:
                    self._hold_s = self._backoff.refused()
        elif ending is Ending.ACKNOWLEDGED:
            self._backoff.served()
        elif not self._shift.plan.rate:
            with self._lock:
                self._failed_at = start_ns / 1e9
