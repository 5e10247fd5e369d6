"""One connection to one peer: requests out, answers matched by their number, every call with a deadline.

What belongs here: the socket, who reads it, what a failure means for the requests in flight. What does not:
connecting again (``pool``), what a request means (``rmqkit.client``).

There is no thread. Of the callers that wait for an answer, one reads the socket and hands out what it
finds; when it has its own answer, the next one takes over. So a channel with nobody waiting costs nothing,
and a long poll does not hold up the others. The peer's own requests (a broker's check of a transaction, for one) are
taken by whoever reads: :meth:`Channel.listen` reads while nobody waits for an answer.

A request costs two system calls on the way, one to write and one to read, for they are most of its price. So the socket
is a blocking one whose reads end by themselves after a slice of time, and only the end of a deadline is polled for.
"""

from __future__ import annotations

import contextlib
import itertools
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rmqkit.errors import TransportError, WireError
from rmqkit.transport.dial import dial, reason
from rmqkit.transport.failure import LOST_HINT, Failure, timed_out
from rmqkit.transport.incoming import Incoming, OnRequest
from rmqkit.transport.ticket import Done, Ticket
from rmqkit.wire.frames import Command, FrameDecoder, Request

DEFAULT_CONNECT_TIMEOUT_S = 3.0

_READ_BYTES = 262_144
_OPAQUE_LIMIT = 0x7FFF_FFFF
_SLICE_S = 0.25
_LONGEST_POLL_S = 3600.0
_TURN_S = 0.005
_OWN_ANSWER_TIMEOUT_S = 3.0


