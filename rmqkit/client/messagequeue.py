"""One queue of a topic, and the order in which Java's clients sort queues and client ids.

What belongs here: the value, its order, names of a group's topics. What does not: who consumes it (``rebalance``).

Source: MessageQueue.compareTo, String.compareTo.
"""

from __future__ import annotations

from dataclasses import dataclass

RETRY_PREFIX = "%RETRY%"
DLQ_PREFIX = "%DLQ%"


def retry_topic(group: str) -> str:
    """The topic in which ``group`` gets its messages again (MixAll.getRetryTopic)."""
    return RETRY_PREFIX + group


def dead_letter_topic(group: str) -> str:
    """The topic in which messages end that ``group`` sent back too often (MixAll.getDLQTopic)."""
    return DLQ_PREFIX + group


def java_order(text: str) -> bytes:
    """A sort key that orders texts as String.compareTo does: by UTF-16 code units."""
    return text.encode("utf-16-be", "surrogatepass")


@dataclass(frozen=True, slots=True)
class MessageQueue:
    """Queue ``queue_id`` of ``topic`` in the broker group ``broker_name``."""

    topic: str
    broker_name: str
    queue_id: int

    def __str__(self) -> str:
        return f"{self.topic} {self.broker_name}/{self.queue_id}"

    @property
    def order(self) -> tuple[bytes, bytes, int]:
        """Its place among others: topic, then broker name, then number."""
        return java_order(self.topic), java_order(self.broker_name), self.queue_id
