"""Many sends under way at once from one thread, in a bounded window, each with exactly one outcome.

What belongs here: the window, gathering writes, handing out outcomes. What does not: choosing queues (``targets``),
what an answer means (``outcomes``).

There is no thread: outcomes are handed out, and deadlines are looked after, in the calls of the producer's owner.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from rmqkit.client.message import COMPRESS_OVER_BYTES, OutgoingMessage
from rmqkit.client.outcomes import SendOutcome
from rmqkit.client.producer import Planner, nowhere
from rmqkit.client.send import Target, answered, failed, request_for
from rmqkit.errors import RmqkitError, UsageError
from rmqkit.transport.channel import Channel
from rmqkit.transport.pool import ChannelPool
from rmqkit.transport.ticket import Ticket
from rmqkit.wire.sendframe import SendRequest

OnDone = Callable[[OutgoingMessage, SendOutcome], None]

GATHERED = 16
"""So many requests to one broker are written with one system call: it is most of the price of a small request."""

_LOOK_S = 0.005
_GATHERED_BYTES = 65_536


class _Send:
    """One message on its way: waiting to be written, or written and waiting for its answer."""

    __slots__ = ("deadline", "message", "on_done", "request", "started", "target", "ticket")

    def __init__(self, message: OutgoingMessage, target: Target, request: SendRequest, on_done: OnDone | None) -> None:
        self.message = message
        self.target = target
        self.request = request
        self.on_done: OnDone | None = on_done
        self.ticket: Ticket | None = None
        self.started = time.perf_counter()
        self.deadline = 0.0

    @property
    def latency_ms(self) -> float:
        return (time.perf_counter() - self.started) * 1000


class PipelinedProducer:
    """Sends without waiting for each answer; at most ``window`` messages are on their way. For one thread.

    ``submit`` takes a message; ``on_done(message, outcome)`` is called once for each, in the thread and during a call
    of this object: ``submit``, ``poll``, ``flush``, or leaving the block, which flushes. Outcomes come in the order of
    the answers: for one queue that is the order of submission as long as all is well; a refusal that needs no answer
    (no leader, for one) overtakes what is under way. A callback may submit, and does not wait for the window then. What
    a callback raises comes out of the call that it ran in; the outcomes behind it are handed out by the next call.

    Requests to one broker are gathered, ``gather`` at most, and written together: at the latest when the window is full
    or ``poll`` or ``flush`` is called. Whoever submits at a slow rate calls ``poll`` in between, which also waits.

    The time of a message runs from ``submit``. After ``timeout_s`` without an answer its outcome is unknown; a lost
    connection makes it unknown for all that were written to it, and refused for those that were not. Nothing is sent
    twice. After a failure the route is asked for anew, at the next ``submit``.
    """

    def __init__(
        self,
        pool: ChannelPool,
        nameservers: Sequence[str],
        *,
        window: int = 256,
        gather: int = GATHERED,
        group: str = "rmqkit_producer",
        timeout_s: float = 3.0,
        compress_over: int | None = COMPRESS_OVER_BYTES,
    ) -> None:
        for name, value in (("window", window), ("gather", gather)):
            if value < 1:
                raise UsageError(f"{name} is {value}", hint="give 1 or more")
        self._pool = pool
        self._window = window
        self._gather = min(gather, window)
        self._timeout_s = timeout_s
        self._compress_over = compress_over
        self._planner = Planner(pool, nameservers, group=group, timeout_s=timeout_s)
        self._gathered: dict[str, list[_Send]] = {}
        self._gathered_bytes: dict[str, int] = {}
        self._done: deque[Ticket] = deque()
        self._by_ticket: dict[Ticket, _Send] = {}
        self._by_age: deque[_Send] = deque()
        self._channels: dict[Channel, int] = {}
        self._outcomes: deque[tuple[OnDone | None, OutgoingMessage, SendOutcome]] = deque()
        self._handing_out = False
        self._under_way = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()

    @property
    def under_way(self) -> int:
        """Messages whose outcome was not handed out yet."""
        return self._under_way

    def submit(self, message: OutgoingMessage, *, on_done: OnDone | None = None, queue_id: int | None = None) -> None:
        """Take a message, and wait while the window is full.

        Trouble of the cluster is an outcome, never an exception; :class:`UsageError` is for a mistake of the caller.
        """
        while self._under_way >= self._window and not self._handing_out:
            self._write_all()
            self._turn(_LOOK_S)
        target, why = self._planner.choose(message, queue_id)
        if target is None:
            refused = nowhere(message, why)
            self._planner.learn(message.topic, refused)
            self._outcomes.append((on_done, message, refused))
            self._under_way += 1
            self._hand_out()
            return
        send = _Send(message, target, request_for(target, message, compress_over=self._compress_over), on_done)
        send.deadline = time.monotonic() + self._timeout_s
        self._under_way += 1
        address = target.address
        self._gathered.setdefault(address, []).append(send)
        size = self._gathered_bytes[address] = self._gathered_bytes.get(address, 0) + len(send.request.body)
        if len(self._gathered[address]) >= self._gather or size >= _GATHERED_BYTES:
            self._write_all()
            self._turn(0.0)

    def poll(self, timeout_s: float = 0.0) -> int:
        """Write what was gathered and hand out outcomes that come within ``timeout_s`` seconds.

        Returns as soon as there was one, or nothing is under way; the number of messages still under way.
        """
        end = time.monotonic() + timeout_s
        before = self._under_way
        self._write_all()
        while True:
            self._turn(max(min(end - time.monotonic(), _LOOK_S * 10), 0.0))
            if self._under_way < before or not self._under_way or time.monotonic() >= end:
                return self._under_way

    def flush(self) -> None:
        """Write what was gathered and wait until every message has its outcome, ``timeout_s`` seconds at most each."""
        while self._under_way:
            self._write_all()
            self._turn(_LOOK_S)

    # -- writing

    def _write_all(self) -> None:
        for address in tuple(self._gathered):
            self._write(address)

    def _write(self, address: str) -> None:
        sends = self._gathered.pop(address, None)
        self._gathered_bytes.pop(address, None)
        if not sends:
            return
        requests = [send.request for send in sends]
        left_s = max(sends[0].deadline - time.monotonic(), 0.001)
        try:
            tickets = self._pool.begin_all(address, requests, timeout_s=left_s, done=self._done)
        except RmqkitError as error:
            for send in sends:
                self._finish(send, failed(send.target, send.message.message_id, error, send.latency_ms))
            return
        channel = tickets[0].channel
        self._channels[channel] = self._channels.get(channel, 0) + len(tickets)
        for send, ticket in zip(sends, tickets, strict=True):
            send.ticket = ticket
            self._by_ticket[ticket] = send
        self._by_age.extend(sends)

    # -- reading

    def _turn(self, wait_s: float) -> None:
        """Hand out what is there; read first, waiting ``wait_s`` seconds at most, if nothing is."""
        if not self._done and self._channels:
            channels = tuple(self._channels)
            for channel in channels:
                channel.drive(timeout_s=wait_s / len(channels))
                if channel.is_broken and not self._done:
                    self._lose(channel)
        while self._done:
            self._answered(self._done.popleft())
        now = time.monotonic()
        while self._by_age and (self._by_age[0].ticket is None or self._by_age[0].deadline <= now):
            send = self._by_age.popleft()
            if send.ticket is not None:
                self._expire(send, send.ticket)
        self._hand_out()

    def _answered(self, ticket: Ticket) -> None:
        send = self._by_ticket.get(ticket)
        if send is None:
            return  # it was woken more than once
        message_id, answer = send.message.message_id, ticket.got
        if answer is not None:
            self._forget(send, ticket)
            ticket.abandon()
            self._finish(send, answered(send.target, message_id, answer, send.latency_ms))
        elif ticket.channel.is_broken:
            self._forget(send, ticket)
            try:
                ticket.answer()  # it raises why the connection was lost
            except RmqkitError as error:
                self._finish(send, failed(send.target, message_id, error, send.latency_ms))

    def _lose(self, channel: Channel) -> None:
        self._done.extend(ticket for ticket in self._by_ticket if ticket.channel is channel)

    def _expire(self, send: _Send, ticket: Ticket) -> None:
        self._forget(send, ticket)
        self._pool.retire(send.target.address, ticket.channel)  # it may be a dead one that TCP keeps for minutes
        self._finish(send, failed(send.target, send.message.message_id, ticket.expire(), send.latency_ms))

    def _forget(self, send: _Send, ticket: Ticket) -> None:
        del self._by_ticket[ticket]
        send.ticket = None
        left = self._channels[ticket.channel] - 1
        if left:
            self._channels[ticket.channel] = left
        else:
            del self._channels[ticket.channel]

    def _finish(self, send: _Send, outcome: SendOutcome) -> None:
        self._planner.learn(send.message.topic, outcome)
        self._outcomes.append((send.on_done, send.message, outcome))

    def _hand_out(self) -> None:
        if self._handing_out:  # a callback submitted: the loop below goes on when it is back
            return
        self._handing_out = True
        try:
            while self._outcomes:
                on_done, message, outcome = self._outcomes.popleft()
                self._under_way -= 1
                if on_done is not None:
                    on_done(message, outcome)
        finally:
            self._handing_out = False
