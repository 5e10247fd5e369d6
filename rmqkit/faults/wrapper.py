"""The wrapper that every fault runs in: healthy before, undone whatever happens, healthy after, interval recorded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.peers import Peer
from rmqkit.cluster.signals import held_back
from rmqkit.cluster.status import GroupStatus, ask, ask_peer
from rmqkit.errors import FaultError, NoLeaderError, UsageError, WaitTimeoutError
from rmqkit.faults.fault import Fault, Undo
from rmqkit.faults.timeline import LEFT, Failover, Phase, observe
from rmqkit.faults.undone import undone
from rmqkit.faults.watch import Seen, Watch
from rmqkit.history import History
from rmqkit.waiting import Pending, wait_until

HEALTHY_WITHIN_S = 5.0


def check_quorum(cluster: Cluster, victims: Sequence[Peer], *, allow_quorum_loss: bool) -> None:
    """Refuse a fault that would leave a group without a majority, unless that is asked for.

    Raises UsageError for victims of several groups: a fault is of one.
    """
    if not victims:
        raise UsageError("no peer is named to take out", hint="name one or more peers of one group")
    groups = {victim.group for victim in victims}
    if len(groups) > 1:
        raise UsageError(
            f"a fault of {len(groups)} groups at once: {', '.join(sorted(groups))}",
            hint="name peers of one group; nest a fault for each group",
        )
    if allow_quorum_loss:
        return
    group = cluster.members.of(victims[0].group)
    up = [peer for peer in group if peer not in victims and _is_up(cluster, peer)]
    if len(up) * 2 <= len(group):
        raise FaultError(
            f"no majority without {', '.join(map(str, victims))}: {len(up)} of {len(group)} peers of "
            f"{group[0].group} would be up",
            hint="bring the others back first, or pass allow_quorum_loss=True where that is the point",
        )


def _is_up(cluster: Cluster, peer: Peer) -> bool:
    """Whether its process runs; one on another host, whose container cannot be looked at, is asked."""
    if peer.service:
        state = cluster.state(peer)
        return state.running and not state.paused
    group = cluster.members.of(peer.group)
    return not ask_peer(cluster.pool, peer, group, timeout_s=2.0, full=False).raft_error


@dataclass(slots=True)
class Injection:
    """A fault that was injected: to whom, and when. ``phases`` grows when the context manager ends."""

    fault: Fault
    targets: tuple[Peer, ...]
    target: str
    """How the history names what it was done to: the peers' ids, or a NameServer."""
    started: float = field(default_factory=time.monotonic)
    phases: list[Phase] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    """What was seen of changes of leader from before the injection until all was well again, where that was watched."""
    packets: int | None = None
    """How many packets met its rules, known when it is healed; None for faults without any. At 0 it was not felt."""

    def reached(self, name: str) -> None:
        """A step came now."""
        self.phases.append(Phase(name, time.monotonic() - self.started))

    def at(self, name: str) -> float:
        """Seconds from the start to "injected", "healed" or "restored". KeyError while it has not come."""
        for phase in self.phases:
            if phase.name == name:
                return phase.at_s
        raise KeyError(name)

    def __str__(self) -> str:
        steps = ", ".join(f"{phase.name} {phase.at_s:.1f} s" for phase in self.phases)
        changes = "".join(f"; {each}" for each in self.seen if each.name != LEFT)
        unfelt = "; no packet met its rules" if self.packets == 0 else ""
        return f"{self.fault.kind} of {self.target}: {steps}{changes}{unfelt}"


@contextmanager
def injected(
    cluster: Cluster,
    fault: Fault,
    *,
    history: History | None = None,
    allow_quorum_loss: bool = False,
    timeout_s: float | None = None,
    watch: bool = False,
) -> Iterator[Injection]:
    """Inject a fault into a healthy cluster, yield, undo it whatever happens, and wait until all have caught up.

    Its steps go into ``history``: injected, healed, restored, and unfelt where no packet met its rules; with ``watch``
    those of every change of leader too (:class:`~rmqkit.faults.watch.Seen`), at the price of up to 50 rounds of
    questions a second to each process. ``timeout_s`` bounds the return.

    Raises FaultError where it cannot work here (:meth:`Fault.why_not`), the cluster is not healthy before, or a group
    would lose its majority and ``allow_quorum_loss`` is not given; NotFoundError for a name that there is not,
    UsageError for targets that mean nothing; NotReadyError where the cluster does not recover.
    """
    if why := fault.why_not(cluster):
        raise FaultError(f"cannot {fault} here: {why}")
    fault.check_names(cluster)
    groups = fault.groups(cluster)
    leaders = [_healthy_leader(cluster, group) for group in groups]
    targets = fault.targets(cluster)
    fault.check_targets(cluster, targets)
    for out in fault.out_at_once(targets):
        check_quorum(cluster, out, allow_quorum_loss=allow_quorum_loss)
    watched = leaders if watch else []
    with carried_out(
        cluster, fault, targets, groups=groups, history=history, timeout_s=timeout_s, watched=watched
    ) as injection:
        yield injection


