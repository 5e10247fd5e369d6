"""Read-back: every message of a topic from every replica, into the history.

Followers serve pulls whatever ``slaveReadEnable`` says (PullMessageProcessor), so each replica is asked directly. A
replica that cannot be read to its end, or that shows nothing at an offset of its range, is recorded as such, and the
verdict says so. So are the first offsets: what a broker deleted by its own rules is gone, and not lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from rmqkit.client.broker import BrokerClient
from rmqkit.client.pull import Gap, read_queue
from rmqkit.errors import RmqkitError
from rmqkit.history import History, RangeRecord, ReadRecord
from rmqkit.transport.pool import ChannelPool
from rmqkit.waiting import Deadline
from rmqkit.wire.messages import StoredMessage


def unique_key(message: StoredMessage) -> str:
    """The id that the built-in and the Java client's messages carry as UNIQ_KEY."""
    return message.unique_key


def read_back(
    pool: ChannelPool,
    replicas: Mapping[str, str],
    *,
    topic: str,
    history: History,
    id_of: Callable[[StoredMessage], str] = unique_key,
    deadline: Deadline | None = None,
) -> dict[str, str]:
    """Read ``topic`` from each replica (name to address). Returns, per replica that was not read whole, why.

    ``id_of`` tells a message's id: that of the sends in the history, which not every client sends as UNIQ_KEY.

    Every queue is read that the replica has or that an acknowledged send went to: a replica whose topic has fewer
    queues than the messages went into was not read to its end, rather than "without messages". After ``deadline``
    nothing more is read, and that is why.
    """
    sent_to = _sent_to(history, topic)
    failed: dict[str, str] = {}
    for name, address in replicas.items():
        try:
            queues = sent_to | _ranges(name, BrokerClient(pool, address), topic, history)
            gaps: list[Gap] = []
            for queue in sorted(queues):
                _check(deadline)
                for message in read_queue(pool, address, topic=topic, queue_id=queue, on_gap=gaps.append):
                    history.add_read(_record(name, message, id_of(message)))
                    _check(deadline)
            if gaps:
                failed[name] = f"{len(gaps)} gaps, the first: {gaps[0]}"
        except RmqkitError as error:
            failed[name] = str(error).splitlines()[0]
        history.reader_done(name, reached_end=name not in failed, reason=failed.get(name, ""))
    return failed


def _check(deadline: Deadline | None) -> None:
    if deadline is not None and deadline.passed:
        raise RmqkitError("the time for it was over")


def _ranges(replica: str, broker: BrokerClient, topic: str, history: History) -> set[int]:
    """Record which offsets the replica still has, so that what it deleted itself is not called lost."""
    asked_ns = time.monotonic_ns()
    held = broker.topic_stats(topic)
    for queue, offsets in held.items():
        first = max(offsets.min_offset, 0)
        history.add_range(RangeRecord(replica, topic, queue, first, max(offsets.max_offset, first), asked_ns))
    return set(held)


def _sent_to(history: History, topic: str) -> set[int]:
    columns = history.send_columns()
    numbers = [number for number, text in enumerate(columns.texts("topic")) if text == topic]
    queues: set[int] = set()
    for topics, to in columns.batches("topic", "queue"):
        for number in numbers:
            queues.update(set(to[(topics == number) & (to >= 0)].tolist()))
    return queues


def _record(replica: str, message: StoredMessage, message_id: str) -> ReadRecord:
    return ReadRecord(
        replica,
        message_id,
        message.topic,
        message.queue_id,
        message.queue_offset,
        message.body_is_intact,
    )
