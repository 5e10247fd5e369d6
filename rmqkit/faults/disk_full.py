"""Disk full: somebody else's file fills the file system of a broker's store, as a runaway log would.

DLedger looks how full it is: from 70 % on it deletes what is past its time at the hour set for it, from 85 % on at any
hour, and from 90 % on it takes no more entries (DLedgerMmapFileStore.CleanSpaceService; ``dledger.disk.ratio.*``,
``rocketmq.broker.diskSpaceWarningLevelRatio``). A full leader stays leader, and answers sends with
"[PC_SYNCHRONIZED]broker busy"; a full follower takes no pushes, and falls behind. At 100 % a write into a mapped file
has no page to go to, and the JVM gets a SIGBUS.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar, Final, Self

from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.guard import Task, store_of
from rmqkit.cluster.peers import Peer
from rmqkit.errors import UsageError
from rmqkit.faults.fault import PeerFault, Undo
from rmqkit.faults.guarded import DEAD_MAN_S, check_dead_man, guarded_each
from rmqkit.topology.rules import store_limit

WHERE: Final = "/store"
FILE: Final = "rmqkit-filler"


@dataclass(frozen=True, slots=True)
class DiskFull(PeerFault):
    """Fill the store of peers up to ``ratio`` of its size; needs a cluster with ``store="limited:SIZE"``.

    Other file systems are not filled: they would be the machine's own.
    """

    kind: ClassVar[str] = "disk-full"
    own_only: ClassVar[bool] = True
    ratio: float = 0.96
    dead_man_s: float = DEAD_MAN_S

    def __post_init__(self) -> None:
        check_dead_man(self.dead_man_s)
        if not 0.5 <= self.ratio <= 1:
            raise UsageError(f"ratio={self.ratio:g} fills nothing", hint="from 0.5 to 1; RocketMQ refuses from 0.9 on")

    def why_not(self, cluster: Cluster) -> str:
        """Only limited stores are filled."""
        if why := PeerFault.why_not(self, cluster):
            return why
        if cluster.spec is not None and not store_limit(cluster.spec.store):
            return (
                f"its stores are of the kind {cluster.spec.store!r}, on the machine's own disk, which is not filled; "
                'start one with ClusterSpec(store="limited:256m")'
            )
        return ""

    def inject(self, cluster: Cluster, targets: Sequence[Peer]) -> Undo:
        """A guard for each peer writes the file; the undo removes it."""

        def task(peer: Peer) -> Task:
            return self.task(peer, store_of(cluster, peer))

        return guarded_each(cluster, targets, task, dead_man_s=self.dead_man_s)

    def task(self, peer: Peer, store: str) -> Task:
        """What a guard does to the file system that ``store`` is a mount of."""
        path = f"{WHERE}/{FILE}.{secrets.token_hex(4)}"
        return Task(
            what=f"fill the store of {peer} to {self.ratio:.0%}",
            do=filled(path, self.ratio),
            undo=f"rm -f {path}\n",
            gone=f"! ls {path} >&2",
            volumes={store: WHERE},
        )

    def describe(self) -> str:
        """Whose, how full."""
        return f"{PeerFault.describe(self)} to {self.ratio:.0%}"

    @classmethod
    def random(cls, rng: Random) -> Self:
        """Past the mark at which entries are refused, short of what kills a JVM."""
        return cls(target=rng.choice(("leader", "follower")), seed=rng.randrange(2**32))


def filled(path: str, ratio: float) -> str:
    """Shell commands that fill the file system of ``path`` to ``ratio`` by one file, and look that it is so full."""
    folder = path.rpartition("/")[0]
    per_mille = round(ratio * 1000)
    numbers = f"set -- $(df -B1 --output=size,used {folder} | tail -n 1)\n"
    # What is there is measured twice: allocating may fall short of what was asked for.
    return (
        f"{numbers}"
        f"need=$(( $1 / 1000 * {per_mille} - $2 ))\n"
        f'if [ "$need" -gt 0 ]; then fallocate -l "$need" {path}; else : >{path}; fi\n'
        f"{numbers}"
        f'[ $(( $2 * 1000 / $1 )) -ge {per_mille - 5} ] || {{ echo "only $2 of $1 bytes are used"; exit 1; }}\n'
    )
