"""rocketmq #3381: with forceRegister off a new leader never registers. 4.5.x to 4.9.2; mended in 4.9.3 by PR #3442.

A broker with forceRegister=false registers only when its topics changed (BrokerController.needRegister compares their
versions). Up to 4.9.2 that holds for a change of role too, so that the successor serves, and no client finds it.

Seen on 4.5.1:
    n1 serves, but NameServer 127.0.0.1:23400 has no broker 0 (first seen at 0.1 s, last at 25.1 s)
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from known_bug import BugFinding, Seen, Watch, red_and_green

from rmqkit.cluster import Cluster
from rmqkit.cluster.peers import Peer
from rmqkit.cluster.readiness import PROBE_TOPIC
from rmqkit.cluster.topics import wait_topic_everywhere
from rmqkit.errors import WaitTimeoutError
from rmqkit.waiting import Pending, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.long]

PERIOD_S = 10.0
"""Between two periodic registrations (the kit's clusters set registerNameServerPeriod)."""


def wait_registered_with_these_topics(cluster: Cluster) -> None:
    """Wait until every peer has copied the topics, and has registered since: then no version differs any more."""
    wait_topic_everywhere(cluster, PROBE_TOPIC)
    copied = time.monotonic()

    def registered() -> bool | Pending:
        passed = time.monotonic() - copied
        return passed > PERIOD_S + 2 or Pending(f"{passed:.0f} s since the last copy")

    wait_until(registered, label="every peer's next periodic registration", timeout_s=30, every_s=0.2)


def kill_the_leader(cluster: Cluster) -> BugFinding:
    leader = cluster.leader()
    wait_registered_with_these_topics(cluster)
    for peer in cluster.peers:
        cluster.broker(peer).update_config({"forceRegister": "false"})
    assert cluster.leader() == leader
    watch = Watch(cluster)
    cluster.kill(leader)

    def serves() -> Peer | Pending:
        group = watch.look()
        served = [peer for peer in group.serving if peer != leader]
        return served[0] if served and group.raft_leader == served[0] else Pending(group.summary)

    successor = wait_until(serves, label="a successor serves", timeout_s=60, every_s=0.05)
    watch = Watch(cluster)

    def registered() -> bool | Pending:
        group = watch.look()
        return group.leader == successor or Pending(group.summary)

    try:
        wait_until(registered, label=f"{successor} is registered", timeout_s=2.5 * PERIOD_S, every_s=0.1)
    except WaitTimeoutError:
        assert watch.look().serving == (successor,), f"{successor} serves no more"
        missing = watch.of("has no broker 0")
        assert missing, f"not for want of a registration: {watch.look().summary}"
        return _finding(Seen.REPRODUCED, *(f"{successor} serves, but {words}" for words in missing))
    return _finding(Seen.NOT_SEEN, f"{successor} serves and is broker 0: {watch.look().summary}")


def _finding(seen: Seen, *evidence: str) -> BugFinding:
    return BugFinding("rocketmq #3381", "with forceRegister off a new leader never registers", seen, evidence)


@red_and_green("4.5.1", "4.9.8")
def test_with_force_register_off_a_new_leader_never_registers(
    cluster: Cluster, check: Callable[[BugFinding], None]
) -> None:
    check(kill_the_leader(cluster))
