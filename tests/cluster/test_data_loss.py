"""Real losses: a group that acknowledged messages and then was robbed of them. The verdict must name exactly those.

A check that never saw a loss proves little; here are two that no broker notices, and one robbery that loses nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rmqkit.checks import Thresholds, Verdict, VerdictStatus, judge, lost_ids
from rmqkit.cluster import Cluster
from rmqkit.cluster.peers import Peer
from rmqkit.cluster.stores import beside
from rmqkit.cluster.topics import create_topic, wait_topic_everywhere
from rmqkit.errors import NoLeaderError, RmqkitError
from rmqkit.forensics import Kind, Places, locate
from rmqkit.history import History, Outcome
from rmqkit.load import SteadyTraffic, read_back
from rmqkit.scenario import find_lost, replica_addresses
from rmqkit.topology.brokerconf import STORE_DIR
from rmqkit.waiting import Pending, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.failover]

TOPIC = "robbed"
EARLIER = f"{STORE_DIR}.earlier"


def acknowledged(cluster: Cluster, history: History, count: int) -> set[str]:
    """Send until ``count`` more are acknowledged; the ids of all that were acknowledged meanwhile."""
    before = {send.message_id for send in history.sends()}
    with SteadyTraffic(cluster.nameservers, topic=TOPIC, history=history, rate=100) as traffic:
        traffic.wait_acknowledged(count, timeout_s=cluster.timeout_s)
    sends = [send for send in history.sends() if send.outcome is Outcome.ACKNOWLEDGED]
    return {send.message_id for send in sends} - before


def on_volume(cluster: Cluster, peers: Sequence[Peer], script: str) -> None:
    for peer in peers:
        beside(cluster, peer, ["sh", "-ec", script], writable=True)


def kill_all(cluster: Cluster) -> None:
    for peer in cluster.peers:
        cluster.kill(peer)


def start(cluster: Cluster, peers: Sequence[Peer]) -> None:
    for peer in peers:
        cluster.start_peer(peer)


def wait_leader(cluster: Cluster) -> Peer:
    """The leader of the peers that are up, once every view agrees."""

    def agreed() -> Peer | Pending:
        return cluster.leader()

    return wait_until(agreed, label="a leader is agreed on", timeout_s=cluster.timeout_s, tolerate=(NoLeaderError,))


def judged(cluster: Cluster, history: History, peers: Sequence[Peer]) -> Verdict:
    unread = read_back(cluster.pool, replica_addresses(tuple(peers)), topic=TOPIC, history=history)
    assert unread == {}
    return judge(history, Thresholds(min_acked_before=50, min_acked_after=20, min_replicas=len(peers)))


def assert_exactly_lost(history: History, verdict: Verdict, lost: set[str]) -> None:
    assert verdict.status is VerdictStatus.FAILED, str(verdict)
    assert {violation.kind for violation in verdict.violations} == {"acknowledged-lost"}, str(verdict)
    assert {violation.count for violation in verdict.violations} == {len(lost)}
    assert set(lost_ids(history)) == lost


def assert_data_loss(places: Places, lost: set[str]) -> None:
    assert set(places.of(Kind.DATA_LOSS)) == lost, str(places)
    assert len(places.places) == len(lost)


def test_what_was_sent_after_the_state_that_all_stores_were_put_back_to_is_lost(rmq_fresh_cluster: Cluster) -> None:
    cluster, history = rmq_fresh_cluster, History()
    create_topic(cluster, TOPIC, queues=4)
    wait_topic_everywhere(cluster, TOPIC)
    kept = acknowledged(cluster, history, 50)
    cluster.wait_caught_up()
    # Nobody writes: files that are copied one after the other fit together.
    on_volume(cluster, cluster.peers, f"cp -a {STORE_DIR} {EARLIER}")
    lost = acknowledged(cluster, history, 50)

    history.add_fault("stores-put-back", "injected", "n0,n1,n2")
    kill_all(cluster)
    on_volume(cluster, cluster.peers, f"rm -rf {STORE_DIR} && mv {EARLIER} {STORE_DIR}")
    start(cluster, cluster.peers)
    cluster.wait_ready()
    history.add_fault("stores-put-back", "healed", "n0,n1,n2")

    later = acknowledged(cluster, history, 20)
    cluster.wait_caught_up()
    verdict = judged(cluster, history, cluster.peers)
    assert_exactly_lost(history, verdict, lost)
    places = find_lost(cluster, verdict, history)  # as a drill does: the first hundred
    assert places is not None
    assert_data_loss(places, set(sorted(lost)[: len(places.places)]))
    assert len(places.places) + places.left_out == len(lost)
    for place in places.places:
        assert place.told is not None
        assert place.told.outcome == "acknowledged"
        assert all(view.holds is False and not view.unread for view in place.views), str(place)
        assert any(view.served is False and view.keyed is False for view in place.views), str(place)
    # The same questions about messages that are there: all replicas must be found to have them.
    there = sorted(kept)[:10] + sorted(later)[:10]
    assert locate(cluster, there, history).of(Kind.PRESENT) == tuple(there)


@pytest.mark.long
def test_two_wiped_stores_lose_what_only_the_peer_that_stays_down_still_has(rmq_fresh_cluster: Cluster) -> None:
    cluster, history = rmq_fresh_cluster, History()
    create_topic(cluster, TOPIC, queues=4)
    wait_topic_everywhere(cluster, TOPIC)
    lost = acknowledged(cluster, history, 50)
    cluster.wait_caught_up()

    history.add_fault("wipe", "injected", "two")
    third, wiped = cluster.leader(), cluster.followers()
    kill_all(cluster)
    on_volume(cluster, wiped, f"rm -rf {STORE_DIR}")
    start(cluster, wiped)
    wait_leader(cluster)
    create_topic(cluster, TOPIC, queues=4)  # it went with the stores

    def copied() -> bool | Pending:
        without = [peer.id for peer in wiped if TOPIC not in cluster.broker(peer).topic_configs()]
        return not without or Pending(f"not on {without}")

    wait_until(copied, label="the wiped pair has the topic", timeout_s=cluster.timeout_s, tolerate=(RmqkitError,))
    history.add_fault("wipe", "healed", "two")
    acknowledged(cluster, history, 20)

    def same_end() -> bool | Pending:
        ends = {peer.id: cluster.broker(peer).runtime_info().committed_position for peer in wiped}
        return len(set(ends.values())) == 1 or Pending(f"{ends}")

    wait_until(same_end, label="both have the same", timeout_s=cluster.timeout_s)
    assert_exactly_lost(history, judged(cluster, history, wiped), lost)
    places = locate(cluster, sorted(lost), history, limit=len(lost))
    assert_data_loss(places, lost)
    for place in places.places:
        assert [view.peer for view in place.views if view.holds] == [third.id]
        assert f"only {third.id} still has it" in place.why


@pytest.mark.long
def test_two_wiped_stores_lose_nothing_where_the_third_peer_leads_and_restores_them(rmq_fresh_cluster: Cluster) -> None:
    cluster, history = rmq_fresh_cluster, History()
    create_topic(cluster, TOPIC, queues=4)
    wait_topic_everywhere(cluster, TOPIC)
    before = acknowledged(cluster, history, 50)
    cluster.wait_caught_up()

    history.add_fault("wipe", "injected", "two")
    third, wiped = cluster.leader(), cluster.followers()
    kill_all(cluster)
    on_volume(cluster, wiped, f"rm -rf {STORE_DIR}")
    # With the whole one among the first two: a wiped pair that is up alone for a moment may elect one of its own.
    start(cluster, [third, wiped[0]])
    assert wait_leader(cluster) == third
    start(cluster, wiped[1:])
    cluster.wait_ready()
    history.add_fault("wipe", "healed", "two")

    acknowledged(cluster, history, 20)
    wait_topic_everywhere(cluster, TOPIC)
    cluster.wait_caught_up()
    verdict = judged(cluster, history, cluster.peers)
    assert verdict.status is VerdictStatus.PASSED, str(verdict)
    assert lost_ids(history) == ()
    assert set(locate(cluster, sorted(before), history, limit=len(before)).of(Kind.PRESENT)) == before
