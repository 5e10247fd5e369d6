"""rocketmq #1464: a broker that starts takes broker 0 from the leader. 4.5.x; mended in 4.6.0 by PR #1471.

Every starting broker of 4.5.x believes to be the master and registers as broker 0 before it knows its role
(BrokerController.start). The NameServer keeps who came last, so clients are sent to a broker that refuses them, and
then to none, until the leader's next periodic registration.

Seen on 4.5.1, n1 leading, n0 restarted:
    NameServer 127.0.0.1:21080 names n0 as broker 0, not n1 (first seen at 8.0 s, last at 8.4 s)
    NameServer 127.0.0.1:21080 has no broker 0 (first seen at 10.0 s, last at 17.9 s)
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from known_bug import BugFinding, Seen, Watch, red_and_green

from rmqkit.cluster import Cluster
from rmqkit.waiting import Pending, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.long]


def restart_a_follower(cluster: Cluster) -> BugFinding:
    leader, victim = cluster.leader(), cluster.followers()[0]
    nameserver = cluster.nameserver()

    def unregistered() -> bool | Pending:
        ids = nameserver.cluster_info().brokers[leader.group].addresses
        return victim.address not in ids.values() or Pending(f"{ids}")

    cluster.kill(victim)
    wait_until(unregistered, label=f"{victim} is gone from the NameServer", timeout_s=20)
    watch = Watch(cluster)
    cluster.start_peer(victim)

    def back() -> bool | Pending:
        group = watch.look()
        return group.healthy or Pending(group.summary)

    wait_until(back, label=f"{victim} is back, and every view agrees", timeout_s=90, every_s=0.01)
    assert cluster.leader() == leader, "the leadership moved: this was no mere restart of a follower"
    stolen = watch.of(f"names {victim} as broker 0, not {leader}")
    # The theft may last less than a look at all peers takes; what it leaves behind lasts for seconds.
    left = watch.of("has no broker 0")
    return BugFinding(
        "rocketmq #1464",
        "a restarted follower takes broker 0 from the leader",
        Seen.REPRODUCED if stolen or left else Seen.NOT_SEEN,
        (*stolen, *left, f"{leader} led all the time; {victim} was killed and started again"),
    )


@red_and_green("4.5.1", "4.9.8")
def test_a_restarted_follower_takes_broker_0_from_the_leader(
    cluster: Cluster, check: Callable[[BugFinding], None]
) -> None:
    check(restart_a_follower(cluster))
