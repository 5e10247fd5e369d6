"""Which packets a network fault takes, and the text of the rules that take them: pure, nothing is run here.

What belongs here: flows (who sends what to which port) of a specification's traffic, and the ``iptables-restore``,
``tc`` and ``sh`` text for them. What does not: containers (``cluster/guard.py``), the faults themselves.

Every broker runs as its own user, so a Raft link is the pair (initiator's user, target's port). A leader pushes to its
followers, and a candidate asks for votes, over connections that *they* made (DLedgerRpcNettyService); answers come back
over the same ones. Dropping what one user sends to one port therefore stops that peer's requests, old connections and
new ones alike, and leaves the other peer's own requests alone: one direction. A whole cut is both rules.

Rules live in chains of the fault's own, carry the run's id, and are taken back by removing just these chains.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from rmqkit.errors import NotFoundError, UsageError
from rmqkit.topology.spec import ClusterSpec, GroupSpec, PeerSpec

CHAIN_PREFIX: Final = "RMQKIT-"
"""What every chain of the kit is called; the rest is the fault's own, 28 characters at most (iptables' limit)."""
_TOKEN = re.compile(r"[0-9a-f]{1,16}")
_RUN = re.compile(r"[A-Za-z0-9._-]{1,200}")


class Traffic(StrEnum):
    """Kinds of traffic that can be cut, each without the others."""

    RAFT = "raft"
    """Pushes, heartbeats and votes between the peers of a group: the Raft ports."""
    COPY = "copy"
    """Followers that copy topics and offsets from their leader: its listen port and fast port (SlaveSynchronize)."""
    NAMESERVER = "nameserver"
    """Brokers that register at NameServers."""
    CLIENT = "client"
    """Everything that is no broker of the cluster and speaks to a broker's listen or fast port."""


PEERS: Final = frozenset({Traffic.RAFT, Traffic.COPY})
"""All that peers of a group say to each other."""


@dataclass(frozen=True, slots=True)
class Flow:
    """Packets to ``port`` over connections that their sender made: of user ``uid``, or of anybody outside the cluster.

    ``uid`` None means every sender but ``others``; with ``outside`` those packets that come from beyond the namespace,
    through the published ports.
    """

    port: int
    uid: int | None = None
    others: tuple[int, ...] = ()
    outside: bool = False

    @property
    def match(self) -> str:
        """The flow as iptables matches it."""
        if self.outside:
            return f"! -i lo -p tcp -m tcp --dport {self.port}"
        if self.uid is not None:
            return f"-p tcp -m owner --uid-owner {self.uid} -m tcp --dport {self.port}"
        others = " ".join(f"-m owner ! --uid-owner {uid}" for uid in self.others)
        return f"-p tcp {others} -m tcp --dport {self.port}"


# ---- which flows ------------------------------------------------------------------------------------------------


def between(initiator: PeerSpec, target: PeerSpec, traffic: Iterable[Traffic] = PEERS) -> tuple[Flow, ...]:
    """What ``initiator`` sends to ``target``, another peer of its group: one direction of one link."""
    kinds = frozenset(traffic)
    ports: list[int] = []
    if Traffic.RAFT in kinds:
        ports.append(target.raft_port)
    if Traffic.COPY in kinds:
        ports += [target.listen_port, target.vip_port]
    return tuple(Flow(port, initiator.uid) for port in ports)


def link(one: PeerSpec, other: PeerSpec, traffic: Iterable[Traffic] = PEERS) -> tuple[Flow, ...]:
    """Both directions of one link."""
    kinds = frozenset(traffic)
    return (*between(one, other, kinds), *between(other, one, kinds))


def to_nameservers(spec: ClusterSpec, peer: PeerSpec, names: Sequence[str] = ()) -> tuple[Flow, ...]:
    """What ``peer`` sends to the NameServers of these names (none: to all)."""
    known = {server.name: server for server in spec.nameservers}
    if unknown := [name for name in names if name not in known]:
        raise NotFoundError(f"there is no NameServer {unknown[0]!r}", hint=f"NameServers: {', '.join(known)}")
    return tuple(Flow(known[name].port, peer.uid) for name in names or known)


def from_clients(spec: ClusterSpec, peer: PeerSpec) -> tuple[Flow, ...]:
    """What clients send to ``peer``: from beyond the namespace, and from processes in it that are no broker."""
    brokers = tuple(sorted(each.uid for _, each in spec.all_peers()))
    flows: list[Flow] = []
    for port in (peer.listen_port, peer.vip_port):
        flows += [Flow(port, outside=True), Flow(port, others=brokers)]
    return tuple(flows)


def isolated(
    spec: ClusterSpec, group: GroupSpec, peers: Sequence[PeerSpec], traffic: Iterable[Traffic] = PEERS
) -> tuple[Flow, ...]:
    """Cut ``peers`` off from the rest of their group (not from one another), and from what else ``traffic`` names."""
    kinds = frozenset(traffic)
    rest = [peer for peer in group.peers if peer not in peers]
    flows = [flow for peer in peers for other in rest for flow in link(peer, other, kinds)]
    for peer in peers:
        if Traffic.NAMESERVER in kinds:
            flows += to_nameservers(spec, peer)
        if Traffic.CLIENT in kinds:
            flows += from_clients(spec, peer)
    return tuple(flows)


