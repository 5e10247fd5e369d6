"""Hand-made views of one group of three, for tests of how they are joined."""

from __future__ import annotations

from rmqkit.cluster.peers import Members, Peer
from rmqkit.cluster.status import GroupStatus, NameServerStatus, PeerStatus, join_views

GROUP = "RaftNode00"
N0, N1, N2 = PEERS = tuple(
    Peer(GROUP, f"n{i}", f"127.0.0.1:{30911 + 10 * i}", f"127.0.0.1:{40911 + i}", f"n{i}") for i in range(3)
)
MEMBERS = Members(PEERS)
NAMESRV, NAMESRV2 = "127.0.0.1:9876", "127.0.0.1:9877"


def leader(peer: Peer, *, says: str | None = None) -> PeerStatus:
    """A peer that serves as master and, unless it ``says`` otherwise, names itself."""
    return PeerStatus(peer, raft_leader=says or peer.id, broker_id=0, role="SYNC_MASTER")


def follower(peer: Peer, *, says: str | None) -> PeerStatus:
    """A peer that serves as slave."""
    return PeerStatus(peer, raft_leader=says, broker_id=peer.broker_id, role="SLAVE")


def silent(peer: Peer) -> PeerStatus:
    """A peer that answers on neither port: dead, or frozen."""
    return PeerStatus(peer, raft_error="no answer", broker_error="no answer")


def table(master: Peer | None, *slaves: Peer, address: str = NAMESRV) -> NameServerStatus:
    """A NameServer that names ``master`` as broker 0 and the slaves under their own ids."""
    ids: dict[int, str] = {} if master is None else {0: str(master.address)}
    ids |= {slave.broker_id: str(slave.address) for slave in slaves}
    return NameServerStatus(address, {GROUP: ids})


def joined(views: tuple[PeerStatus, ...], *tables: NameServerStatus) -> GroupStatus:
    """The group's status as these views make it."""
    return join_views(GROUP, views, tables, MEMBERS)
