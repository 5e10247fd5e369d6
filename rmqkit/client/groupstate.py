"""What the threads of one group consumer share, behind one lock.

What belongs here: the queues held, what was asked of the control thread, how it ended. What does not: any act.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import Enum, auto

from rmqkit.client.heldqueue import HeldQueue
from rmqkit.client.messagequeue import MessageQueue


class Ask(Enum):
    """What the control thread is asked to do now instead of at its next time."""

    ROUTES = auto()
    HEARTBEAT = auto()
    REBALANCE = auto()


@dataclass(frozen=True, slots=True)
class Jump:
    """The consumer went on elsewhere in a queue: forward over what the broker has no more, or back."""

    queue: MessageQueue
    start: int
    to: int
    address: str
    why: str

    def __str__(self) -> str:
        return f"{self.queue}: from offset {self.start} to {self.to}, as {self.address} says ({self.why})"


class GroupState:
    """Shared state. Everything is read and written with :attr:`lock` held, which is never held over a request."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.arrived = threading.Condition(self.lock)  # for poll and the workers
        self.wake = threading.Condition(self.lock)  # for the control thread
        self.held: dict[MessageQueue, HeldQueue] = {}
        self.asked: set[Ask] = set()
        self.resets: list[dict[MessageQueue, int]] = []
        self.jumps: list[Jump] = []
        self.buffered_bytes = 0
        self.failure: BaseException | None = None
        self.failure_raised = False
        self.closing = False

    @property
    def over(self) -> bool:
        """Whether the threads have to end."""
        return self.closing or self.failure is not None

    def ask(self, *what: Ask) -> None:
        """Have the control thread do it soon; the lock is not held by the caller."""
        with self.lock:
            self.asked.update(what)
            self.wake.notify_all()

    def fail(self, error: BaseException) -> None:
        """End the consumer: the next call of the user raises ``error``. The first one counts."""
        with self.lock:
            if self.failure is None:
                self.failure = error
            self.arrived.notify_all()
            self.wake.notify_all()

    def close(self) -> None:
        """Have all threads end."""
        with self.lock:
            self.closing = True
            self.arrived.notify_all()
            self.wake.notify_all()

    def raise_failure(self) -> None:
        """Raise what ended a thread, if something did; the lock is held by the caller."""
        if self.failure is not None:
            self.failure_raised = True
            raise self.failure
