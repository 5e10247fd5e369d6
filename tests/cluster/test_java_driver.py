"""Promises of the Java driver against real brokers: the official client's answers, and an end that leaves nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator

import pytest

from rmqkit.checks import Thresholds, VerdictStatus, judge
from rmqkit.client.outcomes import OutcomeUnknown, Receipt, Refused
from rmqkit.client.pull import pull_once
from rmqkit.client.send import OutgoingMessage
from rmqkit.cluster import Cluster
from rmqkit.drivers import Target, open_consumer, open_producer
from rmqkit.drivers.java import JavaConsumer, JavaProducer
from rmqkit.drivers.java_load import JavaLoad, Sent
from rmqkit.drivers.java_process import JavaProcess, Place
from rmqkit.errors import DriverError
from rmqkit.faults import kill_leader
from rmqkit.fixtures.helpers import RmqAdmin
from rmqkit.history import History, Outcome, SendRecord
from rmqkit.load import read_back
from rmqkit.scenario import longest_gap_s, replica_addresses
from rmqkit.waiting import Pending, wait_until

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def java_process(rmq_cluster: Cluster) -> Iterator[JavaProcess]:
    """One JVM for the tests of this file that do not end it."""
    rmq_cluster.wait_ready()
    with JavaProcess(Place.inside(rmq_cluster)) as process:
        yield process


@pytest.fixture(scope="module")
def producer(rmq_cluster: Cluster, java_process: JavaProcess) -> Iterator[JavaProducer]:
    """A producer without retries in the shared JVM."""
    with JavaProducer(Target.of(rmq_cluster), retries=0, process=java_process) as producer:
        yield producer


def receipt(outcome: object) -> Receipt:
    assert isinstance(outcome, Receipt), outcome
    return outcome


def message_at(cluster: Cluster, topic: str, place: Receipt):  # type: ignore[no-untyped-def]
    address = cluster.leader(place.broker_name).address
    assert address is not None
    found = pull_once(cluster.pool, address, topic=topic, queue_id=place.queue_id, offset=place.queue_offset, group="r")
    return found.messages[0]


def containers(name: str) -> str:
    done = subprocess.run(
        ["docker", "ps", "--all", "--filter", f"name={name}", "--format", "{{.Names}} {{.Status}}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def wait_gone(name: str, *, timeout_s: float) -> None:
    wait_until(lambda: Pending(containers(name)) if containers(name) else True, label="gone", timeout_s=timeout_s)


def test_an_acknowledgement_names_the_place_where_the_message_is(
    healthy_cluster: Cluster, rmq_topic: str, producer: JavaProducer
) -> None:
    message = OutgoingMessage(rmq_topic, b"from Java", tags="A", keys=("k1",), properties={"x": "1"})
    place = receipt(producer.send(message))
    stored = message_at(healthy_cluster, rmq_topic, place)
    assert (stored.body, stored.unique_key, stored.msg_id) == (b"from Java", message.message_id, place.msg_id)
    assert place.address == healthy_cluster.leader().address
    assert [attempt.address for attempt in place.attempts] == [place.address]
    assert receipt(producer.send(OutgoingMessage(rmq_topic, b"5"), queue_id=5)).queue_id == 5
    assert isinstance(producer.send_oneway(OutgoingMessage(rmq_topic, b"no answer")), OutcomeUnknown)


def test_the_java_clock_is_this_process_clock_and_the_client_is_named(java_process: JavaProcess) -> None:
    assert java_process.clock_offset_ns() == 0
    assert java_process.client.startswith("rocketmq-client ")


def test_what_the_client_refuses_by_itself_was_not_sent(producer: JavaProducer, rmq_topic: str) -> None:
    too_long = producer.send(OutgoingMessage(rmq_topic, b"x" * (4 * 1024 * 1024 + 1)))
    assert isinstance(too_long, Refused)
    assert too_long.attempts == ()
    assert "the message body size over max value" in too_long.reason
    nowhere = producer.send(OutgoingMessage(rmq_topic, b"x"), queue_id=99)
    assert isinstance(nowhere, Refused)
    assert "no queue 99" in nowhere.reason


def test_a_batch_is_stored_together_or_refused_together(
    healthy_cluster: Cluster, rmq_topic: str, producer: JavaProducer
) -> None:
    batch = [OutgoingMessage(rmq_topic, f"b{number}".encode()) for number in range(5)]
    outcomes = producer.send_batch(batch)
    info = healthy_cluster.build_info()
    if info is not None and info.dledger_version == "0.1":  # 4.5.1: DLedgerCommitLog refuses every batch
        assert {(type(outcome), getattr(outcome, "code", None)) for outcome in outcomes} == {(Refused, 13)}
        return
    places = [receipt(outcome) for outcome in outcomes]
    assert [place.queue_offset - places[0].queue_offset for place in places] == [0, 1, 2, 3, 4]
    for message, place in zip(batch, places, strict=True):
        stored = message_at(healthy_cluster, rmq_topic, place)
        assert (stored.body, stored.unique_key, stored.msg_id) == (message.body, message.message_id, place.msg_id)


def test_a_consumer_gives_each_message_once_it_was_acknowledged_only_once(
    rmq_cluster: Cluster, java_process: JavaProcess, producer: JavaProducer, rmq_topic: str
) -> None:
    target = Target.of(rmq_cluster)
    sent = {producer.send(OutgoingMessage(rmq_topic, f"{n}".encode(), tags="AB"[n % 2])).message_id for n in range(10)}
    came: dict[str, str] = {}
    with JavaConsumer(target, topic=rmq_topic, group=f"g-{rmq_topic}", process=java_process) as first:

        def all_of_them() -> bool | Pending:
            messages = first.poll(1.0)
            first.ack(messages)
            came.update({message.message_id: message.tags for message in messages})
            return set(came) == sent or Pending(f"{len(came)} of {len(sent)}")

        wait_until(all_of_them, label="every message has come", timeout_s=30)
        assert len(first.assignment()) == 8
    last = receipt(producer.send(OutgoingMessage(rmq_topic, b"after"))).message_id
    with JavaConsumer(target, topic=rmq_topic, group=f"g-{rmq_topic}", process=java_process) as again:
        wait_until(
            lambda: [m.message_id for m in again.poll(1.0)] == [last] or Pending("nothing"), label="it", timeout_s=30
        )


def test_load_tells_every_outcome_and_its_totals_agree(
    healthy_cluster: Cluster, java_process: JavaProcess, rmq_topic: str
) -> None:
    sent: list[Sent] = []
    target = Target.of(healthy_cluster)
    with JavaLoad(
        java_process, target, topic=rmq_topic, threads=4, count=500, id_prefix="L-", on_sent=sent.append
    ) as load:
        totals = load.wait(timeout_s=60)
    assert len(sent) == len({each.outcome.message_id for each in sent}) == 500
    acked = [each.outcome for each in sent if isinstance(each.outcome, Receipt)]
    assert (totals.acked, totals.acked + totals.failed) == (len(acked), 500)
    assert len(acked) > 400
    assert all(each.start_ns <= each.end_ns for each in sent)
    stored = message_at(healthy_cluster, rmq_topic, acked[-1])
    assert stored.unique_key == acked[-1].message_id


@pytest.mark.failover
@pytest.mark.long
def test_what_the_java_client_was_acknowledged_survives_a_killed_leader(
    healthy_cluster: Cluster, copied_topic: str, java_process: JavaProcess
) -> None:
    history = History()
    acknowledged = 0
    lock = threading.Lock()
    history.add_run_prefix("J-")

    def note(sent: Sent) -> None:
        nonlocal acknowledged
        outcome = sent.outcome
        kind, queue, offset, reason = Outcome.REFUSED, -1, -1, ""
        if isinstance(outcome, Receipt):
            kind, queue, offset = Outcome.ACKNOWLEDGED, outcome.queue_id, outcome.queue_offset
        else:
            kind = Outcome.UNKNOWN if isinstance(outcome, OutcomeUnknown) else kind
            reason = outcome.reason
        history.add_send(
            SendRecord(outcome.message_id, copied_topic, sent.start_ns, sent.end_ns, kind, queue, offset, "", reason)
        )
        with lock:
            acknowledged += kind is Outcome.ACKNOWLEDGED

    def more(count: int) -> None:
        goal = acknowledged + count
        wait_until(lambda: acknowledged >= goal or Pending(f"{acknowledged}"), label="acknowledged", timeout_s=90)

    with JavaLoad(
        java_process,
        Target.of(healthy_cluster),
        topic=copied_topic,
        threads=4,
        rate=100,
        id_prefix="J-",
        retries=0,
        route_refresh_s=1.0,  # its own 30 s would be most of this test
        on_sent=note,
    ):
        more(100)
        with kill_leader(healthy_cluster, history=history):
            more(100)
    group = healthy_cluster.wait_caught_up()
    replicas = replica_addresses(tuple(view.peer for view in group.peers))
    unread = read_back(healthy_cluster.pool, replicas, topic=copied_topic, history=history)
    verdict = judge(history, Thresholds(min_acked_before=100, min_acked_after=50, min_replicas=3))
    assert verdict.status is VerdictStatus.PASSED, f"{verdict}\n{unread}"
    assert longest_gap_s(history) > 1.0, "nothing was interrupted: was the leader really killed?"


def test_a_killed_java_process_is_an_outcome_and_then_an_error(healthy_cluster: Cluster, rmq_topic: str) -> None:
    target = Target.of(healthy_cluster)
    producer = open_producer("java", target, retries=0)
    assert isinstance(producer, JavaProducer)
    process = producer.process
    with producer, open_consumer("java", target, topic=rmq_topic, group=f"g-{rmq_topic}", process=process) as consumer:
        receipt(producer.send(OutgoingMessage(rmq_topic, b"alive")))
        subprocess.run(["docker", "kill", process.container], check=True, capture_output=True)
        wait_until(lambda: not process.alive or Pending("alive"), label="it is gone", timeout_s=20)
        outcome = producer.send(OutgoingMessage(rmq_topic, b"dead"))
        assert isinstance(outcome, Refused)
        assert "exit code 137" in outcome.reason
        consumer.poll(0.1)  # what had come before is still given
        with pytest.raises(DriverError, match="its process ended"):
            consumer.poll(5.0)
    wait_gone(process.container, timeout_s=10)


ORPHAN = """
import sys, time
from rmqkit.cluster import Cluster
from rmqkit.cluster.engine import Engine
from rmqkit.drivers.java_process import JavaProcess, Place
with Engine.connect() as engine, Cluster.attach_run(sys.argv[1], engine=engine) as cluster:
    process = JavaProcess(Place.inside(cluster))
    print(process.container, flush=True)
    time.sleep(120)
