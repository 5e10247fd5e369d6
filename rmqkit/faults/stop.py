"""Stop: SIGTERM to a peer, as an orderly shutdown or a rolling restart does it.

RocketMQ's broker ends in four to five seconds and does **not** hand leadership over: until its heartbeats have been
missing for six seconds nobody votes, so this takes longer than a kill. Its late "unregister" at the NameServer goes by
broker id, not by address (before 5.x), so it can even remove its successor (rocketmq #5374).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, suppress

from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.peers import Peer
from rmqkit.errors import EngineError, WaitTimeoutError
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

    def ended(victim: Peer) -> bool | Pending:
        return Pending("it still runs") if cluster.state(victim).running else True

    def settle(victim: Peer) -> None:
        with suppress(WaitTimeoutError):
            wait_until(lambda: ended(victim), label=f"{victim} has ended after SIGTERM", timeout_s=30, every_s=0.1)

    def heal(victim: Peer) -> None:
        try:
            if cluster.state(victim).running:
                # It may end by itself between the look and the kill: then there is nothing to kill.
                with suppress(EngineError):
                    cluster.kill(victim)
                wait_until(lambda: ended(victim), label=f"{victim} has ended after SIGKILL", timeout_s=10, every_s=0.1)
        finally:
            cluster.start_peer(victim)

    return leader_fault(
        cluster,
        kind="stop-leader",
        group=group,
        inject=cluster.terminate,
        heal=heal,
        settle=settle,
        history=history,
        timeout_s=timeout_s,
    )
