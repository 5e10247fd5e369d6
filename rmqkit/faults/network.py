"""What every network fault shares: chosen peers, rules in the cluster's network, a guard that takes them back.

What belongs here: the way from flows to a guard. What does not: which flows (``netrules.py``), and any one fault.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.guard import Guard, Task
from rmqkit.cluster.peers import Peer
from rmqkit.errors import ReadOnlyClusterError, UsageError
from rmqkit.faults import netrules
from rmqkit.faults.fault import PeerFault, Undo
from rmqkit.faults.guarded import DEAD_MAN_S, check_dead_man
from rmqkit.faults.netrules import PEERS, Flow, Rules, Traffic
from rmqkit.topology.layout import LOOPBACK
from rmqkit.topology.spec import ClusterSpec, GroupSpec, PeerSpec, Topology

NET_ADMIN: Final = ("NET_ADMIN",)


@dataclass(frozen=True, slots=True)
class NetworkFault(PeerFault):
    """A fault of the links of chosen peers. ``dead_man_s`` is after how many seconds its rules go by themselves."""

    kind: ClassVar[str] = "network"
    own_only: ClassVar[bool] = True
    dead_man_s: float = DEAD_MAN_S

    def why_not(self, cluster: Cluster) -> str:
        """Attached clusters, those on the machine's own network, images without ``iptables``; a fault may add more."""
        return (
            PeerFault.why_not(self, cluster)
            or shares_a_network(cluster)
            or lacks(cluster, "iptables", "faults on network links")
        )

    def __post_init__(self) -> None:
        check_dead_man(self.dead_man_s)

    def flows(self, cluster: Cluster, targets: Sequence[Peer]) -> tuple[Flow, ...]:
        """The packets that are taken."""
        raise NotImplementedError

    def check_targets(self, cluster: Cluster, targets: Sequence[Peer]) -> None:
        """There must be a packet to take."""
        self.rules(cluster, targets)

    def rules(self, cluster: Cluster, targets: Sequence[Peer]) -> Rules:
        """The rules that take them, with a name of their own; raises UsageError where they would take none."""
        return Rules(secrets.token_hex(4), cluster.run, self.flows(cluster, targets))

    def inject(self, cluster: Cluster, targets: Sequence[Peer]) -> Undo:
        """Set the rules by a guard in the cluster's network; the undo removes them, and looks that they are gone."""
        return posted(cluster, self.describe(), self.rules(cluster, targets), dead_man_s=self.dead_man_s)


def posted(cluster: Cluster, what: str, rules: Rules, *, dead_man_s: float) -> Undo:
    """Have a guard set these rules; returns what takes them back."""
    task = Task(
        what=what,
        do=rules.do(),
        undo=rules.undo(),
        gone=rules.gone(),
        taken=rules.taken(),
        network=True,
        capabilities=NET_ADMIN,
    )
    return Guard.posted(cluster, task, dead_man_s=dead_man_s).relieve


def lacks(cluster: Cluster, tool: str, why: str) -> str:
    """Why the cluster's image cannot be used for want of ``tool``; "" when it has it."""
    info = cluster.build_info()
    if info is None or info.facts.get(tool) == "yes":
        return ""
    return (
        f"its image has no {tool}, which {why} are made with; build it again where packages can be had (rmqkit build)"
    )


def shares_a_network(cluster: Cluster) -> str:
    """Why rules must not be set in the cluster's network: it is the machine's, or anyone's; "" for a pod's own."""
    if cluster.spec is None or cluster.spec.topology is Topology.POD:
        return ""
    return (
        f"its brokers (topology {cluster.spec.topology}) have no network of their own: the rules would be the "
        "machine's; start a cluster in a pod (ClusterSpec.pod, the default of rmqkit up)"
    )


def crosses_the_host(spec: ClusterSpec) -> bool:
    """Whether brokers of a pod reach one another by way of its published ports, not of its loopback."""
    return spec.topology is Topology.POD and spec.advertise != LOOPBACK


def spec_of(cluster: Cluster) -> ClusterSpec:
    """The specification; raises ReadOnlyClusterError on attached clusters."""
    if cluster.spec is None:
        raise ReadOnlyClusterError("this cluster is attached to, and so read only", hint="attach by run")
    return cluster.spec


def parts(cluster: Cluster, peers: Sequence[Peer]) -> tuple[GroupSpec, tuple[PeerSpec, ...]]:
    """The peers of one group as the specification has them, and their group."""
    group = spec_of(cluster).group(peers[0].group)
    return group, tuple(group.peer(peer.id) for peer in peers)


def links(cluster: Cluster, targets: Sequence[Peer], traffic: str) -> tuple[Flow, ...]:
    """What ``targets`` and the rest of their group say to one another, and what else ``traffic`` names."""
    group, peers = parts(cluster, targets)
    return netrules.isolated(spec_of(cluster), group, peers, traffic_of(traffic))


def traffic_of(text: str) -> frozenset[Traffic]:
    """Kinds of traffic as a fault's field has them: "raft,copy", "all". Raises UsageError."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if words == ["all"]:
        return frozenset(Traffic)
    if words == ["peers"]:
        return PEERS
    known = {kind.value for kind in Traffic}
    if not words or not set(words) <= known:
        raise UsageError(
            f"traffic={text!r} names no kind of traffic",
            hint=f"use {', '.join(sorted(known))}, peers (raft,copy) or all",
        )
    return frozenset(map(Traffic, words))


def listed(kinds: Iterable[Traffic]) -> str:
    """Kinds of traffic in their fixed order, for words."""
    found = frozenset(kinds)
    return "all traffic" if found == frozenset(Traffic) else "+".join(kind for kind in Traffic if kind in found)
