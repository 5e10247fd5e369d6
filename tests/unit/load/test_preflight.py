"""Promises of the look before a load: what the cluster will not take is said before anything is sent."""

from __future__ import annotations

import socket

import pytest
from loopback_cluster import QUEUES, LoopbackCluster

from rmqkit.errors import ClusterError, NoLeaderError, NotFoundError, NotSupportedError, UsageError
from rmqkit.load.plan import SendPlan
from rmqkit.load.preflight import Ground, survey
from rmqkit.transport.pool import ChannelPool


def surveyed(cluster: LoopbackCluster, plan: SendPlan | None = None, *, topic: str = "TopicTest") -> Ground:
    with ChannelPool() as pool:
        return survey(pool, [cluster.address], topic=topic, plan=plan)


def test_it_tells_what_the_load_stands_on(loopback_cluster: LoopbackCluster) -> None:
    ground = surveyed(loopback_cluster, SendPlan())
    assert ground.queues == {"b": QUEUES}
    assert not ground.made_topic
    told = ground.as_dict()
    assert told["nameservers"] == [loopback_cluster.address]
    assert told["brokers"] == {"b": {"address": loopback_cluster.address, "version": "V4_9_8"}}
    assert loopback_cluster.ids == []


@pytest.mark.parametrize(
    ("version", "size", "batch", "fits"),
    [
        ("V4_9_8", 1000, 1, True),
        ("V4_9_8", 1001, 1, False),
        ("V4_5_1", 700, 1, True),
        ("V4_5_1", 1000, 1, False),
        ("V4_9_8", 200, 2, True),
        ("V4_9_8", 200, 5, False),
    ],
)
def test_a_message_beyond_the_brokers_limit_is_refused_before_it_is_sent(
    loopback_cluster: LoopbackCluster, version: str, size: int, batch: int, fits: bool
) -> None:
    """Up to 4.5 the limit is of the message as it is stored."""
    loopback_cluster.version, loopback_cluster.config["maxMessageSize"] = version, "1000"
    plan = SendPlan(size=size, batch=batch)
    if fits:
        assert surveyed(loopback_cluster, plan)
        return
    with pytest.raises(UsageError, match=r"takes 1000 \(its maxMessageSize\)"):
        surveyed(loopback_cluster, plan)


@pytest.mark.parametrize(
    ("version", "dledger", "works"), [("V4_5_1", "true", False), ("V4_5_1", "false", True), ("V4_8_0", "true", True)]
)
def test_batches_are_refused_where_the_edition_has_none(
    loopback_cluster: LoopbackCluster, version: str, dledger: str, works: bool
) -> None:
    loopback_cluster.version, loopback_cluster.config["enableDLegerCommitLog"] = version, dledger
    if works:
        assert surveyed(loopback_cluster, SendPlan(batch=2))
        return
    with pytest.raises(NotSupportedError, match=r"runs RocketMQ 4\.5\.1, whose DLedger mode has no batches"):
        surveyed(loopback_cluster, SendPlan(batch=2))
    assert surveyed(loopback_cluster, SendPlan(batch=1))


def test_a_missing_topic_is_made_where_brokers_make_topics(loopback_cluster: LoopbackCluster) -> None:
    ground = surveyed(loopback_cluster, SendPlan(topic="New"), topic="New")
    assert ground.made_topic
    assert "New" in loopback_cluster.topics


def test_a_missing_topic_is_an_error_where_they_do_not(loopback_cluster: LoopbackCluster) -> None:
    loopback_cluster.config["autoCreateTopicEnable"] = "false"
    with pytest.raises(NotFoundError, match=r"no topic 'New', and b at .* makes none by itself") as caught:
        surveyed(loopback_cluster, SendPlan(topic="New"), topic="New")
    assert "mqadmin updateTopic" in caught.value.hint
    assert "New" not in loopback_cluster.topics


def test_a_consumer_makes_no_topic(loopback_cluster: LoopbackCluster) -> None:
    with pytest.raises(NotFoundError, match="no topic 'New'"):
        surveyed(loopback_cluster, None, topic="New")
    assert "New" not in loopback_cluster.topics


def test_a_nameserver_that_does_not_answer_is_named(loopback_cluster: LoopbackCluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dead = f"127.0.0.1:{listener.getsockname()[1]}"
    with ChannelPool() as pool:
        with pytest.raises(ClusterError, match=f"no NameServer answers at {dead}"):
            survey(pool, [dead], topic="T", plan=SendPlan())
        ground = survey(pool, [dead, loopback_cluster.address], topic="TopicTest", plan=SendPlan())
        assert ground.queues
        assert {master.address: master.name for master in ground.masters}.items() <= ground.peers.items()
        with pytest.raises(UsageError, match="not an address: 'nonsense'"):
            survey(pool, ["nonsense"], topic="T", plan=SendPlan())
        with pytest.raises(UsageError, match="no NameServer is named"):
            survey(pool, [], topic="T", plan=SendPlan())


def test_without_a_master_nothing_begins(loopback_cluster: LoopbackCluster) -> None:
    loopback_cluster.broker_id = "2"
    with pytest.raises(NoLeaderError, match="no master is registered"):
        surveyed(loopback_cluster, SendPlan())
