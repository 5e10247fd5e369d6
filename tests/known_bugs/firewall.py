"""Rules in a pod's network: what one of its processes may not send.

What belongs here: putting iptables rules in and taking them out, in a helper container that joins the pod's network; no
broker's own container has the right to. What does not: what a rule is for (the bugs' files).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rmqkit.cluster import Cluster
from rmqkit.cluster.engine import translated
from rmqkit.cluster.owner import Owner
from rmqkit.topology.spec import NET_SERVICE


def in_network(cluster: Cluster, script: str) -> str:
    """Run a shell script, as root with NET_ADMIN, in the pod's network. Returns what it printed."""
    assert cluster.engine is not None
    assert cluster.spec is not None
    with translated("run a helper in the pod's network"):
        said: bytes = cluster.engine.client.containers.run(
            cluster.spec.image_ref,
            entrypoint=["sh", "-euc"],
            command=[script],
            user="0:0",
            cap_drop=["ALL"],
            cap_add=["NET_ADMIN"],
            network_mode=f"container:{cluster.container_of(NET_SERVICE)}",
            labels=Owner.myself().labels(cluster.run, kept=False),
            healthcheck={"test": ["NONE"]},
            remove=True,
        )
    return said.decode()


@contextmanager
def dropped(cluster: Cluster, rules: Sequence[str]) -> Iterator[None]:
    """Drop what matches one of ``rules`` (iptables' words of a match) for the time of the block."""
    in_network(cluster, "\n".join(f"iptables -w -A OUTPUT {rule} -j DROP" for rule in rules))
    try:
        yield
    finally:
        in_network(cluster, "\n".join(f"iptables -w -D OUTPUT {rule} -j DROP" for rule in rules))


def ports_towards(cluster: Cluster, *, uid: int, port: int) -> tuple[int, ...]:
    """The local ports of the connections that the user ``uid`` has to ``port``."""
    established = "01"
    return tuple(
        _port(row[1])
        for row in _connections(cluster)
        if row[3] == established and _port(row[2]) == port and int(row[7]) == uid
    )


def unsent_from(cluster: Cluster, ports: Sequence[int]) -> int:
    """How many bytes wait to be sent from these local ports, or to be acknowledged; a closed connection's too."""
    return sum(int(row[4].partition(":")[0], 16) for row in _connections(cluster) if _port(row[1]) in ports)


def _connections(cluster: Cluster) -> list[list[str]]:
    """The kernel's table, a row each: 1 local and 2 remote address, 3 state, 4 queues, 7 user (proc(5))."""
    lines = in_network(cluster, "cat /proc/net/tcp /proc/net/tcp6").splitlines()
    return [line.split() for line in lines if not line.split()[0].startswith("sl")]


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)