def ring(peers: Sequence[PeerSpec], traffic: Iterable[Traffic] = PEERS) -> tuple[Flow, ...]:
    """Let each peer send to the next ones round the ring only: with itself a bare majority, each another one."""
    kinds = frozenset(traffic)
    count, reach = len(peers), len(peers) // 2
    if count < 3:
        raise UsageError(f"a ring of {count} peers", hint="a ring needs a group of three or more")
    flows: list[Flow] = []
    for at, peer in enumerate(peers):
        kept = {(at + step) % count for step in range(reach + 1)}
        for to, target in enumerate(peers):
            if to not in kept:
                flows += between(peer, target, kinds)
    return tuple(flows)


# ---- the rules ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rules:
    """The chains of one fault: ``token`` names them, ``run`` stands in every rule's comment.

    ``probability`` below 1 takes each packet with that chance only. ``action`` is what happens to a packet that is
    taken: DROP in the table ``filter``, or a class of traffic in ``mangle``.
    """

    token: str
    run: str
    flows: tuple[Flow, ...]
    probability: float = 1.0
    table: str = "filter"
    action: str = "DROP"

    def __post_init__(self) -> None:
        if not _TOKEN.fullmatch(self.token) or not _RUN.fullmatch(self.run):
            raise UsageError(
                f"token={self.token!r}, run={self.run!r} cannot stand in a firewall rule", hint="use names"
            )
        if not self.flows:
            raise UsageError("a network fault that takes no packet", hint="name peers that have a link to cut")
        if not 0 < self.probability <= 1:
            raise UsageError(f"probability={self.probability} is no chance", hint="use a number above 0, up to 1")

    @property
    def _chains(self) -> tuple[tuple[str, str, tuple[Flow, ...]], ...]:
        """Hook, chain and flows: what comes in, and what goes out."""
        coming = tuple(flow for flow in self.flows if flow.outside)
        going = tuple(flow for flow in self.flows if not flow.outside)
        sides = (("OUTPUT", f"{self.stem}-O", going), ("INPUT", f"{self.stem}-I", coming))
        return tuple(side for side in sides if side[2])

    @property
    def stem(self) -> str:
        """What the names of this fault's chains begin with; nothing else in any table contains it."""
        return f"{CHAIN_PREFIX}{self.token}"

    @property
    def comment(self) -> str:
        """The comment of every rule."""
        return f'-m comment --comment "rmqkit.run={self.run}"'

    def made(self) -> str:
        """What ``iptables-restore --noflush`` reads to make the chains: all of it or, at an error, nothing."""
        chance = "" if self.probability == 1 else f"-m statistic --mode random --probability {self.probability:.6f} "
        lines = [f"*{self.table}"]
        for _, chain, _ in self._chains:
            lines.append(f":{chain} - [0:0]")
        for _, chain, flows in self._chains:
            # The same port may be named by two shapes at once; one rule is enough.
            taken = f"{chance}{self.comment} -j {self.action}"
            matches = [flow.match for flow in flows] + [_orphans(flow.port) for flow in flows if flow.uid is not None]
            lines += [f"-A {chain} {match} {taken}" for match in dict.fromkeys(matches)]
        # First: rules of others that accept are passed later.
        lines += [f"-I {hook} 1 {self.comment} -j {chain}" for hook, chain, _ in self._chains]
        return "\n".join([*lines, "COMMIT"]) + "\n"

    def removed(self) -> str:
        """What ``iptables-restore --noflush`` reads to remove the chains and what leads to them, and nothing else."""
        lines = [f"*{self.table}"]
        lines += [f"-D {hook} {self.comment} -j {chain}" for hook, chain, _ in self._chains]
        lines += [f"-{verb} {chain}" for _, chain, _ in self._chains for verb in "FX"]
        return "\n".join([*lines, "COMMIT"]) + "\n"

    def do(self) -> str:
        """The shell commands that make the rules."""
        return _restore(self.made())

    def undo(self) -> str:
        """The shell commands that remove them."""
        return _restore(self.removed())

    def taken(self) -> str:
        """Shell commands that print how many packets the rules took by now; nothing where that cannot be read."""
        counters = rf"s/^\[\([0-9]*\):[0-9]*\] -A {self.stem}-.*/\1/p"
        add_up = "awk '{ n += $1 } END { print n + 0 }'"
        return f"saved=$(iptables-save -c) && printf '%s\\n' \"$saved\" | sed -n '{counters}' | {add_up}"

    def gone(self) -> str:
        """A shell command that succeeds when no rule and no chain of this fault is left, and only then."""
        return f'saved=$(iptables-save) && case "$saved" in *{self.stem}*) printf "%s\\n" "$saved" >&2; false ;; esac'


def _orphans(port: int) -> str:
    """Packets of closed sockets, which have no user any more.

    A broker that got no answer closes its connection (NettyRemotingClient), and the kernel goes on sending what was
    written to it, in nobody's name: without this a request arrives seconds later, through the cut.
    """
    return f"-p tcp -m owner ! --socket-exists -m tcp --dport {port}"


def _restore(text: str) -> str:
    # -w: an iptables of the older kind waits for its lock instead of failing.
    return f"iptables-restore -w 5 --noflush <<'RULES'\n{text}RULES\n"
