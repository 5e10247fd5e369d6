"""What users may rely on when they send: each feature is proved by reading back over the wire, from every replica."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Self

import pytest

from rmqkit.client.batch import batch_to
from rmqkit.client.outcomes import OutcomeUnknown, Receipt, Refused, SendOutcome, Verdict
from rmqkit.client.pipeline import PipelinedProducer
from rmqkit.client.producer import Producer
from rmqkit.client.pull import read_topic_from
from rmqkit.client.send import OutgoingMessage, Target, send_once
from rmqkit.client.transactions import Decision, TransactionProducer
from rmqkit.cluster import Cluster
from rmqkit.cluster.engine import Engine
from rmqkit.cluster.ports import reserve_block
from rmqkit.cluster.topics import create_topic, delete_topic, wait_topic_everywhere
from rmqkit.errors import NotSupportedError, UsageError
from rmqkit.faults import kill_leader
from rmqkit.scenario import replica_addresses
from rmqkit.settings import Settings
from rmqkit.topology.spec import ClusterSpec
from rmqkit.waiting import Pending, wait_until
from rmqkit.wire.messages import FLAG_COMPRESSED, StoredMessage

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def topic(rmq_cluster: Cluster) -> Iterator[str]:
    """One topic for all tests, which followers have copied: that takes ten seconds, and each test knows its own ids."""
    name = f"Producing-{secrets.token_hex(4)}"
    create_topic(rmq_cluster, name, queues=8)
    wait_topic_everywhere(rmq_cluster, name)
    yield name
    delete_topic(rmq_cluster, name)


@pytest.fixture
def producer(healthy_cluster: Cluster) -> Producer:
    return Producer(healthy_cluster.pool, healthy_cluster.nameservers)


def held_by_every_replica(cluster: Cluster, topic: str) -> Mapping[str, StoredMessage]:
    """The messages of ``topic`` by their id, the same on every replica and each there once."""
    group = cluster.wait_caught_up()
    addresses = replica_addresses(tuple(view.peer for view in group.peers))
    assert len(addresses) == 3
    by_replica: dict[str, dict[str, StoredMessage]] = {}
    for name, address in addresses.items():
        messages = list(read_topic_from(cluster.pool, address, topic))
        by_replica[name] = {message.unique_key: message for message in messages}
        twice = [each for each, count in Counter(message.unique_key for message in messages).items() if count > 1]
        assert [by_replica[name][each].properties for each in twice] == [], f"{name} holds messages twice"
        assert all(message.body_is_intact for message in messages)
    first, *others = by_replica.values()
    assert all(other == first for other in others), "the replicas differ"
    return first


def receipts(outcomes: Sequence[SendOutcome]) -> tuple[Receipt, ...]:
    assert all(isinstance(outcome, Receipt) for outcome in outcomes), outcomes
    return tuple(outcome for outcome in outcomes if isinstance(outcome, Receipt))


def assert_told_where(outcomes: Sequence[SendOutcome], held: Mapping[str, StoredMessage]) -> None:
    """Each receipt names the place at which every replica holds the message."""
    for receipt in receipts(outcomes):
        message = held[receipt.message_id]
        told = (receipt.queue_id, receipt.queue_offset, receipt.msg_id)
        assert told == (message.queue_id, message.queue_offset, message.msg_id)


def wait_for_message(cluster: Cluster, address: str, topic: str, message_id: str) -> StoredMessage:
    def arrived() -> StoredMessage | Pending:
        messages = list(read_topic_from(cluster.pool, address, topic))
        found = next((message for message in messages if message.unique_key == message_id), None)
        return found or Pending(f"{len(messages)} others")

    return wait_until(arrived, label=f"{message_id} is in {topic}", timeout_s=30, every_s=0.1)


def broker_can_batch(cluster: Cluster) -> bool:
    assert cluster.leader().address is not None
    version = cluster.broker(cluster.leader()).runtime_info().version
    return tuple(map(int, version.removeprefix("V").split("_"))) >= (4, 8, 0)


def test_tags_keys_properties_and_compressed_bodies_come_back_as_they_were_sent(
    healthy_cluster: Cluster, topic: str, producer: Producer
) -> None:
    random = os.urandom(6000)
    sent = {
        message.message_id: message
        for message in (
            OutgoingMessage(topic, "订单 1".encode(), tags="TagA", keys=["o-1", "k2"], properties={"色": "blau\n"}),
            OutgoingMessage(topic, b"long " * 4000, tags="TagB"),
            OutgoingMessage(topic, random),
            OutgoingMessage(topic, b"x" * 4096, properties={"last": "1"}),
        )
    }
    outcomes = [producer.send_message(message) for message in sent.values()]
    held = held_by_every_replica(healthy_cluster, topic)
    assert_told_where(outcomes, held)
    for message_id, message in sent.items():
        stored = held[message_id]
        assert stored.body == message.body
        assert (stored.tags, stored.keys) == (message.tags, (message_id, *message.keys))
        assert {name: stored.properties.get(name) for name in message.properties} == message.properties
    compressed = [bool(held[message_id].sys_flag & FLAG_COMPRESSED) for message_id in sent]
    assert compressed == [False, True, False, False], "only what is over 4 KiB and gains by it"
    assert len(held[list(sent)[1]].stored_body) < 1000


def test_other_clients_find_a_message_by_its_key_and_its_id(
    healthy_cluster: Cluster, topic: str, producer: Producer
) -> None:
    before_ms = time.time_ns() // 1_000_000
    receipt = receipts([producer.send(topic, b"find me", keys=["order-7"])])[0]
    receipts([producer.send(topic, b"not me", keys=["order-8"])])
    leader = healthy_cluster.broker(healthy_cluster.leader())
    queries: tuple[tuple[str, bool], ...] = (("order-7", False), (receipt.message_id, True))
    for key, unique in queries:

        def found(key: str = key, unique: bool = unique) -> StoredMessage | Pending:
            # Java's tools look from one second before the time that lies in the id.
            messages = leader.query_messages(topic, key, unique=unique, since_ms=before_ms - 1000)
            return messages[0] if len(messages) == 1 else Pending(f"{len(messages)} messages")

        message = wait_until(found, label=f"the index of {leader.address} knows {key}", timeout_s=15)
        assert (message.unique_key, message.body) == (receipt.message_id, b"find me")
    assert leader.query_messages(topic, "order-9") == ()


def test_messages_of_one_sharding_key_keep_their_order_in_one_queue(
    healthy_cluster: Cluster, topic: str, producer: Producer
) -> None:
    keys = [f"customer-{secrets.token_hex(4)}" for _ in range(5)]
    for step in range(6):
        receipts([producer.send(topic, f"{key} {step}".encode(), sharding_key=key) for key in keys])
    held = held_by_every_replica(healthy_cluster, topic).values()
    held = [message for message in held if message.properties.get("__SHARDINGKEY") in keys]
    for key in keys:
        own = sorted((m for m in held if m.body.startswith(key.encode())), key=lambda m: m.queue_offset)
        assert len({message.queue_id for message in own}) == 1
        assert [message.body for message in own] == [f"{key} {step}".encode() for step in range(6)]
    assert len({message.queue_id for message in held}) > 1, "all keys in one queue: the key was not looked at"


def test_a_delayed_message_comes_after_its_delay_and_an_unknown_level_is_refused_beforehand(
    healthy_cluster: Cluster, rmq_topic: str, producer: Producer
) -> None:
    # Not the topic of the other tests: a 4.5 broker that becomes leader delivers delayed messages again (#1934).
    receipt = receipts([producer.send(rmq_topic, b"later", delay_level=1, keys=["d"])])[0]
    leader = healthy_cluster.leader().address
    assert leader is not None

    message = wait_for_message(healthy_cluster, leader, rmq_topic, receipt.message_id)
    assert message.body == b"later"
    assert message.store_ms - message.born_ms >= 900, "1 s is level 1"
    with pytest.raises(UsageError, match="delay level 19 of 18"):
        producer.send(rmq_topic, b"never", delay_level=19)


def test_a_batch_is_numbered_in_a_row_or_refused_by_name_of_the_version(
    healthy_cluster: Cluster, topic: str, producer: Producer
) -> None:
    batch = [OutgoingMessage(topic, f"b{n}".encode(), tags="T", keys=[f"k{n}"]) for n in range(20)]
    if not broker_can_batch(healthy_cluster):
        with pytest.raises(NotSupportedError, match=r"runs RocketMQ 4\.5\.1.* no batches"):
            producer.send_batch(batch)
        leader = healthy_cluster.leader().address
        assert leader is not None
        target = Target.of(leader, topic=topic, queue_id=0, group="g")
        outcomes = batch_to(healthy_cluster.pool, target, batch, group="g", timeout_s=5)
        assert {(type(outcome), outcome.attempts[0].code) for outcome in outcomes} == {(Refused, 13)}
        assert not {message.message_id for message in batch} & held_by_every_replica(healthy_cluster, topic).keys()
        return
    first = receipts(producer.send_batch(batch))
    second = receipts(producer.send_batch([OutgoingMessage(topic, b"one")], queue_id=first[0].queue_id))
    assert [r.queue_offset - first[0].queue_offset for r in (*first, *second)] == list(range(21))
    assert len({r.queue_id for r in first}) == 1
    held = held_by_every_replica(healthy_cluster, topic)
    assert_told_where((*first, *second), held)
    for message in batch:
        stored = held[message.message_id]
        assert (stored.body, stored.tags, stored.keys[1:]) == (message.body, "T", tuple(message.keys))


def test_what_a_broker_refuses_for_its_size_is_refused_and_not_stored(
    healthy_cluster: Cluster, topic: str, producer: Producer
) -> None:
    sent = [OutgoingMessage(topic, os.urandom(4_300_000))]
    outcome = producer.send_message(sent[0])
    assert isinstance(outcome, Refused)
    assert outcome.code == 13
    if broker_can_batch(healthy_cluster):
        sent += [OutgoingMessage(topic, os.urandom(1_100_000)) for _ in range(4)]
        assert {type(each) for each in producer.send_batch(sent[1:])} == {Refused}
    assert not {message.message_id for message in sent} & held_by_every_replica(healthy_cluster, topic).keys()


def test_a_oneway_message_arrives_and_is_never_called_acknowledged(
    healthy_cluster: Cluster, topic: str, producer: Producer
) -> None:
    """Of several, since a broker that is busy drops one without a word."""
    messages = [OutgoingMessage(topic, f"fire and forget {number}".encode()) for number in range(5)]
    for message in messages:
        outcome = producer.send_oneway(message)
        assert isinstance(outcome, OutcomeUnknown)
        assert "one-way" in outcome.reason
    leader = healthy_cluster.leader().address
    assert leader is not None

    ids = {message.message_id: message.body for message in messages}

    def some() -> dict[str, bytes] | Pending:
        stored = {each.unique_key: each.body for each in read_topic_from(healthy_cluster.pool, leader, topic)}
        return {key: body for key, body in stored.items() if key in ids} or Pending(f"{len(stored)} others")

    found = wait_until(some, label=f"one of {len(ids)} one-way messages is in {topic}", timeout_s=30, every_s=0.1)
    assert found.items() <= ids.items()


def test_pipelined_messages_each_get_one_outcome_and_their_place(healthy_cluster: Cluster, topic: str) -> None:
    outcomes: dict[str, list[SendOutcome]] = {}
    with PipelinedProducer(healthy_cluster.pool, healthy_cluster.nameservers, window=32) as pipeline:
        for number in range(1000):
            pipeline.submit(
                OutgoingMessage(topic, f"{number}".encode()),
                on_done=lambda message, outcome: outcomes.setdefault(message.message_id, []).append(outcome),
            )
    assert {len(each) for each in outcomes.values()} == {1}
    assert len(outcomes) == 1000
    acknowledged = [each[0] for each in outcomes.values() if isinstance(each[0], Receipt)]
    others = [each[0] for each in outcomes.values() if not isinstance(each[0], Receipt)]
    # A busy machine may shed load; anything else is a fault.
    assert all(not isinstance(each, Receipt) and each.is_flow_control for each in others), others[:3]
    assert len(acknowledged) > 100
    held = held_by_every_replica(healthy_cluster, topic)
    assert_told_where(acknowledged, held)


class Traffic:
    """Sends until told otherwise, or for 90 s, from a thread of its own; keeps every message's outcomes."""

    def __init__(self, cluster: Cluster, topic: str) -> None:
        self.done: list[tuple[OutgoingMessage, SendOutcome]] = []
        self.submitted = 0
        self._cluster = cluster
        self._topic = topic
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(timeout=100)
        assert not self._thread.is_alive()

    def of(self, kind: type) -> list[SendOutcome]:
        return [outcome for _, outcome in tuple(self.done) if isinstance(outcome, kind)]

    def wait_acknowledged(self, count: int) -> None:
        wanted = len(self.of(Receipt)) + count
        wait_until(
            lambda: len(self.of(Receipt)) >= wanted or Pending(f"{len(self.of(Receipt))}, last {self.done[-1:]}"),
            label=f"{type(self).__name__} has {wanted} acknowledged",
            timeout_s=60,
        )

    def _send(self) -> None:
        end = time.monotonic() + 90
        with PipelinedProducer(self._cluster.pool, self._cluster.nameservers, window=64, timeout_s=2.0) as pipeline:
            while time.monotonic() < end and not self._stopping.is_set():
                if self.done and isinstance(self.done[-1][1], Refused):
                    self._stopping.wait(0.005)  # paces the sender during the outage: refusals cost nothing
                self.submitted += 1
                pipeline.submit(OutgoingMessage(self._topic, b"x" * 100), on_done=lambda m, o: self.done.append((m, o)))


