"""The phases of a leader change, observed over the protocol from the moment of the fault.

killed → Raft elected (as the surviving peers say) → the new leader serves (as its live config says) → every NameServer
shows it as broker 0 → first acknowledged send. Each phase is asked for on its own in every round, so that it is
known to one round: about ``POLL_S`` plus a few milliseconds of answers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rmqkit.client.outcomes import Receipt
from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.peers import Peer
from rmqkit.cluster.readiness import POLL_S, probe_write
from rmqkit.cluster.status import PeerStatus, ask_nameserver, ask_peer, majority_leader
from rmqkit.errors import FaultError, WaitTimeoutError
from rmqkit.history import History
from rmqkit.waiting import Pending, wait_until

ELECTED, SERVES, REGISTERED, ACKED = "elected", "serves", "registered", "acked"
PHASES = (ELECTED, SERVES, REGISTERED, ACKED)
MEANING = {
    "injected": "the fault was there",
    ELECTED: "Raft elected {successor}, as the surviving peers say",
    SERVES: "{successor} serves as master, as its live config says",
    REGISTERED: "every NameServer shows {successor} as broker 0",
    ACKED: "first send acknowledged by {successor}",
    "restarted": "{victim} was started again",
    "restored": "{victim} is a follower again and has caught up",
}


@dataclass(frozen=True, slots=True)
class Phase:
    """One step of the timeline, ``at_s`` seconds after the fault began."""

    name: str
    at_s: float


@dataclass(slots=True)
class Failover:
    """What a leader fault did. ``restored`` fills in when the context manager ends."""

    kind: str
    group: str
    victim: Peer
    successor: Peer
    phases: tuple[Phase, ...]
    elections: int = 1
    restored: list[Phase] = field(default_factory=list)

    def at(self, name: str) -> float:
        """Seconds from the fault to a phase. Raises KeyError when it has not come (yet)."""
        for phase in (*self.phases, *self.restored):
            if phase.name == name:
                return phase.at_s
        raise KeyError(name)

    @property
    def outage_s(self) -> float:
        """Seconds from the fault to the first acknowledged send by way of the NameServer's broker 0."""
        return self.at(ACKED)

    def lines(self) -> list[str]:
        """The timeline, a line a phase: seconds since the fault, seconds since the phase before, meaning."""
        lines, before = [f"{self.kind} of {self.victim} in {self.group}"], 0.0
        for phase in (*self.phases, *self.restored):
            meaning = MEANING.get(phase.name, phase.name).format(victim=self.victim, successor=self.successor)
            lines.append(f"{phase.at_s:8.3f} s  (+{phase.at_s - before:6.3f})  {meaning}")
            before = phase.at_s
        return lines


def survivors_of(cluster: Cluster, victims: Sequence[Peer]) -> tuple[Peer, ...]:
    """The peers of the victims' group that are not victims."""
    return tuple(peer for peer in cluster.members.of(victims[0].group) if peer not in victims)


def observe(
    cluster: Cluster, *, kind: str, victim: Peer, inject: Callable[[], None], timeout_s: float, history: History
) -> Failover:
    """Inject the fault and watch until a successor acknowledged a send.

    Raises FaultError naming the phase that did not come, with each survivor's last view.
    """
    watch = _Watch(cluster, kind=kind, victim=victim, history=history)
    inject()
    watch.injected()
    try:
        successor = wait_until(watch.look, label="a successor acknowledges a send", timeout_s=timeout_s, every_s=POLL_S)
    except WaitTimeoutError as error:
        raise FaultError(
            f"{kind} of {victim}: no successor acknowledged a send within {error.waited_s:.0f} s",
            details=[f"reached: {', '.join(watch.reached)}", f"last seen: {error.last_seen}"],
            hint="`rmqkit status` shows each peer's view; with a majority down there can be no successor",
        ) from error
    phases = sorted((Phase(name, at_s) for name, at_s in watch.reached.items()), key=lambda phase: phase.at_s)
    return Failover(kind, victim.group, victim, successor, tuple(phases), watch.elections)


class _Watch:
    """The survivors of one fault, looked at again and again; ``reached`` is when each phase was first seen."""

    def __init__(self, cluster: Cluster, *, kind: str, victim: Peer, history: History) -> None:
        self.cluster = cluster
        self.kind = kind
        self.victim = victim
        self.history = history
        self.group = cluster.members.of(victim.group)
        self.survivors = survivors_of(cluster, [victim])
        self.started_ns = time.monotonic_ns()
        self.reached: dict[str, float] = {}
        self.successor: Peer | None = None
        self.elections = 0

    def injected(self) -> None:
        """The call is over. The fault was there at some moment of it, and on a busy machine it lasts for seconds, in
        which a successor may have been elected: the history has the moment before which there was nothing.
        """
        self.reached["injected"] = self._now_s()
        self.history.add_fault(self.kind, "injected", str(self.victim), at_ns=self.started_ns)

    def _now_s(self) -> float:
        return (time.monotonic_ns() - self.started_ns) / 1e9

    def reach(self, name: str) -> None:
        self.reached[name] = self._now_s()
        self.history.add_fault(self.kind, name, str(self.successor or self.victim))

    def look(self) -> Peer | Pending:
        pool = self.cluster.pool
        views = [ask_peer(pool, peer, self.group, timeout_s=0.5, full=False) for peer in self.survivors]
        self._follow(majority_leader([*views, PeerStatus(self.victim)]))
        if self.successor is None:
            return Pending(f"no survivor's majority names a new leader: {_said(views)}")
        if SERVES not in self.reached and any(view.leads and view.peer == self.successor for view in views):
            self.reach(SERVES)
        if REGISTERED not in self.reached and self._registered():
            self.reach(REGISTERED)
        missing = [name for name in PHASES[:-1] if name not in self.reached]
        if missing:
            return Pending(f"{self.successor} is elected; not yet: {missing[0]} ({_said(views)})")
        answer = probe_write(pool, self.successor, timeout_s=3.0)
        if not isinstance(answer, Receipt):
            return answer
        self.reach(ACKED)
        return self.successor

    def _follow(self, leader: Peer | None) -> None:
        if leader is None or leader in (self.victim, self.successor):
            return
        # A fresh leader may step down and another be elected (dledger #60): the timeline is the last one's.
        self.successor = leader
        self.elections += 1
        for name in PHASES:
            self.reached.pop(name, None)
        self.reach(ELECTED)

    def _registered(self) -> bool:
        assert self.successor is not None
        tables = [ask_nameserver(self.cluster.pool, at, timeout_s=0.5) for at in self.cluster.nameservers]
        masters = [table.table.get(self.victim.group, {}).get(0) for table in tables if not table.error]
        return bool(masters) and all(master == self.successor.address for master in masters)


def _said(views: Sequence[PeerStatus]) -> str:
    return ", ".join(f"{view.peer.id} says leader={view.raft_leader} role={view.role or '?'}" for view in views)
