"""One connection to one peer: requests out, answers matched by their number, every call with a deadline.

What belongs here: the socket, who reads it, what a failure means for the requests in flight. What does not:
connecting again (``pool``), what a request means (``rmqkit.client``).

There is no thread. Of the callers that wait for an answer, one reads the socket and hands out what it
finds; when it has its own answer, the next one takes over. So a channel with nobody waiting costs nothing,
and a long poll does not hold up the others. The peer's own requests (a broker's check of a transaction, for one) are
taken by whoever reads: :meth:`Channel.listen` reads while nobody waits for an answer.
"""

from __future__ import annotations

import contextlib
import itertools
import select
import socket
import threading
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rmqkit.errors import (
    ConnectionLostError,
    RequestTimeoutError,
    TransportError,
    WireError,
)
from rmqkit.transport.dial import dial, reason
from rmqkit.transport.incoming import Incoming, OnRequest
from rmqkit.waiting import Deadline
from rmqkit.wire.codes import request_name
from rmqkit.wire.frames import FLAG_ONEWAY, Command, FrameDecoder, encode

DEFAULT_CONNECT_TIMEOUT_S = 3.0

_READ_BYTES = 262_144
_OPAQUE_LIMIT = 0x7FFF_FFFF
_LONGEST_POLL_S = 3600.0
_LISTEN_SLICE_S = 0.5
_OWN_ANSWER_TIMEOUT_S = 3.0


