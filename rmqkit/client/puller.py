"""Pulls for many queues at once: one under way for each, over one connection to each master.

What belongs here: sending pulls, taking their answers, the threads that read the connections. What does not: which
queues are held (``groupcontrol``), who consumes (``groupconsumer``).

A pull that finds nothing is held by the broker until a message comes or 15 s are over (PullRequestHoldService), so no
queue is asked twice for nothing. The next pull of a queue goes out as soon as the answer to the one before is here,
before its messages are decoded; at most ``buffer_messages`` lie here for each queue and ``buffer_bytes`` for all.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rmqkit.client.calls import number, refusal
from rmqkit.client.groupstate import Ask, GroupState, Jump
from rmqkit.client.heartbeat import Subscription
from rmqkit.client.heldqueue import HELD_AFTER_S, HeldQueue
from rmqkit.client.messagequeue import MessageQueue
from rmqkit.client.pull import MOST_MESSAGES, PullStatus
from rmqkit.errors import RemoteError, RequestTimeoutError, RmqkitError
from rmqkit.transport.pool import ChannelPool
from rmqkit.transport.ticket import Ticket
from rmqkit.wire.codes import RequestCode, ResponseCode
from rmqkit.wire.frames import Command
from rmqkit.wire.pullframe import PullHeader, PullRequest

SUSPEND_S = 15.0
"""How long a broker may hold a pull that finds nothing (DefaultMQPushConsumerImpl.BROKER_SUSPEND_MAX_TIME_MILLIS)."""

_GRACE_S = 5.0
_RETRY_S = 0.1
_NO_PROGRESS_S = 0.2
_BEHIND_RETRY_S = 1.0
_BACK_AFTER_S = 10.0
_LISTEN_S = 1.0
_SEND_S = 3.0

_STATUSES = frozenset(int(status) for status in PullStatus)
_ONCE = threading.Lock()


@dataclass(slots=True, eq=False)
class _Pull:
    """One pull under way."""

    address: str
    began: float
    on_answer: Callable[[_Pull, Command | RmqkitError], None]
    ticket: Ticket | None = None
    over: bool = False

    def append(self, ticket: Ticket) -> None:
        """Its answer came, or its connection was lost: once, though a lost connection may tell it twice."""
        with _ONCE:
            if self.over:
                return
            self.over = True
        try:
            answer: Command | RmqkitError = ticket.answer()
        except RmqkitError as error:
            answer = error
        self.on_answer(self, answer)

    def abandon(self) -> None:
        self.over = True
        if self.ticket is not None:
            self.ticket.abandon()


class _Link:
    """The thread that reads the connection to one master, so that answers and the broker's requests are taken."""

    def __init__(self, pool: ChannelPool, address: str, *, name: str, on_lost: Callable[[str], None]) -> None:
        self.address = address
        self.up = False  # whether the broker has had our heartbeat on this connection
        self._pool = pool
        self._on_lost = on_lost
        self._ended = threading.Event()
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.thread.start()

    def end(self) -> None:
        """Have the thread end, within the second that it listens."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.is_set():
            began = time.monotonic()
            try:
                self._pool.listen(self.address, timeout_s=_LISTEN_S)
            except RmqkitError:
                self._lost()
                self._ended.wait(_RETRY_S)
            else:
                if time.monotonic() - began < _LISTEN_S * 0.9:  # the connection was replaced
                    self._lost()

    def _lost(self) -> None:
        if not self._ended.is_set():
            self.up = False
            self._on_lost(self.address)


class Puller:
    """Keeps a pull under way for every held queue. Its methods take the state's lock themselves."""

    def __init__(
        self,
        pool: ChannelPool,
        state: GroupState,
        *,
        group: str,
        subscriptions: Mapping[str, Subscription],
        buffer_messages: int,
        buffer_bytes: int,
    ) -> None:
        self._pool = pool
        self._state = state
        self._group = group
        self._subscriptions = subscriptions
        self._buffer_messages = buffer_messages
        self._buffer_bytes = buffer_bytes
        self._masters: dict[str, str] = {}
        self._links: dict[str, _Link] = {}
        self._ended_links: list[_Link] = []
        self._headers: dict[MessageQueue, PullHeader] = {}
        self._back_since: dict[MessageQueue, float] = {}

    # -- where to pull from

    def master(self, broker_name: str) -> str | None:
        """The address of the master of a broker group, as the last route said."""
        return self._masters.get(broker_name)  # replaced as a whole: no lock

    @property
    def down(self) -> tuple[str, ...]:
        """Masters that have not had our heartbeat on the present connection."""
        with self._state.lock:
            return tuple(address for address, link in self._links.items() if not link.up)

    def set_up(self, address: str) -> None:
        """The broker at ``address`` knows us: queues may be pulled from it, by any thread."""
        with self._state.lock:
            link = self._links.get(address)
            if link is not None:
                link.up = True

    def set_masters(self, masters: Mapping[str, str]) -> bool:
        """Follow a new route: pulls under way at an old master are given up. Whether something changed."""
        with self._state.lock:
            if dict(masters) == self._masters or self._state.over:
                return False
            self._masters = dict(masters)
            elsewhere: list[_Pull] = []
            for held in self._state.held.values():
                address = self._masters.get(held.queue.broker_name)
                pull = held.pull
                if isinstance(pull, _Pull) and pull.address != address:
                    elsewhere.append(pull)
                    held.pull = None
                held.committed = None  # the new master may have an older offset: commit again
            for address in set(self._links) - set(masters.values()):
                self._links[address].end()
                self._ended_links.append(self._links.pop(address))
            for address in set(masters.values()) - set(self._links):
                name = f"rmqkit-{self._group}-link-{address}"
                self._links[address] = _Link(self._pool, address, name=name, on_lost=self._lost)
        for pull in elsewhere:
            pull.abandon()
        return True

    def end_links(self) -> tuple[threading.Thread, ...]:
        """Have the reading threads end; they do when the pool is closed, at the latest."""
        with self._state.lock:
            links = [*self._links.values(), *self._ended_links]
            for link in links:
                link.end()
        return tuple(link.thread for link in links)

    def _lost(self, address: str) -> None:
        del address
        self._state.ask(Ask.ROUTES, Ask.HEARTBEAT)

    # -- pulling

    def send_all(self) -> None:
        """Begin a pull for every queue that should have one and has none."""
        with self._state.lock:
            waiting = [held for held in self._state.held.values() if held.pull is None]
        for held in waiting:
            self.send(held)

    def send(self, held: HeldQueue) -> None:
        """Begin a pull for one queue, unless it has one, is full, is failing, or its master does not know us yet."""
        now = time.monotonic()
        with self._state.lock:
            address = self._masters.get(held.queue.broker_name)
            link = self._links.get(address) if address is not None else None
            if address is None or link is None or not link.up or not self._may_pull(held, now):
                return
            pull = held.pull = _Pull(address, now, lambda pull, answer: self._answered(held, pull, answer))
            held.pull_began = now
            request = PullRequest(self._header(held.queue), held.pull_offset)
        try:
            (pull.ticket,) = self._pool.begin_all(address, [request], timeout_s=_SEND_S, done=pull)
        except RmqkitError as error:
            self._failed(held, pull, error)

    def _header(self, queue: MessageQueue) -> PullHeader:
        header = self._headers.get(queue)
        if header is None:
            subscription = self._subscriptions[queue.topic]
            header = self._headers[queue] = PullHeader.of(
                group=self._group,
                topic=queue.topic,
                queue_id=queue.queue_id,
                expression=subscription.expression,
                version=subscription.version,
                kind=subscription.kind,
                max_messages=MOST_MESSAGES,
                suspend_ms=int(SUSPEND_S * 1000),
            )
        return header

    def sweep(self) -> None:
        """Give up pulls whose answer is overdue: the master hangs, or the connection is dead."""
        now = time.monotonic()
        with self._state.lock:
            overdue = [
                (held, held.pull)
                for held in self._state.held.values()
                if isinstance(held.pull, _Pull) and now - held.pull.began > SUSPEND_S + _GRACE_S
            ]
        for held, pull in overdue:
            pull.abandon()
            self._pool.forget(pull.address)
            error = RequestTimeoutError(
                f"{pull.address} gave no answer to a pull of {held.queue} within {SUSPEND_S + _GRACE_S:.0f} s",
                address=pull.address,
                request_sent=True,
            )
            self._failed(held, pull, error)

    def _may_pull(self, held: HeldQueue, now: float) -> bool:
        return (
            not self._state.over
            and not held.dropped
            and held.pull is None
            and held.retry_at <= now
            and held.buffered < self._buffer_messages
            and self._state.buffered_bytes < self._buffer_bytes
        )

    def _answered(self, held: HeldQueue, pull: _Pull, answer: Command | RmqkitError) -> None:
        """Runs in the thread that reads the connection."""
        try:
            if isinstance(answer, RmqkitError):
                raise answer
            if answer.code not in _STATUSES:
                raise refusal(pull.address, RequestCode.PULL_MESSAGE, answer)
            self._take(held, pull, answer)
        except RmqkitError as error:
            self._failed(held, pull, error)
        except Exception as error:  # noqa: BLE001 - it ends the consumer and reaches the user there
            self._state.fail(error)
        else:
            self.send(held)

    def _take(self, held: HeldQueue, pull: _Pull, answer: Command) -> None:
        following = number(answer, "nextBeginOffset", address=pull.address)
        now = time.monotonic()
        with self._state.lock:
            if held.pull is not pull:
                return  # given up meanwhile: a seek, another master, another owner
            held.pull = None
            moved = following - held.pull_offset
            if answer.code == PullStatus.OFFSET_MOVED and (moved < 0 or answer.remark == "OFFSET_RESET"):
                self._go_back(held, pull, answer, following, now)
                return
            held.failing_since = held.trouble = None
            self._back_since.pop(held.queue, None)
            if answer.code == PullStatus.FOUND and moved > 0:
                held.take_in(following, answer.body, address=pull.address)
                self._state.buffered_bytes += len(answer.body)
                self._state.arrived.notify()
            elif moved > 0 and answer.remark != "FOUND":  # found but not given: a follower that does not serve
                if answer.code == PullStatus.OFFSET_MOVED or answer.remark not in ("NO_MATCHED_MESSAGE", ""):
                    self._jump(held, pull, following, answer.remark)
                held.take_in(following, b"", address=pull.address)
            elif now - pull.began < _NO_PROGRESS_S:
                # Nothing at once, though it may hold the answer: a follower of 5.x, or a store at work: no circle.
                held.retry_at = now + _NO_PROGRESS_S
                if answer.code == PullStatus.RETRY:
                    self._state.asked.add(Ask.ROUTES)
                self._state.wake.notify_all()

    def _go_back(self, held: HeldQueue, pull: _Pull, answer: Command, following: int, now: float) -> None:
        """The broker names an earlier offset. Ordered by its operator: at once. Else it may be a broker that claims to
        be the master while it starts: only when it says so for ten seconds, as Java's clients wait."""
        if answer.remark == "OFFSET_RESET":
            self._jump(held, pull, following, answer.remark)
            self._move(held, following)
            return
        since = self._back_since.setdefault(held.queue, now)
        if now - since > _BACK_AFTER_S:
            self._jump(held, pull, following, answer.remark)
            self._move(held, following)
            self._back_since.pop(held.queue, None)
            return
        held.retry_at = now + _BEHIND_RETRY_S
        held.failing_since = held.failing_since or now
        held.trouble = RemoteError(
            f"{pull.address} has {held.queue} only up to before offset {held.pull_offset} ({answer.remark})",
            address=pull.address,
            code=answer.code,
            remark=answer.remark,
            hint="a broker that starts claims to be the master for a moment; or the topic was made anew",
        )
        self._state.asked.add(Ask.ROUTES)
        self._state.wake.notify_all()

    def _jump(self, held: HeldQueue, pull: _Pull, to: int, why: str) -> None:
        self._state.jumps.append(Jump(held.queue, held.pull_offset, to, pull.address, why))

    def _move(self, held: HeldQueue, offset: int) -> None:
        self._state.buffered_bytes -= held.buffered_bytes
        held.move_to(offset)
        held.committed = None

    def _failed(self, held: HeldQueue, pull: _Pull, error: Exception) -> None:
        now = time.monotonic()
        with self._state.lock:
            if held.pull is not pull or self._state.over:
                return
            held.pull = None
            held.retry_at = now + _RETRY_S
            if held.failing_since is None or now - pull.began > HELD_AFTER_S:
                held.failing_since = now
            held.trouble = error
        if isinstance(error, RemoteError) and error.code == ResponseCode.SUBSCRIPTION_PARSE_FAILED:
            self._state.fail(error)  # no broker will ever take it
        else:
            self._state.ask(Ask.ROUTES)
