"""Promises of the built-in client behind the drivers' interface."""

from __future__ import annotations

import pytest
from scripted_cluster import NAMESERVER, ScriptedCluster

from rmqkit.drivers import builtin
from rmqkit.drivers.builtin import BuiltInConsumer, BuiltInProducer
from rmqkit.drivers.interface import Target
from rmqkit.errors import RmqkitError, UsageError
from rmqkit.wire.codes import RequestCode

TARGET = Target(nameservers=(NAMESERVER,))


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> ScriptedCluster:
    made = ScriptedCluster(replicas=1)
    monkeypatch.setattr(builtin, "ChannelPool", lambda: made.pool)
    return made


def test_messages_are_handed_out_with_everything_that_is_known(cluster: ScriptedCluster) -> None:
    with BuiltInConsumer(TARGET, topic="T", group="g") as consumer:
        messages = consumer.poll(1)
    first = next(message for message in messages if message.queue_id == 1)
    assert (first.topic, first.body, first.message_id, first.unique_key) == ("T", b"1/0", "ID1.0", "ID1.0")
    assert (first.queue_offset, first.reconsume_times, first.born_ms, first.store_ms) == (0, 0, 1, 2)


def test_positions_are_committed_when_all_that_was_handed_out_is_acknowledged(cluster: ScriptedCluster) -> None:
    broker = cluster.brokers[0]
    consumer = BuiltInConsumer(TARGET, topic="T", group="g")
    messages = consumer.poll(1)
    assert len(messages) > 1
    consumer.ack(messages[:1])
    assert broker.committed == {}
    consumer.ack(messages[1:])
    assert sum(broker.committed.values()) == len(messages)
    consumer.close()


def test_a_commit_that_fails_is_tried_again(cluster: ScriptedCluster) -> None:
    broker, address = cluster.brokers[0], cluster.addresses[0]
    consumer = BuiltInConsumer(TARGET, topic="T", group="g")
    messages = consumer.poll(1)
    cluster.pool.on(address, RequestCode.UPDATE_CONSUMER_OFFSET)
    consumer.ack(messages)
    assert broker.committed == {}
    cluster.pool.on(address, RequestCode.UPDATE_CONSUMER_OFFSET, broker._commit)
    consumer.close()
    assert sum(broker.committed.values()) == len(messages)


def test_a_cluster_that_cannot_be_read_is_said_by_the_poll(cluster: ScriptedCluster) -> None:
    cluster.pool.on(cluster.addresses[0], RequestCode.PULL_MESSAGE)
    with BuiltInConsumer(TARGET, topic="T", group="g") as consumer, pytest.raises(RmqkitError, match="cannot connect"):
        consumer.poll(0.05)


def test_what_it_cannot_do_is_refused_at_once(cluster: ScriptedCluster) -> None:
    with pytest.raises(UsageError, match="cannot do this: subscribe to 'TagA'"):
        BuiltInConsumer(TARGET, topic="T", group="g", expression="TagA")
    with BuiltInConsumer(TARGET, topic="T", group="g") as consumer, pytest.raises(UsageError, match="again later"):
        consumer.later(consumer.poll(1))


def test_each_time_out_has_its_producer(cluster: ScriptedCluster) -> None:
    with BuiltInProducer(TARGET) as producer:
        assert producer.producer(1.0) is producer.producer(1.0)
        assert producer.producer(1.0) is not producer.producer(None)
