"""rocketmq #7477: after all brokers were killed, messages are not found by their ids any more. Seen on 4.9.6.

A broker that ended without goodbye deletes the index files that may be incomplete (IndexService.load) and counts on its
log being dispatched again. In DLedger mode that begins where the consume queues end, so that the index stays empty;
from 5.2.0 on it begins earlier (PR #7599, made for the tail of consume queues), which fills the index again.

Seen on 4.9.8:
    before: each peer found 10 of 10 by their unique keys
    after: found by unique key: {'n0': 0, 'n1': 0, 'n2': 0}
    after: found at their place in the log: {'n0': 10, 'n1': 10, 'n2': 10}
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping

import pytest
from known_bug import BugFinding, Seen, red_and_green

from rmqkit.client.outcomes import Receipt
from rmqkit.client.producer import Producer
from rmqkit.cluster import Cluster
from rmqkit.cluster.topics import create_topic
from rmqkit.errors import WaitTimeoutError
from rmqkit.faults import kill_peers
from rmqkit.waiting import Pending, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.long]

MESSAGES = 10


def found_by_key(cluster: Cluster, topic: str, ids: Mapping[str, int]) -> dict[str, int]:
    """How many of ``ids`` each peer finds by their unique key."""
    return {
        peer.id: sum(bool(cluster.broker(peer).query_messages(topic, each, unique=True)) for each in ids)
        for peer in cluster.peers
    }


def found_by_position(cluster: Cluster, ids: Mapping[str, int]) -> dict[str, int]:
    """How many of ``ids`` each peer shows at their place in the log."""
    return {
        peer.id: sum(cluster.broker(peer).view_message(at).unique_key == each for each, at in ids.items())
        for peer in cluster.peers
    }


def kill_all_brokers(cluster: Cluster) -> BugFinding:
    topic = f"keyed-{secrets.token_hex(4)}"
    create_topic(cluster, topic, queues=1)
    producer = Producer(cluster.pool, cluster.nameservers)
    ids: dict[str, int] = {}
    for n in range(MESSAGES):
        outcome = producer.send(topic, f"{n}".encode(), retries=3)
        assert isinstance(outcome, Receipt), outcome
        ids[outcome.message_id] = int(outcome.msg_id[16:], 16)
    everything = {peer.id: MESSAGES for peer in cluster.peers}

    def indexed() -> bool | Pending:
        found = found_by_key(cluster, topic, ids)
        return found == everything or Pending(f"{found}")

    wait_until(indexed, label="every peer finds the messages by their keys", timeout_s=30, every_s=0.2)
    with kill_peers(cluster, cluster.peers, allow_quorum_loss=True):
        pass
    cluster.wait_ready()
    assert found_by_position(cluster, ids) == everything, "the messages themselves are gone"
    try:
        wait_until(indexed, label="every peer finds the messages again", timeout_s=10, every_s=0.5)
    except WaitTimeoutError:
        seen = Seen.REPRODUCED
    else:
        seen = Seen.NOT_SEEN
    return BugFinding(
        "rocketmq #7477",
        "after all brokers were killed, messages are not found by their ids",
        seen,
        (
            f"before: each peer found {MESSAGES} of {MESSAGES} by their unique keys",
            f"after: found by unique key: {found_by_key(cluster, topic, ids)}",
            f"after: found at their place in the log: {found_by_position(cluster, ids)}",
        ),
    )


@red_and_green("4.9.8", "5.3.2")
def test_after_all_brokers_were_killed_messages_are_not_found_by_their_keys(
    cluster: Cluster, check: Callable[[BugFinding], None]
) -> None:
    check(kill_all_brokers(cluster))