class Batches(Traffic):
    """The same with batches of ten, one request at a time."""

    def _send(self) -> None:
        end = time.monotonic() + 90
        producer = Producer(self._cluster.pool, self._cluster.nameservers, timeout_s=2.0)
        while time.monotonic() < end and not self._stopping.is_set():
            batch = [OutgoingMessage(self._topic, b"y" * 100) for _ in range(10)]
            self.submitted += len(batch)
            self.done += zip(batch, producer.send_batch(batch), strict=True)
            self._stopping.wait(0.02)


@pytest.mark.failover
def test_what_was_acknowledged_survives_a_leader_killed_amid_pipelined_sends_and_batches(
    healthy_cluster: Cluster, topic: str
) -> None:
    kinds = [Traffic, Batches] if broker_can_batch(healthy_cluster) else [Traffic]
    with ExitStack() as block:
        traffics = [block.enter_context(kind(healthy_cluster, topic)) for kind in kinds]
        for traffic in traffics:
            traffic.wait_acknowledged(300)
        with kill_leader(healthy_cluster):
            for traffic in traffics:
                traffic.wait_acknowledged(300)
    held = held_by_every_replica(healthy_cluster, topic)
    for traffic in traffics:
        ids = [message.message_id for message, _ in traffic.done]
        assert len(ids) == traffic.submitted == len(set(ids)), "exactly one outcome for each"
        assert_told_where(traffic.of(Receipt), held)  # each of them is there, where it was told to be
        there = [outcome for outcome in traffic.of(Refused) if outcome.message_id in held]
        assert there == [], "called refused, but stored"
    assert traffics[0].of(OutcomeUnknown), "nothing was under way when the leader died: was it killed?"


