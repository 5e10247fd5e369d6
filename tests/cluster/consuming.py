"""Sending and getting, as the tests of consumer groups do it."""

from __future__ import annotations

from collections.abc import Sequence

from rmqkit.client.groupconsumer import GroupConsumer
from rmqkit.client.outcomes import Receipt
from rmqkit.fixtures.helpers import RmqProducer
from rmqkit.waiting import Deadline
from rmqkit.wire.messages import StoredMessage


def gather(
    members: Sequence[GroupConsumer], count: int, *, within_s: float = 20.0, settle_s: float = 0.3
) -> list[list[StoredMessage]]:
    """What each member gets until there are ``count`` messages, and then what else comes in ``settle_s``."""
    got: list[list[StoredMessage]] = [[] for _ in members]
    deadline = Deadline.after(within_s)
    while sum(map(len, got)) < count and not deadline.passed:
        for mine, member in zip(got, members, strict=True):
            mine.extend(member.poll(0.02))
    after = Deadline.after(settle_s)
    while not after.passed:
        for mine, member in zip(got, members, strict=True):
            mine.extend(member.poll(0.02))
    return got


def send_all(producer: RmqProducer, topic: str, bodies: Sequence[bytes], *, tags: str = "") -> list[Receipt]:
    return [producer.send_acked(topic, body, tags=tags, retries=3) for body in bodies]
