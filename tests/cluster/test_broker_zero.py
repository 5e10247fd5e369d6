"""Who the NameServer calls broker 0 while a follower restarts: what really holds, by version."""

from __future__ import annotations

import pytest

from rmqkit.cluster import Cluster
from rmqkit.faults import kill_peers
from rmqkit.waiting import Pending, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.failover]

FIXED_IN = (4, 6, 0)
"""rocketmq #1464, PR #1471: before it, every starting broker registers as broker 0, whoever leads."""


def version_of(cluster: Cluster) -> tuple[int, ...]:
    text = cluster.broker(cluster.leader()).runtime_info().version
    return tuple(int(part) for part in text.removeprefix("V").split("_")[:3])


def test_a_restarted_follower_takes_broker_0_from_the_leader_only_before_4_6(healthy_cluster: Cluster) -> None:
    leader = healthy_cluster.leader()
    victim = healthy_cluster.followers()[0]
    nameserver = healthy_cluster.nameserver()
    masters: list[str | None] = []

    with kill_peers(healthy_cluster, [victim]):

        def unregistered() -> bool | Pending:
            ids = nameserver.cluster_info().brokers[leader.group].addresses
            return victim.address not in ids.values() or Pending(f"{ids}")

        wait_until(unregistered, label=f"{victim} is gone from the NameServer", timeout_s=20)
        healthy_cluster.start_peer(victim)

        def back_as_follower() -> bool | Pending:
            ids = nameserver.cluster_info().brokers[leader.group].addresses
            if not masters or masters[-1] != ids.get(0):
                masters.append(ids.get(0))
            settled = ids.get(victim.broker_id) == victim.address and ids.get(0) == leader.address
            return settled or Pending(f"the NameServer says {ids}")

        wait_until(back_as_follower, label=f"{victim} is back under its own id", timeout_s=90, every_s=0.01)

    assert healthy_cluster.leader() == leader, "the restart of a follower must not move the leadership"
    others = [master for master in masters if master != leader.address]
    if version_of(healthy_cluster) < FIXED_IN:
        assert victim.address in others, f"4.5.x starts as broker 0, but only {masters} was seen"
    else:
        assert others == [], f"somebody else was broker 0 for a while: {masters}"
