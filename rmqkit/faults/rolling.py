"""Rolling restart: every peer of a group in turn, followers first, the leader last, each when all have caught up.

That is how a group is upgraded. Done so, a majority is up at every moment, and leadership changes once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.peers import Peer
from rmqkit.faults.fault import Fault, Undo
from rmqkit.faults.stop import bring_back, wait_ended
from rmqkit.faults.undone import undone


@dataclass(frozen=True, slots=True)
class RollingRestart(Fault):
    """SIGTERM to a peer of ``group`` (the only one by default), start it, wait until it has caught up; then the next.

    It counts as injected from its beginning, since the group is short of a peer from then on; the block begins when all
    have been restarted, a minute or two later, and there is nothing left to undo.
    """

    kind: ClassVar[str] = "rolling-restart"
    brief: ClassVar[bool] = False
    group: str | None = None

    def groups(self, cluster: Cluster) -> tuple[str, ...]:
        """Its group."""
        return (cluster.members.of(self.group)[0].group,)

    def targets(self, cluster: Cluster) -> tuple[Peer, ...]:
        """Every peer, in the order in which they are restarted."""
        leader = cluster.leader(self.group)
        return (*(peer for peer in cluster.members.of(leader.group) if peer != leader), leader)

    def out_at_once(self, targets: Sequence[Peer]) -> Iterable[Sequence[Peer]]:
        """One at a time."""
        return [(peer,) for peer in targets]

    def inject(self, cluster: Cluster, targets: Sequence[Peer]) -> Undo:
        """Restart all. One that was under way when something failed is started again."""
        for peer in targets:
            with undone(partial(bring_back, cluster, peer), what=f"bringing {peer} back"):
                cluster.terminate(peer)
                wait_ended(cluster, peer)
            cluster.wait_caught_up(peer.group)
        return lambda: None

    def describe(self) -> str:
        """Which group."""
        return "restart every peer in turn" + (f" of {self.group}" if self.group else "")