class Channel:
    """One open TCP connection, safe for use by several threads. Made by :meth:`open`.

    After :class:`ConnectionLostError` or :class:`WireError` it is broken for good (:attr:`is_broken`); a
    time-out leaves it usable, and the late answer is dropped when it comes.
    """

    def __init__(self, stream: socket.socket, *, address: str, on_request: OnRequest | None = None) -> None:
        """Take over a connected socket; :meth:`open` is the usual way."""
        stream.settimeout(0.0)
        self.address = address
        self._socket = stream
        self._decoder = FrameDecoder()
        self._opaques = itertools.count(1)
        self._state = threading.Condition()
        self._write_lock = threading.Lock()
        self._waiting: set[int] = set()
        self._answers: dict[int, Command] = {}
        self._incoming = Incoming(address, on_request)
        self._outbox: deque[bytes] = deque()  # our answers; written by whoever has the write lock
        self._reading = False
        self._users = 0
        self._retired = False
        self._failure: _Failure | None = None
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

    def request(self, command: Command, *, timeout_s: float) -> Command:
        """Send ``command`` under a number of its own and give the answer, whatever its code.

        Raises :class:`RequestTimeoutError`, :class:`ConnectionLostError` (both tell by ``request_sent``
        whether the peer may have seen the request) or :class:`WireError` when the peer answers garbage.
        """
        return self.begin(command, timeout_s=timeout_s).answer()

    def begin(self, command: Command, *, timeout_s: float) -> Ticket:
        """Send ``command`` and give a ticket for its answer, so that several requests can be under way at once.

        Each ticket must be answered or abandoned. Raises what :meth:`request` raises until the request is written.
        """
        deadline = Deadline.after(timeout_s)
        opaque = next(self._opaques) & _OPAQUE_LIMIT
        frame = encode(command, opaque=opaque)
        self._enter()
        ticket = Ticket(self, opaque, command, deadline, timeout_s)
        try:
            with self._state:
                self._waiting.add(opaque)
            self._write(frame, command, deadline, timeout_s)
        except BaseException:
            ticket.abandon()
            raise
        return ticket

    def oneway(self, command: Command, *, timeout_s: float) -> None:
        """Send ``command`` marked as one-way: written to the connection, and nothing is known beyond that."""
        deadline = Deadline.after(timeout_s)
        marked = Command(
            code=command.code,
            flag=command.flag | FLAG_ONEWAY,
            remark=command.remark,
            ext=command.ext,
            body=command.body,
            language=command.language,
            version=command.version,
        )
        frame = encode(marked, opaque=next(self._opaques) & _OPAQUE_LIMIT)
        self._enter()
        try:
            self._write(frame, command, deadline, timeout_s)
        finally:
            self._leave()

    def listen(self, *, timeout_s: float) -> None:
        """Read for ``timeout_s`` seconds, so that the peer's own requests are taken while nobody waits for an answer.

        Raises as a request would when the connection is lost; returns early when the channel is retired.
        """
        deadline = Deadline.after(timeout_s)
        self._enter()
        try:
            while not deadline.passed and not self._retired:
                with self._state:
                    if self._failure is not None:
                        raise self._failure.error(request_sent=True)
                    if self._reading:
                        self._state.wait(min(deadline.left_s, _LISTEN_SLICE_S))
                        continue
                    self._reading = True
                try:
                    if self._poll(select.POLLIN, Deadline.after(min(deadline.left_s, _LISTEN_SLICE_S))):
                        self._read_some()
                finally:
                    self._stop_reading()
                self._serve_peer()
            if self._failure is not None:
                raise self._failure.error(request_sent=True)
        finally:
            self._leave()

    def close(self) -> None:
        """Close the connection; requests in flight get :class:`ConnectionLostError`. May be called twice."""
        self._fail("the channel was closed by its owner")

    def retire(self) -> None:
        """Close as soon as the last request in flight has ended."""
        with self._state:
            self._retired = True
            idle = self._users == 0
        if idle:
            self.close()

    def _settle(self, opaque: int) -> None:
        with self._state:
            self._waiting.discard(opaque)
            self._answers.pop(opaque, None)
        self._leave()

    # -- life of the socket: closed by whoever leaves last, so that nobody works on a reused descriptor

    def _enter(self) -> None:
        with self._state:
            if self._failure is not None:
                raise self._failure.error(request_sent=False)
            self._users += 1

    def _leave(self) -> None:
        with self._state:
            self._users -= 1
            close = self._users == 0 and (self._failure is not None or self._retired)
            if close:
                self._close_socket()

    def _fail(self, what: str, *, hint: str = "", garbage: WireError | None = None) -> None:
        with self._state:
            if self._failure is None:
                self._failure = _Failure(self.address, what, hint, garbage)
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)  # wakes whoever reads it
            if self._users == 0:
                self._close_socket()
            self._state.notify_all()

    def _close_socket(self) -> None:
        if self._failure is None:
            self._failure = _Failure(self.address, "the channel was retired", "", None)
        if not self._closed:
            self._closed = True
            self._socket.close()

    # -- writing

    def _write(self, frame: bytes, command: Command, deadline: Deadline, timeout_s: float) -> None:
        if not self._write_lock.acquire(timeout=deadline.left_s):
            raise self._timed_out(command, timeout_s, sent=False, why="another request was still being written")
        try:
            if self._looks_stale():
                raise self._failed(request_sent=False)
            view = memoryview(frame)
            while view:
                try:
                    view = view[self._socket.send(view) :]
                    continue
                except BlockingIOError:
                    pass
                except OSError as error:
                    sent = len(view) < len(frame)
                    self._fail(f"the connection broke while a request was written ({reason(error)})")
                    raise self._failed(request_sent=sent) from error
                if not self._poll(select.POLLOUT, deadline) and deadline.passed:
                    sent = len(view) < len(frame)
                    if sent:  # half a frame cannot be taken back
                        self._fail("a request was cut off by its deadline")
                    raise self._timed_out(command, timeout_s, sent=sent, why="the peer takes no bytes")
        finally:
            self._write_lock.release()
            self._serve_peer()

    def _looks_stale(self) -> bool:
        """Whether the peer closed the connection while it lay idle; reads what came in the meantime."""
        with self._state:
            if self._failure is not None:
                return True
            if self._reading:
                return False
            self._reading = True
        try:
            while self._poll(select.POLLIN, None):
                if not self._read_some():
                    return True
        finally:
            self._stop_reading()
        return self._failure is not None

    # -- reading

    def _await(self, opaque: int, command: Command, deadline: Deadline, timeout_s: float) -> Command:
        while True:
            with self._state:
                while True:
                    answer = self._answers.pop(opaque, None)
                    if answer is not None:
                        return answer
                    if self._failure is not None:
                        raise self._failure.error(request_sent=True)
                    if deadline.passed:
                        raise self._timed_out(command, timeout_s, sent=True, why="no answer came")
                    if not self._reading:
                        self._reading = True
                        break
                    self._state.wait(deadline.left_s)
            try:
                while opaque not in self._answers and self._failure is None and not deadline.passed:
                    if self._poll(select.POLLIN, deadline):
                        self._read_some()
                        self._serve_peer()
            finally:
                self._stop_reading()

    def _stop_reading(self) -> None:
        with self._state:
            self._reading = False
            self._state.notify_all()

    def _read_some(self) -> bool:
        """Take what the socket has; only by the caller that set ``_reading``. False when the connection is
        over.
        """
        try:
            data = self._socket.recv(_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return True
        except OSError as error:
            self._fail(f"the connection broke ({reason(error)})", hint=_LOST_HINT)
            return False
        if not data:
            cut = f" in the middle of a frame ({self._decoder.buffered} bytes of it)"
            self._fail(f"the peer closed the connection{cut if self._decoder.buffered else ''}", hint=_LOST_HINT)
            return False
        try:
            for command in self._decoder.feed(data):
                self._take(command)
        except WireError as error:
            self._fail(error.what, garbage=error)
            return False
        return True

    def _take(self, command: Command) -> None:
        if command.is_response:
            with self._state:
                if command.opaque in self._waiting:
                    self._answers[command.opaque] = command
                    self._state.notify_all()
            return  # an answer that nobody waits for is dropped quietly
        self._incoming.add(command)

    # -- the peer's own requests

    def _serve_peer(self) -> None:
        """Handle the requests that were read, and write our answers; never with the write lock held."""
        self._outbox.extend(self._incoming.answers())
        while self._outbox and self._failure is None and self._write_lock.acquire(blocking=False):
            # Where another thread holds the lock it comes by here itself, right after it has let go.
            try:
                while self._outbox:
                    self._write_answer(self._outbox.popleft())
            finally:
                self._write_lock.release()

    def _write_answer(self, frame: bytes) -> None:
        view, deadline = memoryview(frame), Deadline.after(_OWN_ANSWER_TIMEOUT_S)
        while view and self._failure is None:
            try:
                view = view[self._socket.send(view) :]
                continue
            except BlockingIOError:
                pass
            except OSError as error:
                self._fail(f"the connection broke ({reason(error)})")
            if not self._poll(select.POLLOUT, deadline) and deadline.passed:
                self._fail("the peer does not take the answer to its own request")

    # -- helpers

    def _poll(self, events: int, deadline: Deadline | None) -> bool:
        poll = select.poll()
        poll.register(self._socket, events)
        wait_ms = 0.0 if deadline is None else min(deadline.left_s, _LONGEST_POLL_S) * 1000
        return bool(poll.poll(wait_ms))

    def _failed(self, *, request_sent: bool) -> Exception:
        assert self._failure is not None
        return self._failure.error(request_sent=request_sent)

    def _timed_out(self, command: Command, timeout_s: float, *, sent: bool, why: str) -> TransportError:
        return RequestTimeoutError(
            f"{self.address} gave no answer to request {request_name(command.code)} within {timeout_s:.3g} s ({why})",
            address=self.address,
            request_sent=sent,
            hint="a peer that does not know a request code gives no answer at all; otherwise it is paused,"
            " cut off or overloaded",
        )


class Ticket:
    """One request under way on a channel; made by :meth:`Channel.begin`. For one thread."""

    __slots__ = ("_channel", "_command", "_deadline", "_opaque", "_settled", "_timeout_s")

    def __init__(self, channel: Channel, opaque: int, command: Command, deadline: Deadline, timeout_s: float) -> None:
        self._channel = channel
        self._opaque = opaque
        self._command = command
        self._deadline = deadline
        self._timeout_s = timeout_s
        self._settled = False

    def answer(self) -> Command:
        """Wait for the answer until the deadline that began with the request; raises as a request does."""
        try:
            return self._channel._await(  # noqa: SLF001 - a ticket is the channel's own other half
                self._opaque, self._command, self._deadline, self._timeout_s
            )
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Want the answer no more; it is dropped when it comes. May be called twice."""
        if not self._settled:
            self._settled = True
            self._channel._settle(self._opaque)  # noqa: SLF001


_LOST_HINT = "the process ended, or (behind Docker's port proxy) nothing listens there any more"


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a channel is broken for good; each request in flight gets an error of its own from it."""

    address: str
    what: str
    hint: str
    garbage: WireError | None

    def error(self, *, request_sent: bool) -> Exception:
        if self.garbage is not None:
            kind, seen = type(self.garbage), self.garbage
            return kind(f"{self.address}: {seen.what}", hint=seen.hint, details=seen.details)
        return ConnectionLostError(
            f"{self.address}: {self.what}", address=self.address, request_sent=request_sent, hint=self.hint
        )
