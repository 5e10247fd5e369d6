"""A pool of channels: one per address, opened when first used, opened again after it broke.

What belongs here: which channel serves a request. What does not: the connection itself (``channel``),
retries of requests whose effect is unknown (``rmqkit.client``).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self, TypeVar

from rmqkit.errors import ConnectFailedError, ConnectionLostError, RequestTimeoutError, UsageError, WireError
from rmqkit.transport.channel import Channel
from rmqkit.transport.dial import dial_all
from rmqkit.transport.incoming import OnRequest
from rmqkit.transport.ticket import Done, Ticket
from rmqkit.waiting import Deadline
from rmqkit.wire.frames import Command, Request

T = TypeVar("T")

BREAKING = (ConnectionLostError, RequestTimeoutError, WireError)
"""After these a channel is not used for another request. After a time-out the connection may be a dead one that TCP
keeps for minutes: the next request takes a new one, and what is in flight on the old one may still be answered."""


class Requester(Protocol):
    """Whatever takes a request to an address and brings the answer: a pool, or a scripted one in tests."""

    def request(self, address: str, command: Command, *, timeout_s: float) -> Command:
        """The answer to ``command``, or an error of the transport."""
        ...


class Sender(Requester, Protocol):
    """A requester that takes any request that can make its frame, and writes what wants no answer."""

    def request(self, address: str, command: Request, *, timeout_s: float) -> Command:
        """The answer to ``command``, or an error of the transport."""
        ...

    def oneway(self, address: str, command: Request, *, timeout_s: float) -> None:
        """Write ``command``, marked as one-way, or raise an error of the transport."""
        ...


class Pending(Protocol):
    """A request under way."""

    def answer(self) -> Command:
        """Wait for the answer, or raise an error of the transport."""
        ...

    def abandon(self) -> None:
        """Want the answer no more."""
        ...


class Pipeline(Requester, Protocol):
    """A requester that can also have several requests under way at once."""

    def begin(self, address: str, command: Command, *, timeout_s: float) -> Pending:
        """Send ``command``; the answer is waited for later."""
        ...

    def begin_each(self, address: str, commands: Sequence[Command], *, timeout_s: float) -> Sequence[Pending]:
        """Send ``commands``, at least one, with one write; each answer is waited for later."""
        ...

    def connect_all(self, addresses: Iterable[str], *, timeout_s: float) -> Mapping[str, ConnectFailedError]:
        """Connect to those that have no connection yet, all at once; which cannot be reached, and why."""
        ...


class ChannelPool:
    """Channels by address, safe for use by several threads; closing it ends all of them.

    ``on_request(address, command)`` is called for each request that a peer makes of *us* (brokers do, after a
    heartbeat: CHECK_TRANSACTION_STATE, NOTIFY_CONSUMER_IDS_CHANGED and others), by whichever thread reads. What it
    returns is sent as the answer, under the request's number; None is answered with "not supported"; a one-way request
    is never answered. It must be quick and must not wait for an answer over the same pool: the thread that it runs in
    is the one that would read it (``oneway`` is fine). An error that it raises is answered to the peer and given to
    ``threading.excepthook``.
    """

    def __init__(self, *, connect_timeout_s: float = 3.0, on_request: OnRequest | None = None) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._on_request = on_request
        self._lock = threading.Lock()
        self._channels: dict[str, Channel] = {}
        self._opening: dict[str, threading.Lock] = {}
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def request(self, address: str, command: Request, *, timeout_s: float) -> Command:
        """Send ``command`` to ``address`` and give the answer; connecting counts into ``timeout_s``.

        A kept connection that turns out closed before anything was written is replaced once. Nothing else is
        tried again: the caller knows whether it may be. Raises what :class:`Channel` raises.
        """
        ticket = self._on_a_channel(
            address, lambda channel, left_s: channel.begin(command, timeout_s=left_s), timeout_s
        )
        try:
            return ticket.answer()
        except BREAKING:
            self.retire(address, ticket.channel)
            raise

    def begin(self, address: str, command: Request, *, timeout_s: float) -> PoolTicket:
        """Send ``command`` as :meth:`request` does, and give a ticket for its answer."""

        def begin(channel: Channel, left_s: float) -> PoolTicket:
            return PoolTicket(self, address, channel, channel.begin(command, timeout_s=left_s))

        return self._on_a_channel(address, begin, timeout_s)

    def begin_each(self, address: str, commands: Sequence[Request], *, timeout_s: float) -> list[PoolTicket]:
        """:meth:`begin` for several requests to one address, with one write: the peer, and a proxy between, wake up
        once for all of them.
        """

        def begin(channel: Channel, left_s: float) -> list[PoolTicket]:
            tickets = channel.begin_all(commands, timeout_s=left_s)
            return [PoolTicket(self, address, channel, ticket) for ticket in tickets]

        return self._on_a_channel(address, begin, timeout_s)

    def connect_all(self, addresses: Iterable[str], *, timeout_s: float) -> Mapping[str, ConnectFailedError]:
        """Connect to every address that has no channel yet, all at once; which cannot be reached, and why."""
        missing = [address for address in addresses if self._existing(address) is None]
        if not missing:
            return {}
        failed: dict[str, ConnectFailedError] = {}
        for address, made in dial_all(missing, timeout_s=min(self._connect_timeout_s, timeout_s)).items():
            if isinstance(made, ConnectFailedError):
                failed[address] = made
                continue
            channel = Channel(made, address=address, on_request=self._on_request)
            with self._lock:
                if not self._closed and self._channels.setdefault(address, channel) is channel:
                    continue
            channel.close()
        return failed

    def begin_all(self, address: str, commands: Sequence[Request], *, timeout_s: float, done: Done) -> list[Ticket]:
        """Send several requests with one write; each ticket goes to ``done`` when its answer came, or the connection
        was lost. Whoever waits reads with :meth:`Channel.drive`, and looks after the deadlines.
        """
        return self._on_a_channel(
            address, lambda channel, left_s: channel.begin_all(commands, timeout_s=left_s, done=done), timeout_s
        )

    def oneway(self, address: str, command: Request, *, timeout_s: float) -> None:
        """Write ``command`` to ``address``, marked as one-way."""
        self._on_a_channel(address, lambda channel, left_s: channel.oneway(command, timeout_s=left_s), timeout_s)

    def listen(self, address: str, *, timeout_s: float) -> None:
        """Read the connection to ``address`` for up to ``timeout_s`` seconds, so that the peer's requests are taken
        even while nobody waits for an answer.

        Connects where there is no connection. Returns at the end of the time, or earlier when the connection was
        replaced: call it in a loop. Raises what a request would when the connection is lost.
        """
        deadline = Deadline.after(timeout_s)
        channel, _ = self._channel(address, deadline)
        try:
            channel.listen(timeout_s=deadline.left_s)
        except BREAKING:
            self.retire(address, channel)
            raise

    def forget(self, address: str) -> None:
        """Drop the channel to ``address``, if there is one; requests in flight on it end first."""
        with self._lock:
            channel = self._channels.pop(address, None)
        if channel is not None:
            channel.retire()

    def retire(self, address: str, channel: Channel) -> None:
        """Use another connection from now on; requests in flight on ``channel`` may still be answered."""
        with self._lock:
            if self._channels.get(address) is channel:
                del self._channels[address]
        channel.retire()

    def close(self) -> None:
        """Close all channels. Requests in flight get :class:`ConnectionLostError`."""
        with self._lock:
            self._closed = True
            channels = list(self._channels.values())
            self._channels.clear()
        for channel in channels:
            channel.close()

    def _on_a_channel(self, address: str, act: Callable[[Channel, float], T], timeout_s: float) -> T:
        """Act on the kept connection, and once more on a new one where that turns out closed before anything was
        written.
        """
        end = time.monotonic() + timeout_s
        for may_repeat in (True, False):
            channel, is_new = self._channels.get(address), False
            if channel is None or channel.is_broken:
                channel, is_new = self._channel(address, Deadline(end))
            try:
                return act(channel, max(end - time.monotonic(), 0.0))
            except BREAKING as error:
                self.retire(address, channel)
                stale = isinstance(error, ConnectionLostError) and not error.request_sent and not is_new
                if not (stale and may_repeat):
                    raise
        raise AssertionError("the second turn returns or raises")

    def _channel(self, address: str, deadline: Deadline) -> tuple[Channel, bool]:
        channel = self._existing(address)
        if channel is not None:
            return channel, False
        with self._lock:
            opening = self._opening.setdefault(address, threading.Lock())
        if not opening.acquire(timeout=deadline.left_s):
            raise RequestTimeoutError(
                f"{address}: another request was still connecting when the time was over",
                address=address,
                request_sent=False,
            )
        try:
            channel = self._existing(address)
            if channel is not None:
                return channel, False
            channel = Channel.open(
                address,
                connect_timeout_s=min(self._connect_timeout_s, deadline.left_s),
                on_request=self._on_request,
            )
            with self._lock:
                if not self._closed:
                    self._channels[address] = channel
                    return channel, True
            channel.close()
            raise UsageError(f"the channel pool was closed while it connected to {address}")
        finally:
            opening.release()

    def _existing(self, address: str) -> Channel | None:
        with self._lock:
            if self._closed:
                raise UsageError("the channel pool is closed", hint="use it inside its `with` block")
            channel = self._channels.get(address)
            if channel is not None and channel.is_broken:
                del self._channels[address]
                return None
            return channel


class PoolTicket:
    """A request under way through a pool; made by :meth:`ChannelPool.begin`."""

    __slots__ = ("_address", "_channel", "_pool", "_ticket")

    def __init__(self, pool: ChannelPool, address: str, channel: Channel, ticket: Ticket) -> None:
        self._pool = pool
        self._address = address
        self._channel = channel
        self._ticket = ticket

    def answer(self) -> Command:
        """Wait for the answer; raises what :class:`Channel` raises."""
        try:
            return self._ticket.answer()
        except BREAKING:
            self._pool.retire(self._address, self._channel)
            raise

    def abandon(self) -> None:
        """Want the answer no more."""
        self._ticket.abandon()
