"""The kit's own producer and consumer behind the drivers' interface.

What belongs here: the adapter. What does not: the client itself (``rmqkit.client``).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from rmqkit.client.groupconsumer import GroupConsumer
from rmqkit.client.message import OutgoingMessage
from rmqkit.client.outcomes import SendOutcome
from rmqkit.client.producer import Producer
from rmqkit.drivers.interface import (
    BINARY_RECEIVE,
    BUILT_IN,
    DELAY,
    LARGE_BODIES,
    LATER,
    ONEWAY,
    ORDERLY,
    OWN_MESSAGE_ID,
    RECEIPT_NAMES_QUEUE,
    SHARED_GROUP,
    TAG_FILTER,
    Received,
    Target,
    message_id_of,
)
from rmqkit.errors import ClusterError, NotFoundError, RemoteError, TransportError, UsageError
from rmqkit.transport.pool import ChannelPool
from rmqkit.wire.messages import StoredMessage

PRODUCER_CAPABILITIES = frozenset({RECEIPT_NAMES_QUEUE, OWN_MESSAGE_ID, LARGE_BODIES, ONEWAY, ORDERLY, DELAY})
CONSUMER_CAPABILITIES = frozenset({BINARY_RECEIVE, LARGE_BODIES, LATER, SHARED_GROUP, TAG_FILTER})
CLUSTER_TROUBLE = (TransportError, RemoteError, NotFoundError, ClusterError)

DEFAULT_TIMEOUT_S = 3.0


class BuiltInProducer:
    """The built-in client: one request a send, no retries of its own."""

    name = BUILT_IN
    client = "rmqkit"
    capabilities = PRODUCER_CAPABILITIES

    def __init__(self, target: Target, *, group: str = "rmqkit_producer") -> None:
        self._pool = ChannelPool()
        self._target = target
        self._group = group
        self._lock = threading.Lock()
        self._producers: dict[float, Producer] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def producer(self, timeout_s: float | None) -> Producer:
        """The client's own producer whose requests take up to ``timeout_s``."""
        timeout = DEFAULT_TIMEOUT_S if timeout_s is None else timeout_s
        with self._lock:
            if timeout not in self._producers:
                self._producers[timeout] = Producer(
                    self._pool, self._target.nameservers, group=self._group, timeout_s=timeout
                )
            return self._producers[timeout]

    def send(self, message: OutgoingMessage, *, timeout_s: float | None = None) -> SendOutcome:
        """Send once."""
        return self.producer(timeout_s).send_message(message)

    def send_oneway(self, message: OutgoingMessage, *, timeout_s: float | None = None) -> SendOutcome:
        """Write one request that asks for no answer."""
        return self.producer(timeout_s).send_oneway(message)


class BuiltInConsumer:
    """The built-in client's group consumer: members of one group share the queues, the Java client's among them."""

    name = BUILT_IN
    client = "rmqkit"
    capabilities = CONSUMER_CAPABILITIES

    def __init__(self, target: Target, *, topic: str, group: str, expression: str = "*") -> None:
        consumer = GroupConsumer(target.nameservers, group=group, topics={topic: expression}, auto_commit=False)
        self._consumer = consumer.__enter__()  # joins the group; close leaves it
        self._open: dict[str, StoredMessage] = {}
        self._uncommitted = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Commit what was acknowledged, if the cluster takes it now, and leave the group."""
        with suppress(*CLUSTER_TROUBLE):  # the offsets that are not committed: the next member is given them again
            self._consumer.close()

    def poll(self, timeout_s: float) -> tuple[Received, ...]:
        """What there is, waiting up to ``timeout_s``. Raises the cluster's trouble when it has lasted for 30 s."""
        self._commit()
        received: list[Received] = []
        for message in self._consumer.poll(timeout_s):
            token = f"{message.msg_id} {message.queue_id}/{message.queue_offset}"
            self._open[token] = message
            received.append(received_of(message, token=token))
        return tuple(received)

    def ack(self, messages: Sequence[Received]) -> None:
        """Consumed. Positions are committed when everything that was handed out is."""
        self._done(messages)

    def later(self, messages: Sequence[Received]) -> None:
        """Have the group get them again: 10 s later at first, longer each time."""
        for message in messages:
            stored = self._open.get(message.token)
            if stored is None:
                raise UsageError(f"message {message.message_id} was answered for already")
            self._consumer.send_back(stored)
        self._done(messages)

    def _done(self, messages: Sequence[Received]) -> None:
        for message in messages:
            self._open.pop(message.token, None)
        self._uncommitted = True
        self._commit()

    def _commit(self) -> None:
        if self._open or not self._uncommitted:
            return
        with suppress(*CLUSTER_TROUBLE):  # tried again at the next poll, ack or close
            self._consumer.commit()
            self._uncommitted = False


def received_of(message: StoredMessage, *, token: str = "") -> Received:
    """A stored message as a consumer hands it out."""
    return Received(
        topic=message.topic,
        body=message.body,
        message_id=message_id_of(message.properties),
        keys=message.keys,
        tags=message.tags,
        properties=message.properties,
        queue_id=message.queue_id,
        queue_offset=message.queue_offset,
        reconsume_times=message.reconsume_times,
        born_ms=message.born_ms,
        store_ms=message.store_ms,
        token=token,
    )
