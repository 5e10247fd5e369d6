"""The seam between a load and the clients that it goes through.

What belongs here: single, batched and pipelined sends, and another driver's, behind one way to send; members of a
group, and another driver's consumer, behind one way to receive. What does not: pace and records (``worker``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Protocol

from rmqkit.client.groupconsumer import GroupConsumer
from rmqkit.client.message import OutgoingMessage
from rmqkit.client.outcomes import SendOutcome
from rmqkit.client.pipeline import PipelinedProducer
from rmqkit.client.producer import Producer
from rmqkit.drivers.interface import DriverProducer
from rmqkit.load.consumption import OpenReceiver, Receiver
from rmqkit.load.plan import ReceivePlan, SendPlan
from rmqkit.transport.pool import ChannelPool
from rmqkit.wire.messages import StoredMessage

Done = Callable[[int, SendOutcome], None]
"""Takes the place of a message in what was given to be sent, and what came of it; once for each message.

It is called in the sending thread, during a call of the sender."""


class Sender(Protocol):
    """One thread's way to send."""

    def send(self, messages: Sequence[OutgoingMessage], done: Done) -> None:
        """Send the messages; ``done`` is called for each, now or later."""
        ...

    def poll(self, timeout_s: float) -> int:
        """Look after what is under way for up to ``timeout_s``; how much still is. At once 0 where nothing is."""
        ...

    def drain(self) -> None:
        """Return when everything under way has come to its outcome."""
        ...


OpenSender = Callable[[int], AbstractContextManager[Sender]]
"""Gives a worker, by its number, a sender of its own."""


class SingleSender:
    """One request, one answer, then the next."""

    def __init__(self, send: Callable[[OutgoingMessage], SendOutcome]) -> None:
        self._send = send

    def send(self, messages: Sequence[OutgoingMessage], done: Done) -> None:
        """One after the other."""
        for number, message in enumerate(messages):
            done(number, self._send(message))

    def poll(self, timeout_s: float) -> int:  # noqa: ARG002 - nothing is waited for
        """Nothing is under way between two calls."""
        return 0

    def drain(self) -> None:
        """Nothing is under way between two sends."""


class BatchSender:
    """All messages of a call in one request, to one queue."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer

    def send(self, messages: Sequence[OutgoingMessage], done: Done) -> None:
        """One request; each message has its own outcome."""
        for number, outcome in enumerate(self._producer.send_batch(messages)):
            done(number, outcome)

    def poll(self, timeout_s: float) -> int:  # noqa: ARG002 - nothing is waited for
        """Nothing is under way between two calls."""
        return 0

    def drain(self) -> None:
        """Nothing is under way between two requests."""


class WindowSender:
    """Several sends under way at once; giving one more waits while the window is full."""

    def __init__(self, pipeline: PipelinedProducer) -> None:
        self._pipeline = pipeline

    def send(self, messages: Sequence[OutgoingMessage], done: Done) -> None:
        """Put them under way."""
        for number, message in enumerate(messages):
            self._pipeline.submit(message, on_done=partial(_told, done, number))

    def poll(self, timeout_s: float) -> int:
        """Hand out what comes."""
        return self._pipeline.poll(timeout_s)

    def drain(self) -> None:
        """Wait for every answer; each is bounded in time."""
        self._pipeline.flush()


def _told(done: Done, number: int, _message: OutgoingMessage, outcome: SendOutcome) -> None:
    done(number, outcome)


class SharedPool:
    """One pool of connections for all who use it at the same time: made for the first, closed after the last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: ChannelPool | None = None
        self._users = 0

    @contextmanager
    def use(self) -> Iterator[ChannelPool]:
        """The pool, for the length of the block."""
        with self._lock:
            pool = self._pool = self._pool or ChannelPool()
            self._users += 1
        try:
            yield pool
        finally:
            with self._lock:
                self._users -= 1
                last = self._users == 0
                if last:
                    self._pool = None
            if last:
                pool.close()


def built_in_senders(nameservers: Sequence[str], plan: SendPlan, *, shared: bool = False) -> OpenSender:
    """The kit's own client. Every thread has its own route, and its own connections, as separate services have.

    ``shared``: the threads of this process share their connections, as those of one service do, which have one producer
    between them. A broker then serves more sends a second: several come and go with one packet. A window of pipelined
    sends fills a connection by itself, and has its own.
    """
    common = SharedPool()

    @contextmanager
    def open_sender(_worker: int) -> Iterator[Sender]:
        with common.use() if shared and not plan.window else ChannelPool() as pool:
            # The load is of the size that was asked for: nothing is compressed.
            if plan.window:
                with PipelinedProducer(
                    pool, nameservers, window=plan.window, timeout_s=plan.timeout_s, compress_over=None
                ) as pipeline:
                    yield WindowSender(pipeline)
                return
            producer = Producer(pool, nameservers, timeout_s=plan.timeout_s, compress_over=None)
            yield BatchSender(producer) if plan.batch > 1 else SingleSender(producer.send_message)

    return open_sender


def group_receivers(nameservers: Sequence[str], plan: ReceivePlan) -> OpenReceiver:
    """Members of the plan's group by the kit's own client, each with its own connections."""

    @contextmanager
    def open_receiver(_member: int) -> Iterator[Receiver]:
        with GroupConsumer(nameservers, group=plan.group, topics={plan.topic: plan.expression}) as consumer:
            yield Member(consumer, plan.topic)

    return open_receiver


class Member:
    """A member of a group as a :class:`Receiver`."""

    def __init__(self, consumer: GroupConsumer, topic: str) -> None:
        self._consumer = consumer
        self._topic = topic

    def poll(self, timeout_s: float) -> Sequence[StoredMessage]:
        """What has come; it counts as consumed at the next call."""
        return self._consumer.poll(timeout_s)

    def queues(self) -> int:
        """Queues of the topic; the group's retry queue is nobody's concern here."""
        return sum(queue.topic == self._topic for queue in self._consumer.assignment)

    def lag(self) -> Mapping[str, int]:
        """By ``broker/queue``."""
        return {
            f"{each.queue.broker_name}/{each.queue.queue_id}": each.behind
            for each in self._consumer.lag()
            if each.queue.topic == self._topic
        }


def driver_senders(producer: DriverProducer) -> OpenSender:
    """Another client: all threads share one producer, as they do in a service."""

    @contextmanager
    def open_sender(_worker: int) -> Iterator[Sender]:
        yield SingleSender(producer.send)

    return open_sender
