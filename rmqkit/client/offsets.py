"""Where a group is in each queue: kept by the queues' masters, or locally when every member reads everything.

What belongs here: reading and writing committed offsets, where to begin without one, offsets by time. What does not:
which offset may be committed (``heldqueue``), when (``groupcontrol``).

Source: RemoteBrokerOffsetStore, LocalFileOffsetStore, RebalancePushImpl.computePullFromWhere.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from rmqkit.client.broker import BrokerClient
from rmqkit.client.calls import refusal
from rmqkit.client.messagequeue import MessageQueue
from rmqkit.client.pull import pull_once
from rmqkit.errors import RmqkitError, UsageError, WireError
from rmqkit.transport.pool import Pipeline, Requester
from rmqkit.wire.codes import RequestCode
from rmqkit.wire.frames import Command


@dataclass(frozen=True, slots=True)
class Begin:
    """Where a group without a committed offset begins: :data:`FIRST`, :data:`LAST`, or :meth:`at` a time."""

    kind: str
    timestamp_ms: int = 0

    @classmethod
    def at(cls, when: datetime | int) -> Begin:
        """At the first message stored at ``when`` or later: an aware datetime, or milliseconds since the epoch."""
        return cls("timestamp", timestamp_ms(when))


FIRST = Begin("first")
LAST = Begin("last")


def timestamp_ms(when: datetime | int) -> int:
    """Milliseconds since the epoch. Raises :class:`UsageError` for a datetime without a zone, and for negative ones."""
    if isinstance(when, datetime):
        if when.tzinfo is None:
            raise UsageError(f"{when!r} has no time zone", hint="use datetime.now(tz=UTC), or milliseconds")
        when = int(when.timestamp() * 1000)
    if isinstance(when, bool) or not isinstance(when, int) or when < 0:
        raise UsageError(f"not a time: {when!r}", hint="give an aware datetime, or milliseconds since the epoch")
    return when


class OffsetStore(Protocol):
    """Committed offsets of one group."""

    def read(self, queue: MessageQueue, address: str) -> int | None:
        """The committed offset, or None; ``address`` is the queue's master."""
        ...

    def write(self, offsets: Mapping[MessageQueue, tuple[str, int]]) -> dict[MessageQueue, Exception]:
        """Commit each queue's offset at its master; the errors of those that could not be."""
        ...


class BrokerOffsets:
    """Offsets that the masters keep; followers copy them every 10 s, so a failover may set them back that far."""

    def __init__(self, pool: Pipeline, group: str, *, timeout_s: float) -> None:
        self._pool = pool
        self._group = group
        self._timeout_s = timeout_s

    def read(self, queue: MessageQueue, address: str) -> int | None:
        """As the protocol says. A 0 is looked up in the broker's whole table: it also answers 0 for "none yet"."""
        broker = BrokerClient(self._pool, address, timeout_s=self._timeout_s)
        offset = broker.query_consumer_offset(queue.topic, queue.queue_id, group=self._group)
        if offset != 0:
            return offset
        return broker.consumer_offsets().get((queue.topic, self._group), {}).get(queue.queue_id)

    def write(self, offsets: Mapping[MessageQueue, tuple[str, int]]) -> dict[MessageQueue, Exception]:
        """All requests go out before the first answer is awaited."""
        failed: dict[MessageQueue, Exception] = {}
        tickets = []
        for queue, (address, offset) in offsets.items():
            command = Command.request(
                RequestCode.UPDATE_CONSUMER_OFFSET,
                ext={
                    "consumerGroup": self._group,
                    "topic": queue.topic,
                    "queueId": queue.queue_id,
                    "commitOffset": offset,
                },
            )
            try:
                ticket = self._pool.begin(address, command, timeout_s=self._timeout_s)
            except RmqkitError as error:
                failed[queue] = error
            else:
                tickets.append((queue, address, ticket))
        for queue, address, ticket in tickets:
            try:
                answer = ticket.answer()
                if answer.code != 0:
                    raise refusal(address, RequestCode.UPDATE_CONSUMER_OFFSET, answer)
            except RmqkitError as error:
                failed[queue] = error
        return failed


class LocalOffsets:
    """Offsets of one member that reads everything: in memory, and in a file where it is to go on after a restart.

    The file is JSON, replaced as a whole; two consumers must not share it.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._offsets: dict[MessageQueue, int] = {}
        if file is not None and file.exists():
            self._offsets = self._load(file)

    def read(self, queue: MessageQueue, address: str) -> int | None:  # noqa: ARG002 - the address is the brokers' affair
        """What was committed here."""
        return self._offsets.get(queue)

    def write(self, offsets: Mapping[MessageQueue, tuple[str, int]]) -> dict[MessageQueue, Exception]:
        """Keep all of them; a file that cannot be written raises OSError."""
        self._offsets.update({queue: offset for queue, (_, offset) in offsets.items()})
        if self._file is not None and offsets:
            lines = [[q.topic, q.broker_name, q.queue_id, offset] for q, offset in self._offsets.items()]
            new = self._file.with_name(self._file.name + ".new")
            new.write_text(json.dumps(lines), encoding="utf-8")
            os.replace(new, self._file)  # noqa: PTH105 - atomic on every platform
        return {}

    @staticmethod
    def _load(file: Path) -> dict[MessageQueue, int]:
        try:
            lines = json.loads(file.read_text(encoding="utf-8"))
            return {MessageQueue(str(t), str(b), int(q)): int(offset) for t, b, q, offset in lines}
        except (ValueError, TypeError) as error:
            raise WireError(f"{file} is not a file of offsets: {error}", hint="delete it to begin anew") from error


def first_offset(broker: BrokerClient, pool: Requester, queue: MessageQueue, begin: Begin) -> int:
    """Where a group without a committed offset begins in ``queue``."""
    first = max(broker.min_offset(queue.topic, queue.queue_id), 0)
    if begin.kind == "first":
        return first
    if begin.kind == "last":
        return max(broker.max_offset(queue.topic, queue.queue_id), first)
    return offset_at(broker, pool, queue, begin.timestamp_ms)


def offset_at(broker: BrokerClient, pool: Requester, queue: MessageQueue, when_ms: int) -> int:
    """The first offset of ``queue`` stored at ``when_ms`` or later; its end where there is none.

    The broker's own search gives the nearest message, before or after (and on equal times any of them): from there the
    queue is read to the border. Leaders' clocks differ: after a failover the times need not rise from offset to offset.
    """
    first = max(broker.min_offset(queue.topic, queue.queue_id), 0)
    end = broker.max_offset(queue.topic, queue.queue_id)
    if end <= first:
        return first

    def times(start: int) -> list[tuple[int, int]]:
        result = pull_once(pool, broker.address, topic=queue.topic, queue_id=queue.queue_id, offset=start)
        return [(message.queue_offset, message.store_ms) for message in result.messages]

    at = min(max(broker.search_offset(queue.topic, queue.queue_id, when_ms), first), end - 1)
    while at > first:  # back, while there is one before it that is late enough
        start = max(first, at - 32)
        earlier = [offset for offset, stored in times(start) if offset < at and stored < when_ms]
        if earlier:
            at = earlier[-1] + 1
            break
        at = start
    while at < end:  # forward over those that are too early
        window = times(at)
        late = [offset for offset, stored in window if stored >= when_ms]
        if late:
            return late[0]
        if not window:
            break
        at = window[-1][0] + 1
    return end
