"""Packet loss: each packet of chosen peers' links is dropped with some probability, as on a bad cable or a full switch.

TCP sends lost packets again, so nothing is lost for good: everything takes longer, from 200 ms on a packet
(Linux's shortest retransmission time-out). At a few per cent little is seen; from about half on, heartbeats come too
late and leaders change.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import ClassVar, Self

from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.peers import Peer
from rmqkit.errors import UsageError
from rmqkit.faults.fault import PeerFault
from rmqkit.faults.netrules import Flow, Rules
from rmqkit.faults.network import NetworkFault, links, listed, traffic_of


@dataclass(frozen=True, slots=True)
class Loss(NetworkFault):
    """Drop packets between ``target`` and the rest of its group, with ``probability`` each."""

    kind: ClassVar[str] = "loss"
    probability: float = 0.1
    traffic: str = "peers"

    def __post_init__(self) -> None:
        NetworkFault.__post_init__(self)
        traffic_of(self.traffic)
        if not 0 < self.probability < 1:
            raise UsageError(f"probability={self.probability}", hint="above 0, below 1; for 1 use the fault isolate")

    def out_at_once(self, targets: Sequence[Peer]) -> Iterable[Sequence[Peer]]:
        """The targets, from a loss at which heartbeats do not come in time."""
        return (targets,) if targets and self.probability > 0.5 else ()

    def flows(self, cluster: Cluster, targets: Sequence[Peer]) -> tuple[Flow, ...]:
        """The same as a cut's."""
        return links(cluster, targets, self.traffic)

    def rules(self, cluster: Cluster, targets: Sequence[Peer]) -> Rules:
        """As a cut's, with a chance."""
        return replace(NetworkFault.rules(self, cluster, targets), probability=self.probability)

    def describe(self) -> str:
        """How much, of whom."""
        return f"{PeerFault.describe(self)}: {self.probability:.0%} of packets ({listed(traffic_of(self.traffic))})"

    @classmethod
    def random(cls, rng: Random) -> Self:
        """A tenth to three tenths."""
        target = rng.choice(("leader", "follower"))
        return cls(target=target, seed=rng.randrange(2**32), probability=rng.choice((0.1, 0.2, 0.3)))
