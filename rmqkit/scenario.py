"""One run, joined: a cluster × traffic × a leader kill × the verdict.

What belongs here: the order of the steps. What does not: how a step is done, or how it is shown (``cli``).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rmqkit.checks import Outage, Thresholds, Verdict, judge, longest_gap_s, outages
from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.peers import Peer
from rmqkit.cluster.topics import create_topic, delete_topic, wait_topic_everywhere
from rmqkit.errors import FaultError
from rmqkit.faults import Failover, kill_leader
from rmqkit.history import History
from rmqkit.load import Load, SteadyTraffic, read_back


@dataclass(frozen=True, slots=True)
class DrillPlan:
    """How much traffic a drill makes, and what its verdict needs."""

    rate: float = 200.0
    threads: int = 4
    acked_before: int = 200
    acked_after: int = 200
    queues: int = 8

    def thresholds(self, replicas: int) -> Thresholds:
        """The evidence that this plan should yield, halved for slow machines."""
        return Thresholds(
            min_acked_before=self.acked_before // 2, min_acked_after=self.acked_after // 2, min_replicas=replicas
        )


@dataclass(frozen=True, slots=True)
class DrillResult:
    """What a drill found."""

    failover: Failover
    verdict: Verdict
    history: History
    unread: Mapping[str, str]

    @property
    def unavailable_s(self) -> float:
        """The longest time between two acknowledgements around the fault, as the traffic saw it."""
        return longest_gap_s(self.history)

    @property
    def outages(self) -> tuple[Outage, ...]:
        """How long the service was away, as the sends bound it."""
        return outages(self.history)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for ``--json``."""
        failover = self.failover
        return {
            "verdict": self.verdict.as_dict(),
            "group": failover.group,
            "victim": failover.victim.id,
            "successor": failover.successor.id,
            "elections": failover.elections,
            "timeline": [{"phase": p.name, "at_s": round(p.at_s, 4)} for p in (*failover.phases, *failover.restored)],
            "unavailable_s": round(self.unavailable_s, 4),
            "outages": [asdict(each) for each in self.outages],
            "unread": dict(self.unread),
        }


def drill(
    cluster: Cluster,
    *,
    group: str | None = None,
    plan: DrillPlan = DrillPlan(),
    history: History | None = None,
    on_step: Callable[[str], None] = lambda _text: None,
) -> DrillResult:
    """Traffic, kill the leader, let it come back, read every replica, judge.

    Raises what :func:`~rmqkit.faults.kill_leader` raises; too little traffic or an unread replica is no error but an
    INCONCLUSIVE verdict.
    """
    history = history if history is not None else History()
    members = cluster.members.of(group)
    name = members[0].group
    for address in replica_addresses(members).values():
        history.add_peer(address, name)
    topic = f"rmqkit_drill_{secrets.token_hex(4)}"
    create_topic(cluster, topic, queues=plan.queues, group=name)
    try:
        on_step(f"topic {topic} made; waiting until the followers have copied it")
        wait_topic_everywhere(cluster, topic, group=name)
        with SteadyTraffic(
            cluster.nameservers, topic=topic, history=history, threads=plan.threads, rate=plan.rate
        ) as traffic:
            traffic.wait_acknowledged(plan.acked_before, timeout_s=cluster.timeout_s)
            on_step(f"{traffic.acknowledged} sends acknowledged; killing the leader of {name}")
            with kill_leader(cluster, group=name, history=history) as failover:
                on_step(f"{failover.successor} serves {failover.outage_s:.1f} s later; traffic goes on")
                traffic.wait_acknowledged(plan.acked_after, timeout_s=cluster.timeout_s)
                on_step(f"starting {failover.victim} again, and waiting until it has caught up")
        on_step("traffic ended; waiting until every replica has everything")
        cluster.wait_caught_up(name)
        replicas = replica_addresses(members)
        on_step(f"reading {len(replicas)} replicas back")
        unread = read_back(cluster.pool, replicas, topic=topic, history=history)
    finally:
        delete_topic(cluster, topic, group=name)
    return DrillResult(failover, judge(history, plan.thresholds(len(members))), history, unread)


def kill_leader_during(
    cluster: Cluster,
    *,
    at_s: float,
    group: str | None = None,
    on_step: Callable[[str], None] = lambda _text: None,
) -> Callable[[Load], None]:
    """What a load does alongside its traffic: kill the leader after ``at_s`` seconds, and bring it back.

    The steps go into the load's history. Raises what :func:`~rmqkit.faults.kill_leader` raises, and FaultError when the
    traffic ended before.
    """

    def act(load: Load) -> None:
        if not load.wait_for(at_s):
            raise FaultError(f"the traffic ended before {at_s:g} s: no leader was killed", hint="let it run for longer")
        on_step("killing the leader")
        with kill_leader(cluster, group=group, history=load.history) as failover:
            on_step(f"{failover.successor} serves {failover.outage_s:.1f} s later; starting {failover.victim} again")
        on_step(f"{failover.victim} has caught up")

    return act


def replica_addresses(members: tuple[Peer, ...]) -> dict[str, str]:
    """Name and address of every peer that has one."""
    return {peer.id: peer.address for peer in members if peer.address is not None}
