"""Slow network: what brokers of a group send to one another gets a narrow pipe, as over a saturated or wide-area link.

Packets of the chosen links are put into a class of their own (iptables CLASSIFY), which the kernel's token bucket (HTB)
lets out at a given rate; everything else passes as before. Shaping is done where packets leave, so both what a peer
initiates and what is initiated towards it are slowed, and no answer.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar, Self

from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.guard import Guard, Task, tried
from rmqkit.cluster.peers import Peer
from rmqkit.errors import UsageError
from rmqkit.faults.fault import PeerFault, Undo
from rmqkit.faults.netrules import Flow, Traffic
from rmqkit.faults.network import NET_ADMIN, NetworkFault, crosses_the_host, lacks, links, listed, spec_of, traffic_of
from rmqkit.faults.shaping import Shape


@dataclass(frozen=True, slots=True)
class SlowNetwork(NetworkFault):
    """Let what ``target`` and the rest of its group send to one another pass at ``kbit`` kilobits a second in all."""

    kind: ClassVar[str] = "slow-network"
    target: str = "follower"
    kbit: int = 256
    traffic: str = "peers"

    def __post_init__(self) -> None:
        NetworkFault.__post_init__(self)
        check_shaped(self.traffic)
        if self.kbit < 8:
            raise UsageError(f"kbit={self.kbit}", hint="8 or more; to stop everything use the fault isolate")

    def why_not(self, cluster: Cluster) -> str:
        """Images without ``tc``, kernels without HTB."""
        return NetworkFault.why_not(self, cluster) or cannot_shape(cluster, "htb rate 8kbit", classful=True)

    def out_at_once(self, targets: Sequence[Peer]) -> Iterable[Sequence[Peer]]:  # noqa: ARG002 - the interface's own
        """Nobody: slow is not away."""
        return ()

    def flows(self, cluster: Cluster, targets: Sequence[Peer]) -> tuple[Flow, ...]:
        """The same as a cut's."""
        return links(cluster, targets, self.traffic)

    def inject(self, cluster: Cluster, targets: Sequence[Peer]) -> Undo:
        """A class of traffic at that rate, and the rules that put packets into it."""
        return shaped(cluster, self, self.flows(cluster, targets), rate_kbit=self.kbit)

    def describe(self) -> str:
        """Whom, how slow."""
        return f"{PeerFault.describe(self)}: {self.kbit} kbit/s ({listed(traffic_of(self.traffic))})"

    @classmethod
    def random(cls, rng: Random) -> Self:
        """A follower's link, from a modem to a poor line: never so slow that heartbeats do not fit."""
        return cls(seed=rng.randrange(2**32), kbit=rng.choice((128, 256, 1024)))


def shaped(cluster: Cluster, fault: NetworkFault, flows: tuple[Flow, ...], *, rate_kbit: int, netem: str = "") -> Undo:
    """Have a guard shape these flows; returns what takes it back."""
    device = "eth0" if crosses_the_host(spec_of(cluster)) else "lo"
    shape = Shape(secrets.token_hex(4), cluster.run, flows, device=device, rate_kbit=rate_kbit, netem=netem)
    task = Task(
        what=fault.describe(),
        do=shape.do(),
        undo=shape.undo(),
        gone=shape.gone(),
        taken=shape.rules.taken(),
        network=True,
        capabilities=NET_ADMIN,
    )
    return Guard.posted(cluster, task, dead_man_s=fault.dead_man_s).relieve


def check_shaped(traffic: str) -> None:
    """Raise UsageError for traffic that cannot be shaped: what clients send is shaped where it leaves: at them."""
    if Traffic.CLIENT in traffic_of(traffic):
        raise UsageError(
            f"traffic={traffic!r}: what clients send cannot be slowed on the brokers' side",
            hint="use raft, copy and nameserver; the fault loss slows clients too",
        )


def cannot_shape(cluster: Cluster, discipline: str, *, classful: bool = False) -> str:
    """Why the engine's kernel cannot shape traffic so, tried in a network of its own; "" when it can."""
    if why := lacks(cluster, "tc", "slow networks"):
        return why
    name = discipline.split(maxsplit=1)[0]
    if classful:
        script = f"tc qdisc add dev lo root handle 1: {name} && tc class add dev lo parent 1: classid 1:1 {discipline}"
    else:
        script = f"tc qdisc add dev lo root {discipline}"
    nothing = Task(what=f"look for {name}", do=":", undo=":", gone=":", capabilities=NET_ADMIN)
    code, words = tried(cluster, nothing, script)
    if code == 0:
        return ""
    return f"the engine's kernel has no {name} (module sch_{name}): {' '.join(words)}"
