"""A member of a consumer group, as Java's push consumer is one; both can share a group.

What belongs here: what a user calls; joining and leaving. What does not: the control thread (``groupcontrol``), what
brokers ask (``groupasked``), pulls (``puller``), calling handlers (``handling``).

Promise: at least once. A message counts as consumed when its handler returned, or at the poll after the one that gave
it (or at :meth:`GroupConsumer.commit`), and only then may its offset be committed. So nothing is skipped; it may come
again: after a member died or a queue changed hands with something in hand, and after a failover, since followers copy
offsets every 10 s.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from rmqkit.client.broker import BrokerClient
from rmqkit.client.groupasked import Asked
from rmqkit.client.groupcontrol import Control
from rmqkit.client.grouplife import GroupLife
from rmqkit.client.groupstate import GroupState, Jump
from rmqkit.client.handling import Handling, Later, OnMessage, decode_batch
from rmqkit.client.heartbeat import (
    ConsumeFromWhere,
    ConsumerMember,
    MessageModel,
    Subscription,
    check_group,
    new_client_id,
)
from rmqkit.client.heldqueue import Handed
from rmqkit.client.lag import QueueLag, ask_lag, wait_drained
from rmqkit.client.membership import Membership
from rmqkit.client.messagequeue import MessageQueue, retry_topic
from rmqkit.client.offsets import FIRST, Begin, BrokerOffsets, LocalOffsets, first_offset
from rmqkit.client.puller import Puller
from rmqkit.client.routes import Routes
from rmqkit.client.subscription import Sql92, read_subscriptions
from rmqkit.errors import ClusterError, RmqkitError, UsageError
from rmqkit.transport.pool import ChannelPool
from rmqkit.waiting import Deadline
from rmqkit.wire.messages import StoredMessage

_FROM_WHERE = {
    "first": ConsumeFromWhere.FIRST_OFFSET,
    "last": ConsumeFromWhere.LAST_OFFSET,
    "timestamp": ConsumeFromWhere.TIMESTAMP,
}


def check_positive(**numbers: float) -> None:
    """Raise UsageError naming those that are not."""
    if bad := [name for name, value in numbers.items() if value <= 0]:
        raise UsageError(f"cannot be: {', '.join(bad)}", hint="sizes and times are positive")


class GroupConsumer:
    """Use it in a ``with`` block: entering joins the group, leaving commits, unregisters and ends all threads.

    ``topics`` maps each topic to ``"*"``, tags (``"A || B"``) or an :class:`~rmqkit.client.subscription.Sql92`. With
    ``on_message``, ``workers`` threads call it for each message (messages of one queue one after the other); it returns
    None, or a :class:`~rmqkit.client.handling.Later` to have the message again. Without it, call :meth:`poll`.

    ``begin`` counts for queues of which the group has no offset (:data:`~rmqkit.client.offsets.FIRST`, ``LAST``,
    ``Begin.at(time)``); a queue that appears later is read from its start. ``broadcast`` gives every message to every
    member, with offsets in ``offsets_file`` or in memory; nothing can be sent back then.

    A message sent back ``max_reconsume_times`` times goes to the dead letters, ``%DLQ%`` + group. ``give_up_s`` is how
    long the cluster may serve no pull before that is raised; until then the consumer looks for a new leader by itself.

    Raises :class:`~rmqkit.errors.UsageError` here for what cannot be, and on entering
    :class:`~rmqkit.errors.NotFoundError`, :class:`~rmqkit.errors.ClusterError`,
    :class:`~rmqkit.errors.OtherSubscriptionError` or a transport's error after ``join_timeout_s`` at the latest. An
    error in one of its threads, a handler's too, ends the consumer and is raised by the next call, or on leaving.
    """

    def __init__(
        self,
        nameservers: Sequence[str],
        *,
        group: str,
        topics: Mapping[str, str | Sql92],
        on_message: OnMessage | None = None,
        workers: int = 1,
        begin: Begin = FIRST,
        broadcast: bool = False,
        offsets_file: Path | None = None,
        auto_commit: bool = True,
        max_reconsume_times: int = 16,
        on_other_subscription: Literal["raise", "warn"] = "raise",
        buffer_messages: int = 1024,
        buffer_bytes: int = 64 * 1024 * 1024,
        timeout_s: float = 3.0,
        join_timeout_s: float = 15.0,
        give_up_s: float = 30.0,
        close_timeout_s: float = 10.0,
    ) -> None:
        check_group(group)
        wanted = read_subscriptions(topics)
        check_positive(
            workers=workers,
            max_reconsume_times=max_reconsume_times + 1,
            buffer_messages=buffer_messages,
            buffer_bytes=buffer_bytes,
            timeout_s=timeout_s,
            join_timeout_s=join_timeout_s,
            give_up_s=give_up_s,
            close_timeout_s=close_timeout_s,
        )
        if on_other_subscription not in ("raise", "warn"):
            raise UsageError(f"cannot be: on_other_subscription={on_other_subscription!r}", hint="'raise' or 'warn'")
        if offsets_file is not None and not broadcast:
            raise UsageError("offsets_file without broadcast", hint="a shared group's offsets are kept by the brokers")
        self.group = group
        self.client_id = new_client_id()
        self._state = GroupState()
        self._pool = ChannelPool(connect_timeout_s=min(timeout_s, 2.0), on_request=Asked(group, self._state))
        self._model = MessageModel.BROADCASTING if broadcast else MessageModel.CLUSTERING
        every = wanted if broadcast else (*wanted, Subscription(retry_topic(group)))
        self._subscriptions = {each.topic: each for each in every}
        self._begin = begin
        self._auto_commit = auto_commit
        self._max_times = max_reconsume_times
        self._timeout_s = timeout_s
        self._give_up_s = give_up_s
        self._turn = 0
        self._puller = Puller(
            self._pool,
            self._state,
            group=group,
            subscriptions=self._subscriptions,
            buffer_messages=buffer_messages,
            buffer_bytes=buffer_bytes,
        )
        member = ConsumerMember(group, every, model=self._model, from_where=_FROM_WHERE[begin.kind])
        self._membership = Membership(self._pool, self.client_id, member, timeout_s=timeout_s)
        self._control = Control(
            self._pool,
            self._state,
            membership=self._membership,
            routes=Routes(self._pool, nameservers, timeout_s=timeout_s),
            puller=self._puller,
            store=LocalOffsets(offsets_file) if broadcast else BrokerOffsets(self._pool, group, timeout_s=timeout_s),
            begin=begin,
            warn_only=on_other_subscription == "warn",
            timeout_s=timeout_s,
        )
        self._handling = (
            None
            if on_message is None
            else Handling(
                self._state,
                self._puller,
                on_message,
                group=group,
                subscriptions=self._subscriptions,
                send_back=self._send_back_from,
                give_up_s=give_up_s,
            )
        )
        self._workers = workers
        self._life = GroupLife(
            self._pool,
            self._state,
            control=self._control,
            membership=self._membership,
            puller=self._puller,
            join_timeout_s=join_timeout_s,
            close_timeout_s=close_timeout_s,
        )

    # -- joining and leaving

    def __enter__(self) -> Self:
        self._life.begin([self._handling.run] * self._workers if self._handling is not None else [])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        try:  # what a failing block had in hand is not consumed
            self._life.end()
        except Exception as second:  # noqa: BLE001 - the block's own error goes on
            error.add_note(f"closing the consumer of {self.group}, too: {second}")

    def close(self) -> None:
        """Count what was handed out as consumed (with ``auto_commit``), commit, leave the group and end all threads,
        within a bounded time.

        Raises what ended a thread and was not raised before, or what kept the last offsets from being committed.
        """
        if self._auto_commit:
            self._acknowledge()
        self._life.end()

    # -- consuming

    def poll(self, timeout_s: float) -> tuple[StoredMessage, ...]:
        """What there is, waiting up to ``timeout_s`` for the first; empty when nothing came. Each queue is in order.

        Counts what the poll before gave as consumed (with ``auto_commit``). Raises the trouble of the cluster when it
        served nothing for ``give_up_s``.
        """
        self._check_open()
        if self._handling is not None:
            raise UsageError("this consumer has a handler: its messages go there, not to poll")
        deadline = Deadline.after(timeout_s)
        if self._auto_commit:
            self._acknowledge()
        while True:
            with self._state.lock:
                self._state.raise_failure()
                batches = self._take()
                if not batches:
                    self._state.arrived.wait(deadline.left_s)
                    self._state.raise_failure()
                    batches = self._take()
            messages = self._open(batches)
            if messages:
                return tuple(messages)
            if deadline.passed:
                self._raise_long_trouble()
                return ()

    def commit(self) -> None:
        """Count everything handed out as consumed, and commit it at the queues' masters now.

        Raises when one cannot be committed. What a leader took shows on its followers up to 10 s later, so a failover
        soon after may hand messages out again.
        """
        self._check_open()
        self._acknowledge()
        for error in self._control.commit().values():
            raise error

    def send_back(self, message: StoredMessage, *, delay_level: int = 0) -> None:
        """Have the group get ``message`` of the last poll again after a while; it counts as consumed here.

        ``delay_level`` 0: the broker chooses, 10 s at first and longer each time; 1 to 18 as in its configuration (1 s,
        5 s, 10 s, 30 s, 1 min …); -1: a dead letter at once. Raises when the broker did not take it.
        """
        self._check_open()
        with self._state.lock:
            found = [
                held.queue
                for held in self._state.held.values()
                for handed in held.handed
                if any(each is message for each in handed.messages)
            ]
        if not found:
            raise UsageError(
                f"{message.msg_id} is not a message of the last poll",
                hint="send back before the next poll; a queue that changed hands meanwhile gives it to its new owner",
            )
        self._send_back_from(found[0], message, Later(delay_level))

    @property
    def assignment(self) -> tuple[MessageQueue, ...]:
        """The queues that this member consumes now, in order; the group's retry queue is one of them for one member."""
        with self._state.lock:
            return tuple(sorted(self._state.held, key=lambda queue: queue.order))

    def positions(self) -> dict[MessageQueue, int]:
        """Of each queue held: the offset of the next message that is handed out."""
        with self._state.lock:
            return {queue: held.position for queue, held in self._state.held.items()}

    @property
    def jumps(self) -> tuple[Jump, ...]:
        """Where the consumer had to go on elsewhere than it was: what retention removed, orders of an operator."""
        with self._state.lock:
            return tuple(self._state.jumps)

    @property
    def trouble(self) -> Exception | None:
        """What keeps a queue from being pulled at the moment, or None."""
        with self._state.lock:
            troubles = [held.trouble_at(time.monotonic()) for held in self._state.held.values()]
        return next((trouble for trouble in troubles if trouble is not None), self._control.trouble)

    # -- positions

    def seek(self, queue: MessageQueue, offset: int) -> None:
        """Go on at ``offset`` of a queue that this member holds. Raises :class:`UsageError` for any other."""
        self._check_open()
        if isinstance(offset, bool) or not isinstance(offset, int) or offset < 0:
            raise UsageError(f"not an offset: {offset!r}")
        with self._state.lock:
            held = self._state.held.get(queue)
            if held is None:
                names = ", ".join(str(each) for each in self._state.held) or "none"
                raise UsageError(f"{queue} is not held by this member", hint=f"it holds: {names}")
            self._state.buffered_bytes -= held.buffered_bytes
            held.move_to(offset)
        self._puller.send(held)

    def seek_to(self, where: Begin, *, topic: str | None = None) -> None:
        """Go on at ``where`` (``FIRST``, ``LAST`` or ``Begin.at(time)``) in every queue held, or those of ``topic``."""
        queues = [
            queue
            for queue in self.assignment
            if queue.topic == topic or (topic is None and queue.topic != retry_topic(self.group))
        ]
        if not queues:
            raise UsageError(f"this member holds no queue of {topic or 'its topics'}")
        for queue in queues:
            broker = BrokerClient(self._pool, self._master(queue), timeout_s=self._timeout_s)
            self.seek(queue, first_offset(broker, self._pool, queue, where))

    def lag(self) -> tuple[QueueLag, ...]:
        """How far the whole group is in every queue of its topics, as the masters say; its own queues by what it
        acknowledged. Raises when a master does not answer.
        """
        self._check_open()
        with self._state.lock:
            own = {queue: (held.acknowledged, held.position) for queue, held in self._state.held.items()}
        brokers = [
            BrokerClient(self._pool, address, timeout_s=self._timeout_s) for address in self._control.masters.values()
        ]
        return ask_lag(brokers, self.group, tuple(self._subscriptions), own)

    def wait_drained(self, timeout_s: float) -> None:
        """Wait until the group has consumed everything there is. Raises :class:`WaitTimeoutError` that lists the rest.

        A message that was sent back and still waits for its delay is not seen. With :meth:`poll`, somebody must poll.
        """
        wait_drained(self.lag, alive=self._check_open, group=self.group, timeout_s=timeout_s)

    # -- helpers

    def _acknowledge(self) -> None:
        """What was handed out to the caller of poll is consumed; a handler's messages are acknowledged one by one."""
        if self._handling is None:
            with self._state.lock:
                for held in self._state.held.values():
                    held.acknowledge_all()

    def _check_open(self) -> None:
        if not self._life.opened or self._life.closed:
            raise UsageError("the group consumer is not open", hint="use it inside its `with` block")
        with self._state.lock:
            self._state.raise_failure()

    def _take(self) -> list[Handed]:
        """The next batch of every queue, beginning with another queue each time; the lock is held by the caller."""
        every = list(self._state.held.values())
        self._turn += 1
        start = self._turn % len(every) if every else 0
        batches = [batch for held in (*every[start:], *every[:start]) if (batch := held.hand_out()) is not None]
        self._state.buffered_bytes -= sum(len(batch.pulled.body) for batch in batches)
        return batches

    def _open(self, batches: Sequence[Handed]) -> list[StoredMessage]:
        out: list[StoredMessage] = []
        for batch in batches:
            if batch.held.pull is None:
                self._puller.send(batch.held)
            try:
                messages = decode_batch(
                    batch,
                    subscription=self._subscriptions[batch.held.queue.topic],
                    group=self.group,
                    on_hole=self._state.jumps.append,
                )
            except RmqkitError as error:
                self._state.fail(error)
                raise
            if not messages:
                with self._state.lock:
                    batch.held.acknowledge(batch)
            out += messages
        return out

    def _raise_long_trouble(self) -> None:
        with self._state.lock:
            error = self._control.long_trouble(self._give_up_s)
        if error is not None:
            raise error

    def _master(self, queue: MessageQueue) -> str:
        address = self._puller.master(queue.broker_name)
        if address is None:
            raise ClusterError(f"no master is known for {queue}", hint="wait for the group to have a leader again")
        return address

    def _send_back_from(self, queue: MessageQueue, message: StoredMessage, later: Later) -> None:
        if self._model is MessageModel.BROADCASTING:
            raise UsageError(
                "a broadcast consumer cannot send a message back", hint="brokers keep retries for shared groups only"
            )
        broker = BrokerClient(self._pool, self._master(queue), timeout_s=self._timeout_s)
        broker.send_back(message, group=self.group, delay_level=later.delay_level, max_times=self._max_times)
