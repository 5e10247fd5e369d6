"""Clock skew: a broker's time of day differs from the others', as on a machine without time service.

Needs a cluster with ``ClusterSpec(own_clocks=True)``: then each broker runs with libfaketime, which looks every second
into a file of the broker's store. Only the time of day is moved, never the monotonic clock, which does not jump on a
real machine either. Elections of DLedger go by the time of day, though (DLedgerUtils.elapsed asks
System.currentTimeMillis): a jump forward looks to a follower like heartbeats that are long overdue.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar, Final, Self

from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.guard import Task, store_of
from rmqkit.cluster.peers import Peer
from rmqkit.errors import UsageError
from rmqkit.faults.fault import PeerFault, Undo
from rmqkit.faults.guarded import DEAD_MAN_S, check_dead_man, guarded_each
from rmqkit.faults.network import lacks, parts

WHERE: Final = "/store"
FILE: Final = "conf/faketime"


@dataclass(frozen=True, slots=True)
class ClockSkew(PeerFault):
    """Set the clock of peers ``by_s`` seconds ahead of the machine's, or behind; felt within a second."""

    kind: ClassVar[str] = "clock-skew"
    own_only: ClassVar[bool] = True
    target: str = "follower"
    by_s: float = 60.0
    dead_man_s: float = DEAD_MAN_S

    def __post_init__(self) -> None:
        check_dead_man(self.dead_man_s)
        if not self.by_s or abs(self.by_s) > 10 * 366 * 86400:
            raise UsageError(f"by_s={self.by_s:g}", hint="seconds ahead (60) or behind (-60), ten years at most")

    def why_not(self, cluster: Cluster) -> str:
        """Only clusters whose brokers have a clock of their own."""
        if why := PeerFault.why_not(self, cluster):
            return why
        if cluster.spec is not None and not cluster.spec.own_clocks:
            return "its brokers share the machine's clock; start one with ClusterSpec(own_clocks=True)"
        return lacks(cluster, "faketime", "clocks apart from the machine's")

    def out_at_once(self, targets: Sequence[Peer]) -> Iterable[Sequence[Peer]]:  # noqa: ARG002 - the interface's own
        """Nobody: they run on."""
        return ()

    def inject(self, cluster: Cluster, targets: Sequence[Peer]) -> Undo:
        """A guard for each peer writes the file; the undo writes +0."""
        _, specs = parts(cluster, targets)
        uids = dict(zip(targets, (spec.uid for spec in specs), strict=True))

        def task(peer: Peer) -> Task:
            return self.task(peer, store_of(cluster, peer), uids[peer])

        return guarded_each(cluster, targets, task, dead_man_s=self.dead_man_s)

    def task(self, peer: Peer, store: str, uid: int) -> Task:
        """What a guard does, as the broker's own user, to the file that libfaketime reads."""
        path = f"{WHERE}/{FILE}"

        def written(text: str) -> str:
            # Renamed into its place: a file that is read while it is written would say something else.
            return f"echo '{text}' >{path}.new && mv {path}.new {path}\n"

        there = f"[ -s {path} ] || {{ echo 'no {FILE} in its store: it runs without libfaketime' >&2; exit 1; }}\n"
        return Task(
            what=f"set the clock of {peer} {self.by_s:+g} s",
            do=f"{there}{written(f'{self.by_s:+.3f}')}",
            undo=written("+0"),
            gone=f"grep -qx '+0' {path}",
            user=f"{uid}:{uid}",
            volumes={store: WHERE},
        )

    def describe(self) -> str:
        """Whose, how far."""
        return f"{PeerFault.describe(self)} by {self.by_s:+g} s"

    @classmethod
    def random(cls, rng: Random) -> Self:
        """Seconds to an hour, ahead or behind."""
        target = rng.choice(("leader", "follower"))
        return cls(target=target, seed=rng.randrange(2**32), by_s=rng.choice((-3600.0, -5.0, 5.0, 60.0, 3600.0)))
