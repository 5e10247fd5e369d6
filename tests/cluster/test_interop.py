"""What the official Java client and the built-in one promise each other: each reads what the other wrote."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import pytest

from rmqkit.client.outcomes import Receipt, SendOutcome
from rmqkit.client.producer import Producer
from rmqkit.client.pull import read_topic_from
from rmqkit.client.send import OutgoingMessage
from rmqkit.cluster import Cluster
from rmqkit.drivers import Target
from rmqkit.drivers.interface import Received
from rmqkit.drivers.java import JavaConsumer, JavaProducer
from rmqkit.drivers.java_process import JavaProcess, Place
from rmqkit.errors import DriverError
from rmqkit.fixtures.helpers import RmqConsumer
from rmqkit.waiting import Pending, wait_until
from rmqkit.wire.messages import FLAG_COMPRESSED, StoredMessage

pytestmark = pytest.mark.cluster

PROPERTIES = {"region": "Zürich", "空": "値", "empty-not": "x y=z;&"}
LONG = b"compress me, for I am long and say the same again. " * 400


@pytest.fixture(scope="module")
def java_process(rmq_cluster: Cluster) -> Iterator[JavaProcess]:
    """One JVM for the tests of this file."""
    rmq_cluster.wait_ready()
    with JavaProcess(Place.inside(rmq_cluster)) as process:
        yield process


@pytest.fixture(scope="module")
def java_producer(rmq_cluster: Cluster, java_process: JavaProcess) -> Iterator[JavaProducer]:
    """A transactional producer, which sends everything else too."""
    with JavaProducer(
        Target.of(rmq_cluster), group="interop_java", retries=2, transactional=True, process=java_process
    ) as producer:
        yield producer


@pytest.fixture
def built_in(rmq_cluster: Cluster) -> Producer:
    """The built-in producer."""
    return Producer(rmq_cluster.pool, rmq_cluster.nameservers, group="interop_built_in")


def acked(outcome: SendOutcome) -> Receipt:
    assert isinstance(outcome, Receipt), outcome
    return outcome


def refuses_batches(cluster: Cluster) -> bool:
    """Whether this edition is one with DLedger 0.1 (4.5.x), whose broker answers every batch with 13."""
    info = cluster.build_info()
    return info is not None and info.dledger_version == "0.1"


def java_reads(consumer: JavaConsumer, count: int, *, within_s: float = 30.0) -> list[Received]:
    came: list[Received] = []

    def probe() -> list[Received] | Pending:
        messages = consumer.poll(1.0)
        consumer.ack(messages)
        came.extend(messages)
        return came if len(came) >= count else Pending(f"{len(came)} of {count}: {[m.body[:20] for m in came]}")

    return wait_until(probe, label=f"the Java client is given {count} messages", timeout_s=within_s)


def by_id(messages: Sequence[StoredMessage]) -> dict[str, StoredMessage]:
    return {message.unique_key: message for message in messages}


def test_java_reads_what_the_built_in_client_wrote(
    rmq_cluster: Cluster, java_process: JavaProcess, built_in: Producer, rmq_topic: str
) -> None:
    plain = OutgoingMessage(rmq_topic, bytes(range(256)), tags="TagA", keys=("k1", "k2"), properties=PROPERTIES)
    long = OutgoingMessage(rmq_topic, LONG, tags="TagB")
    places = {each.message_id: acked(built_in.send_message(each, retries=2)) for each in (plain, long)}
    with JavaConsumer(
        Target.of(rmq_cluster), topic=rmq_topic, group=f"j-{rmq_topic}", process=java_process
    ) as consumer:
        came = {message.message_id: message for message in java_reads(consumer, 2)}
    assert set(came) == set(places)
    first = came[plain.message_id]
    assert (first.body, first.tags, first.keys) == (plain.body, "TagA", (plain.message_id, "k1", "k2"))
    assert PROPERTIES.items() <= first.properties.items()
    assert came[long.message_id].body == LONG
    for message_id, place in places.items():
        message = came[message_id]
        assert (message.queue_id, message.queue_offset) == (place.queue_id, place.queue_offset)
        assert (message.broker_name, message.reconsume_times) == ("RaftNode00", 0)


def test_the_built_in_client_reads_what_java_wrote(
    rmq_cluster: Cluster, java_producer: JavaProducer, rmq_consumer: RmqConsumer, rmq_topic: str
) -> None:
    plain = OutgoingMessage(rmq_topic, bytes(range(256)), tags="TagA", keys=("k1", "k2"), properties=PROPERTIES)
    long = OutgoingMessage(rmq_topic, LONG, tags="TagB")
    places = {each.message_id: acked(java_producer.send(each)) for each in (plain, long)}
    came = {message.unique_key: message for message in rmq_consumer.expect(2, within_s=20)}
    assert set(came) == set(places)
    first = came[plain.message_id]
    assert (first.body, first.tags, first.keys) == (plain.body, "TagA", (plain.message_id, "k1", "k2"))
    assert PROPERTIES.items() <= first.properties.items()
    assert came[long.message_id].body == LONG
    leader = rmq_cluster.leader().address
    assert leader is not None
    stored = by_id(list(read_topic_from(rmq_cluster.pool, leader, rmq_topic)))
    second = stored[long.message_id]
    assert second.sys_flag & FLAG_COMPRESSED, "the Java client compresses from 4 KiB on: is this still its default?"
    assert len(second.stored_body) < len(LONG) / 10
    assert second.body == LONG
    for message_id, place in places.items():
        message = stored[message_id]
        assert (message.queue_id, message.queue_offset, message.msg_id) == (
            place.queue_id,
            place.queue_offset,
            place.msg_id,
        )


def test_java_filters_the_built_in_clients_tags(
    rmq_cluster: Cluster, java_process: JavaProcess, built_in: Producer, rmq_topic: str
) -> None:
    wanted = set()
    for tag in ("A", "B", "C", "B", "A"):
        message = OutgoingMessage(rmq_topic, tag.encode(), tags=tag)
        acked(built_in.send_message(message, retries=2))
        if tag != "A":
            wanted.add(message.message_id)
    with JavaConsumer(
        Target.of(rmq_cluster), topic=rmq_topic, group=f"f-{rmq_topic}", expression="B || C", process=java_process
    ) as consumer:
        came = java_reads(consumer, 3)
        assert {message.message_id for message in came} == wanted
        assert {message.tags for message in came} == {"B", "C"}


def test_the_built_in_client_reads_javas_batch(
    rmq_cluster: Cluster, java_producer: JavaProducer, rmq_consumer: RmqConsumer, rmq_topic: str
) -> None:
    batch = [OutgoingMessage(rmq_topic, f"b{n}".encode(), tags="T", keys=(f"k{n}",)) for n in range(4)]
    outcomes = java_producer.send_batch(batch)
    if refuses_batches(rmq_cluster):
        assert {getattr(outcome, "code", None) for outcome in outcomes} == {13}
        return
    came = rmq_consumer.expect(4, within_s=20)
    assert [(m.unique_key, m.body, m.tags, m.keys[1]) for m in came] == [
        (m.message_id, m.body, "T", m.keys[0]) for m in batch
    ]


def test_javas_delayed_message_comes_to_the_built_in_client_when_it_is_due(
    java_producer: JavaProducer, rmq_consumer: RmqConsumer, rmq_topic: str, java_process: JavaProcess
) -> None:
    message = OutgoingMessage(rmq_topic, b"in a second")
    fields = {"topic": rmq_topic, "body": "bGF0ZXI=", "messageId": message.message_id, "delayLevel": 2}
    sent = time.monotonic()
    answer = java_process.ask("send", timeout_s=10, producer=java_producer.handle, **fields)
    assert answer["status"] == "SEND_OK"
    (came,) = rmq_consumer.expect(1, within_s=30)
    assert time.monotonic() - sent > 4.0, "level 2 is 5 s: it came at once"
    assert (came.unique_key, came.body) == (message.message_id, b"later")
    assert came.properties["REAL_TOPIC"] == rmq_topic


def test_of_javas_transactions_only_the_committed_one_is_delivered(
    java_producer: JavaProducer, rmq_consumer: RmqConsumer, rmq_topic: str
) -> None:
    outcomes = {}
    for local in ("rollback", "commit"):
        message = OutgoingMessage(rmq_topic, local.encode(), tags="Tx", properties={"p": "q"})
        outcomes[local] = acked(java_producer.send_transaction(message, local=local, checks=["unknown"])).message_id
    marker = acked(java_producer.send(OutgoingMessage(rmq_topic, b"marker"))).message_id
    came = {message.unique_key: message for message in rmq_consumer.expect(2, within_s=20)}
    assert set(came) == {outcomes["commit"], marker}
    committed = came[outcomes["commit"]]
    assert (committed.body, committed.tags, committed.properties["p"]) == (b"commit", "Tx", "q")
    assert rmq_consumer.poll(timeout_s=1.0) == (), "the rolled back message was delivered"


@pytest.mark.long
def test_an_undecided_transaction_is_asked_back_and_then_delivered(
    java_producer: JavaProducer, rmq_consumer: RmqConsumer, rmq_topic: str
) -> None:
    # TransactionalMessageCheckService asks every 60 s for what is older than 6 s.
    message = OutgoingMessage(rmq_topic, b"asked back")
    acked(java_producer.send_transaction(message, local="unknown", checks=["commit"]))
    (came,) = rmq_consumer.expect(1, within_s=150)
    assert came.unique_key == message.message_id
    asked = [check for check in java_producer.check_backs() if check.message_id == message.message_id]
    assert [(check.answer, check.known) for check in asked] == [("commit", True)]


def test_javas_query_finds_the_built_in_clients_message_by_key_and_by_unique_key(
    built_in: Producer, java_producer: JavaProducer, rmq_topic: str
) -> None:
    message = OutgoingMessage(rmq_topic, b"find me", keys=("order-7",))
    acked(built_in.send_message(message, retries=2))

    def found(**wanted: str) -> Received | Pending:
        try:
            messages = java_producer.search(rmq_topic, **wanted)
        except DriverError as error:  # "no message": the index is built a moment after the message
            return Pending(error.what)
        return messages[0] if len(messages) == 1 else Pending(f"{len(messages)} found")

    for wanted in ({"unique_key": message.message_id}, {"key": "order-7"}):
        came = wait_until(lambda wanted=wanted: found(**wanted), label=f"Java finds {wanted}", timeout_s=20)
        assert (came.message_id, came.body) == (message.message_id, b"find me")
