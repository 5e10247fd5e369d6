"""Some of a run's senders as threads of this process: all of them, or a worker process's part.

What belongs here: starting them together and ending them together. What does not: other processes (``process``).
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rmqkit.drivers.interface import BUILT_IN
from rmqkit.load.batches import SendBatch, SendRecorder
from rmqkit.load.plan import SendPlan
from rmqkit.load.team import Team
from rmqkit.load.worker import Shift, Worker

if TYPE_CHECKING:
    from rmqkit.load.clients import OpenSender

THREAD_NAME = "rmqkit-load"
_MARGIN_S = 5.0
_FOREIGN_S = 60.0


@dataclass(frozen=True, slots=True)
class Assignment:
    """What one process does: the senders ``first`` to ``last`` (exclusive) of a run."""

    run: str
    plan: SendPlan
    nameservers: tuple[str, ...]
    first: int
    last: int

    @property
    def longest_end_s(self) -> float:
        """How long ending may take: a send may ask every NameServer for the route, each for its whole time, before it
        comes to a broker. Other drivers' clients try again by themselves, for as long as they see fit."""
        foreign_s = _FOREIGN_S if set(self.plan.drivers) - {BUILT_IN} else 0.0
        return (len(self.nameservers) + 2) * self.plan.timeout_s + _MARGIN_S + foreign_s

    def __str__(self) -> str:
        return f"senders {self.first} to {self.last - 1}"


@dataclass(frozen=True, slots=True)
class Account:
    """What senders tell at their end: processor time, messages that were due and not sent, time held back."""

    cpu_s: float = 0.0
    unsent: int = 0
    backed_off_s: float = 0.0

    def __add__(self, other: Account) -> Account:
        return Account(self.cpu_s + other.cpu_s, self.unsent + other.unsent, self.backed_off_s + other.backed_off_s)


class Squad:
    """The senders of an assignment. :meth:`start`, :meth:`take` until not :attr:`running`, then :meth:`finish`."""

    def __init__(self, assignment: Assignment, open_sender: OpenSender) -> None:
        self._assignment = assignment
        self._open_sender = open_sender
        self._recorder = SendRecorder()
        self._team = Team(self._work, range(assignment.first, assignment.last), name=THREAD_NAME)
        self._workers: dict[int, Worker] = {}
        self._shift: Shift | None = None
        self._cpu_began_s = 0.0
        self._stopped_ns: int | None = None

    def start(self, start_ns: int) -> None:
        """Begin at ``start_ns`` of the monotonic clock."""
        plan = self._assignment.plan
        self._shift = Shift(self._assignment.run, plan, start_ns, plan.body)
        self._cpu_began_s = time.process_time()
        self._team.start()

    def stop(self) -> None:
        """Send no more; what is under way comes to its outcome."""
        if self._stopped_ns is None:
            self._stopped_ns = time.monotonic_ns()
        self._team.stop.set()

    @property
    def running(self) -> bool:
        """Whether any thread has not ended."""
        return bool(self._team.running)

    def take(self) -> list[SendBatch]:
        """Sends that ended since the last call. Raises what a thread raised."""
        batch = self._recorder.take()
        self._team.check()
        return [] if batch is None else [batch]

    def finish(self) -> Account:
        """Wait for the ends of all threads. Raises RmqkitError where one does not come."""
        self.stop()
        self._team.join(self._assignment.longest_end_s)
        assert self._stopped_ns is not None
        return Account(
            cpu_s=time.process_time() - self._cpu_began_s,
            unsent=sum(worker.owed(self._stopped_ns) for worker in self._workers.values()),
            backed_off_s=sum(worker.backed_off_s for worker in self._workers.values()),
        )

    def close(self) -> None:
        """Let go, however it ended: threads are told to stop, and end by themselves."""
        self.stop()

    def _work(self, number: int, stop: threading.Event) -> None:
        assert self._shift is not None
        worker = self._workers[number] = Worker(self._shift, number, record=self._recorder.add)
        worker.run(self._open_sender, stop)
