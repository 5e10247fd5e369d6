"""Topics of a whole cluster: made on every group's leader, routed by every NameServer, copied by every follower.

What belongs here: what holds when a topic "is there". What does not: one broker's answer (``client/broker``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rmqkit.errors import NotFoundError, RmqkitError
from rmqkit.waiting import Pending, wait_until

if TYPE_CHECKING:
    from rmqkit.cluster.cluster import Cluster


def create_topic(cluster: Cluster, name: str, *, queues: int = 8, group: str | None = None) -> None:
    """Create ``name`` on the leader of ``group`` (None: of every group); wait until every NameServer routes to it."""
    groups = cluster.members.groups if group is None else (group,)
    for each in groups:
        cluster.broker(cluster.leader(each)).create_topic(name, queues=queues)

    def routed() -> bool | Pending:
        for index, address in enumerate(cluster.nameservers):
            try:
                route = cluster.nameserver(index).topic_route(name)
            except NotFoundError:
                return Pending(f"NameServer {address} has no route of it")
            there = {queue.broker_name for queue in route.queues}
            if not there.issuperset(groups):
                return Pending(f"NameServer {address} routes only to {', '.join(sorted(there))}")
        return True

    wait_until(routed, label=f"topic {name} has a route", timeout_s=cluster.timeout_s, every_s=0.02)


def wait_topic_everywhere(
    cluster: Cluster, name: str, *, group: str | None = None, timeout_s: float | None = None
) -> None:
    """Wait until every peer, followers too, has the topic with the same queues.

    Followers copy topics from their leader every 10 s (SlaveSynchronize). What a successor has not copied yet it
    refuses after a failover, or makes anew with fewer queues: then messages in the others cannot be consumed.
    """
    peers = cluster.peers if group is None else cluster.members.of(group)

    def everywhere() -> bool | Pending:
        shapes = {}
        for peer in peers:
            config = cluster.broker(peer).topic_configs().get(name)
            if config is None:
                return Pending(f"not on {peer.group}/{peer.id}")
            shapes[f"{peer.group}/{peer.id}"] = (config.read_queues, config.write_queues)
        return True if len(set(shapes.values())) == 1 else Pending(f"read and write queues differ: {shapes}")

    wait_until(
        everywhere,
        label=f"topic {name} is on every peer",
        timeout_s=timeout_s or cluster.timeout_s,
        every_s=0.2,
        hint="followers copy topics from the address that their leader advertises (brokerIP1): can they reach it?",
    )


def delete_topic(cluster: Cluster, name: str, *, group: str | None = None) -> None:
    """Delete a topic where it can be reached; groups without a leader and silent NameServers are passed over."""
    for each in cluster.members.groups if group is None else (group,):
        try:
            cluster.broker(cluster.leader(each)).delete_topic(name)
        except RmqkitError:
            continue
    for index in range(len(cluster.nameservers)):
        try:
            cluster.nameserver(index).delete_topic(name)
        except RmqkitError:
            continue