"""


def test_a_killed_kit_leaves_no_java_process_and_the_cluster_is_left_alone(healthy_cluster: Cluster) -> None:
    services = healthy_cluster.services
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(ORPHAN), healthy_cluster.run], stdout=subprocess.PIPE, text=True
    ) as orphan:
        assert orphan.stdout is not None
        container = orphan.stdout.readline().strip()
        assert "Up" in containers(container)
        os.kill(orphan.pid, signal.SIGKILL)
    wait_gone(container, timeout_s=30)
    assert healthy_cluster.status(timeout_s=10).healthy
    assert healthy_cluster.services == services


@pytest.mark.long
def test_a_message_for_later_comes_again_and_says_so(
    rmq_cluster: Cluster, java_process: JavaProcess, producer: JavaProducer, rmq_topic: str, rmq_admin: RmqAdmin
) -> None:
    sent = receipt(producer.send(OutgoingMessage(rmq_topic, b"not now")))
    group = f"g-{rmq_topic}"[:60]
    with JavaConsumer(Target.of(rmq_cluster), topic=rmq_topic, group=group, process=java_process) as consumer:

        def given(times: int) -> bool | Pending:
            for message in consumer.poll(1.0):
                assert message.message_id == sent.message_id
                (consumer.later if message.reconsume_times == 0 else consumer.ack)([message])
                if message.reconsume_times == times:
                    return True
            return Pending("not yet")

        wait_until(lambda: given(0), label="it comes", timeout_s=30)
        wait_until(lambda: given(1), label="it comes again", timeout_s=60)
