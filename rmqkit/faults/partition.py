"""Partitions: peers that run, and cannot reach one another, their NameServers or their clients.

A cut peer is not a dead one: its sockets stay open, nothing is refused, packets just go nowhere. A leader that is
isolated from its group believes to lead for about six seconds more (D5: heartbeats every 2 s, three missed), takes
sends, and cannot get them acknowledged; NameServers keep what it registered until somebody overwrites it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import ClassVar, Self

from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.peers import Peer
from rmqkit.errors import UsageError
from rmqkit.faults import netrules
from rmqkit.faults.fault import PeerFault
from rmqkit.faults.netrules import Flow, Traffic
from rmqkit.faults.network import (
    NetworkFault,
    crosses_the_host,
    links,
    listed,
    parts,
    spec_of,
    traffic_of,
)
from rmqkit.faults.select import select

DIRECTIONS = ("both", "out", "in")


@dataclass(frozen=True, slots=True)
class Isolate(NetworkFault):
    """Cut peers off from the rest of their group; they still reach one another.

    ``traffic``: kinds of :class:`~rmqkit.faults.netrules.Traffic`, "peers" (raft,copy) or "all". ``direction`` "out"
    cuts only what they initiate (a leader that cannot push, a follower that cannot ask for votes), "in" only what
    others initiate towards them, "both" is a whole cut.
    """

    kind: ClassVar[str] = "isolate"
    traffic: str = "peers"
    direction: str = "both"

    def __post_init__(self) -> None:
        NetworkFault.__post_init__(self)
        traffic_of(self.traffic)
        if self.direction not in DIRECTIONS:
            raise UsageError(f"direction={self.direction!r}", hint=f"use {', '.join(DIRECTIONS)}")

    def why_not(self, cluster: Cluster) -> str:
        """Clients of a pod whose brokers speak by way of the host cannot be told from brokers."""
        if why := NetworkFault.why_not(self, cluster):
            return why
        return _clients_blend(cluster) if Traffic.CLIENT in traffic_of(self.traffic) else ""

    def out_at_once(self, targets: Sequence[Peer]) -> Iterable[Sequence[Peer]]:
        """The cut peers, where their Raft traffic is cut; a group needs a majority that reaches itself."""
        return (targets,) if targets and Traffic.RAFT in traffic_of(self.traffic) else ()

    def flows(self, cluster: Cluster, targets: Sequence[Peer]) -> tuple[Flow, ...]:
        """Every link between the targets and the rest of their group, and what else ``traffic`` names."""
        flows = links(cluster, targets, self.traffic)
        own = {peer.uid for peer in parts(cluster, targets)[1]}
        if self.direction == "out":
            return tuple(flow for flow in flows if flow.uid in own)
        if self.direction == "in":
            return tuple(flow for flow in flows if flow.uid not in own)
        return flows

    def describe(self) -> str:
        """Whom, and what is cut."""
        way = {"both": "", "out": ", what it sends", "in": ", what is sent to it"}[self.direction]
        return f"{PeerFault.describe(self)} ({listed(traffic_of(self.traffic))}{way})"


@dataclass(frozen=True, slots=True)
class Halves(Isolate):
    """Split a group into a minority and a majority that cannot reach one another; ``seed`` decides who is where."""

    kind: ClassVar[str] = "halves"
    target: str = "minority"

    @classmethod
    def random(cls, rng: Random) -> Self:
        """Any split."""
        return cls(seed=rng.randrange(2**32))


@dataclass(frozen=True, slots=True)
class CutLink(NetworkFault):
    """Cut one link: between ``target`` and ``to``. With ``one_way`` only what ``target`` initiates towards ``to``.

    ``to`` "follower" is any that ``target`` is not. The rest of the group reaches both, so a majority stays. A leader
    whose link to one follower is cut goes on; that follower misses heartbeats and asks the others for votes
    (dledger #25, #37).
    """

    kind: ClassVar[str] = "cut-link"
    to: str = "follower"
    one_way: bool = False
    traffic: str = "peers"

    def __post_init__(self) -> None:
        NetworkFault.__post_init__(self)
        if not traffic_of(self.traffic) <= netrules.PEERS:
            raise UsageError(f"traffic={self.traffic!r} of one link", hint="between peers there is raft and copy")

    def check_names(self, cluster: Cluster) -> None:
        """Both ends, where they are named."""
        PeerFault.check_names(self, cluster)
        PeerFault.check_names(replace(self, target=self.to), cluster)

    def targets(self, cluster: Cluster) -> tuple[Peer, ...]:
        """Both ends: the initiator first."""
        one = PeerFault.targets(self, cluster)
        rng = Random(self.seed)
        if self.to == "follower":
            rest = [peer for peer in cluster.followers(one[0].group) if peer not in one]
            other: tuple[Peer, ...] = (rng.choice(rest),) if rest else ()
        else:
            other = select(cluster, self.to, group=self.group, rng=rng)
        if len(one) != 1 or len(other) != 1 or one == other or one[0].group != other[0].group:
            ends = f"{','.join(map(str, one)) or 'nobody'} and {','.join(map(str, other)) or 'nobody'}"
            raise UsageError(f"a link between {ends}", hint="name two different peers of one group")
        return (*one, *other)

    def out_at_once(self, targets: Sequence[Peer]) -> Iterable[Sequence[Peer]]:
        """Either end, not both: each still reaches the others. In a group of two that is no majority."""
        return tuple((peer,) for peer in targets)

    def target_text(self, cluster: Cluster, targets: Sequence[Peer]) -> str:  # noqa: ARG002 - the interface's own
        """``n0->n1`` for one way, ``n0--n1`` for both."""
        return ("->" if self.one_way else "--").join(map(str, targets))

    def flows(self, cluster: Cluster, targets: Sequence[Peer]) -> tuple[Flow, ...]:
        """One direction, or both."""
        _, (one, other) = parts(cluster, targets)
        kinds = traffic_of(self.traffic)
        return netrules.between(one, other, kinds) if self.one_way else netrules.link(one, other, kinds)

    def describe(self) -> str:
        """Between whom."""
        way = "->" if self.one_way else "--"
        return f"cut the link {self.target} {way} {self.to} ({listed(traffic_of(self.traffic))})"

    @classmethod
    def random(cls, rng: Random) -> Self:
        """The leader and a follower, either way or both."""
        one, other = rng.choice((("leader", "follower"), ("follower", "leader")))
        return cls(target=one, to=other, one_way=rng.random() < 0.5, seed=rng.randrange(2**32))


@dataclass(frozen=True, slots=True)
class Ring(NetworkFault):
    """Each peer can initiate only to the next ones round a ring: with itself a bare majority, each another one.

    ``seed`` decides the order of the ring.
    """

    kind: ClassVar[str] = "ring"
    target: str = "all"
    traffic: str = "peers"

    def why_not(self, cluster: Cluster) -> str:
        """A ring needs three."""
        if why := NetworkFault.why_not(self, cluster):
            return why
        few = [name for name in self.groups(cluster) if len(cluster.members.of(name)) < 3]
        return f"group {few[0]} has fewer than three peers, which make no ring" if few else ""

    def targets(self, cluster: Cluster) -> tuple[Peer, ...]:
        """The whole group, in the ring's order."""
        peers = list(PeerFault.targets(self, cluster))
        Random(self.seed).shuffle(peers)
        return tuple(peers)

    def out_at_once(self, targets: Sequence[Peer]) -> Iterable[Sequence[Peer]]:  # noqa: ARG002 - the interface's own
        """Nobody: each peer keeps a majority to push to."""
        return ()

    def flows(self, cluster: Cluster, targets: Sequence[Peer]) -> tuple[Flow, ...]:
        """Every direction that is not kept."""
        _, peers = parts(cluster, targets)
        return netrules.ring(peers, traffic_of(self.traffic))

    @classmethod
    def random(cls, rng: Random) -> Self:
        """Any order."""
        return cls(seed=rng.randrange(2**32))


@dataclass(frozen=True, slots=True)
class CutNameServer(NetworkFault):
    """Cut peers off from the NameServer of that name, or from every one: they cannot register."""

    kind: ClassVar[str] = "cut-nameserver"
    nameserver: str = ""

    def check_names(self, cluster: Cluster) -> None:
        """Its peers, and its NameServer."""
        PeerFault.check_names(self, cluster)
        self.flows(cluster, cluster.members.of(self.groups(cluster)[0])[:1])

    def out_at_once(self, targets: Sequence[Peer]) -> Iterable[Sequence[Peer]]:  # noqa: ARG002 - the interface's own
        """Nobody: the group itself is whole."""
        return ()

    def flows(self, cluster: Cluster, targets: Sequence[Peer]) -> tuple[Flow, ...]:
        """What the targets send to it."""
        names = [self.nameserver] if self.nameserver else []
        _, peers = parts(cluster, targets)
        return tuple(flow for peer in peers for flow in netrules.to_nameservers(spec_of(cluster), peer, names))

    def describe(self) -> str:
        """Whom, from which."""
        return f"{PeerFault.describe(self)} from {self.nameserver or 'every NameServer'}"


@dataclass(frozen=True, slots=True)
class CutClients(NetworkFault):
    """Clients cannot reach peers, which lead and replicate on. The kit's own questions to them go unanswered too."""

    kind: ClassVar[str] = "cut-clients"

    def why_not(self, cluster: Cluster) -> str:
        """Clients of a pod whose brokers speak by way of the host cannot be told from brokers."""
        return NetworkFault.why_not(self, cluster) or _clients_blend(cluster)

    def out_at_once(self, targets: Sequence[Peer]) -> Iterable[Sequence[Peer]]:  # noqa: ARG002 - the interface's own
        """Nobody: the group itself is whole."""
        return ()

    def flows(self, cluster: Cluster, targets: Sequence[Peer]) -> tuple[Flow, ...]:
        """What anybody but a broker sends to the targets' listen and fast ports."""
        _, peers = parts(cluster, targets)
        return tuple(flow for peer in peers for flow in netrules.from_clients(spec_of(cluster), peer))


def _clients_blend(cluster: Cluster) -> str:
    if not crosses_the_host(spec_of(cluster)):
        return ""
    return (
        f"this pod advertises {spec_of(cluster).advertise}, so that its brokers reach one another through the "
        "published ports, as its clients do; start one that advertises 127.0.0.1"
    )
