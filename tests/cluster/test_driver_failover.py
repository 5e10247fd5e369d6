"""One leader is killed under the traffic of every driver at once: what each client saw of it, audited on every replica.

The outage that a client sees is the group's own and the client's: the built-in one asks for the route at once when a
send fails, the other two ask every 30 s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from driver_traffic import DriverTraffic

from rmqkit.checks import Thresholds, Verdict, VerdictStatus, judge
from rmqkit.cluster import Cluster
from rmqkit.drivers import BUILT_IN, JAVA, NATIVE, Target, open_producer
from rmqkit.drivers.interface import message_id_of
from rmqkit.faults import kill_leader
from rmqkit.history import Outcome
from rmqkit.load import read_back
from rmqkit.scenario import replica_addresses

# Not marked failover, which would run it on the second edition too: it waits for the slowest client.
pytestmark = pytest.mark.cluster

OUTAGE_S = {BUILT_IN: (1.0, 30.0), NATIVE: (1.0, 75.0), JAVA: (1.0, 60.0)}
"""Each driver, and what the outage that it sees lies between. The Java and the native client ask for routes every 30
s, and a native send that began before may take five attempts of 3 s each."""


@dataclass(frozen=True)
class Seen:
    """What one driver saw, and what the replicas say of it."""

    driver: str
    client: str
    outage_s: float
    outcomes: Mapping[Outcome, int]
    verdict: Verdict

    def __str__(self) -> str:
        counts = " | ".join(str(self.outcomes.get(kind, 0)) for kind in Outcome)
        return (
            f"| {self.driver} | {self.client.split(' (')[0]} | {self.outage_s:.1f} | {counts} | {self.verdict.status} |"
        )


HEAD = "| driver | client | outage, s | acknowledged | refused | unknown | verdict |"


def test_what_every_driver_was_acknowledged_survives_a_killed_leader(
    healthy_cluster: Cluster,
    copied_topic: str,
    record_property: Callable[[str, object], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    with ExitStack() as stack:
        producers = [stack.enter_context(open_producer(driver, Target.of(healthy_cluster))) for driver in OUTAGE_S]
        traffic = [DriverTraffic(producer, topic=copied_topic) for producer in producers]
        for each in traffic:
            stack.enter_context(each.running())
        for each in traffic:
            each.wait_acknowledged(50, timeout_s=30)
        with kill_leader(healthy_cluster, history=traffic[0].history) as failover:
            traffic[0].wait_acknowledged(20, timeout_s=30)
        for each in traffic:
            each.wait_acknowledged(50, timeout_s=75)
    seen = [audited(healthy_cluster, each, traffic[0]) for each in traffic]
    for each in seen:
        record_property(f"outage_s[{each.driver}]", round(each.outage_s, 2))
    with capsys.disabled():
        print(f"\n\n{HEAD}", *seen, f"(the group itself: {failover.outage_s:.1f} s)", sep="\n")
    for each in seen:
        shortest, longest = OUTAGE_S[each.driver]
        assert each.verdict.status is VerdictStatus.PASSED, f"{each.driver}: {each.verdict}"
        assert shortest < each.outage_s < longest, str(each)


def audited(cluster: Cluster, traffic: DriverTraffic, first: DriverTraffic) -> Seen:
    """Read every replica of this driver's topic back, by the kit's own client, and judge."""
    if traffic is not first:
        traffic.history.faults.extend(first.history.faults)
    group = cluster.wait_caught_up()
    replicas = replica_addresses(tuple(view.peer for view in group.peers))
    unread = read_back(
        cluster.pool,
        replicas,
        topic=traffic.topic,
        history=traffic.history,
        id_of=lambda message: message_id_of(message.properties),
    )
    assert unread == {}
    verdict = judge(traffic.history, Thresholds(min_acked_before=30, min_acked_after=30, min_replicas=3))
    return Seen(traffic.producer.name, traffic.producer.client, traffic.outage_s, traffic.outcomes, verdict)
