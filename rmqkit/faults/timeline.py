"""The phases of a leader change, observed over the protocol from the moment of the fault.

killed → each survivor gives it up → Raft elected (as the surviving peers say) → the new leader serves (as its live
config says) → every NameServer shows it as broker 0 → first acknowledged send. Everybody is asked in every round, so
each phase is known to one round: about ``POLL_S`` plus a few milliseconds of answers; how finely is recorded with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rmqkit.client.outcomes import Receipt
from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.peers import Peer
from rmqkit.cluster.readiness import POLL_S, probe_write
from rmqkit.cluster.status import PeerStatus, ask_nameserver, ask_peer, majority_leader
from rmqkit.errors import FaultError, WaitTimeoutError
from rmqkit.history import History
from rmqkit.waiting import Pending, wait_until

LEFT, ELECTED, SERVES, REGISTERED, ACKED = "left", "elected", "serves", "registered", "acked"
PHASES = (ELECTED, SERVES, REGISTERED, ACKED)
MEANING = {
    "injected": "the fault was there",
    LEFT: "{target} named its leader no longer",
    ELECTED: "Raft elected {successor}, as the surviving peers say",
    SERVES: "{successor} serves as master, as its live config says",
    REGISTERED: "every NameServer shows {successor} as broker 0",
    ACKED: "first send acknowledged by {successor}",
    "restarted": "{victim} was started again",
    "restored": "{victim} is a follower again and has caught up",
}


@dataclass(frozen=True, slots=True)
class Phase:
    """One step of the timeline, ``at_s`` seconds after the fault began; it came at most ``within_s`` before that.

    ``target`` is the peer of whom it is, where that is neither victim nor successor: of "left".
    """

    name: str
    at_s: float
    within_s: float = 0.0
    target: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        said = {"phase": self.name, "at_s": round(self.at_s, 4), "within_s": round(self.within_s, 4)}
        return {**said, "peer": self.target} if self.target else said


@dataclass(slots=True)
class Failover:
    """What a leader fault did. ``restored`` fills in when the context manager ends.

    ``left`` is when each survivor no longer named its leader; one that did not answer meanwhile is not in it.
    """

    kind: str
    group: str
    victim: Peer
    successor: Peer
    phases: tuple[Phase, ...]
    elections: int = 1
    restored: list[Phase] = field(default_factory=list)
    left: tuple[Phase, ...] = ()

    @property
    def timeline(self) -> list[Phase]:
        """Every phase in the order of time."""
        return sorted([*self.phases, *self.left, *self.restored], key=lambda phase: phase.at_s)

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
        """The timeline, a line a phase: seconds since the fault, since the phase before, meaning, how finely known."""
        lines, before = [f"{self.kind} of {self.victim} in {self.group}"], 0.0
        for phase in self.timeline:
            names = {"victim": self.victim, "successor": self.successor, "target": phase.target}
            meaning = MEANING.get(phase.name, phase.name).format(**names)
            known = f" (known to {max(1, round(1000 * phase.within_s))} ms)" if phase.within_s else ""
            lines.append(f"{phase.at_s:8.3f} s  (+{phase.at_s - before:6.3f})  {meaning}{known}")
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
    phases = tuple(sorted(watch.reached.values(), key=lambda phase: phase.at_s))
    return Failover(kind, victim.group, victim, successor, phases, watch.elections, left=tuple(watch.left.values()))


class _Watch:
    """The survivors of one fault, looked at again and again; ``reached`` is when each phase was first seen.

    Moments count from ``started``, and so do the questions' times: a phase came after the last question that was
    answered otherwise.
    """

    def __init__(self, cluster: Cluster, *, kind: str, victim: Peer, history: History) -> None:
        self.cluster = cluster
        self.kind = kind
        self.victim = victim
        self.history = history
        self.group = cluster.members.of(victim.group)
        self.survivors = survivors_of(cluster, [victim])
        self.started_ns = time.monotonic_ns()
        self.started = self.started_ns / 1e9
        self.reached: dict[str, Phase] = {}
        self.left: dict[str, Phase] = {}
        self.successor: Peer | None = None
        self.elections = 0
        self._asked: dict[str, float] = {}
        """When each view was asked for that was answered last; before the first one: when the fault began."""
        self._names: dict[str, str | None] = {peer.id: victim.id for peer in self.survivors}

    def injected(self) -> None:
        """The call is over. The fault was there at some moment of it, and on a busy machine it lasts for seconds, in
        which a successor may have been elected: the history has the moment before which there was nothing.
        """
        now_s = time.monotonic() - self.started
        self.reached["injected"] = Phase("injected", now_s, now_s)
        self.history.add_fault(self.kind, "injected", str(self.victim), at_ns=self.started_ns)

    def reach(self, name: str, *, since: float) -> None:
        phase = self._seen(name, since, str(self.successor or self.victim))
        self.reached[name] = Phase(name, phase.at_s, phase.within_s)

    def _seen(self, name: str, since: float, target: str) -> Phase:
        now = time.monotonic()
        self.history.add_fault(self.kind, name, target, within_s=now - since)
        return Phase(name, now - self.started, now - since, target)

    def look(self) -> Peer | Pending:
        pool = self.cluster.pool
        asked: dict[str, float] = {}
        views = []
        for peer in self.survivors:
            asked[peer.id] = time.monotonic()
            views.append(ask_peer(pool, peer, self.group, timeout_s=0.5, full=False))
        self._follow(views)
        asked[_ROUTE] = time.monotonic()
        route = self._route()
        if self.successor is not None:
            self._followed(views, route)
        self._asked |= {view.peer.id: asked[view.peer.id] for view in views if not view.raft_error}
        self._asked |= {_broker(view.peer): asked[view.peer.id] for view in views if not view.broker_error}
        self._asked |= {_ROUTE: asked[_ROUTE]} if route else {}
        if self.successor is None:
            return Pending(f"no survivor's majority names a new leader: {_said(views)}")
        missing = [name for name in PHASES[:-1] if name not in self.reached]
        if missing:
            return Pending(f"{self.successor} is elected; not yet: {missing[0]} ({_said(views)})")
        began = time.monotonic()
        answer = probe_write(pool, self.successor, timeout_s=3.0)
        if not isinstance(answer, Receipt):
            return answer
        self.reach(ACKED, since=began)
        return self.successor

    def _last(self, view: str) -> float:
        return self._asked.get(view, self.started)

    def _follow(self, views: Sequence[PeerStatus]) -> None:
        changed = [
            view.peer.id for view in views if not view.raft_error and view.raft_leader != self._names[view.peer.id]
        ]
        for view in views:
            name = view.peer.id
            if name in changed:
                if self._names[name] == self.victim.id and name not in self.left:
                    self.left[name] = self._seen(LEFT, self._last(name), name)
                self._names[name] = view.raft_leader
        leader = majority_leader([*views, PeerStatus(self.victim)])
        if leader is None or leader in (self.victim, self.successor):
            return
        # A fresh leader may step down and another be elected (dledger #60): the timeline is the last one's.
        self.successor = leader
        self.elections += 1
        for name in PHASES:
            self.reached.pop(name, None)
        self.reach(ELECTED, since=min(map(self._last, changed), default=self.started))

    def _followed(self, views: Sequence[PeerStatus], route: set[str | None]) -> None:
        assert self.successor is not None
        if SERVES not in self.reached and any(view.leads and view.peer == self.successor for view in views):
            self.reach(SERVES, since=self._last(_broker(self.successor)))
        if REGISTERED not in self.reached and route == {self.successor.address}:
            self.reach(REGISTERED, since=self._last(_ROUTE))

    def _route(self) -> set[str | None]:
        """What the NameServers that answer show as the group's broker 0."""
        tables = [ask_nameserver(self.cluster.pool, at, timeout_s=0.5) for at in self.cluster.nameservers]
        return {table.table.get(self.victim.group, {}).get(0) for table in tables if not table.error}


_ROUTE = "route"


def _broker(peer: Peer) -> str:
    return f"broker of {peer.id}"


def _said(views: Sequence[PeerStatus]) -> str:
    return ", ".join(f"{view.peer.id} says leader={view.raft_leader} role={view.role or '?'}" for view in views)
