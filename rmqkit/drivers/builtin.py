"""The kit's own producer and consumer behind the drivers' interface.

What belongs here: the adapter. What does not: the client itself (``rmqkit.client``).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rmqkit.client.consumer import Consumer
from rmqkit.client.message import OutgoingMessage
from rmqkit.client.outcomes import SendOutcome
from rmqkit.client.producer import Producer
from rmqkit.drivers.interface import (
    BINARY_RECEIVE,
    BUILT_IN,
    DELAY,
    LARGE_BODIES,
    ONEWAY,
    ORDERLY,
    OWN_MESSAGE_ID,
    RECEIPT_NAMES_QUEUE,
    TAG_FILTER,
    Received,
    Target,
    cannot,
    message_id_of,
    require,
)
from rmqkit.errors import NoLeaderError, NotFoundError, RemoteError, TransportError
from rmqkit.transport.pool import ChannelPool
from rmqkit.wire.messages import StoredMessage

PRODUCER_CAPABILITIES = frozenset({RECEIPT_NAMES_QUEUE, OWN_MESSAGE_ID, LARGE_BODIES, ONEWAY, ORDERLY, DELAY})
CONSUMER_CAPABILITIES = frozenset({BINARY_RECEIVE, LARGE_BODIES})
CLUSTER_TROUBLE = (TransportError, RemoteError, NotFoundError, NoLeaderError)

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
    """The built-in client's simple consumer: it reads all queues by itself, whoever else is in the group."""

    name = BUILT_IN
    client = "rmqkit"
    capabilities = CONSUMER_CAPABILITIES

    def __init__(self, target: Target, *, topic: str, group: str, expression: str = "*") -> None:
        if expression != "*":
            require(self.capabilities, TAG_FILTER, driver=self.name, what=f"subscribe to {expression!r}")
        self._pool = ChannelPool()
        self._consumer = Consumer(self._pool, target.nameservers, group=group, topic=topic)
        self._open: set[str] = set()
        self._uncommitted = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Commit what was acknowledged, if the cluster takes it now, and close the connections."""
        self._commit()
        self._pool.close()

    def poll(self, timeout_s: float) -> tuple[Received, ...]:
        """What there is, waiting up to ``timeout_s``. While there is no leader this waits too, and raises the last
        failure when the time is over."""
        self._commit()
        received = tuple(received_of(message) for message in self._consumer.poll(timeout_s))
        self._open.update(each.token for each in received)
        return received

    def ack(self, messages: Sequence[Received]) -> None:
        """Consumed. Positions are committed when everything that was handed out is."""
        self._open.difference_update(each.token for each in messages)
        self._uncommitted = True
        self._commit()

    def later(self, messages: Sequence[Received]) -> None:
        """Not possible with this client."""
        raise cannot(self.capabilities, driver=self.name, what=f"give {len(messages)} messages again later")

    def _commit(self) -> None:
        if self._open or not self._uncommitted:
            return
        try:
            self._consumer.commit()
        except CLUSTER_TROUBLE:
            return  # tried again at the next poll, ack or close; until then the group may be given them again
        self._uncommitted = False


def received_of(message: StoredMessage) -> Received:
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
        token=message.msg_id,
    )
