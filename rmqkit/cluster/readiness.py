"""Ready = all three views agree on one leader of each group, every peer is in, and a probe write was acknowledged.

Never read from log lines, never slept for. The probe write is made only on clusters that the kit started.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from rmqkit.client.broker import BrokerClient
from rmqkit.client.outcomes import Receipt
from rmqkit.client.send import OutgoingMessage, send_once
from rmqkit.cluster.peers import Members, Peer
from rmqkit.cluster.status import ClusterStatus, GroupStatus, ask, brief
from rmqkit.errors import NotReadyError, RmqkitError, WaitTimeoutError
from rmqkit.transport.pool import ChannelPool
from rmqkit.waiting import Pending, wait_until

PROBE_TOPIC = "rmqkit_probe"

POLL_S = 0.02
"""How often a surviving peer is asked: a change of leader is noticed within this and an answer's time."""


def probe_write(pool: ChannelPool, leader: Peer, *, timeout_s: float = 3.0) -> Receipt | Pending:
    """One acknowledged write to the group by way of its leader, or what it answered instead."""
    assert leader.address is not None
    message = OutgoingMessage(PROBE_TOPIC, b"probe")
    outcome = send_once(pool, leader.address, message, queue_id=0, timeout_s=timeout_s)
    if isinstance(outcome, Receipt):
        return outcome
    if outcome.code in (1, 17) and "not exist" in outcome.remark:
        # Auto-creation may be off in the user's configuration: then the topic is made by name.
        try:
            BrokerClient(pool, leader.address, timeout_s=timeout_s).create_topic(PROBE_TOPIC, queues=1)
        except RmqkitError as error:
            return Pending(f"probe topic not created on {leader}: {brief(error)}")
    return Pending(f"probe write to {leader}: {outcome.reason}")


def wait_ready(
    pool: ChannelPool,
    members: Members,
    nameservers: Sequence[str],
    *,
    timeout_s: float,
    write: bool,
    alive: Callable[[], None] = lambda: None,
    on_written: Callable[[str], None] = lambda _group: None,
    describe: Callable[[], Sequence[str]] = tuple,
) -> ClusterStatus:
    """Wait until every group is ready; returns the status that said so.

    ``alive`` is called now and then and raises when a container has ended by itself; ``on_written`` is told the name of
    each group whose probe write was acknowledged. Raises NotReadyError with the
    condition that failed and the last view of each peer.
    """
    written: set[str] = set()
    last: list[ClusterStatus] = []
    next_check = time.monotonic() + 0.5

    def probe() -> ClusterStatus | Pending:
        nonlocal next_check
        if time.monotonic() >= next_check:
            alive()
            next_check = time.monotonic() + 0.5
        status = ask(pool, members, nameservers, timeout_s=1.0, full=False)
        last[:] = [status]
        for group in status.groups:
            if group.name in written or not write:
                continue
            leader = group.raft_leader
            if leader is None or leader not in group.serving:
                return Pending(group.summary)
            result = probe_write(pool, leader)
            if isinstance(result, Pending):
                return result
            written.add(group.name)
            on_written(group.name)
        unready = [group for group in status.groups if not group.healthy]
        return Pending(unready[0].summary) if unready else status

    try:
        return wait_until(probe, label="the cluster is ready", timeout_s=timeout_s, every_s=POLL_S)
    except WaitTimeoutError as error:
        alive()
        raise NotReadyError(
            f"the cluster was not ready after {error.waited_s:.0f} s: {error.last_seen}",
            details=[*(last[0].lines() if last else ()), *describe()],
            hint="`rmqkit logs` shows what brokers say; a loaded machine needs more time (--rmq-timeout, --timeout)",
        ) from error


def wait_caught_up(
    pool: ChannelPool,
    members: Members,
    nameservers: Sequence[str],
    *,
    group: str,
    timeout_s: float,
    alive: Callable[[], None] = lambda: None,
) -> GroupStatus:
    """Wait until every peer of a group is in, and has committed and dispatched what its leader had when the wait began.

    "Committed" is ``commitLogMaxOffset`` of request 28, which in DLedger mode is the committed position. Holds under
    traffic too: the mark to reach is taken once, at the first look at which all views agree.
    """
    mark = -1

    def probe() -> GroupStatus | Pending:
        nonlocal mark
        alive()
        status = ask(pool, members, nameservers, timeout_s=1.0, full=True).group(group)
        if not status.healthy:
            return Pending(status.summary)
        runtimes = {view.peer.id: view.runtime for view in status.peers if view.runtime}
        if len(runtimes) != len(status.peers):
            return Pending("not every peer told its committed position")
        done = {name: info.committed_position - info.dispatch_behind_bytes for name, info in runtimes.items()}
        if mark < 0:
            mark = max(info.committed_position for info in runtimes.values())
        behind = {name: position for name, position in done.items() if position < mark}
        if behind:
            return Pending(f"behind position {mark}: {behind}")
        return status

    try:
        return wait_until(probe, label=f"every peer of {group} has caught up", timeout_s=timeout_s, every_s=0.1)
    except WaitTimeoutError as error:
        raise NotReadyError(
            f"{group} did not catch up within {error.waited_s:.0f} s: {error.last_seen}",
            hint="`rmqkit status` shows each peer's view; `rmqkit logs PEER` what it says",
        ) from error
