"""Read messages by queue and offset, from any replica.

What belongs here: one pull, a whole queue, a whole topic of one peer. What does not: who consumes what, and
committing (``consumer``).

Source: PullMessageProcessor. A pull with the subscription in it needs no heartbeat and no running consumer,
and a follower serves it whatever slaveReadEnable says. On a leader, a pull at an offset out of range has a
side effect (it writes an OffsetMovedEvent message), so reads here ask for the range first.

Every offset of a queue's range has a message, failovers included. A DLedger leader counts a queue offset up only once
the entry is in its own log (DLedgerCommitLog.putMessage returns before that while the position is -1), and a log entry
is either committed, which fills the offset, or cut off together with all that followed it; a new leader starts from its
consume queues, with everything dispatched (DLedgerRoleChangeHandler). So an offset without a message is a
:class:`Gap`: a message that the broker cannot read (MESSAGE_WAS_REMOVING: it then skips all up to the next log file,
readable ones too), a missing file (OFFSET_FOUND_NULL), or offsets that jump ("[BUG]logic queue order maybe wrong" in
ConsumeQueue, which fills blanks only at the start of a queue's first file). Offsets that retention removed meanwhile
are none: the broker's first offset has moved beyond them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from rmqkit.client.broker import BrokerClient
from rmqkit.client.calls import number, refusal
from rmqkit.client.heartbeat import SUBSCRIBE_ALL, Subscription
from rmqkit.errors import ClusterError, UsageError
from rmqkit.transport.pool import Requester
from rmqkit.waiting import Pending, wait_until
from rmqkit.wire.codes import RequestCode, ResponseCode
from rmqkit.wire.frames import Command
from rmqkit.wire.messages import StoredMessage, decode_messages

DEFAULT_GROUP = "rmqkit_reader"

MOST_MESSAGES = 32
"""What a broker gives at once (maxTransferCountOnMessageInMemory)."""

_SUSPEND = 2
_SUBSCRIPTION = 4


class PullStatus(IntEnum):
    """What a pull found, by its response code."""

    FOUND = ResponseCode.SUCCESS
    NOT_FOUND = ResponseCode.PULL_NOT_FOUND
    RETRY = ResponseCode.PULL_RETRY_IMMEDIATELY
    OFFSET_MOVED = ResponseCode.PULL_OFFSET_MOVED


@dataclass(frozen=True, slots=True)
class PullResult:
    """One answer: ``next_offset`` is where to go on; ``remark`` is the broker's name of what it found."""

    status: PullStatus
    next_offset: int
    min_offset: int
    max_offset: int
    messages: tuple[StoredMessage, ...]
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Gap:
    """Offsets of a queue's range, ``start`` to before ``end``, at which the peer at ``address`` showed no message."""

    address: str
    topic: str
    queue_id: int
    start: int
    end: int

    def __str__(self) -> str:
        which = f"offset {self.start}" if self.end == self.start + 1 else f"offsets {self.start} to {self.end - 1}"
        return f"{self.address} shows no message of {self.topic} queue {self.queue_id} at {which}"


def _refuse(gap: Gap) -> None:
    raise ClusterError(str(gap), hint="the peer's consume queue or log is damaged; pass on_gap to read on")


def pull_once(
    pool: Requester,
    address: str,
    *,
    topic: str,
    queue_id: int,
    offset: int,
    max_messages: int = MOST_MESSAGES,
    group: str = DEFAULT_GROUP,
    tags: str = SUBSCRIBE_ALL,
    suspend_ms: int = 0,
    timeout_s: float = 5.0,
) -> PullResult:
    """Ask ``address`` once for messages from ``offset`` on; with ``suspend_ms`` it holds the answer until
    some come. ``tags`` is ``*`` or ``A || B``.

    A broker gives at most 32 messages or 256 KiB at once, and 8 or 64 KiB from far behind. Raises
    :class:`~rmqkit.errors.RemoteError` for any code that is no :class:`PullStatus`.
    """
    if suspend_ms and suspend_ms / 1000 >= timeout_s:
        raise UsageError(
            f"suspend_ms={suspend_ms} is not below timeout_s={timeout_s}",
            hint="the broker would still hold the answer when the time is over",
        )
    if queue_id < 0 or offset < 0 or max_messages < 1 or suspend_ms < 0:
        raise UsageError(
            f"a pull: queue {queue_id}, offset {offset}, at most {max_messages} messages, suspend_ms={suspend_ms}",
            hint="none may be negative, and one message or more must be asked for",
        )
    subscription = Subscription(topic, tags, version=0)
    command = Command.request(
        RequestCode.PULL_MESSAGE,
        ext={
            "consumerGroup": group,
            "topic": topic,
            "queueId": queue_id,
            "queueOffset": offset,
            "maxMsgNums": max_messages,
            "sysFlag": _SUBSCRIPTION | (_SUSPEND if suspend_ms else 0),
            "commitOffset": 0,
            "suspendTimeoutMillis": suspend_ms,
            "subscription": subscription.expression,
            "subVersion": subscription.version,
            "expressionType": subscription.kind,
        },
    )
    answer = pool.request(address, command, timeout_s=timeout_s)
    if answer.code not in tuple(PullStatus):
        raise refusal(address, RequestCode.PULL_MESSAGE, answer)
    return PullResult(
        status=PullStatus(answer.code),
        next_offset=number(answer, "nextBeginOffset", address=address),
        min_offset=number(answer, "minOffset", address=address),
        max_offset=number(answer, "maxOffset", address=address),
        messages=(
            only_tagged(decode_messages(answer.body), subscription.tags) if answer.code == PullStatus.FOUND else ()
        ),
        remark=answer.remark,
    )


