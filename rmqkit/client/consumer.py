"""A simple consumer: all queues of a topic, read in turn from their masters, committed when asked.

What belongs here: positions per queue, following the route. What does not: sharing queues among members of a
group, which needs heartbeats and rebalancing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rmqkit.client.broker import BrokerClient
from rmqkit.client.pull import PullResult, pull_once
from rmqkit.client.routes import Routes
from rmqkit.errors import NoLeaderError, NotFoundError, RemoteError, TransportError, WaitTimeoutError
from rmqkit.transport.pool import Requester
from rmqkit.waiting import Deadline, Pending, wait_until
from rmqkit.wire.messages import StoredMessage

_SHOWN = 20
_CLUSTER_TROUBLE = (TransportError, RemoteError, NotFoundError, NoLeaderError)


@dataclass(frozen=True, slots=True)
class _Queue:
    broker_name: str
    queue_id: int


class Consumer:
    """Reads every queue of ``topic`` for ``group``, beginning at what is committed, else at the first
    message.

    Not for several threads. A leader change is followed: the route is asked for again after every failure.
    """

    def __init__(
        self,
        pool: Requester,
        nameservers: Sequence[str],
        *,
        group: str,
        topic: str,
        timeout_s: float = 3.0,
    ) -> None:
        self.group = group
        self.topic = topic
        self._pool = pool
        self._timeout_s = timeout_s
        self._routes = Routes(pool, nameservers, timeout_s=timeout_s)
        self._positions: dict[_Queue, int] = {}
        self._kept: list[tuple[_Queue, StoredMessage]] = []

    def poll(self, timeout_s: float) -> tuple[StoredMessage, ...]:
        """What there is, waiting up to ``timeout_s`` for the first; empty when nothing came.

        What an :meth:`expect` kept comes first, and at once. While the cluster has no leader this waits too, and raises
        the last failure when the time is over.
        """
        return tuple(message for _, message in self._take(timeout_s))

    def expect(self, n: int, *, within_s: float) -> tuple[StoredMessage, ...]:
        """The next ``n`` messages, no more: what came along with them is kept for the next call.

        Raises :class:`~rmqkit.errors.WaitTimeoutError` that lists what came instead; that is kept, too.
        """
        deadline = Deadline.after(within_s)
        came: list[tuple[_Queue, StoredMessage]] = []
        trouble = ""
        while len(came) < n:
            try:
                came += self._take(deadline.left_s)
            except _CLUSTER_TROUBLE as error:
                trouble = f"; the last poll failed: {error}"
            if deadline.passed and len(came) < n:
                self._kept = came
                lines = [_line(message) for _, message in came[:_SHOWN]]
                if len(came) > _SHOWN:
                    lines.append(f"… and {len(came) - _SHOWN} more")
                raise WaitTimeoutError(
                    f"{n} messages of {self.topic} for {self.group}",
                    waited_s=within_s,
                    last_seen=f"{len(came)} messages{trouble}",
                    details=lines,
                )
        self._kept = came[n:]
        return tuple(message for _, message in came[:n])

    def positions(self) -> dict[tuple[str, int], int]:
        """(broker name, queue id) to the offset of the next message that is handed out."""
        return {(queue.broker_name, queue.queue_id): offset for queue, offset in self._handed_out().items()}

    def commit(self) -> None:
        """Commit the position of every queue at its master: up to what was handed out.

        Raises when one cannot be committed. What a leader took shows on its followers up to 10 s later, so a
        failover soon after may hand messages out again.
        """
        positions = self._handed_out()
        for queue, address in self._queues().items():
            if queue in positions:
                BrokerClient(self._pool, address, timeout_s=self._timeout_s).update_consumer_offset(
                    self.topic, queue.queue_id, positions[queue], group=self.group
                )

    def _handed_out(self) -> dict[_Queue, int]:
        positions = dict(self._positions)
        for queue, message in self._kept:
            positions[queue] = min(positions[queue], message.queue_offset)
        return positions

    def _take(self, timeout_s: float) -> list[tuple[_Queue, StoredMessage]]:
        """What was kept, else what comes within ``timeout_s``."""
        if self._kept:
            kept, self._kept = self._kept, []
            return kept
        failure: list[Exception] = []

        def some() -> list[tuple[_Queue, StoredMessage]] | Pending:
            failure.clear()
            try:
                found = self._pull_all()
            except _CLUSTER_TROUBLE as error:
                failure.append(error)
                return Pending(str(error))
            return found or Pending("no message")

        try:
            return wait_until(some, label=f"a message of {self.topic}", timeout_s=timeout_s, every_s=0.02)
        except WaitTimeoutError:
            if failure:
                raise failure[0] from None
            return []

    def _pull_all(self) -> list[tuple[_Queue, StoredMessage]]:
        """One pull of every queue. What was found before a failure is given; only an empty pass raises it."""
        found: list[tuple[_Queue, StoredMessage]] = []
        try:
            for queue, address in self._queues().items():
                if queue not in self._positions:
                    self._positions[queue] = self._first_position(address, queue.queue_id)
                result = self._pull(address, queue)
                found += [(queue, message) for message in result.messages]
                self._positions[queue] = result.next_offset
        except _CLUSTER_TROUBLE:
            self._routes.forget(self.topic)
            if not found:
                raise
        return found

    def _pull(self, address: str, queue: _Queue) -> PullResult:
        position = self._positions[queue]
        result = pull_once(
            self._pool,
            address,
            topic=self.topic,
            queue_id=queue.queue_id,
            offset=position,
            group=self.group,
            timeout_s=self._timeout_s,
        )
        if result.next_offset < position:
            raise RemoteError(
                f"{address} has {self.topic} queue {queue.queue_id} up to offset {result.max_offset} only and"
                f" advises to go back to {result.next_offset}; the consumer is at {position}",
                address=address,
                code=result.status,
                remark=result.remark,
                hint="a broker that starts claims to be the master for a moment; or the topic was made anew",
            )
        return result

    def _first_position(self, address: str, queue_id: int) -> int:
        broker = BrokerClient(self._pool, address, timeout_s=self._timeout_s)
        first = broker.min_offset(self.topic, queue_id)
        committed = broker.query_consumer_offset(self.topic, queue_id, group=self.group)
        return max(first, committed or 0, 0)

    def _queues(self) -> dict[_Queue, str]:
        """Every readable queue and its master's address. Raises :class:`NoLeaderError` while a group has
        none.
        """
        route = self._routes.get(self.topic)
        out: dict[_Queue, str] = {}
        for data in route.queues:
            broker = route.broker(data.broker_name)
            if not data.is_readable or broker is None:
                continue
            if broker.master is None:
                self._routes.forget(self.topic)
                raise NoLeaderError(
                    f"the route of {self.topic} names no master for {data.broker_name}"
                    f" (registered: {dict(broker.addresses)})"
                )
            for queue_id in range(data.read_queues):
                out[_Queue(data.broker_name, queue_id)] = broker.master
        return out


def _line(message: StoredMessage) -> str:
    keys = " ".join(message.keys)
    return f"queue {message.queue_id} offset {message.queue_offset} keys {keys} ({len(message.body)} bytes)"
