"""Coordinates of what runs: one value per broker process, whether the kit started it or only found it.

What belongs here: addresses and names, and how they are found. What does not: what a peer believes (``status``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rmqkit.client.broker import BrokerClient
from rmqkit.client.nameserver import NameServerClient
from rmqkit.errors import ClusterError, NotFoundError, RmqkitError, UsageError
from rmqkit.topology.spec import ClusterSpec
from rmqkit.transport.dial import parse_address
from rmqkit.transport.pool import ChannelPool


@dataclass(frozen=True, slots=True)
class Peer:
    """One broker process of a DLedger group.

    ``address`` is where clients reach it, None while an attached cluster's peer has not registered;
    ``service`` is its Compose service, empty on attached clusters.
    """

    group: str
    id: str
    address: str | None
    raft_address: str
    service: str = ""

    @property
    def broker_id(self) -> int:
        """Under what id it registers as a follower: its number plus one (BrokerController.changeToSlave)."""
        return int(self.id[1:]) + 1

    def __str__(self) -> str:
        return self.id


@dataclass(frozen=True, slots=True)
class Members:
    """Every peer of a cluster, in a fixed order, with look-ups that say what exists."""

    peers: tuple[Peer, ...]

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups' names in order."""
        return tuple(dict.fromkeys(peer.group for peer in self.peers))

    def of(self, group: str | None) -> tuple[Peer, ...]:
        """The peers of one group; with None, of the only one. Raises NotFoundError."""
        if group is None:
            if len(self.groups) != 1:
                raise NotFoundError(
                    f"this cluster has {len(self.groups)} groups: {', '.join(self.groups) or 'none'}",
                    hint="name one with group= (--group)",
                )
            group = self.groups[0]
        found = tuple(peer for peer in self.peers if peer.group == group)
        if not found:
            raise NotFoundError(
                f"there is no group {group!r}", hint=f"groups of this cluster: {', '.join(self.groups) or 'none'}"
            )
        return found

    def one(self, peer_id: str, *, group: str | None = None) -> Peer:
        """A peer by id. Raises NotFoundError that lists those that exist."""
        peers = self.of(group)
        for peer in peers:
            if peer.id == peer_id:
                return peer
        raise NotFoundError(
            f"there is no peer {peer_id!r} in group {peers[0].group}",
            hint=f"peers of this group: {', '.join(peer.id for peer in peers)}",
        )

    def by_address(self, address: str | None) -> Peer | None:
        """The peer that clients reach at ``address``, if any."""
        return next((peer for peer in self.peers if address is not None and peer.address == address), None)


def from_spec(spec: ClusterSpec) -> Members:
    """The peers of a cluster that the kit starts: all addresses are known before."""
    return Members(
        tuple(
            Peer(group.name, peer.id, peer.address, peer.raft_address, spec.service_of(group, peer))
            for group in spec.groups
            for peer in group.peers
        )
    )


def discover(pool: ChannelPool, nameservers: Sequence[str], *, timeout_s: float = 3.0) -> Members:
    """Find the peers of a running cluster: its NameServers know addresses, its brokers know their group.

    A peer that is down is still known by the others' ``dLegerPeers``. Raises ClusterError where nothing is registered,
    UsageError where ``nameservers`` are no addresses.
    """
    if not nameservers:
        raise UsageError("no NameServer is named", hint="name one or more: host:port;host:port (stock port 9876)")
    for nameserver in nameservers:
        parse_address(nameserver)
    addresses, errors = _registered(pool, nameservers, timeout_s=timeout_s)
    known: dict[tuple[str, str], Peer] = {}
    configured: dict[tuple[str, str], str] = {}
    for address in addresses:
        try:
            config = BrokerClient(pool, address, timeout_s=timeout_s).config()
        except RmqkitError as error:
            errors.append(f"{address}: {_first_line(error)}")
            continue
        group, peer_id = config.get("dLegerGroup") or config.get("brokerName", ""), config.get("dLegerSelfId", "")
        if config.get("enableDLegerCommitLog") != "true" or not peer_id:
            errors.append(f"{address}: not in DLedger mode (enableDLegerCommitLog is not true)")
            continue
        for entry in config.get("dLegerPeers", "").split(";"):
            name, _, raft = entry.partition("-")
            if name and raft:
                configured[(group, name)] = raft
        known[(group, peer_id)] = Peer(group, peer_id, address, configured.get((group, peer_id), ""))
    for (group, name), raft in configured.items():
        known.setdefault((group, name), Peer(group, name, None, raft))
    if not known:
        raise ClusterError(
            f"no DLedger broker is known to {', '.join(nameservers)}",
            details=errors,
            hint="check the NameServer's address, and that brokers run with enableDLegerCommitLog=true",
        )
    return Members(tuple(known[key] for key in sorted(known)))


def _registered(pool: ChannelPool, nameservers: Iterable[str], *, timeout_s: float) -> tuple[list[str], list[str]]:
    addresses: dict[str, None] = {}
    errors: list[str] = []
    answered = 0
    last: RmqkitError | None = None
    for nameserver in nameservers:
        try:
            info = NameServerClient(pool, nameserver, timeout_s=timeout_s).cluster_info()
        except RmqkitError as error:
            last = error
            errors.append(f"NameServer {nameserver}: {_first_line(error)}")
            continue
        answered += 1
        for broker in info.brokers.values():
            addresses.update(dict.fromkeys(broker.addresses.values()))
    if not answered and last is not None:
        raise ClusterError(
            f"no NameServer answers at {', '.join(nameservers)}",
            details=errors,
            hint="is the cluster up, and is this its NameServer's address (stock port 9876)?",
        ) from last
    return list(addresses), errors


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
