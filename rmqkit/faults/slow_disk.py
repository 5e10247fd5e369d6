"""Slow disk: what a broker forces to its disk goes there at a given rate, as on a worn or overcommitted device.

The engine puts each container into a control group; a limit on its writes to the disk under its store is set there
and taken back. It is felt where a process waits for its disk: DLedger forces its files every 10 ms (FlushDataService),
while the acknowledgement of a send needs the page cache of a majority only. On control groups of version 1 what the
kernel writes back by itself is not slowed. A broker that is started again while its disk is slow gets a fast one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar, Final, Self

from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.guard import Task, store_of, tried
from rmqkit.cluster.peers import Peer
from rmqkit.errors import UsageError
from rmqkit.faults.fault import PeerFault, Undo
from rmqkit.faults.guarded import DEAD_MAN_S, check_dead_man, guarded_each
from rmqkit.topology.rules import store_limit

WHERE: Final = "/store"
CGROUPS: Final = "/cgroup"
HOST_CGROUPS: Final = "/sys/fs/cgroup"


@dataclass(frozen=True, slots=True)
class SlowDisk(PeerFault):
    """Let peers force ``kib_per_s`` kibibytes a second to the disk of their store."""

    kind: ClassVar[str] = "slow-disk"
    own_only: ClassVar[bool] = True
    kib_per_s: int = 64
    dead_man_s: float = DEAD_MAN_S

    def __post_init__(self) -> None:
        check_dead_man(self.dead_man_s)
        if self.kib_per_s < 1:
            raise UsageError(f"kib_per_s={self.kib_per_s}", hint="1 or more")

    def why_not(self, cluster: Cluster) -> str:
        """Stores in memory, engines whose control groups cannot be found or cannot limit writes."""
        if why := PeerFault.why_not(self, cluster):
            return why
        if cluster.spec is not None and store_limit(cluster.spec.store):
            return f"its stores ({cluster.spec.store}) are in memory: there is no disk; use store='volume'"
        peer = cluster.members.peers[0]
        task = self.task(peer, store_of(cluster, peer), cluster.container_of(peer))
        code, words = tried(cluster, task, f"{found(cluster.container_of(peer))}[ -w $limit ]")
        return "" if code == 0 else f"the writes of its containers cannot be limited: {' '.join(words) or 'no access'}"

    def out_at_once(self, targets: Sequence[Peer]) -> Iterable[Sequence[Peer]]:  # noqa: ARG002 - the interface's own
        """Nobody: slow is not away."""
        return ()

    def inject(self, cluster: Cluster, targets: Sequence[Peer]) -> Undo:
        """A guard for each peer sets the limit; the undo lifts it."""

        def task(peer: Peer) -> Task:
            return self.task(peer, store_of(cluster, peer), cluster.container_of(peer))

        return guarded_each(cluster, targets, task, dead_man_s=self.dead_man_s)

    def task(self, peer: Peer, store: str, container: str) -> Task:
        """What a guard does to the control group of ``container``."""
        here = found(container)
        none = f"[ -z \"$(find {CGROUPS} -type d -name '*{container}*' 2>/dev/null)\" ]"
        return Task(
            what=f"slow the disk of {peer} to {self.kib_per_s} KiB/s",
            do=f'{here}echo "$disk ${{prefix}}{self.kib_per_s * 1024}" >$limit\ngrep "^$disk " $limit\n',
            # A container that has ended has no group any more, and with it no limit.
            undo=f'if ! {none}; then\n{here}echo "$disk ${{prefix}}$none" >$limit\nfi\n',
            gone=f'if {none}; then exit 0; fi\n{here}! grep "^$disk .*" $limit >&2',
            volumes={store: WHERE, HOST_CGROUPS: CGROUPS},
        )

    def describe(self) -> str:
        """Whose, how slow."""
        return f"{PeerFault.describe(self)} to {self.kib_per_s} KiB/s"

    @classmethod
    def random(cls, rng: Random) -> Self:
        """From hardly moving to an old disk's random writes."""
        target = rng.choice(("leader", "follower"))
        return cls(target=target, seed=rng.randrange(2**32), kib_per_s=rng.choice((16, 64, 512)))


def found(container: str) -> str:
    """Shell commands that set ``disk`` (its numbers), ``limit`` (the file), ``prefix`` and ``none`` (how to say it)."""
    return (
        f"disk=$(awk '$5 == \"{WHERE}\" {{print $3}}' /proc/self/mountinfo | tail -n 1)\n"
        # Limits are of whole disks, never of a partition.
        "if [ -e /sys/dev/block/$disk/partition ]; then disk=$(cat /sys/dev/block/$disk/../dev); fi\n"
        '[ -e "/sys/dev/block/$disk" ] || { echo "the store is on no disk of its own ($disk)" >&2; exit 1; }\n'
        f"top={CGROUPS}\n"
        "name=io.max prefix=wbps= none=max\n"
        "if [ -d $top/blkio ]; then top=$top/blkio name=blkio.throttle.write_bps_device prefix= none=0; fi\n"
        f"group=$(find $top -type d -name '*{container}*' 2>/dev/null | head -n 1)\n"
        "limit=$group/$name\n"
        f'[ -n "$group" ] && [ -e $limit ] || {{ echo "no $name for {container[:12]}" >&2; exit 1; }}\n'
    )
