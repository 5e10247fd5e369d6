"""Kill: SIGKILL to a peer's process, as when a machine loses power but keeps its disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager

from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.peers import Peer
from rmqkit.faults.timeline import Failover
from rmqkit.faults.wrapper import check_quorum, leader_fault, undone
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
    history = history if history is not None else History()
    check_quorum(cluster, peers, allow_quorum_loss=allow_quorum_loss)
    names = ",".join(map(str, peers))
    killed: list[Peer] = []

    def bring_back() -> None:
        with ExitStack() as starts:
            for peer in killed:
                starts.callback(cluster.start_peer, peer)
        history.add_fault("kill", "healed", names)

    with undone(bring_back, what=f"bringing {names} back"):
        for peer in peers:
            killed.append(peer)
            cluster.kill(peer)
        history.add_fault("kill", "injected", names)
        yield
    cluster.wait_caught_up(peers[0].group, timeout_s=timeout_s)
    history.add_fault("kill", "restored", names)
