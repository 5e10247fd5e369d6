"""What the built-in producer can beyond a plain send, read by the official Java client; keys go to the same place."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from rmqkit.client.outcomes import Receipt, SendOutcome
from rmqkit.client.producer import Producer
from rmqkit.client.send import OutgoingMessage
from rmqkit.client.transactions import Decision, TransactionProducer
from rmqkit.cluster import Cluster
from rmqkit.drivers import Target
from rmqkit.drivers.interface import Received
from rmqkit.drivers.java import JavaConsumer, JavaProducer
from rmqkit.drivers.java_process import JavaProcess, Place
from rmqkit.errors import NotSupportedError
from rmqkit.waiting import Pending, wait_until
from rmqkit.wire.messages import FLAG_COMPRESSED

pytestmark = pytest.mark.cluster

LONG = b"compress me, for I am long and say the same again. " * 400


@pytest.fixture(scope="module")
def java_process(rmq_cluster: Cluster) -> Iterator[JavaProcess]:
    """One JVM for the tests of this file."""
    rmq_cluster.wait_ready()
    with JavaProcess(Place.inside(rmq_cluster)) as process:
        yield process


@pytest.fixture
def built_in(rmq_cluster: Cluster) -> Producer:
    """The built-in producer."""
    return Producer(rmq_cluster.pool, rmq_cluster.nameservers, group="interop_built_in")


def acked(outcome: SendOutcome) -> Receipt:
    assert isinstance(outcome, Receipt), outcome
    return outcome


def java_reads(cluster: Cluster, process: JavaProcess, topic: str, count: int) -> list[Received]:
    """The first ``count`` messages that a new Java consumer is given."""
    came: list[Received] = []
    with JavaConsumer(Target.of(cluster), topic=topic, group=f"s-{topic}", process=process) as consumer:

        def probe() -> bool | Pending:
            messages = consumer.poll(1.0)
            consumer.ack(messages)
            came.extend(messages)
            return len(came) >= count or Pending(f"{len(came)} of {count}")

        wait_until(probe, label=f"the Java client is given {count} messages", timeout_s=40)
    return came


def test_java_unpacks_what_the_built_in_client_compressed(
    rmq_cluster: Cluster, java_process: JavaProcess, built_in: Producer, rmq_topic: str
) -> None:
    place = acked(built_in.send_message(OutgoingMessage(rmq_topic, LONG), retries=2))
    leader = rmq_cluster.broker(rmq_cluster.leader())
    stored = leader.view_message(int(place.msg_id[16:], 16))
    assert (stored.queue_id, stored.sys_flag & FLAG_COMPRESSED) == (place.queue_id, FLAG_COMPRESSED)
    (came,) = java_reads(rmq_cluster, java_process, rmq_topic, 1)
    assert came.body == LONG


def test_java_reads_the_built_in_clients_batch(
    rmq_cluster: Cluster, java_process: JavaProcess, built_in: Producer, rmq_topic: str
) -> None:
    batch = [OutgoingMessage(rmq_topic, f"b{n}".encode(), tags="T", keys=(f"k{n}",)) for n in range(4)]
    info = rmq_cluster.build_info()
    if info is not None and info.dledger_version == "0.1":  # 4.5.1: its broker refuses every batch
        with pytest.raises(NotSupportedError):
            built_in.send_batch(batch)
        return
    for outcome in built_in.send_batch(batch, retries=2):
        acked(outcome)
    came = java_reads(rmq_cluster, java_process, rmq_topic, 4)
    assert sorted((m.message_id, m.body, m.tags, m.keys) for m in came) == sorted(
        (m.message_id, m.body, "T", (m.message_id, *m.keys)) for m in batch
    )


def test_java_is_given_the_built_in_clients_delayed_message_when_it_is_due(
    rmq_cluster: Cluster, java_process: JavaProcess, built_in: Producer, rmq_topic: str
) -> None:
    message = OutgoingMessage(rmq_topic, b"later", delay_level=2)
    sent = time.monotonic()
    acked(built_in.send_message(message, retries=2))
    (came,) = java_reads(rmq_cluster, java_process, rmq_topic, 1)
    assert time.monotonic() - sent > 4.0, "level 2 is 5 s: it came at once"
    assert (came.message_id, came.body) == (message.message_id, b"later")


def test_java_is_given_only_the_committed_of_the_built_in_clients_transactions(
    rmq_cluster: Cluster, java_process: JavaProcess, built_in: Producer, rmq_topic: str
) -> None:
    with TransactionProducer(
        rmq_cluster.nameservers, group=f"tx-{rmq_topic}"[:60], check=lambda _message: Decision.UNKNOWN
    ) as producer:
        ids = {}
        for decision in (Decision.ROLLBACK, Decision.COMMIT):
            message = OutgoingMessage(rmq_topic, decision.name.encode(), tags="Tx")
            outcome = producer.send(message, lambda _message, decision=decision: decision)
            assert outcome.decision is decision
            ids[decision] = message.message_id
    marker = acked(built_in.send_message(OutgoingMessage(rmq_topic, b"marker"), retries=2)).message_id
    came = {message.message_id: message for message in java_reads(rmq_cluster, java_process, rmq_topic, 2)}
    assert set(came) == {ids[Decision.COMMIT], marker}
    assert (came[ids[Decision.COMMIT]].body, came[ids[Decision.COMMIT]].tags) == (b"COMMIT", "Tx")


def test_a_sharding_key_means_the_same_queue_to_both_clients(
    rmq_cluster: Cluster, java_process: JavaProcess, built_in: Producer, rmq_topic: str
) -> None:
    keys = ["order-1", "order-2", "polygenelubricants", "Zürich", "値", "a"]  # the third one's hash is -2^31
    with JavaProducer(Target.of(rmq_cluster), process=java_process) as java:
        for key in keys:
            message = OutgoingMessage(rmq_topic, b"x", sharding_key=key)
            ours = acked(built_in.send_message(message, retries=2)).queue_id
            theirs = acked(java.send(OutgoingMessage(rmq_topic, b"x", sharding_key=key))).queue_id
            assert ours == theirs, key


def test_the_built_in_query_finds_javas_message_by_key_and_by_unique_key(
    rmq_cluster: Cluster, java_process: JavaProcess, rmq_topic: str
) -> None:
    message = OutgoingMessage(rmq_topic, b"find me", keys=("order-7",))
    with JavaProducer(Target.of(rmq_cluster), process=java_process) as java:
        acked(java.send(message))
    leader = rmq_cluster.broker(rmq_cluster.leader())
    for key, unique in ((message.message_id, True), ("order-7", False)):
        found = wait_until(
            lambda key=key, unique=unique: leader.query_messages(rmq_topic, key, unique=unique) or Pending("none"),
            label=f"the built-in query finds {key}",
            timeout_s=20,
        )
        # The kit's id is UNIQ_KEY and one of KEYS, so the broker's index has it twice, of one message.
        assert {(each.physical_offset, each.unique_key, each.body) for each in found} == {
            (found[0].physical_offset, message.message_id, b"find me")
        }
