"""Messages for whoever consumes them: opening batches, and the threads that call a handler.

What belongs here: decoding and the exact filter, the loop of a worker, what a handler may answer. What does not: the
consumer's positions (``heldqueue``), sending back over the wire (``broker``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from rmqkit.client.groupstate import Ask, GroupState, Jump
from rmqkit.client.heartbeat import Subscription
from rmqkit.client.heldqueue import Handed, HeldQueue
from rmqkit.client.messagequeue import MessageQueue, retry_topic
from rmqkit.client.pull import only_tagged
from rmqkit.client.puller import Puller
from rmqkit.errors import NoLeaderError, RemoteError, TransportError, UsageError
from rmqkit.waiting import Pending, wait_until
from rmqkit.wire.messages import StoredMessage, decode_messages

RETRY_TOPIC = "RETRY_TOPIC"
"""The property in which a message that was sent back keeps its topic (MessageConst.PROPERTY_RETRY_TOPIC)."""

_LONGEST_WAIT_S = 3600.0


@dataclass(frozen=True, slots=True)
class Later:
    """A handler's answer: give this message to the group again, after the broker's delay ``delay_level`` (1 to 18).

    0 lets the broker choose: 10 s the first time, longer each time. -1 makes it a dead letter at once.
    """

    delay_level: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.delay_level, bool) or not isinstance(self.delay_level, int) or self.delay_level < -1:
            raise UsageError(f"not a delay level: {self.delay_level!r}", hint="-1, 0, or 1 to 18")


OnMessage = Callable[[StoredMessage], Later | None]
"""Consumes one message: None when that is done, :class:`Later` to have it again; an error ends the consumer."""


def decode_batch(
    batch: Handed, *, subscription: Subscription, group: str, on_hole: Callable[[Jump], None]
) -> tuple[StoredMessage, ...]:
    """The messages of a pull that are wanted, kept in the batch too; those that come again show their own topic.

    ``on_hole`` is told when a broker gave fewer messages than offsets though nothing was filtered.
    """
    pulled = batch.pulled
    messages = decode_messages(pulled.body)
    if subscription.is_all and pulled.given_to - pulled.start != len(messages):
        why = f"the broker gave {len(messages)} messages for these offsets"
        on_hole(Jump(batch.held.queue, pulled.start, pulled.given_to, pulled.address, why))
    messages = only_tagged(messages, subscription.tags)
    if batch.held.queue.topic == retry_topic(group):
        messages = tuple(replace(each, topic=each.properties.get(RETRY_TOPIC) or each.topic) for each in messages)
    batch.messages = messages
    return messages


class Handling:
    """Workers that call ``on_message``; a queue is with one of them at a time, so its messages stay in order."""

    def __init__(
        self,
        state: GroupState,
        puller: Puller,
        on_message: OnMessage,
        *,
        group: str,
        subscriptions: Mapping[str, Subscription],
        send_back: Callable[[MessageQueue, StoredMessage, Later], None],
        give_up_s: float,
    ) -> None:
        self._state = state
        self._puller = puller
        self._on_message = on_message
        self._group = group
        self._subscriptions = subscriptions
        self._send_back = send_back
        self._give_up_s = give_up_s

    def run(self) -> None:
        """The loop of one worker, until the consumer is over. Any error ends the consumer and is raised to its user."""
        try:
            while (batch := self._next()) is not None:
                self._puller.send(batch.held)
                self._consume(batch)
                with self._state.lock:
                    self._state.arrived.notify()  # the queue may have more, and is free for any worker
        except BaseException as error:  # noqa: BLE001 - SystemExit in a handler must not be lost either
            self._state.fail(error)

    def _next(self) -> Handed | None:
        with self._state.lock:
            while not self._state.over:
                for held in self._state.held.values():
                    if not held.handed and (batch := held.hand_out()) is not None:
                        self._state.buffered_bytes -= len(batch.pulled.body)
                        return batch
                self._state.arrived.wait(_LONGEST_WAIT_S)
        return None

    def _consume(self, batch: Handed) -> None:
        held = batch.held
        wanted = self._subscriptions[held.queue.topic]
        for message in decode_batch(batch, subscription=wanted, group=self._group, on_hole=self._state.jumps.append):
            if not self._is_ours(held, batch):
                return
            answer = self._on_message(message)
            if isinstance(answer, Later):
                if not self._give_back(held, message, answer):
                    return
            elif answer is not None:
                raise UsageError(
                    f"the handler answered {answer!r} to {message.msg_id}",
                    hint="return None, or Later() to have it again",
                )
            with self._state.lock:
                held.acknowledge(batch, to=message.queue_offset + 1)
        with self._state.lock:
            held.acknowledge(batch)

    def _is_ours(self, held: HeldQueue, batch: Handed) -> bool:
        with self._state.lock:
            return not self._state.over and not held.dropped and batch in held.handed

    def _give_back(self, held: HeldQueue, message: StoredMessage, later: Later) -> bool:
        """Send back, following the leader. False when the consumer ends first: the message is not consumed then."""
        began = time.monotonic()

        def sent() -> bool | Pending:
            with self._state.lock:
                if self._state.over or held.dropped:
                    return False
            try:
                self._send_back(held.queue, message, later)
            except (TransportError, RemoteError, NoLeaderError) as error:
                if time.monotonic() - began > self._give_up_s:
                    raise
                self._state.ask(Ask.ROUTES)
                return Pending(str(error))
            return True

        return wait_until(
            sent, label=f"send {message.msg_id} back", timeout_s=self._give_up_s + 60, every_s=0.2, tolerate=()
        )
