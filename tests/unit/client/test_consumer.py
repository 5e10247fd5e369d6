"""Promises of rmqkit.client.consumer."""

from __future__ import annotations

import pytest
from captured_answers import say
from memory_broker import MemoryBroker, stored

from rmqkit.client.consumer import Consumer
from rmqkit.errors import (
    ConnectFailedError,
    ConnectionLostError,
    NoLeaderError,
    RemoteError,
    WaitTimeoutError,
)
from rmqkit.transport.scripted import Handler, ScriptedPool
from rmqkit.wire.codes import RequestCode
from rmqkit.wire.frames import Command

NAMESERVER, OLD, NEW = "127.0.0.1:9876", "127.0.0.1:30911", "127.0.0.1:30921"
ROUTE = RequestCode.GET_ROUTEINTO_BY_TOPIC


def route(addresses: str) -> Handler:
    return say(
        body=(
            f'{{"brokerDatas":[{{"brokerAddrs":{{{addresses}}},"brokerName":"b","cluster":"c"}}],"queueDatas":'
            '[{"brokerName":"b","perm":6,"readQueueNums":2,"writeQueueNums":2}]}'
        ).encode()
    )


@pytest.fixture
def pool() -> ScriptedPool:
    pool = ScriptedPool()
    pool.on(NAMESERVER, ROUTE, route(f'0:"{OLD}"'))
    return pool


@pytest.fixture
def broker(pool: ScriptedPool) -> MemoryBroker:
    return MemoryBroker(pool, OLD, queues={0: [stored(0, 0), stored(0, 1)], 1: [stored(1, 7)]})


@pytest.fixture
def consumer(pool: ScriptedPool) -> Consumer:
    return Consumer(pool, [NAMESERVER], group="g", topic="T")


def test_all_queues_are_read_each_message_once(consumer: Consumer, broker: MemoryBroker) -> None:
    got = consumer.expect(3, within_s=2)
    assert sorted(message.body for message in got) == [b"0/0", b"0/1", b"1/7"]
    broker.queues[1].append(stored(1, 8))
    assert [message.body for message in consumer.poll(1)] == [b"1/8"]
    assert consumer.positions() == {("b", 0): 2, ("b", 1): 9}


def test_nothing_to_read_gives_nothing_when_the_time_is_over(consumer: Consumer, broker: MemoryBroker) -> None:
    consumer.expect(3, within_s=2)
    assert consumer.poll(0.1) == ()


def test_a_consumer_begins_at_what_its_group_committed(consumer: Consumer, broker: MemoryBroker) -> None:
    broker.committed[0] = 1
    assert sorted(message.body for message in consumer.expect(2, within_s=2)) == [b"0/1", b"1/7"]


def test_commit_stores_the_position_of_every_queue(consumer: Consumer, broker: MemoryBroker) -> None:
    consumer.expect(3, within_s=2)
    assert broker.committed == {}
    consumer.commit()
    assert broker.committed == {0: 2, 1: 8}


def test_too_few_messages_are_an_error_that_lists_what_came(consumer: Consumer, broker: MemoryBroker) -> None:
    with pytest.raises(WaitTimeoutError) as caught:
        consumer.expect(5, within_s=0.2)
    text = str(caught.value)
    assert "5 messages of T for g; last seen: 3 messages" in text
    assert "queue 1 offset 7" in text


def test_exactly_the_next_messages_come_and_the_rest_is_kept(consumer: Consumer, broker: MemoryBroker) -> None:
    bodies = [message.body for _ in range(3) for message in consumer.expect(1, within_s=2)]
    assert bodies == [b"0/0", b"0/1", b"1/7"]
    assert consumer.poll(0.05) == ()


def test_a_poll_gives_what_was_kept(consumer: Consumer, broker: MemoryBroker) -> None:
    consumer.expect(1, within_s=2)
    assert [message.body for message in consumer.poll(1)] == [b"0/1", b"1/7"]


def test_only_what_was_handed_out_is_committed(consumer: Consumer, broker: MemoryBroker) -> None:
    consumer.expect(1, within_s=2)
    assert consumer.positions() == {("b", 0): 1, ("b", 1): 7}
    consumer.commit()
    assert broker.committed == {0: 1, 1: 7}


def test_what_came_before_the_time_was_over_is_kept(consumer: Consumer, broker: MemoryBroker) -> None:
    with pytest.raises(WaitTimeoutError):
        consumer.expect(4, within_s=0.1)
    broker.queues[1].append(stored(1, 8))
    assert [message.body for message in consumer.expect(4, within_s=2)] == [b"0/0", b"0/1", b"1/7", b"1/8"]


def test_a_leader_change_is_followed(pool: ScriptedPool, consumer: Consumer, broker: MemoryBroker) -> None:
    assert len(consumer.expect(3, within_s=2)) == 3
    pool.on(OLD, RequestCode.PULL_MESSAGE)  # the old leader is gone
    pool.on(NAMESERVER, ROUTE, route(f'2:"{OLD}"'), route(f'0:"{NEW}"'))
    queues = {0: [*broker.queues[0], stored(0, 2)], 1: broker.queues[1]}
    MemoryBroker(pool, NEW, queues=queues)
    assert [message.body for message in consumer.poll(2)] == [b"0/2"]


def test_no_leader_until_the_end_is_told(pool: ScriptedPool, consumer: Consumer) -> None:
    pool.on(NAMESERVER, ROUTE, route(f'2:"{OLD}"'))
    with pytest.raises(NoLeaderError, match="no master for b"):
        consumer.poll(0.1)
    with pytest.raises(WaitTimeoutError, match="the last poll failed: the route of T names no master"):
        consumer.expect(1, within_s=0.1)


def test_a_broker_that_is_down_until_the_end_is_told(pool: ScriptedPool, consumer: Consumer) -> None:
    with pytest.raises(ConnectFailedError, match=OLD):
        consumer.poll(0.1)


def test_what_was_found_before_a_failure_is_not_lost(
    pool: ScriptedPool, consumer: Consumer, broker: MemoryBroker
) -> None:
    def second_queue_fails(command: Command) -> Command:
        if command.ext["queueId"] == "1":
            raise ConnectionLostError("reset", address=OLD, request_sent=True)
        return broker.pull(command)

    pool.on(OLD, RequestCode.PULL_MESSAGE, second_queue_fails)
    assert [message.body for message in consumer.poll(1)] == [b"0/0", b"0/1"]
    pool.on(OLD, RequestCode.PULL_MESSAGE, broker.pull)
    assert [message.body for message in consumer.poll(1)] == [b"1/7"]


def test_a_broker_that_knows_less_does_not_send_the_consumer_back(
    pool: ScriptedPool, consumer: Consumer, broker: MemoryBroker
) -> None:
    consumer.expect(3, within_s=2)
    behind = say(code=21, ext={"nextBeginOffset": 0, "minOffset": 0, "maxOffset": 1})
    pool.on(OLD, RequestCode.PULL_MESSAGE, behind)
    with pytest.raises(RemoteError, match="advises to go back to 0; the consumer is at 2"):
        consumer.poll(0.1)
    pool.on(OLD, RequestCode.PULL_MESSAGE, broker.pull)
    broker.queues[0].append(stored(0, 2))
    assert [message.body for message in consumer.poll(1)] == [b"0/2"]