@contextmanager
def carried_out(
    cluster: Cluster,
    fault: Fault,
    targets: tuple[Peer, ...],
    *,
    groups: Sequence[str],
    history: History | None,
    timeout_s: float | None,
    watched: Sequence[Peer] = (),
) -> Iterator[Injection]:
    """The part of :func:`injected` after its checks: do, record, yield, undo, wait. For faults that have their own.

    ``watched`` are leaders, whose groups are watched meanwhile.
    """
    history = history if history is not None else History()
    injection = Injection(fault, targets, fault.target_text(cluster, targets))
    undos: list[Undo] = []

    def reach(step: str) -> None:
        history.add_fault(fault.kind, step, injection.target)
        injection.reached(step)

    def undo() -> None:
        if undos:
            injection.packets = undos[0]()
        if injection.packets == 0:
            history.add_fault(fault.kind, "unfelt", injection.target)
        if injection.phases:
            reach("healed")

    several = len(cluster.members.groups) > 1

    def see(seen: Seen) -> None:
        target = f"{seen.group}/{seen.target}" if several else seen.target
        history.add_fault(fault.kind, seen.name, target, within_s=seen.within_s)
        injection.seen.append(seen)

    with ExitStack() as stack:
        for leader in watched:
            stack.enter_context(Watch(cluster, leader=leader, began=injection.started, on_seen=see))
        with undone(undo, what=f"bringing {injection.target} back"):
            if fault.brief:
                began_ns = time.monotonic_ns()
                # The undo is in hand before a signal can come between.
                with held_back():
                    undos.append(fault.inject(cluster, targets))
                # It was there at some moment of the call; before it there was nothing.
                history.add_fault(fault.kind, "injected", injection.target, at_ns=began_ns)
                injection.reached("injected")
            else:
                reach("injected")
                undos.append(fault.inject(cluster, targets))
            yield injection
            fault.settle(cluster, targets)
        for group in groups:
            cluster.wait_caught_up(group, timeout_s=timeout_s)
    reach("restored")


@contextmanager
def leader_fault(
    cluster: Cluster,
    *,
    kind: str,
    group: str | None,
    inject: Callable[[Peer], None],
    heal: Callable[[Peer], None],
    settle: Callable[[Peer], None] = lambda _victim: None,
    history: History | None,
    timeout_s: float | None,
) -> Iterator[Failover]:
    """Find the leader, take it out, watch the switch, yield; bring it back and wait until it has caught up.

    ``heal`` is short and bounded, and is called even when the block or the observation fails; ``settle`` is what may be
    waited for before it when all went well.
    """
    timeout_s = timeout_s or cluster.timeout_s
    history = history if history is not None else History()
    if not cluster.services:
        cluster.container_of(cluster.members.of(group)[0])  # refused before anybody is asked
    victim = _healthy_leader(cluster, group)
    cluster.container_of(victim)
    check_quorum(cluster, [victim], allow_quorum_loss=False)
    started = time.monotonic()
    attempted = False

    def inject_once() -> None:
        nonlocal attempted
        attempted = True
        inject(victim)

    def undo() -> None:
        if attempted:
            heal(victim)
            history.add_fault(kind, "healed", str(victim))

    with undone(undo, what=f"bringing {victim} back"):
        failover = observe(cluster, kind=kind, victim=victim, inject=inject_once, timeout_s=timeout_s, history=history)
        yield failover
        settle(victim)
    failover.restored.append(Phase("restarted", time.monotonic() - started))
    cluster.wait_caught_up(victim.group, timeout_s=timeout_s)
    failover.restored.append(Phase("restored", time.monotonic() - started))
    history.add_fault(kind, "restored", str(victim))


def _healthy_leader(cluster: Cluster, group: str | None) -> Peer:
    """The agreed leader of a group whose every peer is in. Raises NoLeaderError or FaultError.

    One late answer on a busy machine is not ill health: it is asked for ``HEALTHY_WITHIN_S`` seconds.
    """
    name = cluster.members.of(group)[0].group
    last: list[GroupStatus] = []

    def probe() -> Peer | Pending:
        status = ask(cluster.pool, cluster.members, cluster.nameservers, timeout_s=2.0, full=False).group(name)
        last[:] = [status]
        return status.leader if status.leader is not None and status.healthy else Pending(status.summary)

    try:
        return wait_until(probe, label=f"{name} is healthy before the fault", timeout_s=HEALTHY_WITHIN_S)
    except WaitTimeoutError as error:
        status = last[0]
        views = [f"{v.peer.id}: leader={v.raft_leader} role={v.role or '?'} {v.raft_error}" for v in status.peers]
        if status.leader is None:
            raise NoLeaderError(
                f"there is no leader of {name} to take out: {'; '.join(status.disagreements)}",
                details=views,
                hint="wait until the cluster is healthy (`rmqkit status --watch`)",
            ) from error
        raise FaultError(
            f"{name} is not healthy before the fault: {'; '.join(status.absent)}",
            details=views,
            hint="wait until every peer is in (`Cluster.wait_ready`, `rmqkit status --watch`)",
        ) from error
