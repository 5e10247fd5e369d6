"""A producer that follows the route: the leader of today's route, the next queue, every attempt on record.

What belongs here: choosing broker and queue, trying again. What does not: one request and its outcome
(``send``).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rmqkit.client.outcomes import OutcomeUnknown, Receipt, Refused, SendOutcome
from rmqkit.client.routes import Routes
from rmqkit.client.send import OutgoingMessage, send_once
from rmqkit.errors import NotFoundError, RemoteError, TransportError, WireError
from rmqkit.transport.pool import Requester
from rmqkit.wire.bodies import TopicRoute


@dataclass(frozen=True, slots=True)
class _Target:
    address: str
    broker_name: str
    queue_id: int


class Producer:
    """Sends to the masters of a topic's route; safe for use by several threads."""

    def __init__(
        self,
        pool: Requester,
        nameservers: Sequence[str],
        *,
        group: str = "rmqkit_producer",
        timeout_s: float = 3.0,
    ) -> None:
        self._pool = pool
        self._group = group
        self._timeout_s = timeout_s
        self._routes = Routes(pool, nameservers, timeout_s=timeout_s)
        self._turn = itertools.count()

    def send(
        self,
        topic: str,
        body: bytes,
        *,
        keys: Sequence[str] = (),
        tags: str = "",
        properties: Mapping[str, str] | None = None,
        queue_id: int | None = None,
        retries: int = 0,
    ) -> SendOutcome:
        """Send one message; ``retries`` further attempts follow anything but an acknowledgement.

        Every attempt carries the same message id. The outcome is a receipt if any attempt was acknowledged,
        unknown if any was unknown, and refused only if all were refused. Trouble of the cluster never raises.
        """
        message = OutgoingMessage(topic, body, tags=tags, keys=keys, properties=properties or {})
        return self.send_message(message, queue_id=queue_id, retries=retries)

    def send_message(self, message: OutgoingMessage, *, queue_id: int | None = None, retries: int = 0) -> SendOutcome:
        """Like :meth:`send`, for a message that the caller made."""
        started = time.perf_counter()
        outcomes: list[SendOutcome] = []
        for _ in range(1 + max(retries, 0)):
            outcome = self._attempt(message, queue_id)
            outcomes.append(outcome)
            if isinstance(outcome, Receipt):
                break
            self._routes.forget(message.topic)
        return _joined(outcomes, latency_ms=(time.perf_counter() - started) * 1000)

    def _attempt(self, message: OutgoingMessage, queue_id: int | None) -> SendOutcome:
        started = time.perf_counter()
        target: _Target | None = None
        try:
            target, reason = self._choose(self._routes.get(message.topic), queue_id)
        except (NotFoundError, TransportError, RemoteError, WireError) as error:
            reason = f"no route: {error.what}"
        if target is None:
            return Refused(
                message_id=message.message_id,
                address="",
                latency_ms=(time.perf_counter() - started) * 1000,
                code=None,
                remark="",
                reason=reason,
            )
        return send_once(
            self._pool,
            target.address,
            message,
            queue_id=target.queue_id,
            timeout_s=self._timeout_s,
            group=self._group,
            broker_name=target.broker_name,
        )

    def _choose(self, route: TopicRoute, queue_id: int | None) -> tuple[_Target | None, str]:
        writable = [queue for queue in route.queues if queue.is_writable and queue.write_queues > 0]
        targets: list[_Target] = []
        for queue in writable:
            broker = route.broker(queue.broker_name)
            if broker is None or broker.master is None:
                continue
            targets += [
                _Target(broker.master, queue.broker_name, number)
                for number in range(queue.write_queues)
                if queue_id is None or number == queue_id
            ]
        if targets:
            return targets[next(self._turn) % len(targets)], ""
        if not writable:
            return None, "no route: the topic has no writable queue"
        known = ", ".join(f"{broker.name} {dict(broker.addresses)}" for broker in route.brokers) or "none"
        wanted = "" if queue_id is None else f" with queue {queue_id}"
        return None, f"no route: no broker{wanted} has a master (broker id 0); registered: {known}"


def _joined(outcomes: Sequence[SendOutcome], *, latency_ms: float) -> SendOutcome:
    """One outcome of several attempts, with all of them on record."""
    attempts = tuple(attempt for outcome in outcomes for attempt in outcome.attempts)
    best = next((outcome for outcome in outcomes if isinstance(outcome, Receipt)), None) or next(
        (outcome for outcome in reversed(outcomes) if isinstance(outcome, OutcomeUnknown)), outcomes[-1]
    )
    return replace(best, attempts=attempts, latency_ms=latency_ms)
