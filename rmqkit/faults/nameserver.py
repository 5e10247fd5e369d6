"""NameServers: killed or frozen, one of them or all.

Clients and brokers keep what they know: sends with a route in hand go on; who needs a route, or a new one after a
change of leader, gets none. A killed NameServer forgets everything: it has an empty table until brokers register again
(registerNameServerPeriod: 10 s in the kit's clusters, 30 s by RocketMQ's default). A frozen one comes back with what it
knew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import ClassVar, Self

from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.peers import Peer
from rmqkit.errors import NotFoundError
from rmqkit.faults.fault import Fault, Undo, done_to_each
from rmqkit.faults.pause import freeze, thaw


@dataclass(frozen=True, slots=True)
class NameServerFault(Fault):
    """A fault of NameServers: ``target`` is "all", "one" (which: by ``seed``) or a name as "namesrv0"."""

    own_only: ClassVar[bool] = True
    target: str = "all"
    seed: int = 0

    def targets(self, cluster: Cluster) -> tuple[Peer, ...]:  # noqa: ARG002 - the same for every cluster
        """No peer goes out of service."""
        return ()

    def target_text(self, cluster: Cluster, targets: Sequence[Peer]) -> str:  # noqa: ARG002 - no peer is one
        """The NameServers' names."""
        return ",".join(self.names(cluster))

    def check_names(self, cluster: Cluster) -> None:
        """Its NameServer, where it names one."""
        self.names(cluster)

    def names(self, cluster: Cluster) -> tuple[str, ...]:
        """The NameServers that are meant. Raises NotFoundError naming those that there are."""
        names = tuple(server.name for server in cluster.spec.nameservers) if cluster.spec else ()
        if self.target == "all":
            return names
        if self.target == "one" and names:
            return (Random(self.seed).choice(names),)
        if self.target not in names:
            raise NotFoundError(
                f"there is no NameServer {self.target!r}",
                hint=f"NameServers: {', '.join(names) or 'none'}; or one, all",
            )
        return (self.target,)

    def describe(self) -> str:
        """The kind and whom it is done to."""
        verb = self.kind.removeprefix("nameserver-")
        whom = {"all": "every NameServer", "one": "a NameServer"}.get(self.target, f"NameServer {self.target}")
        return f"{verb} {whom}"

    @classmethod
    def random(cls, rng: Random) -> Self:
        """All, as often as one."""
        return cls(target=rng.choice(("all", "one")), seed=rng.randrange(2**32))


@dataclass(frozen=True, slots=True)
class NameServerKill(NameServerFault):
    """SIGKILL to NameServers; they are started again at the end, with empty tables."""

    kind: ClassVar[str] = "nameserver-kill"

    def inject(self, cluster: Cluster, targets: Sequence[Peer]) -> Undo:  # noqa: ARG002 - no peer is one
        """Kill each."""
        return done_to_each(self.names(cluster), cluster.kill, cluster.start_peer)


@dataclass(frozen=True, slots=True)
class NameServerPause(NameServerFault):
    """Freeze NameServers; they run on at the end, with the tables that they had."""

    kind: ClassVar[str] = "nameserver-pause"

    def inject(self, cluster: Cluster, targets: Sequence[Peer]) -> Undo:  # noqa: ARG002 - no peer is one
        """Freeze each."""
        return done_to_each(self.names(cluster), partial(freeze, cluster), partial(thaw, cluster))
