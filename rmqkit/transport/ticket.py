"""A request under way on a channel, and how its answer reaches whoever wants it.

What belongs here: the ticket. What does not: who reads and writes (``channel``).
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Protocol

from rmqkit.errors import RmqkitError
from rmqkit.wire.frames import Command

if TYPE_CHECKING:
    from rmqkit.transport.channel import Channel


class Done(Protocol):
    """Where tickets go that are answered, in the order in which the answers came: a ``deque``, for one.

    Whoever reads the connection calls it, and it may come twice for a ticket whose connection is lost: be quick, do
    not raise, and have the ticket abandoned or answered.
    """

    def append(self, ticket: Ticket, /) -> None:
        """Take a ticket whose answer, or whose loss, is known."""
        ...


class Ticket:
    """One request under way; made by :meth:`Channel.begin`. For one thread.

    A ticket that was begun with a ``done`` queue is put there when its answer comes, or when the connection is lost:
    then :meth:`answer` does not wait. Its owner looks after the deadline.
    """

    __slots__ = ("_channel", "_code", "_done", "_got", "_wake", "deadline", "opaque", "timeout_s")

    def __init__(self, channel: Channel, opaque: int, code: int, timeout_s: float, done: Done | None = None) -> None:
        self._channel = channel
        self._code = code
        self._done = done
        self._got: Command | None = None
        self._wake: threading.Lock | None = None  # made when its owner has to sleep; locked while nothing happened
        self.opaque = opaque
        self.timeout_s = timeout_s
        self.deadline = time.monotonic() + timeout_s

    @property
    def code(self) -> int:
        """The code of the request."""
        return self._code

    @property
    def got(self) -> Command | None:
        """The answer, once it is there."""
        return self._got

    @property
    def channel(self) -> Channel:
        """The connection that the request went over."""
        return self._channel

    def answer(self) -> Command:
        """Wait for the answer until the deadline that began with the request; raises as a request does."""
        try:
            return self._channel._await(self)  # noqa: SLF001 - a ticket is the channel's own other half
        finally:
            self.abandon()

    def expire(self) -> RmqkitError:
        """Give the request up for its time; the error that :meth:`answer` would raise at its deadline."""
        self.abandon()
        return self._channel._timed_out(self._code, self.timeout_s, sent=True, why="no answer came")  # noqa: SLF001

    def abandon(self) -> None:
        """Want the answer no more; it is dropped when it comes. May be called twice."""
        self._channel._settle(self)  # noqa: SLF001

    # -- the channel's side

    def deliver(self, answer: Command) -> None:
        """Take the answer, and tell whoever waits for it."""
        self._got = answer
        self.wake()

    def wake(self) -> None:
        """Something happened: an answer, a lost connection, or that nobody reads just now."""
        if self._done is not None:
            self._done.append(self)
        wake = self._wake
        if wake is not None:
            with contextlib.suppress(RuntimeError):  # it is awake already
                wake.release()

    def sleep(self, timeout_s: float) -> None:
        """Wait until :meth:`wake` or the end of the time."""
        if self._wake is not None:
            self._wake.acquire(timeout=max(timeout_s, 0.0))

    def can_sleep(self) -> bool:
        """Whether :meth:`wake` will be heard. The first call answers no and prepares it: look again before sleeping."""
        if self._wake is None:
            self._wake = threading.Lock()
            self._wake.acquire()
            return False
        return True
