"""What holds for every driver on real brokers: messages arrive as they were sent, and no client's end ends the test."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from rmqkit.client.message import OutgoingMessage
from rmqkit.client.outcomes import OutcomeUnknown, Receipt, Refused, SendOutcome
from rmqkit.client.pull import read_topic_from
from rmqkit.cluster import Cluster
from rmqkit.drivers import BUILT_IN, JAVA, NATIVE, Target
from rmqkit.drivers.interface import message_id_of
from rmqkit.drivers.native import NativeConsumer, NativeProducer
from rmqkit.errors import DriverError
from rmqkit.faults.pause import freeze
from rmqkit.fixtures.helpers import RmqConsumer, RmqProducer
from rmqkit.waiting import Pending, wait_until
from rmqkit.wire.messages import StoredMessage

pytestmark = pytest.mark.cluster

DRIVERS = (BUILT_IN, NATIVE, JAVA)
Make = Callable[..., RmqProducer]


def on_the_leader(cluster: Cluster, topic: str) -> dict[str, StoredMessage]:
    """What the leader holds, by the kit's id; a message that is there twice is an error."""
    found: dict[str, StoredMessage] = {}
    for message in read_topic_from(cluster.pool, str(cluster.leader().address), topic):
        assert found.setdefault(message_id_of(message.properties), message) is message
    return found


def test_what_any_driver_sends_every_driver_receives_as_it_was(
    healthy_cluster: Cluster,
    rmq_topic: str,
    rmq_make_producer: Make,
    rmq_make_consumer: Callable[..., RmqConsumer],
) -> None:
    sent: dict[str, str] = {}
    for driver in DRIVERS:
        producer = rmq_make_producer(driver=driver)
        for number in range(5):
            outcome = producer.send(
                rmq_topic, f"{driver} {number}".encode(), tags="TagA", keys=["order-1"], properties={"colour": "blue"}
            )
            assert isinstance(outcome, Receipt), outcome
            sent[outcome.message_id] = f"{driver} {number}"
    for driver, options in ((BUILT_IN, {}), (NATIVE, {"properties": ["colour"]}), (JAVA, {})):
        consumer = rmq_make_consumer(driver=driver, **options)
        for message in consumer.assert_received(sent, within_s=30):
            assert message.body.decode() == sent[message.message_id]
            assert message.topic == rmq_topic
            assert message.tags == "TagA"
            assert message.keys == (message.message_id, "order-1")
            assert message.properties["colour"] == "blue"
        assert consumer.drain(within_s=30), "what assert_received kept"


@pytest.mark.parametrize("rmq_driver", DRIVERS, indirect=True)
def test_a_consumer_is_handed_everything_and_goes_on_where_its_group_was(
    healthy_cluster: Cluster, rmq_topic: str, rmq_make_producer: Make, rmq_driver: str
) -> None:
    producer, group = rmq_make_producer(driver=BUILT_IN), f"goes-on-{rmq_driver}"
    first = producer.send_many(rmq_topic, 20)
    with RmqConsumer(
        healthy_cluster.nameservers, topic=rmq_topic, group=group, driver=rmq_driver, cluster=healthy_cluster
    ) as consumer:
        assert {message.message_id for message in consumer.drain()} == set(first.ids)
    second = producer.send_many(rmq_topic, 10)
    with RmqConsumer(
        healthy_cluster.nameservers, topic=rmq_topic, group=group, driver=rmq_driver, cluster=healthy_cluster
    ) as consumer:
        # The library's pull times out after 30 s: a queue whose answer was lost comes after that.
        consumer.assert_received(second, within_s=75)
        again = {message.message_id for message in consumer.poll()} & set(first.ids)
    # The native client may commit a position a moment after its callback returned, and then be gone: at least once.
    assert len(again) < len(first.ids) if rmq_driver == NATIVE else not again


def test_native_bodies_of_every_kind_are_stored_whole(
    healthy_cluster: Cluster, rmq_topic: str, rmq_make_producer: Make
) -> None:
    """NUL bytes, text that compresses well, and a size beyond the library's own limit where that was raised."""
    producer = rmq_make_producer(driver=NATIVE, max_body_bytes=4 << 20)
    bodies = [b"a\0b\0", b"Test " * 4000, os.urandom(1 << 20)]
    sent = producer.send_many(rmq_topic, bodies)
    assert len(sent.acknowledged) == 3, [*sent]
    stored = on_the_leader(healthy_cluster, rmq_topic)
    assert [stored[message_id].body for message_id in sent.ids] == bodies


def test_native_refuses_by_itself_what_is_above_its_limit(
    healthy_cluster: Cluster, rmq_topic: str, rmq_make_producer: Make
) -> None:
    outcome = rmq_make_producer(driver=NATIVE).send(rmq_topic, b"x" * 131_073)
    assert isinstance(outcome, Refused)
    assert "the message body size over max value, MAX: 131072" in outcome.remark
    assert on_the_leader(healthy_cluster, rmq_topic) == {}