class Channel:
    """One open TCP connection, safe for use by several threads. Made by :meth:`open`.

    After :class:`ConnectionLostError` or :class:`WireError` it is broken for good (:attr:`is_broken`); a
    time-out leaves it usable, and the late answer is dropped when it comes.
    """

    def __init__(self, stream: socket.socket, *, address: str, on_request: OnRequest | None = None) -> None:
        """Take over a connected socket; :meth:`open` is the usual way."""
        stream.settimeout(None)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, int(_SLICE_S * 1_000_000)))
        self.address = address
        self._socket = stream
        self._decoder = FrameDecoder()
        self._buffer = bytearray(_READ_BYTES)
        self._view = memoryview(self._buffer)
        self._readable = select.poll()  # used with the reader's lock only
        self._readable.register(stream, select.POLLIN)
        self._writable = select.poll()  # used with the writer's lock only
        self._writable.register(stream, select.POLLOUT)
        self._opaques = itertools.count(1)
        # Only who holds the reader's lock reads, only who holds the writer's writes, and the socket is closed by who
        # holds both: nobody works on a descriptor that has become another one's.
        self._reader = threading.Lock()
        self._writer = threading.Lock()
        self._tickets: dict[int, Ticket] = {}
        self._sleepers: dict[int, Ticket] = {}  # those whose owner sleeps because another one reads
        self._incoming = Incoming(address, on_request)
        self._outbox: deque[bytes] = deque()  # our answers; written by whoever has the writer's lock
        self._retired = False
        self._failure: Failure | None = None
        self._closed = False

    @classmethod
    def open(
        cls,
        address: str,
        *,
        connect_timeout_s: float = DEFAULT_CONNECT_TIMEOUT_S,
        on_request: OnRequest | None = None,
    ) -> Self:
        """Connect to ``host:port``. Raises :class:`ConnectFailedError`, with the reason, within the time
        given. ``on_request`` as in :class:`~rmqkit.transport.pool.ChannelPool`.
        """
        return cls(dial(address, timeout_s=connect_timeout_s), address=address, on_request=on_request)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def is_broken(self) -> bool:
        """Whether no further request can succeed on this connection."""
        return self._failure is not None

    def request(self, command: Request, *, timeout_s: float) -> Command:
        """Send ``command`` under a number of its own and give the answer, whatever its code.

        Raises :class:`RequestTimeoutError`, :class:`ConnectionLostError` (both tell by ``request_sent``
        whether the peer may have seen the request) or :class:`WireError` when the peer answers garbage.
        """
        return self.begin(command, timeout_s=timeout_s).answer()

    def begin(self, command: Request, *, timeout_s: float, done: Done | None = None) -> Ticket:
        """Send ``command`` and give a ticket for its answer, so that several requests can be under way at once.

        Each ticket must be answered or abandoned; ``done`` is where it goes once its answer is there. Raises what
        :meth:`request` raises until the request is written.
        """
        opaque = next(self._opaques) & _OPAQUE_LIMIT
        frame = command.frame(opaque)
        ticket = Ticket(self, opaque, command.code, timeout_s, done)
        alone = not self._tickets
        self._tickets[opaque] = ticket
        try:
            self._write(frame, command.code, ticket.deadline, timeout_s, check=alone)
        except BaseException:
            self._settle(ticket)
            raise
        return ticket

    def begin_all(self, commands: Sequence[Request], *, timeout_s: float, done: Done | None = None) -> list[Ticket]:
        """Send several requests with one write, as :meth:`begin` does. All of them, or the error, are as one."""
        numbers = [next(self._opaques) & _OPAQUE_LIMIT for _ in commands]
        frames = [command.frame(number) for command, number in zip(commands, numbers, strict=True)]
        code, alone = commands[0].code, not self._tickets
        tickets = [Ticket(self, number, code, timeout_s, done) for number in numbers]
        self._tickets.update(zip(numbers, tickets, strict=True))
        try:
            self._write(b"".join(frames), code, tickets[0].deadline, timeout_s, check=alone)
        except BaseException:
            for ticket in tickets:
                self._settle(ticket)
            raise
        return tickets

    def oneway(self, command: Request, *, timeout_s: float) -> None:
        """Send ``command`` marked as one-way: written to the connection, and nothing is known beyond that."""
        frame = command.frame(next(self._opaques) & _OPAQUE_LIMIT, oneway=True)
        self._write(frame, command.code, time.monotonic() + timeout_s, timeout_s, check=not self._tickets)

    def drive(self, *, timeout_s: float) -> None:
        """Read what comes within ``timeout_s`` seconds, once: for who waits for a ``done`` queue to fill.

        Waits a moment at most while another thread reads: what comes is delivered by that one. Never raises for the
        connection: each ticket learns by itself that it is lost.
        """
        if self._failure is not None:
            return
        if self._reader.acquire(blocking=False) or self._reader.acquire(timeout=min(timeout_s, _TURN_S)):
            try:
                self._read_some(timeout_s)
            finally:
                self._stop_reading()
            self._serve_peer()

    def listen(self, *, timeout_s: float) -> None:
        """Read for ``timeout_s`` seconds, so that the peer's own requests are taken while nobody waits for an answer.

        Raises as a request would when the connection is lost; returns early when the channel is retired.
        """
        ticket = Ticket(self, -next(self._opaques), 0, timeout_s)
        try:
            while self._failure is None and not self._retired:
                left = ticket.deadline - time.monotonic()
                if left <= 0:
                    return
                if self._reader.acquire(blocking=False):
                    try:
                        self._read_some(min(left, _SLICE_S))
                    finally:
                        self._stop_reading()
                    self._serve_peer()
                elif ticket.can_sleep():
                    ticket.sleep(min(left, _SLICE_S))
                else:
                    self._sleepers[ticket.opaque] = ticket
        finally:
            self._settle(ticket)
        if self._failure is not None and not self._retired:
            raise self._failure.error(request_sent=True)

    def close(self) -> None:
        """Close the connection; requests in flight get :class:`ConnectionLostError`. May be called twice."""
        self._fail("the channel was closed by its owner")

    def retire(self) -> None:
        """Close as soon as the last request in flight has ended."""
        self._retired = True
        if not self._tickets:
            self._fail("the channel was retired")

    # -- the end of a request, and of the connection

    def _settle(self, ticket: Ticket) -> None:
        if self._sleepers and self._sleepers.pop(ticket.opaque, None) is not None and not self._reader.locked():
            self._hand_over()  # it may have been woken to read, and does not want to any more
        if self._tickets.pop(ticket.opaque, None) is not None and self._retired and not self._tickets:
            self._fail("the channel was retired")

    def _fail(self, what: str, *, hint: str = "", garbage: WireError | None = None) -> None:
        if self._failure is None:
            self._failure = Failure(self.address, what, hint, garbage)
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)  # wakes whoever reads it
        for ticket in (*self._tickets.values(), *self._sleepers.values()):
            if ticket.got is None:
                ticket.wake()
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        while not self._closed and self._writer.acquire(blocking=False):  # else its holder comes by here
            try:
                if self._reader.acquire(blocking=False):
                    self._closed = True
                    self._socket.close()
                    self._reader.release()
            finally:
                self._writer.release()
            if self._reader.locked():  # its holder comes by here
                return

    # -- writing

    def _write(self, frame: bytes, code: int, deadline: float, timeout_s: float, *, check: bool) -> None:
        if not self._writer.acquire(blocking=False) and not self._writer.acquire(
            timeout=max(deadline - time.monotonic(), 0)
        ):
            raise self._timed_out(code, timeout_s, sent=False, why="another request was still being written")
        try:
            if self._failure is not None or (check and self._looks_stale()):
                raise self._failed(request_sent=False)
            self._send_all(frame, code, deadline, timeout_s)
        finally:
            self._writer.release()
            self._serve_peer()
            if self._failure is not None:
                self._close_if_unused()

    def _send_all(self, frame: bytes, code: int, deadline: float, timeout_s: float) -> None:
        sent = 0
        while sent < len(frame):
            try:
                sent += self._socket.send(memoryview(frame)[sent:] if sent else frame, socket.MSG_DONTWAIT)
                continue
            except BlockingIOError:
                pass
            except OSError as error:
                self._fail(f"the connection broke while a request was written ({reason(error)})")
                raise self._failed(request_sent=sent > 0) from error
            left = deadline - time.monotonic()
            if not self._writable.poll(max(min(left, _LONGEST_POLL_S), 0) * 1000) and time.monotonic() >= deadline:
                if sent:  # half a frame cannot be taken back
                    self._fail("a request was cut off by its deadline")
                raise self._timed_out(code, timeout_s, sent=sent > 0, why="the peer takes no bytes")

    def _looks_stale(self) -> bool:
        """Whether the peer closed the connection while it lay idle; reads what came in the meantime."""
        if self._reader.acquire(blocking=False):
            try:
                while self._failure is None and self._readable.poll(0):
                    self._receive(socket.MSG_DONTWAIT)
            finally:
                self._stop_reading()
        return self._failure is not None

    # -- reading

    def _await(self, ticket: Ticket) -> Command:
        while True:
            if ticket.got is not None:
                return ticket.got
            if self._failure is not None:
                raise self._failure.error(request_sent=True)
            left = ticket.deadline - time.monotonic()
            if left <= 0:
                # Who waited for a frozen peer before asks late for an answer that has been here for long.
                if not self._looks_stale() and ticket.got is None:
                    raise self._timed_out(ticket.code, ticket.timeout_s, sent=True, why="no answer came")
                continue
            if self._reader.acquire(blocking=False):
                try:
                    while ticket.got is None and self._failure is None and left > 0:
                        self._read_some(left)
                        self._serve_peer()
                        left = ticket.deadline - time.monotonic()
                finally:
                    self._stop_reading()
            elif ticket.can_sleep():
                ticket.sleep(left)
            else:
                self._sleepers[ticket.opaque] = ticket  # and look once more: the reader may have gone meanwhile

    def _stop_reading(self) -> None:
        self._reader.release()
        if self._sleepers:
            self._hand_over()
        if self._failure is not None:
            self._close_if_unused()

    def _hand_over(self) -> None:
        """Wake one of those that sleep because another one was reading."""
        for ticket in tuple(self._sleepers.values()):
            if ticket.got is None:
                ticket.wake()
                return

    def _read_some(self, wait_s: float) -> None:
        """Wait up to ``wait_s`` seconds for bytes and take them; only with the reader's lock."""
        if wait_s >= _SLICE_S:
            self._receive(0)  # gives up by itself after a slice
        elif self._readable.poll(max(wait_s, 0) * 1000):
            self._receive(socket.MSG_DONTWAIT)

    def _receive(self, flags: int) -> None:
        try:
            count = self._socket.recv_into(self._buffer, 0, flags)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(f"the connection broke ({reason(error)})", hint=LOST_HINT)
            return
        if not count:
            cut = f" in the middle of a frame ({self._decoder.buffered} bytes of it)"
            self._fail(f"the peer closed the connection{cut if self._decoder.buffered else ''}", hint=LOST_HINT)
            return
        try:
            for command in self._decoder.feed(self._view[:count]):
                if command.is_response:
                    ticket = self._tickets.get(command.opaque)
                    if ticket is not None:
                        ticket.deliver(command)
                    # an answer that nobody waits for is dropped quietly
                else:
                    self._incoming.add(command)
        except WireError as error:
            self._fail(error.what, garbage=error)

    # -- the peer's own requests

    def _serve_peer(self) -> None:
        """Handle the requests that were read, and write our answers; never with the writer's lock held."""
        if self._incoming.waiting:
            self._outbox.extend(self._incoming.answers())
        while self._outbox and self._failure is None and self._writer.acquire(blocking=False):
            # Where another thread holds the lock it comes by here itself, right after it has let go.
            try:
                while self._outbox and self._failure is None:
                    self._send_all(self._outbox.popleft(), 0, time.monotonic() + _OWN_ANSWER_TIMEOUT_S, 0.0)
            except (TransportError, WireError):
                self._fail("the peer does not take the answer to its own request")
            finally:
                self._writer.release()
            if self._failure is not None:
                self._close_if_unused()

    # -- helpers

    def _failed(self, *, request_sent: bool) -> Exception:
        assert self._failure is not None
        return self._failure.error(request_sent=request_sent)

    def _timed_out(self, code: int, timeout_s: float, *, sent: bool, why: str) -> TransportError:
        return timed_out(self.address, code, timeout_s, sent=sent, why=why)
