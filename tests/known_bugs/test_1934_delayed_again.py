"""rocketmq #1934, #2357: delayed messages come again after a change of leader. 4.5.x to 4.8.0; 4.9.0 mends it (#2518).

Followers copy how far delayed messages were delivered into a file (SlaveSynchronize.syncDelayOffset), but one that
becomes the leader goes on with what it had in memory, from its own start: so it delivers all of them again.

Seen on 4.5.1:
    verdict: FAILED
    duplicated: 20 stored more often than sent on n0
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from known_bug import BugFinding, Seen, red_and_green

from rmqkit.checks import Thresholds, VerdictStatus, judge
from rmqkit.client.outcomes import Receipt
from rmqkit.client.producer import Producer
from rmqkit.client.pull import pull_once, read_topic_from
from rmqkit.cluster import Cluster
from rmqkit.cluster.topics import create_topic, wait_topic_everywhere
from rmqkit.faults import kill_leader
from rmqkit.history import History, Outcome, SendRecord
from rmqkit.load import read_back
from rmqkit.scenario import replica_addresses
from rmqkit.waiting import Pending, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.long]

MESSAGES = 20
LEVEL = 1  # one second


def send_delayed(cluster: Cluster, topic: str, history: History) -> set[str]:
    """Send with a delay, and wait until each message was delivered to its topic. Returns their ids."""
    producer = Producer(cluster.pool, cluster.nameservers)
    ids = set()
    for n in range(MESSAGES):
        started = time.monotonic_ns()
        outcome = producer.send(topic, f"{n}".encode(), delay_level=LEVEL, retries=3)
        assert isinstance(outcome, Receipt), outcome
        times = (started, time.monotonic_ns())
        # Its receipt names a place among the delayed messages, not in the topic: of no use for the judge.
        record = SendRecord(outcome.message_id, topic, *times, Outcome.ACKNOWLEDGED, -1, -1, "", "")
        history.add_send(replace(record, attempts=len(outcome.attempts)))
        ids.add(outcome.message_id)
    leader = cluster.leader()
    assert leader.address is not None
    address = leader.address

    def delivered() -> bool | Pending:
        there = {message.unique_key for message in read_topic_from(cluster.pool, address, topic)}
        return there >= ids or Pending(f"{len(there & ids)} of {len(ids)}")

    wait_until(delivered, label="the delayed messages are delivered", timeout_s=30, every_s=0.1)
    return ids


def wait_copied_by_followers(cluster: Cluster, topic: str) -> None:
    """Wait until every follower has copied its leader's state anew; groups come last (SlaveSynchronize.syncAll)."""
    leader = cluster.leader()
    assert leader.address is not None
    group = f"marker-{secrets.token_hex(4)}"
    pull_once(cluster.pool, leader.address, topic=topic, queue_id=0, offset=0, group=group)

    def copied() -> bool | Pending:
        lacking = [peer.id for peer in cluster.peers if group not in cluster.broker(peer).subscription_groups()]
        return not lacking or Pending(f"not by {', '.join(lacking)}")

    wait_until(copied, label=f"group {group} is copied by every follower", timeout_s=60, every_s=0.2)


def change_the_leader(cluster: Cluster) -> BugFinding:
    topic, history = f"delayed-{secrets.token_hex(4)}", History()
    create_topic(cluster, topic, queues=1)
    wait_topic_everywhere(cluster, topic)
    before = send_delayed(cluster, topic, history)
    wait_copied_by_followers(cluster, topic)
    with kill_leader(cluster, history=history) as failover:
        # Delivered in the order of sending: when these are there, whatever came again is there too.
        send_delayed(cluster, topic, history)
    cluster.wait_caught_up()
    unread = read_back(cluster.pool, replica_addresses(cluster.peers), topic=topic, history=history)
    assert not unread, unread
    verdict = judge(history, Thresholds(min_acked_before=MESSAGES, min_acked_after=MESSAGES, min_replicas=3))
    assert verdict.status is not VerdictStatus.INCONCLUSIVE, str(verdict)
    again = [finding for finding in verdict.violations if finding.kind == "duplicated"]
    assert len(again) == len(verdict.violations), f"something else, too: {verdict}"
    return BugFinding(
        "rocketmq #1934, #2357",
        "delayed messages come again after a change of leader",
        Seen.REPRODUCED if again else Seen.NOT_SEEN,
        (
            f"{len(before)} were delivered, and each follower knew, before {failover.victim} was killed",
            f"of {failover.successor}, elected then, the {str(verdict).splitlines()[0]}",
            *(f"{finding.kind}: {finding.text}" for finding in verdict.violations),
        ),
    )


@red_and_green("4.5.1", "4.9.8")
def test_delayed_messages_come_again_after_a_change_of_leader(
    cluster: Cluster, check: Callable[[BugFinding], None]
) -> None:
    check(change_the_leader(cluster))
