"""Status: three views of who leads, asked over the protocol and shown side by side.

What each peer believes (DLedger METADATA), what each broker believes (its live config), and what each NameServer
says (broker 0's address). They differ for seconds during a switch, and for longer when RocketMQ is at fault
(#1464: a starting 4.5.x broker claims broker 0). Asking never writes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from rmqkit.client.broker import BrokerClient
from rmqkit.client.nameserver import NameServerClient
from rmqkit.client.raft import RaftClient
from rmqkit.client.runtime import RuntimeInfo
from rmqkit.cluster.peers import Members, Peer
from rmqkit.errors import RemoteError, RmqkitError
from rmqkit.transport.pool import Pipeline, Requester
from rmqkit.transport.prefetch import Prefetch
from rmqkit.wire.codes import RequestCode
from rmqkit.wire.frames import Command


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """What one peer says of itself. ``raft_error`` and ``broker_error`` are empty where it answered."""

    peer: Peer
    raft_leader: str | None = None
    term: int | None = None
    raft_error: str = ""
    broker_id: int | None = None
    role: str = ""
    runtime: RuntimeInfo | None = None
    broker_error: str = ""

    @property
    def leads(self) -> bool:
        """Whether its broker believes to be the master that serves clients."""
        return self.role == "SYNC_MASTER" and self.broker_id == 0


@dataclass(frozen=True, slots=True)
class NameServerStatus:
    """What one NameServer says: broker id to address, per group, and the cluster of each group; ``error`` where it did
    not answer."""

    address: str
    table: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    error: str = ""
    clusters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """The views of one group, joined. ``disagreements`` is empty when all agree on one serving leader."""

    name: str
    peers: tuple[PeerStatus, ...]
    raft_leader: Peer | None
    serving: tuple[Peer, ...]
    registered: Mapping[str, str | None]
    disagreements: tuple[str, ...]
    absent: tuple[str, ...]

    @property
    def leader(self) -> Peer | None:
        """The leader on whom every view agrees, or None."""
        return None if self.disagreements else self.raft_leader

    @property
    def healthy(self) -> bool:
        """All views agree on one leader, and every peer answers and is registered."""
        return not self.disagreements and not self.absent

    @property
    def summary(self) -> str:
        """The agree/disagree line."""
        if self.disagreements:
            return f"{self.name}: DISAGREE: " + "; ".join(self.disagreements)
        tail = f"; but {'; '.join(self.absent)}" if self.absent else ""
        return f"{self.name}: all agree, {self.raft_leader} leads{tail}"


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """Everything that was asked, at about one moment."""

    groups: tuple[GroupStatus, ...]
    nameservers: tuple[NameServerStatus, ...]

    @property
    def healthy(self) -> bool:
        """Every group healthy and every NameServer answering."""
        return bool(self.groups) and all(g.healthy for g in self.groups) and not any(n.error for n in self.nameservers)

    def group(self, name: str) -> GroupStatus:
        """One group by name."""
        return next(group for group in self.groups if group.name == name)

    def cluster_of(self, group: str) -> str:
        """The cluster to which a group belongs, as the NameServers say; empty while none of them knows it."""
        return next((ns.clusters[group] for ns in self.nameservers if group in ns.clusters), "")

    def lines(self) -> list[str]:
        """A line a peer and a line a group: the text of errors and of plain logs."""
        lines = []
        for group in self.groups:
            for view in group.peers:
                raft = view.raft_error or f"leader={view.raft_leader} term={view.term}"
                broker = view.broker_error or f"id={view.broker_id} {view.role}"
                lines.append(f"{group.name}/{view.peer.id} {view.peer.address}: raft {raft}; broker {broker}")
        for nameserver in self.nameservers:
            said = nameserver.error or "; ".join(
                f"{name} {dict(sorted(ids.items()))}" for name, ids in nameserver.table.items()
            )
            lines.append(f"NameServer {nameserver.address}: {said or 'nothing registered'}")
        return lines + [group.summary for group in self.groups]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for ``--json``."""
        return {
            "healthy": self.healthy,
            "groups": [
                {
                    "name": group.name,
                    "cluster": self.cluster_of(group.name) or None,
                    "healthy": group.healthy,
                    "leader": group.leader.id if group.leader else None,
                    "raft_leader": group.raft_leader.id if group.raft_leader else None,
                    "serving": [peer.id for peer in group.serving],
                    "registered": dict(group.registered),
                    "disagreements": list(group.disagreements),
                    "absent": list(group.absent),
                    "peers": [_peer_dict(view) for view in group.peers],
                }
                for group in self.groups
            ],
            "nameservers": [
                {
                    "address": ns.address,
                    "error": ns.error or None,
                    "table": {name: {str(k): v for k, v in ids.items()} for name, ids in ns.table.items()},
                }
                for ns in self.nameservers
            ],
        }


