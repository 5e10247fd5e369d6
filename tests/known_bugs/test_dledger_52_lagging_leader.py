"""dledger #52, rocketmq #2178: a peer that lacks acknowledged messages is elected. DLedger 0.1 (RocketMQ 4.5 to 4.7).

A follower of DLedger 0.1 that is catching up notes the current term as that of its last entry, whatever the entry's own
is (DLedgerMmapFileStore.appendAsFollower); PR #53 mends it. Votes compare that term first. So while a follower copies
entries of an older term, it beats the peers that have them all; when the leader dies then, it is elected, and the
others cut their logs off after its end: acknowledged messages are lost.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

import pytest
from known_bug import BugFinding, Seen, red_and_green

from rmqkit.checks import Thresholds, VerdictStatus, judge
from rmqkit.cluster import Cluster
from rmqkit.cluster.peers import Peer
from rmqkit.cluster.topics import create_topic, wait_topic_everywhere
from rmqkit.errors import RmqkitError
from rmqkit.history import History
from rmqkit.load import SteadyTraffic, read_back
from rmqkit.scenario import replica_addresses
from rmqkit.waiting import Pending, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.long]

MESSAGES = 15_000
"""More than a follower copies in the time that it takes to kill a leader."""


def position(cluster: Cluster, peer: Peer) -> int:
    """The committed position of a peer; -1 while it does not answer."""
    try:
        return cluster.broker(peer).runtime_info().committed_position
    except RmqkitError:
        return -1


def wait_for_leader(cluster: Cluster, *, after: int = -1, but: Peer | None = None) -> Peer:
    """Wait, without a write, until a peer leads a term above ``after`` and serves."""

    def leads() -> Peer | Pending:
        group = cluster.status(timeout_s=1.0).groups[0]
        found = group.raft_leader
        views = [view for view in group.peers if view.peer == found and (view.term or -1) > after]
        return found if found not in (None, but) and views and found in group.serving else Pending(group.summary)

    return wait_until(leads, label="a leader serves", timeout_s=90, every_s=0.05)


def next_term_without_a_write(cluster: Cluster, leader: Peer, *, follower: Peer) -> Peer:
    """Restart the leader: the next term begins, and no entry is of it."""
    term = cluster.raft(leader).term(other_peer_id=follower.id)

    def missed() -> bool | Pending:
        named = cluster.raft(follower).metadata().leader_id
        return named != leader.id or Pending(f"it names {named}")

    cluster.kill(leader)
    # One that is back before it was missed gets the votes of its old term again, and leads on in that.
    wait_until(missed, label=f"{follower} misses its leader", timeout_s=30, every_s=0.1, tolerate=(RmqkitError,))
    cluster.start_peer(leader)
    return wait_for_leader(cluster, after=term)


def kill_the_leader_while_a_follower_catches_up(cluster: Cluster) -> BugFinding:
    topic, history = f"lagging-{secrets.token_hex(4)}", History()
    create_topic(cluster, topic, queues=4)
    wait_topic_everywhere(cluster, topic)
    cluster.wait_caught_up()
    first = cluster.leader()
    lagging, complete = cluster.followers()
    cluster.kill(lagging)
    began = position(cluster, first)
    with SteadyTraffic(
        cluster.nameservers, topic=topic, history=history, threads=16, rate=5000, body=b"x" * 100
    ) as traffic:
        traffic.wait_acknowledged(MESSAGES, timeout_s=90)
    end = position(cluster, first)
    leader = next_term_without_a_write(cluster, first, follower=complete)
    complete = next(peer for peer in (first, complete) if peer != leader)

    def everything_is_there() -> bool | Pending:
        held = position(cluster, complete)
        return held >= end or Pending(f"{held} of {end}")

    wait_until(everything_is_there, label=f"{complete} has everything", timeout_s=60)
    cluster.start_peer(lagging)

    def catching_up() -> bool | Pending:
        held = position(cluster, lagging)
        return held > began or Pending(f"{held} of {end}")

    wait_until(catching_up, label=f"{lagging} catches up", timeout_s=60, every_s=0.005)
    cluster.kill(leader)
    history.add_fault("kill-leader", "injected", str(leader))
    held = {peer: position(cluster, peer) for peer in (lagging, complete)}
    assert held[lagging] < end <= held[complete], f"{lagging} was too fast: {held} of {end}"
    successor = wait_for_leader(cluster, but=leader)
    after = position(cluster, successor)
    cluster.start_peer(leader)
    history.add_fault("kill-leader", "healed", str(leader))

    def joined() -> bool | Pending:
        group = cluster.status(timeout_s=1.0).groups[0]
        return not group.absent or Pending(group.summary)

    wait_until(joined, label=f"{leader} is back", timeout_s=90, every_s=0.2)
    unread = read_back(cluster.pool, replica_addresses((successor,)), topic=topic, history=history)
    assert not unread, unread
    verdict = judge(history, Thresholds(min_acked_before=MESSAGES, min_acked_after=0))
    assert verdict.status is not VerdictStatus.INCONCLUSIVE, str(verdict)
    lost = [finding for finding in verdict.violations if finding.kind == "acknowledged-lost"]
    assert len(lost) == len(verdict.violations), f"something else, too: {verdict}"
    return BugFinding(
        "dledger #52, rocketmq #2178",
        "a peer that lacks acknowledged messages is elected, and they are lost",
        Seen.REPRODUCED if lost else Seen.NOT_SEEN,
        (
            f"when {leader} was killed, {complete} had all up to {held[complete]}, {lagging} up to {held[lagging]}",
            f"{successor} was elected; it has everything up to {after}",
            str(verdict).splitlines()[0],
            *(f"{finding.kind}: {finding.text}" for finding in verdict.violations),
        ),
    )


@red_and_green("4.5.1", "4.9.8")
def test_a_peer_that_lacks_acknowledged_messages_is_elected(
    cluster: Cluster, check: Callable[[BugFinding], None]
) -> None:
    check(kill_the_leader_while_a_follower_catches_up(cluster))