# -- transactions: on a cluster whose brokers ask back every two seconds


@pytest.fixture(scope="module")
def asking_cluster(rmq_settings: Settings, rmq_spec: ClusterSpec, rmq_engine: Engine) -> Iterator[Cluster]:
    lowest = min(rmq_spec.ports()) // 10 * 10
    config = {"transactionCheckInterval": "2000", "transactionTimeOut": "1000", "autoCreateTopicEnable": "false"}
    with reserve_block(max(rmq_spec.ports()) - lowest + 10) as block:
        spec = rmq_spec.shifted(block.base - lowest)
        spec = spec.replace(config={**spec.config, **config})
        with Cluster.start(spec, engine=rmq_engine, timeout_s=rmq_settings.timeout_s) as cluster:
            create_topic(cluster, "Orders", queues=4)
            yield cluster


def test_a_transaction_is_seen_when_it_is_committed_and_never_when_it_is_rolled_back(asking_cluster: Cluster) -> None:
    decided: dict[str, Decision] = {}

    def check(message: StoredMessage) -> Decision:
        assert message.topic == "Orders"
        return decided[message.unique_key]

    def local(message: OutgoingMessage) -> Decision:
        assert message.message_id not in {m.unique_key for m in read_topic_from(asking_cluster.pool, leader, "Orders")}
        return now

    leader = asking_cluster.leader().address
    assert leader is not None
    expected: set[str] = set()
    with TransactionProducer(asking_cluster.nameservers, group="payments", check=check) as producer:
        for now in Decision:
            for later in (Decision.COMMIT, Decision.ROLLBACK):
                message = OutgoingMessage("Orders", f"{now.name} {later.name}".encode() * 500, tags="Pay", keys=["k"])
                decided[message.message_id] = later
                result = producer.send(message, local)
                assert isinstance(result.half, Receipt)
                assert result.decision is now
                kinds = {Decision.COMMIT: Receipt, Decision.ROLLBACK: Refused, Decision.UNKNOWN: OutcomeUnknown}
                assert isinstance(result.outcome, kinds[now]), result.outcome
                if now is Decision.COMMIT or (now is Decision.UNKNOWN and later is Decision.COMMIT):
                    expected.add(message.message_id)

        def answered() -> bool | Pending:
            confirmed = [check for check in producer.checks if check.verdict is Verdict.STORED]
            return len(confirmed) >= 2 or Pending(f"{producer.checks}")

        wait_until(answered, label="the broker asked back about both open transactions", timeout_s=40)
        undecided = {check.message_id for check in producer.checks}
    wait_topic_everywhere(asking_cluster, "Orders")
    held = held_by_every_replica(asking_cluster, "Orders")
    assert held.keys() == expected
    assert len(undecided & expected) == 1, "one was committed because the broker asked back"
    for message in held.values():
        assert (message.tags, message.keys) == ("Pay", (message.unique_key, "k"))
        assert message.body.startswith((b"COMMIT", b"UNKNOWN COMMIT"))


def test_an_unknown_topic_is_refused_where_brokers_create_none(asking_cluster: Cluster) -> None:
    outcome = Producer(asking_cluster.pool, asking_cluster.nameservers).send("NobodyMadeThis", b"x")
    assert isinstance(outcome, Refused)
    assert outcome.reason.startswith("no route")
    leader = asking_cluster.leader().address
    assert leader is not None
    direct = send_once(asking_cluster.pool, leader, OutgoingMessage("NobodyMadeThis", b"x"), queue_id=0)
    assert isinstance(direct, Refused)
    assert direct.code == 17
