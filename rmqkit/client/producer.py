"""A producer that follows the route: the leader of today's route, the next queue, every attempt on record.

What belongs here: sending with one request at a time, and trying again. What does not: one request and its outcome
(``send``, ``batch``), several at once (``pipeline``), transactions (``transactions``).
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from rmqkit.client.batch import batch_to, check_batch
from rmqkit.client.capabilities import BATCH, Capabilities
from rmqkit.client.heartbeat import check_group
from rmqkit.client.message import COMPRESS_OVER_BYTES, OutgoingMessage
from rmqkit.client.outcomes import OutcomeUnknown, Receipt, Refused, SendOutcome
from rmqkit.client.routes import Routes
from rmqkit.client.send import Target, oneway_to, send_to
from rmqkit.client.targets import TopicTargets
from rmqkit.errors import NotFoundError, RemoteError, TransportError, WireError
from rmqkit.transport.pool import Sender
from rmqkit.wire.codes import ResponseCode

_SHEDS = re.compile(r"\[(REJECTREQUEST|OVERLOAD|TIMEOUT_CLEAN_QUEUE|PCBUSY_CLEAN_QUEUE)\]")
"""What a leader says that is merely busy; [PC_SYNCHRONIZED] may also mean that it leads no more."""


class Planner:
    """Chooses where a message goes, by the route of today; safe for use by several threads."""

    def __init__(self, pool: Sender, nameservers: Sequence[str], *, group: str, timeout_s: float) -> None:
        self.group = check_group(group)
        self.routes = Routes(pool, nameservers, timeout_s=timeout_s)
        self.capabilities = Capabilities(pool, timeout_s=timeout_s)
        self._targets: dict[str, TopicTargets] = {}

    def choose(self, message: OutgoingMessage, queue_id: int | None) -> tuple[Target | None, str]:
        """A queue for ``message``; or None, and why there is none. Raises :class:`UsageError` for what it cannot do."""
        try:
            route = self.routes.get(message.topic)
        except (NotFoundError, TransportError, RemoteError, WireError) as error:
            return None, f"no route: {error.what}"
        targets = self._targets.get(message.topic)
        if targets is None or targets.route is not route:
            targets = self._targets[message.topic] = TopicTargets(message.topic, route, group=self.group)
        target, why = targets.choose(queue_id=queue_id, sharding_key=message.sharding_key)
        if message.delay_level and target is not None:
            facts = self.capabilities.of(target.address)
            if facts is not None:
                facts.check_delay_level(message.delay_level)
        return target, why

    def learn(self, topic: str, outcome: SendOutcome) -> None:
        """After a failure ask anew at the next use; but not of a leader that only sheds load."""
        if isinstance(outcome, Receipt) or (outcome.code == ResponseCode.SYSTEM_BUSY and _SHEDS.match(outcome.remark)):
            return
        self.routes.forget(topic)
        self.capabilities.forget(outcome.address)


class Producer:
    """Sends to the masters of a topic's route; safe for use by several threads.

    Queues take turns, in the order of Java's clients. A message with a sharding key goes to the queue
    ``abs(String.hashCode(key)) % queues`` of all writable queues in that order, as Java's SelectMessageQueueByHash
    chooses: messages of one key keep their order as long as one thread sends them one after the other and the number of
    queues does not change. When it changes, keys move to other queues, and what is in the old one is not overtaken only
    if it was consumed before. While the queue's group has no leader, such a message is refused and never sent elsewhere
    (Java's client leaves that group's queues out then, which moves the keys).

    Bodies longer than ``compress_over`` bytes are compressed; None never does that.
    """

    def __init__(
        self,
        pool: Sender,
        nameservers: Sequence[str],
        *,
        group: str = "rmqkit_producer",
        timeout_s: float = 3.0,
        compress_over: int | None = COMPRESS_OVER_BYTES,
    ) -> None:
        self._pool = pool
        self._timeout_s = timeout_s
        self._compress_over = compress_over
        self._planner = Planner(pool, nameservers, group=group, timeout_s=timeout_s)

    def send(
        self,
        topic: str,
        body: bytes,
        *,
        keys: Sequence[str] = (),
        tags: str = "",
        properties: Mapping[str, str] | None = None,
        delay_level: int = 0,
        sharding_key: str = "",
        queue_id: int | None = None,
        retries: int = 0,
    ) -> SendOutcome:
        """Send one message; ``retries`` further attempts follow anything but an acknowledgement.

        Every attempt carries the same message id. The outcome is a receipt if any attempt was acknowledged,
        unknown if any was unknown, and refused only if all were refused. Trouble of the cluster never raises.
        A receipt of a delayed message tells the place in the queue of its delay level, not in the topic.
        """
        message = OutgoingMessage(
            topic,
            body,
            tags=tags,
            keys=keys,
            properties=properties or {},
            delay_level=delay_level,
            sharding_key=sharding_key,
        )
        return self.send_message(message, queue_id=queue_id, retries=retries)

    def send_message(self, message: OutgoingMessage, *, queue_id: int | None = None, retries: int = 0) -> SendOutcome:
        """Like :meth:`send`, for a message that the caller made."""
        started = time.perf_counter()
        outcome = self._attempt(message, queue_id)
        if retries <= 0 or isinstance(outcome, Receipt):
            return outcome
        outcomes: list[SendOutcome] = [outcome]
        for _ in range(retries):
            outcomes.append(self._attempt(message, queue_id))
            if isinstance(outcomes[-1], Receipt):
                break
        return joined(outcomes, latency_ms=(time.perf_counter() - started) * 1000)

    def _attempt(self, message: OutgoingMessage, queue_id: int | None) -> SendOutcome:
        target, why = self._planner.choose(message, queue_id)
        outcome: SendOutcome
        if target is None:
            outcome = nowhere(message, why)
        else:
            outcome = send_to(self._pool, target, message, timeout_s=self._timeout_s, compress_over=self._compress_over)
        self._planner.learn(message.topic, outcome)
        return outcome

    def send_oneway(self, message: OutgoingMessage, *, queue_id: int | None = None) -> SendOutcome:
        """Write the message to a broker without asking for an answer.

        The outcome is :class:`OutcomeUnknown` once it is written, for nothing more can be known, and :class:`Refused`
        when nothing was written.
        """
        target, why = self._planner.choose(message, queue_id)
        outcome: SendOutcome
        if target is None:
            outcome = nowhere(message, why)
        else:
            outcome = oneway_to(
                self._pool, target, message, timeout_s=self._timeout_s, compress_over=self._compress_over
            )
        if isinstance(outcome, Refused):
            self._planner.learn(message.topic, outcome)
        return outcome

    def send_batch(
        self, messages: Sequence[OutgoingMessage], *, queue_id: int | None = None, retries: int = 0
    ) -> tuple[SendOutcome, ...]:
        """Send messages of one topic to one queue in one request; an outcome for each, in their order.

        Raises :class:`UsageError` for a batch that brokers refuse (empty, of two topics, with a delayed message, with
        two sharding keys) and :class:`NotSupportedError` where the broker's version refuses every batch. ``retries`` as
        in :meth:`send`, for the batch as a whole: after an unknown outcome messages may then be there twice.
        """
        topic = check_batch(messages)
        started = time.perf_counter()
        rounds: list[tuple[SendOutcome, ...]] = []
        for _ in range(1 + max(retries, 0)):
            target, why = self._planner.choose(messages[0], queue_id)
            if target is None:
                outcomes: tuple[SendOutcome, ...] = tuple(nowhere(message, why) for message in messages)
            else:
                facts = self._planner.capabilities.of(target.address)
                if facts is not None:
                    facts.need(BATCH)
                outcomes = batch_to(self._pool, target, messages, group=self._planner.group, timeout_s=self._timeout_s)
            rounds.append(outcomes)
            if all(isinstance(outcome, Receipt) for outcome in outcomes):
                break
            self._planner.learn(topic, outcomes[0])
        latency_ms = (time.perf_counter() - started) * 1000
        return tuple(joined(each, latency_ms=latency_ms) for each in zip(*rounds, strict=True))


def nowhere(message: OutgoingMessage, reason: str) -> Refused:
    """The outcome of a message that there is no broker for; nothing was sent."""
    return Refused(message_id=message.message_id, address="", latency_ms=0.0, code=None, remark="", reason=reason)


def joined(outcomes: Sequence[SendOutcome], *, latency_ms: float) -> SendOutcome:
    """One outcome of several attempts, with all of them on record."""
    if len(outcomes) == 1:
        return outcomes[0]
    attempts = tuple(attempt for outcome in outcomes for attempt in outcome.attempts)
    best = next((outcome for outcome in outcomes if isinstance(outcome, Receipt)), None) or next(
        (outcome for outcome in reversed(outcomes) if isinstance(outcome, OutcomeUnknown)), outcomes[-1]
    )
    return replace(best, attempts=attempts, latency_ms=latency_ms)