def test_messages_of_one_sharding_key_go_to_one_queue_in_order_whoever_sends_them(
    healthy_cluster: Cluster, rmq_topic: str, rmq_make_producer: Make
) -> None:
    native, built_in = (rmq_make_producer(driver=driver) for driver in (NATIVE, BUILT_IN))
    messages = [OutgoingMessage(rmq_topic, b"%d" % number, sharding_key="order-7") for number in range(10)]
    for number, message in enumerate(messages):
        assert isinstance((native if number % 2 else built_in).send_message(message), Receipt)
    stored = on_the_leader(healthy_cluster, rmq_topic)
    places = [(stored[each.message_id].queue_id, stored[each.message_id].queue_offset) for each in messages]
    assert places == [(places[0][0], offset) for offset in range(10)]


def test_native_oneway_arrives_though_nobody_says_so(
    healthy_cluster: Cluster, rmq_topic: str, rmq_make_producer: Make, rmq_consumer: RmqConsumer
) -> None:
    outcome = rmq_make_producer(driver=NATIVE).send_oneway(rmq_topic, b"x")
    assert isinstance(outcome, OutcomeUnknown)
    rmq_consumer.assert_received([outcome], within_s=20)


def test_native_retries_may_store_a_message_twice_under_two_unique_keys(
    healthy_cluster: Cluster, rmq_topic: str, rmq_make_producer: Make
) -> None:
    """Why an audit of this client goes by the kit's own id: an attempt without an answer arrived all the same."""
    producer = rmq_make_producer(driver=NATIVE, attempt_timeout_s=1.0)
    producer.send_acked(rmq_topic, b"so that it knows the route")
    leader = healthy_cluster.leader()
    outcomes: list[SendOutcome] = []
    sender = threading.Thread(target=lambda: outcomes.append(producer.send(rmq_topic, b"once")), daemon=True)
    freeze(healthy_cluster, leader)
    try:
        sender.start()
        sender.join(1.6)  # how long the leader is frozen: more than one attempt, less than an election needs
    finally:
        healthy_cluster.unpause(leader)
    sender.join(20)
    (outcome,) = outcomes
    assert isinstance(outcome, Receipt), outcome

    def copies() -> list[StoredMessage] | Pending:
        stored = read_topic_from(healthy_cluster.pool, str(leader.address), rmq_topic)
        found = [message for message in stored if message_id_of(message.properties) == outcome.message_id]
        return found if len(found) > 1 else Pending(f"{len(found)} copies")

    found = wait_until(copies, label="the first attempt's copy, too", timeout_s=30)
    assert len({message.unique_key for message in found}) == len(found)
    assert outcome.msg_id in {message.unique_key for message in found}


# ---- the process ends, or hangs


