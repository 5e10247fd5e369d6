"""Stop: SIGTERM to a peer, as an orderly shutdown or a rolling restart does it.

RocketMQ's broker ends in four to five seconds and does **not** hand leadership over: until its heartbeats have been
missing for six seconds nobody votes, so this takes longer than a kill. Its late "unregister" at the NameServer goes by
broker id, not by address (before 5.x), so it can even remove its successor (rocketmq #5374).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import ClassVar

from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.peers import Peer
from rmqkit.errors import EngineError, WaitTimeoutError
from rmqkit.faults.fault import PeerFault, Undo, done_to_each
from rmqkit.faults.timeline import Failover
from rmqkit.faults.wrapper import leader_fault
from rmqkit.history import History
from rmqkit.waiting import Pending, wait_until


def stop_leader(
    cluster: Cluster,
    *,
    group: str | None = None,
    history: History | None = None,
    timeout_s: float | None = None,
) -> AbstractContextManager[Failover]:
    """Stop the leader with SIGTERM and watch the switch, as :func:`~rmqkit.faults.kill.kill_leader` does for a kill."""

    return leader_fault(
        cluster,
        kind="stop-leader",
        group=group,
        inject=cluster.terminate,
        heal=lambda victim: bring_back(cluster, victim),
        settle=lambda victim: wait_ended(cluster, victim),
        history=history,
        timeout_s=timeout_s,
    )


@dataclass(frozen=True, slots=True)
class Stop(PeerFault):
    """SIGTERM to peers, which end in some seconds; they are started again at the end."""

    kind: ClassVar[str] = "stop"

    def inject(self, cluster: Cluster, targets: Sequence[Peer]) -> Undo:
        """Ask each to end; does not wait for it."""
        return done_to_each(targets, cluster.terminate, lambda peer: bring_back(cluster, peer))

    def settle(self, cluster: Cluster, targets: Sequence[Peer]) -> None:
        """Let each come to its orderly end before it is started again."""
        for peer in targets:
            wait_ended(cluster, peer)


def wait_ended(cluster: Cluster, victim: Peer) -> None:
    """Give a peer that got SIGTERM the time to end. One that does not is left to :func:`bring_back`."""
    with suppress(WaitTimeoutError):
        _ended(cluster, victim, label=f"{victim} has ended after SIGTERM", timeout_s=30)


def bring_back(cluster: Cluster, victim: Peer) -> None:
    """Start a peer that got SIGTERM; one that still runs is killed before: it may be on its way out."""
    try:
        if cluster.state(victim).running:
            # It may end by itself between the look and the kill: then there is nothing to kill.
            with suppress(EngineError):
                cluster.kill(victim)
            _ended(cluster, victim, label=f"{victim} has ended after SIGKILL", timeout_s=10)
    finally:
        cluster.start_peer(victim)


def _ended(cluster: Cluster, victim: Peer, *, label: str, timeout_s: float) -> None:
    def probe() -> bool | Pending:
        return Pending("it still runs") if cluster.state(victim).running else True

    wait_until(probe, label=label, timeout_s=timeout_s, every_s=0.1)
