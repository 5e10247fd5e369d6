"""Latency and jitter: what brokers of a group send to one another arrives later, as between two sites.

Needs the kernel's network emulator (module ``sch_netem``); ``why_not`` tries it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar, Final, Self

from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.peers import Peer
from rmqkit.errors import UsageError
from rmqkit.faults.fault import PeerFault, Undo
from rmqkit.faults.netrules import Flow
from rmqkit.faults.network import NetworkFault, links, listed, traffic_of
from rmqkit.faults.slow_network import cannot_shape, check_shaped, shaped

WIDE_KBIT: Final = 10_000_000
"""A rate that nothing here reaches: only the delay is to be felt."""


@dataclass(frozen=True, slots=True)
class Latency(NetworkFault):
    """Delay what ``target`` and the rest of its group send to one another by ``ms``, give or take ``jitter_ms``."""

    kind: ClassVar[str] = "latency"
    ms: float = 100.0
    jitter_ms: float = 0.0
    traffic: str = "peers"

    def __post_init__(self) -> None:
        NetworkFault.__post_init__(self)
        check_shaped(self.traffic)
        if self.ms <= 0 or not 0 <= self.jitter_ms <= self.ms:
            raise UsageError(
                f"ms={self.ms:g}, jitter_ms={self.jitter_ms:g}", hint="a delay above 0, and a jitter that is no larger"
            )

    def why_not(self, cluster: Cluster) -> str:
        """Images without ``tc``, kernels without netem."""
        if why := NetworkFault.why_not(self, cluster) or cannot_shape(cluster, "htb rate 8kbit", classful=True):
            return why
        return cannot_shape(cluster, "netem delay 1ms")

    def out_at_once(self, targets: Sequence[Peer]) -> Iterable[Sequence[Peer]]:  # noqa: ARG002 - the interface's own
        """Nobody: late is not away."""
        return ()

    def flows(self, cluster: Cluster, targets: Sequence[Peer]) -> tuple[Flow, ...]:
        """The same as a cut's."""
        return links(cluster, targets, self.traffic)

    def inject(self, cluster: Cluster, targets: Sequence[Peer]) -> Undo:
        """A wide class of traffic with a delay in it, and the rules that put packets into it."""
        jitter = f" {self.jitter_ms:g}ms" if self.jitter_ms else ""
        netem = f"delay {self.ms:g}ms{jitter}"
        return shaped(cluster, self, self.flows(cluster, targets), rate_kbit=WIDE_KBIT, netem=netem)

    def describe(self) -> str:
        """Whom, how much."""
        jitter = f" ± {self.jitter_ms:g}" if self.jitter_ms else ""
        return f"{PeerFault.describe(self)}: {self.ms:g}{jitter} ms ({listed(traffic_of(self.traffic))})"

    @classmethod
    def random(cls, rng: Random) -> Self:
        """From another room to another continent."""
        ms = rng.choice((10.0, 50.0, 200.0))
        return cls(target=rng.choice(("leader", "follower")), seed=rng.randrange(2**32), ms=ms, jitter_ms=ms / 5)
