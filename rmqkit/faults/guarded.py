"""What every fault that a guard does shares: for how long it may last by itself, and a guard for each peer.

What belongs here: from a task to its undo. What does not: rules of networks (``network``), and any one fault.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.guard import Guard, Task
from rmqkit.cluster.peers import Peer
from rmqkit.errors import UsageError
from rmqkit.faults.fault import Undo, done_to_each

DEAD_MAN_S: Final = 300.0
"""After so many seconds a guard takes its fault back by itself, whatever became of the kit."""


def check_dead_man(dead_man_s: float) -> None:
    """Raise UsageError for what is no time that a fault could last."""
    if not 0 < dead_man_s < 1e6:
        raise UsageError(
            f"dead_man_s={dead_man_s:g} is no number of seconds for a fault to last",
            hint=f"more than the fault is held, such as {DEAD_MAN_S:g}",
        )


def guarded_each(
    cluster: Cluster, targets: Sequence[Peer], task_of: Callable[[Peer], Task], *, dead_man_s: float
) -> Undo:
    """Post a guard for each of ``targets``; returns what relieves them all."""
    guards: dict[Peer, Guard] = {}

    def post(peer: Peer) -> None:
        guards[peer] = Guard.posted(cluster, task_of(peer), dead_man_s=dead_man_s)

    def relieve(peer: Peer) -> None:
        if peer in guards:
            guards.pop(peer).relieve()

    return done_to_each(targets, post, relieve)
