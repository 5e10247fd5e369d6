"""One run, joined: a cluster × traffic × a leader kill, or a schedule of faults × the verdict.

What belongs here: the order of the steps. What does not: how a step is done, or how it is shown (``cli``).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rmqkit.checks import (
    Outage,
    Thresholds,
    Timeline,
    Verdict,
    judge,
    longest_gap_s,
    lost_ids,
    outages,
    timelines,
)
from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.peers import Peer
from rmqkit.cluster.topics import create_topic, delete_topic, wait_topic_everywhere
from rmqkit.errors import FaultError
from rmqkit.faults import Failover, Injection, Schedule, injected, kill_leader
from rmqkit.forensics import Places, locate
from rmqkit.history import History
from rmqkit.load import SteadyTraffic, read_back
from rmqkit.settings import DEFAULT_ACKED, DEFAULT_RATE, DEFAULT_THREADS

if TYPE_CHECKING:
    from rmqkit.load.runner import Load


_LOST = ("acknowledged-lost", "delayed-lost", "consumer-lost")
"""The kinds of violation that :func:`~rmqkit.checks.lost_ids` gives the ids of."""


@dataclass(frozen=True, slots=True)
class DrillPlan:
    """How much traffic a drill makes, and what its verdict needs."""

    rate: float = DEFAULT_RATE
    threads: int = DEFAULT_THREADS
    acked_before: int = DEFAULT_ACKED
    acked_after: int = DEFAULT_ACKED
    queues: int = 8
    max_outage_s: float = 0.0
    """For longer than this nothing may go unacknowledged (0: for as long as it takes)."""

    def thresholds(self, replicas: int) -> Thresholds:
        """The evidence that this plan should yield, halved for slow machines."""
        return Thresholds(
            min_acked_before=self.acked_before // 2,
            min_acked_after=self.acked_after // 2,
            min_replicas=replicas,
            max_outage_s=self.max_outage_s,
        )


@dataclass(frozen=True, slots=True)
class DrillResult:
    """What a drill found."""

    failover: Failover
    verdict: Verdict
    history: History
    unread: Mapping[str, str]
    places: Places | None = None
    """Where the messages are that the verdict calls lost; None where it calls none so."""

    @property
    def unavailable_s(self) -> float:
        """The longest time between two acknowledgements around the fault, as the traffic saw it."""
        return longest_gap_s(self.history)

    @property
    def outages(self) -> tuple[Outage, ...]:
        """How long the service was away, as the sends bound it."""
        return outages(self.history)

    @property
    def timelines(self) -> tuple[Timeline, ...]:
        """The fault in its phases, those that the clients saw among them."""
        return timelines(self.history)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for ``--json``."""
        failover = self.failover
        return {
            "verdict": self.verdict.as_dict(),
            "group": failover.group,
            "victim": failover.victim.id,
            "successor": failover.successor.id,
            "elections": failover.elections,
            "timeline": [phase.as_dict() for phase in failover.timeline],
            "timelines": [each.as_dict() for each in self.timelines],
            "unavailable_s": round(self.unavailable_s, 4),
            "outages": [asdict(each) for each in self.outages],
            "unread": dict(self.unread),
            "lost": self.places.as_dict() if self.places is not None else None,
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
    _name_peers(history, members)
    with _topic_of_its_own(cluster, "drill", group=name, queues=plan.queues, on_step=on_step) as topic:
        with SteadyTraffic(
            cluster.nameservers, topic=topic, history=history, threads=plan.threads, rate=plan.rate
        ) as traffic:
            traffic.wait_acknowledged(plan.acked_before, timeout_s=cluster.timeout_s)
            on_step(f"{traffic.acknowledged} sends acknowledged; killing the leader of {name}")
            with kill_leader(cluster, group=name, history=history) as failover:
                on_step(f"{failover.successor} serves {failover.outage_s:.1f} s later; traffic goes on")
                traffic.wait_acknowledged(plan.acked_after, timeout_s=cluster.timeout_s)
                on_step(f"starting {failover.victim} again, and waiting until it has caught up")
        unread = _read_all_back(cluster, members, topic=topic, history=history, on_step=on_step)
        verdict = judge(history, plan.thresholds(len(members)))
        # Before the topic goes: its consume queues go with it.
        places = find_lost(cluster, verdict, history, group=name, on_step=on_step)
    return DrillResult(failover, verdict, history, unread, places)


def find_lost(
    cluster: Cluster,
    verdict: Verdict,
    history: History,
    *,
    group: str | None = None,
    on_step: Callable[[str], None] = lambda _text: None,
) -> Places | None:
    """Look for the messages that the verdict calls lost, the first hundred of them; None where it calls none so.

    Never raises for a cluster that is down: what could not be asked is in the answer.
    """
    if not any(violation.kind in _LOST for violation in verdict.violations):
        return None
    lost = lost_ids(history)
    on_step(f"{len(lost)} acknowledged messages are missing; looking for them on every replica and in its files")
    return locate(cluster, lost, history, group=group)


@dataclass(frozen=True, slots=True)
class ChaosResult:
    """What a run under a schedule of faults found."""

    group: str
    schedule: Schedule
    injections: tuple[Injection, ...]
    verdict: Verdict
    history: History
    unread: Mapping[str, str]
    places: Places | None = None

    @property
    def outages(self) -> tuple[Outage, ...]:
        """How long the service was away around each fault, as the sends bound it."""
        return outages(self.history)

    @property
    def timelines(self) -> tuple[Timeline, ...]:
        """Each fault in its phases, those that the clients saw among them."""
        return timelines(self.history)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for ``--json``."""
        return {
            "verdict": self.verdict.as_dict(),
            "group": self.group,
            "schedule": self.schedule.as_dict(),
            "faults": [
                {
                    "fault": each.fault.kind,
                    "target": each.target,
                    "packets": each.packets,
                    "timeline": [phase.as_dict() for phase in each.phases],
                    "seen": [
                        {
                            "phase": s.name,
                            "group": s.group,
                            "peer": s.target,
                            "at_s": round(s.at_s, 4),
                            "within_s": round(s.within_s, 4),
                        }
                        for s in each.seen
                    ],
                }
                for each in self.injections
            ],
            "timelines": [each.as_dict() for each in self.timelines],
            "outages": [asdict(each) for each in self.outages],
            "unread": dict(self.unread),
            "lost": self.places.as_dict() if self.places is not None else None,
        }


def chaos(
    cluster: Cluster,
    schedule: Schedule,
    *,
    group: str | None = None,
    plan: DrillPlan = DrillPlan(),
    history: History | None = None,
    on_step: Callable[[str], None] = lambda _text: None,
) -> ChaosResult:
    """Traffic through the schedule's faults in order, the cluster healthy between them; read every replica, judge.

    Every step is checked before the first (:meth:`Schedule.check`). Raises what that and
    :func:`~rmqkit.faults.injected` raise; whatever was injected is undone then, too.
    """
    history = history if history is not None else History()
    members = cluster.members.of(group)
    name = members[0].group
    schedule.check(cluster)
    _name_peers(history, members)
    done: list[Injection] = []
    with _topic_of_its_own(cluster, "chaos", group=name, queues=plan.queues, on_step=on_step) as topic:
        with SteadyTraffic(
            cluster.nameservers, topic=topic, history=history, threads=plan.threads, rate=plan.rate
        ) as traffic:
            traffic.wait_acknowledged(plan.acked_before, timeout_s=cluster.timeout_s)
            for number, step in enumerate(schedule.steps, 1):
                on_step(f"{number}/{len(schedule.steps)} {step}")
                traffic.run_for(step.gap_s)
                with injected(
                    cluster, step.fault, history=history, allow_quorum_loss=step.allow_quorum_loss, watch=True
                ) as injection:
                    traffic.run_for(step.hold_s)
                done.append(injection)
                on_step(f"{injection}; {traffic.acknowledged} sends acknowledged so far")
            traffic.wait_acknowledged(plan.acked_after, timeout_s=cluster.timeout_s)
        unread = _read_all_back(cluster, members, topic=topic, history=history, on_step=on_step)
        verdict = judge(history, plan.thresholds(len(members)))
        places = find_lost(cluster, verdict, history, group=name, on_step=on_step)
    return ChaosResult(name, schedule, tuple(done), verdict, history, unread, places)


def _name_peers(history: History, members: tuple[Peer, ...]) -> None:
    """Tell the history whose addresses these are: outages are counted for each group."""
    for peer in members:
        if peer.address is not None:
            history.add_peer(peer.address, peer.group)


@contextmanager
def _topic_of_its_own(
    cluster: Cluster, what: str, *, group: str, queues: int, on_step: Callable[[str], None]
) -> Iterator[str]:
    """A topic on every replica of ``group``, deleted at the end."""
    topic = f"rmqkit_{what}_{secrets.token_hex(4)}"
    create_topic(cluster, topic, queues=queues, group=group)
    try:
        on_step(f"topic {topic} made; waiting until the followers have copied it")
        wait_topic_everywhere(cluster, topic, group=group)
        yield topic
    finally:
        delete_topic(cluster, topic, group=group)


def _read_all_back(
    cluster: Cluster, members: tuple[Peer, ...], *, topic: str, history: History, on_step: Callable[[str], None]
) -> dict[str, str]:
    """Read every replica to its end; gives why one could not be."""
    on_step("traffic ended; waiting until every replica has everything")
    cluster.wait_caught_up(members[0].group)
    replicas = replica_addresses(members)
    on_step(f"reading {len(replicas)} replicas back")
    return read_back(cluster.pool, replicas, topic=topic, history=history)


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
