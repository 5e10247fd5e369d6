"""How far a group is behind, queue by queue.

What belongs here: joining what masters say with what a member knows, and waiting for the end of it. What does not: the
connection and the member's own offsets (``groupconsumer``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rmqkit.client.broker import BrokerClient
from rmqkit.client.messagequeue import RETRY_PREFIX, MessageQueue
from rmqkit.errors import ClusterError, RemoteError, RmqkitError, UsageError
from rmqkit.waiting import Pending, wait_until
from rmqkit.wire.codes import ResponseCode


@dataclass(frozen=True, slots=True)
class QueueLag:
    """One queue: ``end`` is the offset of its next message, ``committed`` what the master has (0 for none).

    ``acknowledged`` and ``position`` are None where another member holds the queue.
    """

    queue: MessageQueue
    end: int
    committed: int
    acknowledged: int | None = None
    position: int | None = None

    @property
    def behind(self) -> int:
        """Offsets that are not consumed yet; what retention removed counts as long as nobody pulled there."""
        return max(0, self.end - (self.committed if self.acknowledged is None else self.acknowledged))

    def __str__(self) -> str:
        at = f"committed {self.committed}" if self.acknowledged is None else f"acknowledged {self.acknowledged}"
        return f"{self.queue}: {self.behind} behind ({at}, end {self.end})"


def ask_lag(
    brokers: Sequence[BrokerClient],
    group: str,
    topics: Sequence[str],
    own: Mapping[MessageQueue, tuple[int, int]],
) -> tuple[QueueLag, ...]:
    """Every queue of ``topics`` on ``brokers``; ``own`` is acknowledged and position of the queues that we hold.

    Raises :class:`ClusterError` where a topic, or a queue that we hold, is not in the answers.
    """
    out: list[QueueLag] = []
    for broker in brokers:
        for topic in topics:
            try:
                progress = broker.consume_stats(group, topic=topic)
            except RemoteError as error:
                if topic.startswith(RETRY_PREFIX) and error.code == ResponseCode.TOPIC_NOT_EXIST:
                    continue
                raise
            for each in progress:
                queue = MessageQueue(each.topic, each.broker_name, each.queue_id)
                acknowledged, position = own.get(queue, (None, None))
                out.append(QueueLag(queue, each.end, each.committed, acknowledged, position))
    shown = {each.queue for each in out}
    absent = [str(queue) for queue in own if queue not in shown]
    absent += [t for t in topics if not t.startswith(RETRY_PREFIX) and t not in {queue.topic for queue in shown}]
    if absent:  # an empty answer must not look like nothing to do
        raise ClusterError(
            f"no master told how far {group} is in {', '.join(absent)}",
            hint="a new leader leaves out what no online member subscribes to, until it has had a heartbeat",
        )
    return tuple(sorted(out, key=lambda one: one.queue.order))


def wait_drained(
    ask: Callable[[], Sequence[QueueLag]], *, alive: Callable[[], None], group: str, timeout_s: float
) -> None:
    """Wait until no queue is behind. What ``alive`` raises ends the wait; what ``ask`` does, is "not yet".

    Raises :class:`~rmqkit.errors.WaitTimeoutError` that lists the queues that are behind.
    """

    def drained() -> bool | Pending:
        alive()
        try:
            behind = [each for each in ask() if each.behind > 0]
        except RmqkitError as error:
            if isinstance(error, UsageError):
                raise
            return Pending(str(error))
        return not behind or Pending(f"{sum(each.behind for each in behind)} behind", tuple(map(str, behind)))

    wait_until(drained, label=f"{group} to have consumed everything", timeout_s=timeout_s, every_s=0.1)
