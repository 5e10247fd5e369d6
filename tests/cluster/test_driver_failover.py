"""What a failover is to the users of each client: every driver at once, on one cluster, audited on every replica.

The outage that a client sees is the group's own and the client's: the built-in one asks for the route at once when a
send fails, the other two ask every 30 s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest
from driver_traffic import DriverTraffic

from rmqkit.checks import Outage, Thresholds, Verdict, VerdictStatus, judge, outages
from rmqkit.cluster import Cluster
from rmqkit.drivers import BUILT_IN, JAVA, NATIVE, Target, open_producer
from rmqkit.drivers.interface import message_id_of
from rmqkit.faults import kill_leader, kill_peers
from rmqkit.fixtures.helpers import RmqConsumer, RmqProducer
from rmqkit.history import Outcome
from rmqkit.load import read_back
from rmqkit.scenario import replica_addresses

pytestmark = [pytest.mark.cluster, pytest.mark.failover]

OUTAGE_S = {BUILT_IN: (1.0, 30.0), NATIVE: (1.0, 75.0), JAVA: (1.0, 60.0)}
"""Each driver, and what the outage that it sees lies between. The Java and the native client ask for routes every 30
s, and a native send that began before may take five attempts of 3 s each."""


@dataclass(frozen=True)
class Seen:
    """What one driver saw, and what the replicas say of it."""

    driver: str
    client: str
    outage: Outage
    outcomes: Mapping[Outcome, int]
    verdict: Verdict

    def __str__(self) -> str:
        counts = " | ".join(str(self.outcomes.get(kind, 0)) for kind in Outcome)
        at_most = "?" if self.outage.upper_s is None else f"{self.outage.upper_s:.1f}"
        bounds = f"{self.outage.lower_s:.1f} | {self.outage.gap_s:.1f} | {at_most}"
        return f"| {self.driver} | {self.client.split(' (')[0]} | {bounds} | {counts} | {self.verdict.status} |"


HEAD = "| driver | client | at least, s | seen, s | at most, s | acknowledged | refused | unknown | verdict |"


@contextmanager
def every_driver(cluster: Cluster, topic: str) -> Iterator[list[DriverTraffic]]:
    """Traffic through every driver; it flows when the block begins, and again when it ends."""
    with ExitStack() as stack:
        producers = [stack.enter_context(open_producer(driver, Target.of(cluster))) for driver in OUTAGE_S]
        traffic = [DriverTraffic(producer, topic=topic) for producer in producers]
        for each in traffic:
            stack.enter_context(each.running())
        for each in traffic:
            each.wait_acknowledged(50, timeout_s=30)
        yield traffic
        for each in traffic:
            each.wait_acknowledged(50, timeout_s=75)


def test_what_every_driver_was_acknowledged_survives_a_killed_leader(
    healthy_cluster: Cluster,
    copied_topic: str,
    record_property: Callable[[str, object], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    with (
        every_driver(healthy_cluster, copied_topic) as traffic,
        kill_leader(healthy_cluster, history=traffic[0].history) as failover,
    ):
        traffic[0].wait_acknowledged(20, timeout_s=30)
    seen = audited(healthy_cluster, traffic)
    for each in seen:
        record_property(f"outage_s[{each.driver}]", round(each.outage.gap_s, 2))
    with capsys.disabled():
        print(f"\n\n{HEAD}", *seen, f"(the group itself: {failover.outage_s:.1f} s)", sep="\n")
    for each in seen:
        shortest, longest = OUTAGE_S[each.driver]
        assert shortest < each.outage.gap_s < longest, str(each)
        assert each.outage.upper_s is not None, str(each)
        assert each.outage.lower_s <= each.outage.gap_s <= each.outage.upper_s, str(each)


@pytest.mark.long
def test_a_followers_kill_stops_no_driver(healthy_cluster: Cluster, copied_topic: str) -> None:
    leader, follower = healthy_cluster.leader(), healthy_cluster.followers()[0]
    with (
        every_driver(healthy_cluster, copied_topic) as traffic,
        kill_peers(healthy_cluster, [follower], history=traffic[0].history),
    ):
        for each in traffic:
            each.wait_acknowledged(50, timeout_s=30)
    for each in audited(healthy_cluster, traffic):
        failed = each.outcomes.get(Outcome.REFUSED, 0) + each.outcomes.get(Outcome.UNKNOWN, 0)
        assert failed < each.outcomes[Outcome.ACKNOWLEDGED] / 10, str(each)
    assert healthy_cluster.leader() == leader


@pytest.mark.long
def test_what_every_driver_was_acknowledged_survives_two_kills_in_a_row(
    healthy_cluster: Cluster, copied_topic: str
) -> None:
    with every_driver(healthy_cluster, copied_topic) as traffic:
        victims = []
        for _ in range(2):
            with kill_leader(healthy_cluster, history=traffic[0].history) as failover:
                victims.append(failover.victim)
                for each in traffic:
                    each.wait_acknowledged(20, timeout_s=75)
    assert victims[0] != victims[1]
    audited(healthy_cluster, traffic)


def test_a_consumer_of_every_driver_follows_the_leader(
    healthy_cluster: Cluster,
    copied_topic: str,
    rmq_producer: RmqProducer,
    rmq_make_consumer: Callable[..., RmqConsumer],
) -> None:
    consumers = [rmq_make_consumer(driver=driver, topic=copied_topic) for driver in OUTAGE_S]
    before = [rmq_producer.send_acked(copied_topic, b"before", retries=2) for _ in range(8)]
    for consumer in consumers:
        consumer.assert_received(before, within_s=40)
    with kill_leader(healthy_cluster):
        after = [rmq_producer.send_acked(copied_topic, b"after", retries=3) for _ in range(8)]
        for consumer in consumers:
            consumer.assert_received(after, within_s=75)


def audited(cluster: Cluster, traffic: Sequence[DriverTraffic]) -> list[Seen]:
    """Read every replica back for each driver, by the kit's own client, and judge: everything must have passed."""
    group = cluster.wait_caught_up()
    replicas = replica_addresses(tuple(view.peer for view in group.peers))
    seen = []
    for each in traffic:
        if each is not traffic[0]:
            each.history.faults.extend(traffic[0].history.faults)
        unread = read_back(
            cluster.pool,
            replicas,
            topic=each.topic,
            history=each.history,
            id_of=lambda message: message_id_of(message.properties),
        )
        assert unread == {}
        verdict = judge(each.history, Thresholds(min_acked_before=30, min_acked_after=30, min_replicas=3))
        assert verdict.status is VerdictStatus.PASSED, f"{each.producer.name}: {verdict}"
        outage = outages(each.history)[0]
        seen.append(Seen(each.producer.name, each.producer.client, outage, each.outcomes, verdict))
    return seen
