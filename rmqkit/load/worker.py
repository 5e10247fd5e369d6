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

from rmqkit.client.message import OutgoingMessage
from rmqkit.client.outcomes import SendOutcome
from rmqkit.load.batches import Ending, Times, ending_of
from rmqkit.load.clients import OpenSender, Sender
from rmqkit.load.pace import ROUNDING_S, Backoff, Pace
from rmqkit.load.plan import SendPlan

PROBE_EVERY_S = 0.005
"""A closed loop's next send begins no sooner than this after one that failed began.

A refusal by a port that nothing listens on takes microseconds. Ten threads that spin on it would take the processors
from the brokers whose election they time, and 5 ms are finer than any outage.
"""

_LOOK_S = 0.05

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
        self._end_s = None if shift.end_ns is None else shift.end_ns / 1e9
        self._hold_s = 0.0
        self._failed_s: float | None = None

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
            while self._sequence != self._limit and self._wait_turn(sender, stop):
                self._send_some(sender)
            sender.drain()

    def _wait_turn(self, sender: Sender, stop: threading.Event) -> bool:
        """Wait until the next message is due; False when there is none any more."""
        now_s = time.monotonic()
        at_s = now_s + max(self._pace.left_s(now_s), self._hold_s)
        if self._failed_s is not None:
            at_s = max(at_s, self._failed_s + PROBE_EVERY_S)
        self._hold_s, self._failed_s = 0.0, None
        end_s = self._end_s
        if end_s is not None and at_s >= end_s - ROUNDING_S:
            _wait(sender, stop, end_s)
            return False
        return _wait(sender, stop, at_s)

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
        if ending is Ending.ACKNOWLEDGED:
            self._backoff.served()
        elif ending is not Ending.FLOW_CONTROL:
            self._failed_s = None if self._shift.plan.rate else start_ns / 1e9
        elif number == 0:  # a batch is refused as a whole, and held back for once
            self._hold_s = self._backoff.refused()


def _wait(sender: Sender, stop: threading.Event, until_s: float) -> bool:
    """Wait, and look after what is under way meanwhile; False when it was stopped."""
    while not stop.is_set():
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            return True
        if not sender.poll(min(left_s, _LOOK_S)):
            return not stop.wait(max(0.0, until_s - time.monotonic()))
    return False
