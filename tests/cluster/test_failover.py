"""What users may rely on when a leader dies: each test is one promise, held against real brokers."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

import pytest
from audits import assert_nothing_lost, term_of

from rmqkit.checks import longest_gap_s
from rmqkit.client.outcomes import OutcomeUnknown, Receipt, Refused
from rmqkit.cluster import Cluster
from rmqkit.faults import Failover, kill_leader, kill_peers, stop_leader
from rmqkit.fixtures.helpers import RmqAdmin, RmqConsumer, RmqProducer
from rmqkit.history import History
from rmqkit.load import SteadyTraffic, read_back
from rmqkit.waiting import Pending, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.failover]


def test_a_successor_is_elected_and_serves(
    healthy_cluster: Cluster, copied_topic: str, rmq_producer: RmqProducer
) -> None:
    before = healthy_cluster.leader()
    term_before = term_of(healthy_cluster, before)
    with kill_leader(healthy_cluster) as failover:
        assert failover.victim == before
        assert failover.successor != before
        status = healthy_cluster.status(timeout_s=10).groups[0]
        assert status.raft_leader == failover.successor
        assert status.serving == (failover.successor,)
        assert set(status.registered.values()) == {failover.successor.address}
        assert term_of(healthy_cluster, failover.successor) > term_before
        assert isinstance(rmq_producer.send(copied_topic, b"after", retries=2), Receipt)
    names = [phase.name for phase in failover.phases]
    assert (names[0], names[-1]) == ("injected", "acked")
    assert set(names) == {"injected", "elected", "serves", "registered", "acked"}
    # A follower votes only when heartbeats have been missing for 6 s; the last one is at most 2 s before the kill.
    assert 3.0 < failover.at("elected") < 60.0


def test_acknowledged_messages_survive_a_killed_leader(healthy_cluster: Cluster, copied_topic: str) -> None:
    history = History()
    with SteadyTraffic(healthy_cluster.nameservers, topic=copied_topic, history=history, rate=100) as traffic:
        traffic.wait_acknowledged(100, timeout_s=30)
        with kill_leader(healthy_cluster, history=history):
            traffic.wait_acknowledged(100, timeout_s=60)
    assert_nothing_lost(healthy_cluster, copied_topic, history)
    assert longest_gap_s(history) > 1.0, "nothing was interrupted: was the leader really killed?"


def test_topics_exist_after_the_switch(healthy_cluster: Cluster, copied_topic: str, rmq_admin: RmqAdmin) -> None:
    leader = healthy_cluster.leader()
    queues = healthy_cluster.broker(leader).topic_configs()[copied_topic].write_queues
    with kill_leader(healthy_cluster) as failover:
        successor = healthy_cluster.broker(failover.successor)
        assert successor.topic_configs()[copied_topic].write_queues == queues
        assert copied_topic in rmq_admin.topics()
        route = healthy_cluster.nameserver().topic_route(copied_topic)
        assert {queue.write_queues for queue in route.queues} == {queues}


def test_the_old_leader_comes_back_as_a_follower_and_catches_up(
    healthy_cluster: Cluster, copied_topic: str, rmq_producer: RmqProducer
) -> None:
    with kill_leader(healthy_cluster) as failover:
        written = [rmq_producer.send_acked(copied_topic, b"while away", retries=3) for _ in range(20)]
    view = next(v for v in healthy_cluster.status(timeout_s=10).groups[0].peers if v.peer == failover.victim)
    assert view.role == "SLAVE"
    assert view.broker_id == failover.victim.broker_id
    history = History()
    assert failover.victim.address is not None
    replicas = {failover.victim.id: failover.victim.address}
    assert read_back(healthy_cluster.pool, replicas, topic=copied_topic, history=history) == {}
    assert {read.message_id for read in history.reads()} >= {receipt.message_id for receipt in written}


def test_two_kills_in_a_row(healthy_cluster: Cluster, copied_topic: str, rmq_producer: RmqProducer) -> None:
    with kill_leader(healthy_cluster) as first:
        rmq_producer.send_acked(copied_topic, b"one", retries=3)
    with kill_leader(healthy_cluster) as second:
        rmq_producer.send_acked(copied_topic, b"two", retries=3)
    assert second.victim == first.successor
    assert second.successor != second.victim
    assert healthy_cluster.status(timeout_s=10).healthy


def test_a_consumer_follows_the_leader(
    healthy_cluster: Cluster, copied_topic: str, rmq_producer: RmqProducer, rmq_consumer: RmqConsumer
) -> None:
    first = rmq_producer.send_acked(copied_topic, b"before")
    assert [message.unique_key for message in rmq_consumer.expect(1, within_s=20)] == [first.message_id]
    with kill_leader(healthy_cluster):
        second = rmq_producer.send_acked(copied_topic, b"after", retries=3)
        assert [message.unique_key for message in rmq_consumer.expect(1, within_s=30)] == [second.message_id]


def test_a_followers_kill_stops_no_client(healthy_cluster: Cluster, copied_topic: str) -> None:
    leader, follower = healthy_cluster.leader(), healthy_cluster.followers()[0]
    term = term_of(healthy_cluster, leader)
    history = History()
    with SteadyTraffic(healthy_cluster.nameservers, topic=copied_topic, history=history, rate=100) as traffic:
        traffic.wait_acknowledged(50, timeout_s=30)
        with kill_peers(healthy_cluster, [follower], history=history):
            traffic.wait_acknowledged(200, timeout_s=30)
    failed = [send for send in history.sends() if send.outcome.name != "ACKNOWLEDGED"]
    # A busy machine may shed load ("2 SYSTEM_BUSY"), with or without a dead follower; anything else is its doing.
    assert not [send for send in failed if not send.reason.startswith("2 SYSTEM_BUSY")], failed[:5]
    assert len(failed) < history.send_count / 10
    assert (healthy_cluster.leader(), term_of(healthy_cluster, leader)) == (leader, term), "there was an election"


def test_with_two_of_three_down_nothing_is_acknowledged_and_service_returns_with_them(
    healthy_cluster: Cluster, copied_topic: str, rmq_producer: RmqProducer
) -> None:
    leader = healthy_cluster.leader()
    assert leader.address is not None
    history = History()
    with (
        kill_peers(healthy_cluster, healthy_cluster.followers(), allow_quorum_loss=True, history=history),
        SteadyTraffic(healthy_cluster.nameservers, topic=copied_topic, history=history, rate=50) as traffic,
    ):

        def stepped_down() -> bool | Pending:
            config = healthy_cluster.broker(leader).config()
            return config["brokerRole"] == "SLAVE" or Pending(f"it is {config['brokerRole']}")

        wait_until(stepped_down, label=f"{leader} steps down without a quorum", timeout_s=30)

        def refused_by_it() -> bool | Pending:
            outcome = rmq_producer.send(copied_topic, b"nobody stores this")
            assert not isinstance(outcome, Receipt)
            return isinstance(outcome, Refused | OutcomeUnknown) or Pending(str(outcome))

        wait_until(refused_by_it, label="a send fails", timeout_s=30)
        assert traffic.acknowledged == 0, "acknowledged without a quorum"
    assert history.send_count > 0, "no traffic: nothing was tried while the quorum was gone"
    healthy_cluster.wait_ready()
    assert isinstance(rmq_producer.send(copied_topic, b"back again", retries=3), Receipt)


def test_a_graceful_stop_of_the_leader_loses_nothing_but_is_no_handover(
    healthy_cluster: Cluster, copied_topic: str
) -> None:
    history = History()
    with SteadyTraffic(healthy_cluster.nameservers, topic=copied_topic, history=history, rate=100) as traffic:
        traffic.wait_acknowledged(100, timeout_s=30)
        with stop_leader(healthy_cluster, history=history) as failover:
            traffic.wait_acknowledged(100, timeout_s=60)
    assert_nothing_lost(healthy_cluster, copied_topic, history)
    # Nobody votes before heartbeats have been missing for some seconds: a stop hands nothing over.
    assert failover.at("elected") > 3.0
    assert longest_gap_s(history) > 3.0


@pytest.mark.long
def test_a_graceful_stop_takes_a_time_of_its_own_before_the_same_election_as_after_a_kill(
    healthy_cluster: Cluster,
) -> None:
    killed, died_s, code = taken_out(healthy_cluster, kill_leader)
    assert code == 128 + signal.SIGKILL
    assert died_s < killed.at("elected")
    stopped, ended_s, code = taken_out(healthy_cluster, stop_leader)
    assert code == 128 + signal.SIGTERM
    assert stopped.victim == killed.successor
    for failover in (killed, stopped):
        assert failover.successor != failover.victim
        assert {phase.name for phase in failover.phases} == {"injected", "elected", "serves", "registered", "acked"}
    # The broker closes its ports to clients at once (BrokerController.shutdown), but is its group's leader for another
    # second at least, which DefaultMessageStore.shutdown sleeps before it ends Raft. Only from then on are heartbeats
    # missing, and nobody votes before they have been missing for as long as after a kill.
    assert ended_s > 1.0
    assert killed.at("elected") > 3.0
    assert stopped.at("elected") > 1.0 + 3.0


def taken_out(cluster: Cluster, how: Callable[..., AbstractContextManager[Failover]]) -> tuple[Failover, float, int]:
    """The switch, the seconds from the signal to the end of the victim's process, and its exit code."""
    assert cluster.engine is not None
    history = History()
    with how(cluster, history=history) as failover:
        victim = cluster.container_of(failover.victim)

        def ended() -> dict[str, Any] | Pending:
            state: dict[str, Any] = cluster.engine.client.api.inspect_container(victim)["State"]  # type: ignore[union-attr]
            return Pending("it still runs") if state["Running"] else state

        state = wait_until(ended, label=f"{failover.victim} has ended", timeout_s=60)
        (injected,) = [fault for fault in history.faults if fault.step == "injected"]
        signalled = history.wall_start + (injected.at_ns - history.start_ns) / 1e9 - failover.at("injected")
        # Engines write nanoseconds, which Python does not read.
        at = datetime.fromisoformat(re.sub(r"(\.\d{6})\d*Z$", r"\1+00:00", state["FinishedAt"])).timestamp()
    healthy = cluster.status(timeout_s=10).groups[0]
    assert next(view for view in healthy.peers if view.peer == failover.victim).role == "SLAVE"
    return failover, at - signalled, int(state["ExitCode"])