def _peer_dict(view: PeerStatus) -> dict[str, Any]:
    return {
        "id": view.peer.id,
        "address": view.peer.address,
        "raft_address": view.peer.raft_address,
        "raft_leader": view.raft_leader,
        "term": view.term,
        "raft_error": view.raft_error or None,
        "broker_id": view.broker_id,
        "role": view.role or None,
        "committed_position": view.runtime.committed_position if view.runtime else None,
        "version": view.runtime.version if view.runtime else None,
        "broker_error": view.broker_error or None,
    }


def ask_peer(pool: Pipeline, peer: Peer, members: Sequence[Peer], *, timeout_s: float, full: bool = True) -> PeerStatus:
    """One peer's own view. Trouble is part of the answer, never raised.

    All its requests are under way before the first answer is waited for.
    """
    with Prefetch(pool) as early:
        send_ahead(early, peer, members, timeout_s=timeout_s, full=full)
        return _collect(early, peer, members, timeout_s=timeout_s, full=full)


def send_ahead(early: Prefetch, peer: Peer, members: Sequence[Peer], *, timeout_s: float, full: bool) -> None:
    """Send what :func:`ask_peer` will ask of one peer."""
    raft = RaftClient(early, peer.raft_address, group=peer.group, peer_id=peer.id)
    asked = [raft.metadata_command()]
    other = _other(peer, members)
    if full and other is not None:
        asked.append(raft.term_command(other_peer_id=other))
    early.expect(peer.raft_address, *asked, timeout_s=timeout_s)
    if peer.address is not None:
        codes = [RequestCode.GET_BROKER_CONFIG, *([RequestCode.GET_BROKER_RUNTIME_INFO] if full else [])]
        early.expect(peer.address, *map(Command.request, codes), timeout_s=timeout_s)


def _other(peer: Peer, members: Sequence[Peer]) -> str | None:
    return next((member.id for member in members if member.id != peer.id), None)


def _collect(pool: Requester, peer: Peer, members: Sequence[Peer], *, timeout_s: float, full: bool) -> PeerStatus:
    raft_leader: str | None = None
    term: int | None = None
    raft_error = broker_error = ""
    try:
        raft = RaftClient(pool, peer.raft_address, group=peer.group, peer_id=peer.id, timeout_s=timeout_s)
        raft_leader = raft.metadata().leader_id
        other = _other(peer, members)
        if full and other is not None:
            term = raft.term(other_peer_id=other)
    except RmqkitError as error:
        raft_error = brief(error)
    role, broker_id, runtime = "", None, None
    if peer.address is None:
        broker_error = "not registered at any NameServer"
    else:
        try:
            broker = BrokerClient(pool, peer.address, timeout_s=timeout_s)
            config = broker.config()
            role, broker_id = config.get("brokerRole", ""), int(config.get("brokerId", "-1"))
            with suppress(RemoteError):
                # Of no weight for health: a 4.9 broker refuses this for a moment after its start (its store's
                # statistics are not there yet) while it answers everything else.
                runtime = broker.runtime_info() if full else None
        except RmqkitError as error:
            broker_error = brief(error)
    return PeerStatus(peer, raft_leader, term, raft_error, broker_id, role, runtime, broker_error)


def ask_nameserver(pool: Requester, address: str, *, timeout_s: float) -> NameServerStatus:
    """One NameServer's table. Trouble is part of the answer, never raised."""
    try:
        info = NameServerClient(pool, address, timeout_s=timeout_s).cluster_info()
    except RmqkitError as error:
        return NameServerStatus(address, error=brief(error))
    table = {name: dict(broker.addresses) for name, broker in info.brokers.items()}
    clusters = {name: cluster for cluster, names in info.clusters.items() for name in names}
    return NameServerStatus(address, table, clusters=clusters)


