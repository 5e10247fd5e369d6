"""The keys of broker.conf and namesrv.conf that follow from a specification.

What belongs here: one function per kind of process. What does not: files, and the environment that carries
the keys into a container (``compose.py``).
"""

from __future__ import annotations

from typing import Final

from rmqkit.topology.layout import LOOPBACK
from rmqkit.topology.spec import ClusterSpec, GroupSpec, NameServerSpec, PeerSpec, Topology

DATA_DIR: Final = "/var/lib/rocketmq"
"""The image's volume: store, logs and user.home."""
STORE_DIR: Final = f"{DATA_DIR}/store"


def namesrv_addr_for_brokers(spec: ClusterSpec) -> str:
    """What brokers are given as namesrvAddr: inside a pod always loopback, whatever the pod advertises."""
    if spec.topology is Topology.POD:
        return ";".join(f"{LOOPBACK}:{server.port}" for server in spec.nameservers)
    return spec.namesrv_addr


def broker_config(spec: ClusterSpec, group: GroupSpec, peer: PeerSpec) -> dict[str, str]:
    """broker.conf of one peer, in the tutorial's order; the cluster's extra keys follow, then the peer's."""
    return {
        "brokerClusterName": spec.cluster_name,
        "brokerName": group.name,
        "listenPort": str(peer.listen_port),
        "namesrvAddr": namesrv_addr_for_brokers(spec),
        # Never left to the broker: it would advertise the first interface it finds (often docker0), and
        # followers fetch topics and offsets from the advertised address.
        "brokerIP1": peer.host,
        "storePathRootDir": STORE_DIR,
        "storePathCommitLog": f"{STORE_DIR}/commitlog",
        "enableDLegerCommitLog": "true",
        "dLegerGroup": group.name,
        "dLegerPeers": group.dledger_peers,
        "dLegerSelfId": peer.id,
        **spec.config,
        **peer.config,
    }


def nameserver_config(spec: ClusterSpec, server: NameServerSpec) -> dict[str, str]:
    """namesrv.conf of one NameServer."""
    return {"listenPort": str(server.port), **spec.nameserver_config}