def only_tagged(messages: Iterable[StoredMessage], tags: Collection[str]) -> tuple[StoredMessage, ...]:
    """Those with one of ``tags``; all where there are none. A broker compares hash codes: "AaBB" passes for "BBAa"."""
    return tuple(messages) if not tags else tuple(message for message in messages if message.tags in tags)


def read_queue(
    pool: Requester,
    address: str,
    *,
    topic: str,
    queue_id: int,
    start: int | None = None,
    end: int | None = None,
    group: str = DEFAULT_GROUP,
    timeout_s: float = 5.0,
    on_gap: Callable[[Gap], None] = _refuse,
) -> Iterator[StoredMessage]:
    """Messages of one queue as the peer at ``address`` holds them, from ``start`` to before ``end``.

    By default from the first it has to the last it had when this was called. ``on_gap`` is told of every gap, and then
    the reading goes on; by default a gap raises :class:`~rmqkit.errors.ClusterError`. Raises
    :class:`~rmqkit.errors.WaitTimeoutError` when the peer does not get further within ``timeout_s``.
    """
    broker = BrokerClient(pool, address, timeout_s=timeout_s)
    first = broker.min_offset(topic, queue_id)
    last = broker.max_offset(topic, queue_id)
    return _read(
        pool,
        address,
        topic=topic,
        queue_id=queue_id,
        start=max(first, 0, start or 0),
        end=last if end is None else min(end, last),
        group=group,
        timeout_s=timeout_s,
        on_gap=on_gap,
    )


def read_topic_from(
    pool: Requester,
    address: str,
    topic: str,
    *,
    group: str = DEFAULT_GROUP,
    timeout_s: float = 5.0,
    on_gap: Callable[[Gap], None] = _refuse,
) -> Iterator[StoredMessage]:
    """All messages of ``topic`` that the peer at ``address`` holds now, queue by queue.

    The queues and their ends are asked for when this is called, not when the iterator is used. ``on_gap`` as in
    :func:`read_queue`.
    """
    ranges = BrokerClient(pool, address, timeout_s=timeout_s).topic_stats(topic)
    return (
        message
        for queue_id, held in ranges.items()
        for message in _read(
            pool,
            address,
            topic=topic,
            queue_id=queue_id,
            start=max(held.min_offset, 0),
            end=held.max_offset,
            group=group,
            timeout_s=timeout_s,
            on_gap=on_gap,
        )
    )


def _read(
    pool: Requester,
    address: str,
    *,
    topic: str,
    queue_id: int,
    start: int,
    end: int,
    group: str,
    timeout_s: float,
    on_gap: Callable[[Gap], None],
) -> Iterator[StoredMessage]:
    # Where the pull is, and which message must come next: they part only where the peer's offsets jump.
    offset = expected = start

    def advance() -> PullResult | Pending:
        result = pull_once(
            pool, address, topic=topic, queue_id=queue_id, offset=offset, group=group, timeout_s=timeout_s
        )
        if result.messages or result.next_offset > offset:
            return result
        return Pending(
            f"{result.status.name} ({result.remark}), next offset {result.next_offset},"
            f" queue {result.min_offset}..{result.max_offset}"
        )

    while offset < end:
        result = wait_until(
            advance,
            label=f"{address} to serve {topic} queue {queue_id} from offset {offset} of {end}",
            timeout_s=timeout_s,
            hint="the peer's consume queue and log disagree, or it was trimmed while it was read",
        )
        if result.min_offset > expected:
            expected = min(result.min_offset, end)
        unskipped = result.next_offset - offset == len(result.messages)
        for position, message in enumerate(result.messages, start=offset):
            if (position if unskipped else message.queue_offset) >= end:
                break
            if message.queue_offset > expected:
                on_gap(Gap(address, topic, queue_id, expected, message.queue_offset))
            expected = max(expected, message.queue_offset + 1)
            yield message
        offset = max(result.next_offset, offset + len(result.messages))
    if expected < end:
        on_gap(Gap(address, topic, queue_id, expected, end))
