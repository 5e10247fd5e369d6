"""The thread that keeps a group consumer where it belongs: routes, heartbeats, shares of queues, commits.

What belongs here: what is due when, and doing it. What does not: pulling (``puller``), handing out (``groupconsumer``).

Everything has a timer as in Java's clients (heartbeats 30 s, rebalance 20 s, commits 5 s), and is done at once when
something asks for it: a lost connection, a broker's notice that the group changed, a new leader.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rmqkit.client.broker import BrokerClient
from rmqkit.client.groupstate import Ask, GroupState
from rmqkit.client.heartbeat import HEARTBEAT_EVERY_S, MessageModel
from rmqkit.client.heldqueue import HeldQueue
from rmqkit.client.membership import Membership, broker_addresses
from rmqkit.client.messagequeue import RETRY_PREFIX, MessageQueue
from rmqkit.client.offsets import FIRST, Begin, OffsetStore, first_offset
from rmqkit.client.puller import Puller
from rmqkit.client.rebalance import allocate_averagely
from rmqkit.client.routes import Routes
from rmqkit.errors import NoLeaderError, OtherSubscriptionError, RmqkitError
from rmqkit.transport.pool import ChannelPool
from rmqkit.wire.bodies import TopicRoute

REBALANCE_EVERY_S = 20.0
"""RebalanceService.waitInterval."""
COMMIT_EVERY_S = 5.0
"""ClientConfig.persistConsumerOffsetInterval."""
ROUTES_EVERY_S = 5.0
"""Java's clients look every 30 s. A leader that steps down without a broken connection is seen by this alone."""

_TICK_S = 0.5
_TROUBLED_TICK_S = 0.1


@dataclass(slots=True)
class _Due:
    """When the next of each kind is due, on the monotonic clock."""

    routes: float = 0.0
    heartbeat: float = 0.0
    rebalance: float = 0.0
    commit: float = 0.0


