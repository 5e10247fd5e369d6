"""Promises of the built-in client behind the drivers' interface: the adapter; the clients have tests of their own."""

from __future__ import annotations

from typing import Any, Self

import pytest
from memory_broker import stored

from rmqkit.drivers import builtin
from rmqkit.drivers.builtin import BuiltInConsumer, BuiltInProducer
from rmqkit.drivers.interface import Target
from rmqkit.errors import ConnectFailedError, UsageError
from rmqkit.wire.messages import StoredMessage

TARGET = Target(nameservers=("127.0.0.1:1",))


class Group:
    """Stands where the group consumer stands."""

    def __init__(self, nameservers: tuple[str, ...], **options: Any) -> None:
        self.nameservers, self.options = nameservers, options
        self.batches: list[tuple[StoredMessage, ...]] = [(stored(0, 0), stored(1, 0)), (stored(0, 1),)]
        self.did: list[str] = []
        self.fails = False

    def __enter__(self) -> Self:
        self.did.append("joined")
        return self

    def poll(self, timeout_s: float) -> tuple[StoredMessage, ...]:
        return self.batches.pop(0) if self.batches else ()

    def commit(self) -> None:
        if self.fails:
            raise ConnectFailedError("no leader", address="a", request_sent=False)
        self.did.append("committed")

    def send_back(self, message: StoredMessage) -> None:
        self.did.append(f"sent back {message.queue_id}/{message.queue_offset}")

    def close(self) -> None:
        self.did.append("left")


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> BuiltInConsumer:
    monkeypatch.setattr(builtin, "GroupConsumer", Group)
    return BuiltInConsumer(TARGET, topic="T", group="g", expression="TagA")


def did(consumer: BuiltInConsumer) -> list[str]:
    group: Any = consumer._consumer
    return list(group.did)


def test_making_one_joins_the_group_and_closing_leaves_it(consumer: BuiltInConsumer) -> None:
    group: Any = consumer._consumer
    assert group.options == {"group": "g", "topics": {"T": "TagA"}, "auto_commit": False}
    consumer.close()
    assert did(consumer) == ["joined", "left"]


def test_messages_are_handed_out_with_everything_that_is_known(consumer: BuiltInConsumer) -> None:
    message = consumer.poll(1)[1]
    assert (message.topic, message.body, message.message_id, message.unique_key) == ("T", b"1/0", "ID1.0", "ID1.0")
    assert (message.queue_id, message.queue_offset, message.reconsume_times) == (1, 0, 0)
    assert (message.born_ms, message.store_ms) == (1, 2)


def test_positions_are_committed_when_all_that_was_handed_out_is_acknowledged(consumer: BuiltInConsumer) -> None:
    messages = consumer.poll(1)
    consumer.ack(messages[:1])
    assert "committed" not in did(consumer)
    more = consumer.poll(1)
    consumer.ack(messages[1:])
    assert "committed" not in did(consumer)
    consumer.ack(more)
    assert did(consumer)[-1] == "committed"


def test_a_commit_that_fails_is_tried_again_at_the_next_poll(consumer: BuiltInConsumer) -> None:
    group: Any = consumer._consumer
    group.fails = True
    consumer.ack(consumer.poll(1))
    group.fails = False
    assert "committed" not in did(consumer)
    consumer.poll(1)
    assert did(consumer)[-1] == "committed"


def test_later_sends_back_and_counts_as_answered(consumer: BuiltInConsumer) -> None:
    messages = consumer.poll(1)
    consumer.later(messages[:1])
    consumer.ack(messages[1:])
    assert did(consumer)[-2:] == ["sent back 0/0", "committed"]
    with pytest.raises(UsageError, match="was answered for already"):
        consumer.later(messages[:1])


def test_each_time_out_has_its_producer() -> None:
    with BuiltInProducer(TARGET) as producer:
        assert producer.producer(1.0) is producer.producer(1.0)
        assert producer.producer(1.0) is not producer.producer(None)
