"""Kill: SIGKILL to a peer's process, as when a machine loses power but keeps its disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import ClassVar

from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.peers import Peer
from rmqkit.faults.fault import PeerFault, Undo, done_to_each
from rmqkit.faults.timeline import Failover
from rmqkit.faults.wrapper import carried_out, check_quorum, leader_fault
from rmqkit.history import History


def kill_leader(
    cluster: Cluster,
    *,
    group: str | None = None,
    history: History | None = None,
    timeout_s: float | None = None,
) -> AbstractContextManager[Failover]:
    """Kill the leader of ``group`` with SIGKILL; yield the :class:`Failover` once a successor acknowledged a send.

    At the end the victim is started again, and waited for until it is a follower that has caught up. ``timeout_s``
    bounds the switch and the return, each. Raises NoLeaderError when there is none to kill, ReadOnlyClusterError on
    an attached cluster, NotFoundError for an unknown group, FaultError when no successor comes.
    """
    return leader_fault(
        cluster,
        kind="kill-leader",
        group=group,
        inject=cluster.kill,
        heal=cluster.start_peer,
        history=history,
        timeout_s=timeout_s,
    )


@contextmanager
def kill_peers(
    cluster: Cluster,
    peers: Sequence[Peer],
    *,
    allow_quorum_loss: bool = False,
    history: History | None = None,
    timeout_s: float | None = None,
) -> Iterator[None]:
    """Kill peers of one group with SIGKILL, and bring them back at the end.

    A fault that would leave no majority is refused with FaultError unless ``allow_quorum_loss``. At the end waits until
    every peer of the group has caught up.
    """
    check_quorum(cluster, peers, allow_quorum_loss=allow_quorum_loss)
    with carried_out(cluster, Kill(), tuple(peers), groups=(peers[0].group,), history=history, timeout_s=timeout_s):
        yield


@dataclass(frozen=True, slots=True)
class Kill(PeerFault):
    """SIGKILL to peers; they are started again at the end, with the stores that they had."""

    kind: ClassVar[str] = "kill"

    def inject(self, cluster: Cluster, targets: Sequence[Peer]) -> Undo:
        """Kill each."""
        return done_to_each(targets, cluster.kill, cluster.start_peer)
