"""Restart: a peer is killed and at once started again, as a restart policy or an impatient operator does it.

It is back before it is missed: a follower's votes need heartbeats to be missing for seconds, so a restarted leader is
often the leader again. On 4.5.x it claims broker 0 at its start, leader or not (rocketmq #1464).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.peers import Peer
from rmqkit.faults.fault import PeerFault, Undo, done_to_each


@dataclass(frozen=True, slots=True)
class Restart(PeerFault):
    """SIGKILL to peers, each started again at once."""

    kind: ClassVar[str] = "restart"

    def inject(self, cluster: Cluster, targets: Sequence[Peer]) -> Undo:
        """Kill and start each. The undo starts them once more: that is nothing to one that runs."""

        def restart(peer: Peer) -> None:
            cluster.kill(peer)
            cluster.start_peer(peer)

        return done_to_each(targets, restart, cluster.start_peer)
