"""NameServers, groups and their peers, as values that are valid as soon as they exist.

What belongs here: the fields of each part, its own rules, and what can be read off it. What does not: rules
between parts of different groups, and the cluster as a whole (``spec.py``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from rmqkit.errors import NotFoundError, SpecError
from rmqkit.topology import rules
from rmqkit.topology.config import Config, checked_config
from rmqkit.topology.layout import HA_OFFSET, LOOPBACK, VIP_OFFSET

BROKER_OWNED_KEYS: Mapping[str, str] = {
    "brokerClusterName": "ClusterSpec.cluster_name",
    "brokerName": "GroupSpec.name",
    "brokerId": "nothing: in DLedger mode a broker's id follows from who leads",
    "brokerIP1": "PeerSpec.host (ClusterSpec.pod: advertise)",
    "listenPort": "PeerSpec.listen_port",
    "haListenPort": "PeerSpec.listen_port (it is always that plus 1)",
    "namesrvAddr": "ClusterSpec.nameservers",
    "enableDLegerCommitLog": "nothing: every broker of the kit is a DLedger peer",
    "dLegerGroup": "GroupSpec.name",
    "dLegerPeers": "GroupSpec.peers",
    "dLegerSelfId": "PeerSpec.id",
    "storePathRootDir": "nothing: the store is on the volume; ClusterSpec.store says where that is",
    "storePathCommitLog": "nothing: the store is on the volume; ClusterSpec.store says where that is",
}
NAMESERVER_OWNED_KEYS: Mapping[str, str] = {"listenPort": "NameServerSpec.port"}


class Topology(StrEnum):
    """How a cluster's processes share a network."""

    POD = "pod"
    """One container owns the network and publishes every port on loopback; for tests, anywhere."""
    HOST = "host"
    """Each process listens on its host's own network; for production, on Linux."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerSpec:
    """One broker process: ``host`` is what it advertises (brokerIP1), ``raft_host`` is for its group."""

    id: str = "n0"
    listen_port: int
    raft_port: int
    host: str = LOOPBACK
    raft_host: str = ""
    """Empty means ``host``; differs where clients reach a broker by another address than its group does."""
    uid: int
    config: Mapping[str, str] = field(default_factory=Config)

    def __post_init__(self) -> None:
        rules.check_peer_id("PeerSpec.id", self.id)
        rules.check_port(f"peer {self.id}: listen_port", self.listen_port, lowest=VIP_OFFSET + 1)
        rules.check_port(f"peer {self.id}: listen_port+{HA_OFFSET}", self.listen_port + HA_OFFSET)
        rules.check_port(f"peer {self.id}: raft_port", self.raft_port)
        rules.check_host(f"peer {self.id}: host", self.host)
        if self.raft_host:
            rules.check_host(f"peer {self.id}: raft_host", self.raft_host)
        rules.check_uid(f"peer {self.id}: uid", self.uid)
        check_unique(f"peer {self.id}: port (L, L-2, L+1 or the Raft port)", self.claimed_ports())
        checked = checked_config(f"peer {self.id}: config", self.config, owned=BROKER_OWNED_KEYS)
        object.__setattr__(self, "config", checked)

    @property
    def address(self) -> str:
        """Where clients and other brokers reach this broker, and what the NameServer shows."""
        return f"{self.host}:{self.listen_port}"

    @property
    def vip_port(self) -> int:
        """The second ("fast") port, from which followers copy their leader's topics (BrokerOuterAPI)."""
        return self.listen_port - VIP_OFFSET

    @property
    def raft_address(self) -> str:
        """Where the other peers of the group reach this one."""
        return f"{self.raft_host or self.host}:{self.raft_port}"

    @property
    def follower_broker_id(self) -> int:
        """The brokerId that this peer registers as a follower; the leader's is 0."""
        return int(self.id[1:]) + 1

    def listening_ports(self) -> tuple[int, ...]:
        """Ports that the process really opens (L+1 is advertised, but not opened in DLedger mode)."""
        return (self.vip_port, self.listen_port, self.raft_port)

    def claimed_ports(self) -> tuple[int, ...]:
        """The ports that nothing else on the same host may have."""
        return (*self.listening_ports(), self.listen_port + HA_OFFSET)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSpec:
    """One Raft group, which RocketMQ shows as one broker name."""

    name: str = "RaftNode00"
    peers: tuple[PeerSpec, ...]

    def __post_init__(self) -> None:
        rules.check_rocketmq_name("GroupSpec.name", self.name)
        object.__setattr__(self, "peers", tuple(self.peers))
        if not self.peers:
            raise SpecError(f"group {self.name}: peers is empty", hint="give at least one peer; three is usual")
        # By number, not by text: n1 and m1 would register the same brokerId and overwrite each other.
        check_unique(f"group {self.name}: the number in a peer's id", (int(p.id[1:]) for p in self.peers))
        check_unique(f"group {self.name}: raft_address", (peer.raft_address for peer in self.peers))

    @property
    def dledger_peers(self) -> str:
        """The value of dLegerPeers, the same for every member: ``n0-127.0.0.1:40911;n1-…``."""
        return ";".join(f"{peer.id}-{peer.raft_address}" for peer in self.peers)

    @property
    def quorum(self) -> int:
        """How many peers must store an entry before it is acknowledged."""
        return len(self.peers) // 2 + 1

    def peer(self, peer_id: str) -> PeerSpec:
        """The peer of that id. Raises :class:`NotFoundError`, which lists those that exist."""
        for peer in self.peers:
            if peer.id == peer_id:
                return peer
        known = ", ".join(peer.id for peer in self.peers)
        raise NotFoundError(f"group {self.name} has no peer {peer_id!r}", hint=f"it has {known}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NameServerSpec:
    """One NameServer process."""

    name: str = "namesrv0"
    host: str = LOOPBACK
    port: int = 9876
    uid: int

    def __post_init__(self) -> None:
        rules.check_service_name("NameServerSpec.name", self.name)
        rules.check_host(f"NameServer {self.name}: host", self.host)
        rules.check_port(f"NameServer {self.name}: port", self.port)
        rules.check_uid(f"NameServer {self.name}: uid", self.uid)

    @property
    def address(self) -> str:
        """Where clients and brokers reach it."""
        return f"{self.host}:{self.port}"


def check_unique(what: str, values: Iterable[object]) -> None:
    """Each of ``values`` is there once. Raises :class:`SpecError` naming those that are not."""
    twice = sorted(str(value) for value, times in Counter(values).items() if times > 1)
    if twice:
        raise SpecError(f"{what}: {', '.join(twice)} is there more than once", hint="give each its own")