def under_traffic(producer: NativeProducer, topic: str, harm: Callable[[], None]) -> list[SendOutcome]:
    """Send from a few threads, do ``harm`` when sends work, go on until they work again."""
    outcomes: list[SendOutcome] = []
    stop = threading.Event()

    def send() -> None:
        while not stop.is_set():
            outcomes.append(producer.send(OutgoingMessage(topic, b"x"), timeout_s=2))

    def acknowledged(more_than: int) -> Callable[[], bool | Pending]:
        return lambda: sum(isinstance(each, Receipt) for each in list(outcomes)) > more_than or Pending(str(outcomes))

    threads = [threading.Thread(target=send, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        wait_until(acknowledged(20), label="sends work", timeout_s=20)
        harm()
        before = len(outcomes)
        wait_until(acknowledged(before + 20), label="sends work again", timeout_s=30)
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)
    return outcomes


@pytest.mark.parametrize(
    ("harm", "reason"),
    [(signal.SIGKILL, r"ended by signal 9"), (signal.SIGSTOP, r"hung: no answer in time, nor to a ping")],
    ids=["killed", "stopped"],
)
def test_a_native_process_that_is_harmed_in_mid_send_leaves_known_outcomes(
    healthy_cluster: Cluster, rmq_topic: str, harm: signal.Signals, reason: str
) -> None:
    leader = healthy_cluster.leader()
    with NativeProducer(Target.of(healthy_cluster)) as producer:

        def in_mid_send() -> None:
            """No send ends while the leader is frozen, so every thread has one in flight soon."""
            freeze(healthy_cluster, leader)
            try:
                under_way = producer._process._pending
                wait_until(lambda: len(under_way) == 4 or Pending(str(len(under_way))), label="sends", timeout_s=20)
                os.kill(producer.pid, harm)
            finally:
                healthy_cluster.unpause(leader)

        outcomes = under_traffic(producer, rmq_topic, in_mid_send)
        assert producer.processes_started == 2
    unknown = [each for each in outcomes if isinstance(each, OutcomeUnknown)]
    ended = [each for each in unknown if reason in each.reason or "in flight when" in each.reason]
    assert 1 <= len(ended) <= 8, f"what was in flight, and no more: {unknown}"
    # A new process of the library may begin without a route, and says so at once, as often as it is asked.
    rest = [each for each in unknown if each not in ended]
    assert all("No route info of this topic" in each.remark for each in rest), rest
    stored = on_the_leader(healthy_cluster, rmq_topic)
    assert {each.message_id for each in outcomes if isinstance(each, Receipt)} <= stored.keys()
    assert not {each.message_id for each in outcomes if isinstance(each, Refused)} & stored.keys()


def until_it_fails(act: Callable[[], object]) -> None:
    while True:  # ends with the process's messages
        act()


def test_what_a_killed_native_consumer_had_not_acknowledged_comes_again(
    healthy_cluster: Cluster, rmq_topic: str, rmq_make_producer: Make
) -> None:
    sent = set(rmq_make_producer(driver=BUILT_IN).send_many(rmq_topic, 5).ids)
    with NativeConsumer(Target.of(healthy_cluster), topic=rmq_topic, group="killed") as consumer:
        wait_until(lambda: bool(consumer.poll(1)) or Pending("nothing"), label="a message", timeout_s=30)
        os.kill(consumer.pid, signal.SIGKILL)
        with pytest.raises(DriverError, match="ended by signal 9"):
            until_it_fails(lambda: consumer.poll(5))
        came: set[str] = set()

        def again() -> bool | Pending:
            messages = consumer.poll(1)
            came.update(message.message_id for message in messages)
            consumer.ack(messages)
            return came == sent or Pending(f"{len(came)} of 5")

        wait_until(again, label="all of them, again", timeout_s=60)


@pytest.mark.long
def test_native_later_gives_a_message_again(healthy_cluster: Cluster, rmq_topic: str, rmq_make_producer: Make) -> None:
    (message_id,) = rmq_make_producer(driver=BUILT_IN).send_many(rmq_topic, 1).ids
    with NativeConsumer(Target.of(healthy_cluster), topic=rmq_topic, group="later") as consumer:
        times: list[int] = []

        def twice() -> bool | Pending:
            for message in consumer.poll(1):
                assert (message.message_id, message.topic) == (message_id, rmq_topic)
                times.append(message.reconsume_times)
                (consumer.later if message.reconsume_times == 0 else consumer.ack)([message])
            return len(times) == 2 or Pending(str(times))

        wait_until(twice, label="the message again", timeout_s=60)
        assert times == [0, 1]


# ---- what a failure says


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Pytester gives its runs an empty home; Compose is a plugin in the real one."""
    monkeypatch.setenv("DOCKER_CONFIG", os.environ.get("DOCKER_CONFIG") or str(Path.home() / ".docker"))
    return pytester


def lines_of(result: pytest.RunResult, start: str) -> Sequence[str]:
    return [
        line.removeprefix("E").strip() for line in result.outlines if line.removeprefix("E").strip().startswith(start)
    ]


def test_the_text_of_a_missing_message_says_where_it_was_last_seen(
    suite: pytest.Pytester, healthy_cluster: Cluster
) -> None:
    suite.makepyfile(
        """
        def test_it(rmq_topic, rmq_admin, rmq_producer, rmq_make_consumer):
            rmq_admin.wait_topic_everywhere(rmq_topic)
            sent = rmq_producer.send_many(rmq_topic, 3)
            one = rmq_make_consumer(group="g1")
            assert len(one.drain()) == 3
            other = rmq_make_consumer(group="g1")
            other.assert_received([sent.ids[0], "NEVER-SENT"], within_s=1)
        """
    )
    result = suite.runpytest_subprocess("--rmq-namesrv", healthy_cluster.namesrv_addr, timeout=120)
    result.assert_outcomes(failed=1)
    (head,) = lines_of(result, "AssertionError: 2 of 2 messages of test_it")
    assert head.endswith("did not come to g1 (built-in driver) within 1.0 s:")
    three = r"\S+, \S+, \S+"  # by their names, or as broker/id where a peer had not registered yet
    found = rf"found on {three} at queue \d offset 0"
    result.stdout.re_match_lines(
        [
            rf"E +[0-9A-F]{{32}}: acknowledged at queue \d offset 0 on 127\.0\.0\.1:\d+; {found}; .*",
            rf"E +NEVER-SENT: no producer of this test sent it; not found anywhere \(read to the end: {three}\)",
        ]
    )
    result.stdout.fnmatch_lines(
        ["*; the group's committed offset in queue * is 1, beyond it: the group counts it as *"]
    )


def test_a_suite_runs_once_for_each_driver_that_is_named(suite: pytest.Pytester, healthy_cluster: Cluster) -> None:
    suite.makepyfile(
        """
        def test_it(rmq_topic, rmq_producer, rmq_consumer, rmq_driver):
            assert rmq_producer.driver == rmq_consumer.driver == rmq_driver
            sent = rmq_producer.send_many(rmq_topic, 3)
            rmq_consumer.assert_received(sent, within_s=30)
        """
    )
    options = (
        "--rmq-namesrv",
        healthy_cluster.namesrv_addr,
        "--rmq-driver",
        "built-in",
        "--rmq-driver",
        "native",
        "-v",
    )
    result = suite.runpytest_subprocess(*options, timeout=120)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*test_it?*built-in*PASSED*", "*test_it?*native*PASSED*"])
