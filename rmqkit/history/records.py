"""What a history holds, one value an operation or step: facts with times.

Times are nanoseconds of one monotonic clock. What does not belong here: how they are kept (``table.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

HALF, COMMIT, ROLLBACK = "half", "commit", "rollback"
"""What :attr:`SendRecord.transaction` may be, besides empty."""


class Outcome(IntEnum):
    """How a send ended. Only an acknowledged message can be lost."""

    ACKNOWLEDGED = 0
    REFUSED = 1
    UNKNOWN = 2


@dataclass(frozen=True, slots=True)
class SendRecord:
    """One send: ``queue`` and ``offset`` are -1 unless it was acknowledged (and the client knows them).

    ``sender`` is the driver and its worker, as "built-in/0"; ``attempts`` how often the client may have put the message
    on the wire for this one outcome (so often may it be stored); ``sharding_key`` what it was ordered by, if it was.

    ``delay_ms``: it was sent to be delivered so much later; its receipt then names a place in the queue of its delay
    level, which is not judged. ``transaction``: which step of a transactional message this is, each a record of its
    own: :data:`HALF` (nobody sees it yet), then :data:`COMMIT` or :data:`ROLLBACK`, as often as either was asked for.
    """

    message_id: str
    topic: str
    start_ns: int
    end_ns: int
    outcome: Outcome
    queue: int
    offset: int
    address: str
    reason: str
    sender: str = ""
    attempts: int = 1
    sharding_key: str = ""
    delay_ms: int = 0
    transaction: str = ""


@dataclass(frozen=True, slots=True)
class ReadRecord:
    """One message found on one replica, whatever wrote it; ``message_id`` is empty where it carries none.

    ``intact``: its body matches the checksum that the leader of that time stored beside it.
    """

    replica: str
    message_id: str
    topic: str
    queue: int
    offset: int
    intact: bool = True


@dataclass(frozen=True, slots=True)
class ReceiveRecord:
    """One message that a consumer was handed; ``queue`` and ``offset`` are -1 where its client hides them.

    ``consumer`` is the group, or the group and its member as "test_consumer_group/java-0" (no group has a slash).
    """

    consumer: str
    message_id: str
    topic: str
    queue: int
    offset: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class OffsetRecord:
    """What a queue's master named as the committed offset of a group, asked at ``start_ns``, answered at ``end_ns``.

    ``deliberate``: somebody has just set it there, as by a seek or a reset; what was committed before does not bind it.
    """

    group: str
    topic: str
    queue: int
    offset: int
    start_ns: int
    end_ns: int
    deliberate: bool = False


@dataclass(frozen=True, slots=True)
class RangeRecord:
    """The offsets of one queue that a replica held when its read-back began: ``first`` to before ``end``.

    A ``first`` above 0 says that its own retention or disk rules have deleted what was before.
    """

    replica: str
    topic: str
    queue: int
    first: int
    end: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class FaultEvent:
    """A step of a fault: ``kind`` as in kill-leader, ``step`` as in injected, elected, restored.

    ``within_ns``: it was seen at ``at_ns`` and came at most so long before; 0 where that was not recorded.
    """

    kind: str
    step: str
    target: str
    at_ns: int
    within_ns: int = 0


@dataclass(frozen=True, slots=True)
class ConsumerEnd:
    """How a consumer group ended: ``drained`` is whether it was handed everything up to the end of its queues.

    ``topics`` is what it consumed whole, from their first message on; empty means every topic of the history.
    ``reason`` says why it was not drained, ``at_ns`` when that was (0: not known).
    """

    group: str
    drained: bool
    topics: tuple[str, ...] = ()
    reason: str = ""
    at_ns: int = 0


def group_of(consumer: str) -> str:
    """The group that a :class:`ReceiveRecord`'s ``consumer`` belongs to."""
    return consumer.partition("/")[0]


def driver_of(sender: str) -> str:
    """The driver that a :class:`SendRecord`'s ``sender`` is a worker of."""
    return sender.partition("/")[0]
