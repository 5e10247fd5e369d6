"""Pause: a peer is frozen, as by a long collection of garbage or a stalled hypervisor.

Its sockets stay open and its machine still acknowledges packets; it answers nothing, and goes on where it was when it
is let go. So a frozen leader is missed later than a killed one: no connection breaks, heartbeats just end. When it
thaws it believes to lead for a moment: its timer may register it as broker 0 over its successor before it steps down
(BrokerController's registration task of 4.5.1 and 4.9.8 knows nothing of the election).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.peers import Peer
from rmqkit.errors import EngineError, WaitTimeoutError
from rmqkit.faults.fault import PeerFault, Undo, done_to_each
from rmqkit.waiting import Pending, wait_until

FREEZE_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Pause(PeerFault):
    """Freeze peers; they run on at the end."""

    kind: ClassVar[str] = "pause"

    def inject(self, cluster: Cluster, targets: Sequence[Peer]) -> Undo:
        """Freeze each."""
        return done_to_each(targets, partial(freeze, cluster), partial(thaw, cluster))


def freeze(cluster: Cluster, target: Peer | str) -> None:
    """Freeze a peer or NameServer. Raises EngineError where it does not come to that.

    The engine's runtime gives up ("unable to freeze") on a process that just then waits for its disk, and thaws it
    again: it is tried for some seconds.
    """
    refused: list[EngineError] = []

    def attempt() -> bool | Pending:
        try:
            cluster.pause(target)
        except EngineError as error:
            state = cluster.state(target)
            if state.paused:
                return True
            if not state.running:
                raise
            refused.append(error)
            return Pending(error.what)
        return True

    try:
        wait_until(attempt, label=f"{target} is frozen", timeout_s=FREEZE_WITHIN_S, every_s=0.1)
    except WaitTimeoutError:
        raise refused[-1] from None


def thaw(cluster: Cluster, target: Peer | str) -> None:
    """Let a frozen peer or NameServer run on; one that is not frozen is left alone."""
    try:
        cluster.unpause(target)
    except EngineError:
        if cluster.state(target).paused:
            raise