class Control:
    """One turn after the other, by one thread; :meth:`join` is the first of them, in the caller's thread."""

    def __init__(
        self,
        pool: ChannelPool,
        state: GroupState,
        *,
        membership: Membership,
        routes: Routes,
        puller: Puller,
        store: OffsetStore,
        begin: Begin,
        warn_only: bool,
        timeout_s: float,
    ) -> None:
        self._pool = pool
        self._state = state
        self._membership = membership
        self._routes = routes
        self._puller = puller
        self._store = store
        self._begin = begin
        self._warn_only = warn_only
        self._timeout_s = timeout_s
        self._due = _Due()
        self._queues: dict[str, tuple[MessageQueue, ...]] = {}
        self._seen: set[MessageQueue] = set()
        self._masters: dict[str, str] = {}
        self._others: frozenset[str] = frozenset()
        self._warned: set[str] = set()
        self._committing = threading.Lock()  # an older offset must not overtake a newer one
        self.trouble: Exception | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """Every broker of the route, masters first."""
        return broker_addresses(self._masters, self._others)

    @property
    def masters(self) -> Mapping[str, str]:
        """Broker name to the master's address."""
        return self._masters

    def long_trouble(self, longer_than_s: float) -> Exception | None:
        """The error of a queue that could not be pulled for so long; the lock is held by the caller."""
        now = time.monotonic()
        return next(
            (
                held.trouble
                for held in self._state.held.values()
                if held.trouble_at(now) and held.failing_since is not None and now - held.failing_since > longer_than_s
            ),
            None,
        )

    # -- joining

    def join(self) -> None:
        """One attempt to become a member with queues; raises what is in the way. May be tried again."""
        self._look_up()
        for topic in self._topics(retry=False):
            if not self._queues.get(topic):
                self._routes.get(topic)  # raises NotFoundError with its reason
        if not self._masters:
            raise NoLeaderError("the route names no master for any broker group of the topics")
        self._membership.check_expressions(self._masters.values())
        self._check_alike()
        self._beat(self.addresses)
        failed = self._puller.down
        if failed:
            raise NoLeaderError(f"no heartbeat was taken by {', '.join(failed)}: {self.trouble}")
        self._look_up()  # the first heartbeat of a group makes its retry topic
        if not self._rebalance():
            raise NoLeaderError(f"no queue could be taken: {self.trouble}")

    # -- the thread

    def run(self) -> None:
        """Until the consumer is over. What is no trouble of the cluster ends the consumer and is raised to its user."""
        try:
            while True:
                with self._state.lock:
                    if self._state.over:
                        return
                    if not self._state.asked and not self._state.resets:
                        self._state.wake.wait(_TROUBLED_TICK_S if self._is_troubled() else _TICK_S)
                    if self._state.over:
                        return
                    asked, self._state.asked = self._state.asked, set()
                    resets, self._state.resets = self._state.resets, []
                self._turn(asked, resets)
        except Exception as error:  # noqa: BLE001 - a thread that dies must not die silently
            self._state.fail(error)

    def _is_troubled(self) -> bool:
        return self.trouble is not None or any(held.pull is None for held in self._state.held.values())

    def _turn(self, asked: set[Ask], resets: Sequence[dict[MessageQueue, int]]) -> None:
        now = time.monotonic()
        for offsets in resets:
            self._reset(offsets)
        down = self._puller.down
        if Ask.ROUTES in asked or down or now >= self._due.routes or self.trouble is not None:
            self._look_up()
            down = self._puller.down
        if Ask.HEARTBEAT in asked or now >= self._due.heartbeat:
            self._beat(self.addresses)
        elif down:
            self._beat(down)
        if Ask.REBALANCE in asked or now >= self._due.rebalance:
            if Ask.REBALANCE in asked:
                self._check_alike()
            self._rebalance()
        if now >= self._due.commit:
            self.commit()
        self._puller.sweep()
        self._puller.send_all()

    # -- routes

    def _topics(self, *, retry: bool = True) -> tuple[str, ...]:
        every = (each.topic for each in self._membership.member.subscriptions)
        return tuple(topic for topic in every if retry or not topic.startswith(RETRY_PREFIX))

    def _look_up(self) -> None:
        """Ask for every topic's route. What cannot be had stays as it was."""
        self._due.routes = time.monotonic() + ROUTES_EVERY_S
        masters: dict[str, str] = {}
        others: set[str] = set()
        queues: dict[str, tuple[MessageQueue, ...]] = {}
        trouble: Exception | None = None
        for topic in self._topics():
            try:
                route = self._routes.refresh(topic)
            except RmqkitError as error:
                if not topic.startswith(RETRY_PREFIX):
                    trouble = error
                continue
            queues[topic] = _readable(topic, route)
            for broker in route.brokers:
                others.update(broker.addresses.values())
                if broker.master is not None:
                    masters[broker.name] = broker.master
                else:
                    trouble = NoLeaderError(
                        f"the route of {topic} names no master for {broker.name} (registered: {dict(broker.addresses)})"
                    )
        self.trouble = trouble
        if any(self._queues.get(topic) != found for topic, found in queues.items()):
            self._queues.update(queues)
            self._due.rebalance = 0.0
        if masters:
            self._others = frozenset(others)
            self._masters = masters
        if masters and self._puller.set_masters(masters):
            self._due.heartbeat = 0.0

    # -- membership

    def _beat(self, addresses: Sequence[str]) -> None:
        if set(addresses) >= set(self.addresses):
            self._due.heartbeat = time.monotonic() + HEARTBEAT_EVERY_S
        failed = self._membership.beat(addresses)
        for address in addresses:
            if address not in failed:
                self._puller.set_up(address)
            elif address in self._masters.values():
                self.trouble = failed[address]

    def _check_alike(self) -> None:
        try:
            self._membership.check_alike(self._masters.values())
        except OtherSubscriptionError as error:
            if not self._warn_only:
                raise
            if str(error) not in self._warned:
                self._warned.add(str(error))
                warnings.warn(str(error), stacklevel=2)
        except RmqkitError as error:
            self.trouble = error

    # -- queues

    def _rebalance(self) -> bool:
        """Let go of queues that are others' now, then take what is ours. Whether all of it could be done."""
        self._due.rebalance = time.monotonic() + REBALANCE_EVERY_S
        try:
            wanted = self._share()
        except RmqkitError as error:  # nobody to ask: stay as it is
            self.trouble = error
            self._due.rebalance = time.monotonic() + 2 * _TROUBLED_TICK_S
            return False
        with self._state.lock:
            lost = [held for queue, held in self._state.held.items() if queue not in wanted]
            missing = [queue for queue in sorted(wanted, key=lambda q: q.order) if queue not in self._state.held]
        self._let_go(lost)
        complete = True
        for queue in missing:
            try:
                self._take(queue)
            except RmqkitError as error:
                self.trouble = error
                self._due.rebalance = time.monotonic() + 2 * _TROUBLED_TICK_S
                complete = False
        self._seen.update(queue for queues in self._queues.values() for queue in queues)
        return complete

    def _share(self) -> set[MessageQueue]:
        every = {queue for queues in self._queues.values() for queue in queues}
        if self._membership.member.model is MessageModel.BROADCASTING:
            return every
        client_id = self._membership.client_id
        ids = self._membership.members(self.addresses)
        if client_id not in ids:  # a broker that has just become the master, or a connection that was replaced
            self._beat(self.addresses)
            ids = self._membership.members(self.addresses)
        return {queue for queues in self._queues.values() for queue in allocate_averagely(client_id, queues, ids)}

    def _take(self, queue: MessageQueue) -> None:
        address = self._masters.get(queue.broker_name)
        if address is None:
            raise NoLeaderError(f"no master is known for {queue}")
        committed = self._store.read(queue, address)
        offset = committed
        if offset is None:
            # A queue that appeared while we were there is read from its start, and so are messages sent back.
            is_new = bool(self._seen) and queue not in self._seen
            begin = FIRST if is_new or queue.topic.startswith(RETRY_PREFIX) else self._begin
            broker = BrokerClient(self._pool, address, timeout_s=self._timeout_s)
            offset = first_offset(broker, self._pool, queue, begin)
            # At once: whoever takes the queue over must not begin elsewhere.
            for error in self._store.write({queue: (address, offset)}).values():
                raise error
            committed = offset
        held = HeldQueue.starting_at(queue, offset, committed=committed)
        with self._state.lock:
            self._state.held[queue] = held
        self._puller.send(held)

    def _let_go(self, lost: Sequence[HeldQueue]) -> None:
        if not lost:
            return
        with self._state.lock:
            for held in lost:
                self._state.buffered_bytes -= held.buffered_bytes
                held.drop()
                self._state.held.pop(held.queue, None)
        self.commit(lost)

    def _reset(self, offsets: Mapping[MessageQueue, int]) -> None:
        """A broker's operator moves the group (request 220)."""
        with self._state.lock:
            for queue, offset in offsets.items():
                held = self._state.held.get(queue)
                if held is not None:
                    self._state.buffered_bytes -= held.buffered_bytes
                    held.move_to(offset)
                    held.committed = None
        self.commit()

    # -- commits

    def commit(self, only: Sequence[HeldQueue] | None = None) -> dict[MessageQueue, Exception]:
        """Commit what was acknowledged and is not committed yet; the errors by queue. Any thread may call it."""
        with self._committing:
            failed = self._commit(only)
        if failed:
            self._due.commit = time.monotonic() + _TICK_S
            self._state.ask(Ask.ROUTES)
        return failed

    def _commit(self, only: Sequence[HeldQueue] | None) -> dict[MessageQueue, Exception]:
        self._due.commit = time.monotonic() + COMMIT_EVERY_S
        failed: dict[MessageQueue, Exception] = {}
        with self._state.lock:
            every = tuple(self._state.held.values()) if only is None else only
            wanted = {held: offset for held in every if (offset := held.to_commit) is not None}
        offsets: dict[MessageQueue, tuple[str, int]] = {}
        for held, offset in wanted.items():
            address = self._puller.master(held.queue.broker_name)
            if address is None:
                failed[held.queue] = NoLeaderError(f"no master is known for {held.queue}")
            else:
                offsets[held.queue] = (address, offset)
        failed.update(self._store.write(offsets))
        with self._state.lock:
            for held, offset in wanted.items():
                still = self._puller.master(held.queue.broker_name)  # a new master has to be told again
                if held.queue not in failed and still == offsets[held.queue][0]:
                    held.committed = offset
        return failed


def _readable(topic: str, route: TopicRoute) -> tuple[MessageQueue, ...]:
    """The queues that consumers may read (MQClientInstance.topicRouteData2TopicSubscribeInfo)."""
    return tuple(
        MessageQueue(topic, data.broker_name, number)
        for data in route.queues
        if data.is_readable
        for number in range(data.read_queues)
    )
