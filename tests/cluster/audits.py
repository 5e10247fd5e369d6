"""What several of the cluster's tests hold at their end."""

from __future__ import annotations

from rmqkit.checks import Thresholds, VerdictStatus, judge
from rmqkit.cluster import Cluster
from rmqkit.cluster.peers import Peer
from rmqkit.history import History
from rmqkit.load import read_back
from rmqkit.scenario import replica_addresses


def term_of(cluster: Cluster, peer: Peer) -> int:
    """The term that a peer is in."""
    other = next(each for each in cluster.members.of(peer.group) if each != peer)
    return cluster.raft(peer).term(other_peer_id=other.id)


def assert_nothing_lost(cluster: Cluster, topic: str, history: History) -> None:
    """Every acknowledged message is on every replica, once; and there were enough of them to say so."""
    group = cluster.wait_caught_up()
    replicas = replica_addresses(tuple(view.peer for view in group.peers))
    unread = read_back(cluster.pool, replicas, topic=topic, history=history)
    verdict = judge(history, Thresholds(min_acked_before=100, min_acked_after=50, min_replicas=3))
    assert verdict.status is VerdictStatus.PASSED, f"{verdict}\n{unread}"