def ask(
    pool: Pipeline,
    members: Members,
    nameservers: Sequence[str],
    *,
    timeout_s: float = 2.0,
    full: bool = True,
) -> ClusterStatus:
    """Ask everybody at once: every request is under way before the first answer is waited for.

    So one frozen peer, or three, cost one ``timeout_s`` together.
    """
    with Prefetch(pool) as early:
        addresses = [address for peer in members.peers for address in (peer.raft_address, peer.address) if address]
        early.connect((*addresses, *nameservers), timeout_s=timeout_s)
        for peer in members.peers:
            send_ahead(early, peer, members.of(peer.group), timeout_s=timeout_s, full=full)
        for address in nameservers:
            early.expect(address, Command.request(RequestCode.GET_BROKER_CLUSTER_INFO), timeout_s=timeout_s)
        views = [
            _collect(early, peer, members.of(peer.group), timeout_s=timeout_s, full=full) for peer in members.peers
        ]
        tables = [ask_nameserver(early, address, timeout_s=timeout_s) for address in nameservers]
    groups = tuple(
        join_views(name, tuple(view for view in views if view.peer.group == name), tables, members)
        for name in members.groups
    )
    return ClusterStatus(groups, tuple(tables))


def join_views(
    name: str, views: tuple[PeerStatus, ...], nameservers: Sequence[NameServerStatus], members: Members
) -> GroupStatus:
    """Pure: put one group's views side by side and say where they differ."""
    raft_leader = majority_leader(views)
    serving = tuple(view.peer for view in views if view.leads)
    registered = {ns.address: ns.table.get(name, {}).get(0) for ns in nameservers if not ns.error}
    wrong: list[str] = []
    if raft_leader is None:
        said = ", ".join(f"{v.peer.id}→{v.raft_leader or ('?' if v.raft_error else 'none')}" for v in views)
        wrong.append(f"no majority names a Raft leader ({said})")
    if not serving:
        wrong.append("no broker serves as master (SYNC_MASTER with brokerId 0)")
    elif len(serving) > 1:
        wrong.append(f"{' and '.join(map(str, serving))} both serve as master")
    elif raft_leader is not None and serving[0] != raft_leader:
        wrong.append(f"Raft says {raft_leader} leads, but {serving[0]} serves as master")
    wrong += _wrong_masters(registered, raft_leader or (serving[0] if len(serving) == 1 else None), members)
    absent = _absent(name, views, nameservers)
    return GroupStatus(name, views, raft_leader, serving, registered, tuple(wrong), tuple(absent))


def _wrong_masters(registered: Mapping[str, str | None], leader: Peer | None, members: Members) -> list[str]:
    wrong = [] if registered else ["no NameServer answers"]
    for address, master in registered.items():
        if master is None:
            wrong.append(f"NameServer {address} has no broker 0")
        elif leader is not None and master != leader.address:
            wrong.append(f"NameServer {address} names {members.by_address(master) or master} as broker 0, not {leader}")
    return wrong


def _absent(name: str, views: Sequence[PeerStatus], nameservers: Sequence[NameServerStatus]) -> list[str]:
    absent = [
        f"{view.peer.id} does not answer ({view.raft_error or view.broker_error})"
        for view in views
        if view.raft_error or view.broker_error
    ]
    for ns in nameservers:
        if ns.error:
            absent.append(f"NameServer {ns.address} does not answer ({ns.error})")
            continue
        listed = set(ns.table.get(name, {}).values())
        absent += [
            f"{view.peer.id} is not registered at {ns.address}"
            for view in views
            if view.peer.address not in listed and not view.broker_error
        ]
    return absent


def majority_leader(views: Sequence[PeerStatus]) -> Peer | None:
    """The peer that a majority of *all* peers of the group names as leader (a paused one goes on naming itself)."""
    votes = Counter(view.raft_leader for view in views if view.raft_leader)
    for leader_id, count in votes.most_common(1):
        if count * 2 > len(views):
            return next((view.peer for view in views if view.peer.id == leader_id), None)
    return None


def brief(error: Exception) -> str:
    """The first line of an error, for a cell of a table."""
    return str(error).splitlines()[0]
