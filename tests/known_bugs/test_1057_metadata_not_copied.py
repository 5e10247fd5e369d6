"""rocketmq #1057, #4140, #1810: topics and offsets are not copied when followers cannot reach the leader's brokerIP1.

No release mends it: it is a trap of the configuration, and silent. Messages are replicated over dLegerPeers, but
topics, consumer offsets and groups are fetched from the address that the leader advertises to clients
(SlaveSynchronize). Where only clients reach that, a failover keeps the messages and loses the topics. So it is shown on
one release, with and without a rule that keeps brokers from each other's client ports.

Seen on 4.9.8:
    a message to copied-c229c9c8 was acknowledged, and its log is on every peer
    after 45 s: not on RaftNode00/n1
    n2, elected after n0 was killed, does not have the topic; messages in its queue 4: 1
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from firewall import dropped
from known_bug import BugFinding, Seen

from rmqkit.client.outcomes import Receipt
from rmqkit.client.send import OutgoingMessage, send_once
from rmqkit.cluster import Cluster
from rmqkit.cluster.topics import create_topic, wait_topic_everywhere
from rmqkit.errors import WaitTimeoutError
from rmqkit.faults import kill_leader

pytestmark = [pytest.mark.cluster, pytest.mark.long]

COPIED_WITHIN_S = 45.0
"""A follower learns its leader's address at its next registration, and copies every ten seconds."""


def between_brokers(cluster: Cluster) -> list[str]:
    """What followers send to the ports that a leader advertises to clients (the fast port is two below)."""
    assert cluster.spec is not None
    peers = [peer for _, peer in cluster.spec.all_peers()]
    ports = ",".join(str(port) for peer in peers for port in (peer.listen_port, peer.vip_port))
    return [f"-p tcp -m owner --uid-owner {peer.uid} -m multiport --dports {ports}" for peer in peers]


def change_the_leader(cluster: Cluster, *, reachable: bool) -> BugFinding:
    topic = f"copied-{secrets.token_hex(4)}"
    evidence = []
    with ExitStack() as rules:
        if not reachable:
            rules.enter_context(dropped(cluster, between_brokers(cluster)))
        create_topic(cluster, topic, queues=5)
        leader = cluster.leader()
        assert leader.address is not None
        sent = send_once(cluster.pool, leader.address, OutgoingMessage(topic, b"kept"), queue_id=4)
        assert isinstance(sent, Receipt), sent
        cluster.wait_caught_up()
        evidence.append(f"a message to {topic} was acknowledged, and its log is on every peer")
        try:
            wait_topic_everywhere(cluster, topic, timeout_s=COPIED_WITHIN_S)
            evidence.append("every follower has copied the topic")
        except WaitTimeoutError as error:
            evidence += [f"after {error.waited_s:.0f} s: {error.last_seen}", f"hint: {error.hint}"]
        with kill_leader(cluster) as failover:
            successor = cluster.broker(failover.successor)
            known = topic in successor.topic_configs()
            held = successor.max_offset(topic, 4)
    evidence.append(
        f"{failover.successor}, elected after {leader} was killed, "
        f"{'has' if known else 'does not have'} the topic; messages in its queue 4: {held}"
    )
    return BugFinding(
        "rocketmq #1057, #4140",
        "topics are not copied when followers cannot reach the leader's brokerIP1",
        Seen.NOT_SEEN if known else Seen.REPRODUCED,
        tuple(evidence),
    )


@pytest.mark.parametrize(
    ("edition", "reachable", "expected"),
    [
        pytest.param("4.9.8", False, Seen.REPRODUCED, id="4.9.8-unreachable-red"),
        pytest.param("4.9.8", True, Seen.NOT_SEEN, id="4.9.8-reachable-green"),
    ],
)
def test_topics_are_not_copied_when_followers_cannot_reach_the_leaders_address(
    cluster: Cluster, reachable: bool, check: Callable[[BugFinding], None]
) -> None:
    check(change_the_leader(cluster, reachable=reachable))
