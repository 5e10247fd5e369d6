"""The adapter that the tests put behind the service's ``OrderGateway``: rmqkit's own producer and consumer."""

from __future__ import annotations

from collections.abc import Sequence

from order_service import Answer

from rmqkit.client.outcomes import Receipt, Refused
from rmqkit.errors import RmqkitError
from rmqkit.fixtures.helpers import RmqConsumer, RmqProducer


class RmqkitGateway:
    """Sends to ``topic`` by the producer, receives whatever the consumer reads."""

    def __init__(self, producer: RmqProducer, consumer: RmqConsumer, *, topic: str) -> None:
        self._producer = producer
        self._consumer = consumer
        self._topic = topic

    def send(self, body: bytes, *, key: str) -> Answer:
        """One attempt; rmqkit knows exactly what came of it."""
        outcome = self._producer.send(self._topic, body, keys=[key])
        if isinstance(outcome, Receipt):
            return Answer.STORED
        return Answer.REFUSED if isinstance(outcome, Refused) else Answer.UNKNOWN

    def receive(self, *, timeout_s: float) -> Sequence[bytes]:
        """What has come; nothing while the cluster has no leader."""
        try:
            return [message.body for message in self._consumer.poll(timeout_s=timeout_s)]
        except RmqkitError:
            return []
