"""The port to the message broker: all that the service asks of it, and no client library.

In production an adapter on the library of your choice stands behind it; in the tests the one on rmqkit's client
(``conftest.py``), and a list in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Protocol


class Answer(Enum):
    """What is known about a message after it was sent. There are three cases, not two."""

    STORED = "stored"
    """A majority of the brokers has it."""
    REFUSED = "refused"
    """It is certainly nowhere."""
    UNKNOWN = "unknown"
    """A time-out or a lost connection: it may be stored, now or later."""


class OrderGateway(Protocol):
    """Sends and receives the bytes of orders."""

    def send(self, body: bytes, *, key: str) -> Answer:
        """Send one message. Trouble of the broker is an answer, never an exception."""
        ...

    def receive(self, *, timeout_s: float) -> Sequence[bytes]:
        """What has come, waiting up to ``timeout_s`` for the first; a message may come more than once."""
        ...
