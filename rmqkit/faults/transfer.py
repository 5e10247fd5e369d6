"""Transfer: the leader hands leadership over to a follower, with nobody killed: what an upgrade should do first.

DLedger can since 0.2, that is RocketMQ since 4.8.0; no tool of RocketMQ asks for it. Only for a moment nothing is
acknowledged: the new leader is elected at once instead of after seconds without heartbeats.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar, Self

from rmqkit.client.capabilities import Ability, Capabilities
from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.peers import Peer
from rmqkit.errors import FaultError, RemoteError, RequestTimeoutError, UsageError, WaitTimeoutError
from rmqkit.faults.fault import PeerFault, Undo
from rmqkit.waiting import Pending, wait_until
from rmqkit.wire.codes import DLedgerResponseCode

TRANSFER = Ability(
    "leadership transfer (LEADERSHIP_TRANSFER)",
    (4, 8, 0),
    "DLedgerServer.handleLeadershipTransfer of dledger 0.2; 4.5.1 has dledger 0.1, which does not answer the request",
)

WITHIN_S = 20.0

PASSING = frozenset(
    {
        DLedgerResponseCode.FALL_BEHIND_TOO_MUCH,
        DLedgerResponseCode.TAKE_LEADERSHIP_FAILED,
        DLedgerResponseCode.LEADER_TRANSFERRING,
        DLedgerResponseCode.INCONSISTENT_TERM,
        DLedgerResponseCode.EXPIRED_TERM,
        DLedgerResponseCode.INTERNAL_ERROR,
        DLedgerResponseCode.NETWORK_ERROR,
        DLedgerResponseCode.NOT_LEADER,
    }
)
"""Refusals of one attempt that the next may not meet: the follower was behind, or took part in another election
(DLedgerLeaderElector.TakeLeadershipTask answers INTERNAL_ERROR when it looks before the term has risen)."""


@dataclass(frozen=True, slots=True)
class Transfer(PeerFault):
    """Hand leadership of a group to ``target``, one follower. There is nothing to undo: it stays with it."""

    kind: ClassVar[str] = "transfer"
    target: str = "follower"

    def why_not(self, cluster: Cluster) -> str:
        """Brokers before 4.8.0 cannot."""
        if why := PeerFault.why_not(self, cluster):
            return why
        known = Capabilities(cluster.pool)
        for group in self.groups(cluster):
            for peer in cluster.members.of(group):
                facts = known.of(peer.address) if peer.address else None
                if facts is not None and not facts.can(TRANSFER):
                    version = ".".join(map(str, facts.version))
                    return (
                        f"{peer} runs RocketMQ {version}, whose DLedger has no {TRANSFER.name}; "
                        "use an edition of 4.8.0 or later (4.9.8)"
                    )
        return ""

    def out_at_once(self, targets: Sequence[Peer]) -> Iterable[Sequence[Peer]]:  # noqa: ARG002 - whoever it is
        """Nobody goes out of service."""
        return ()

    def check_targets(self, cluster: Cluster, targets: Sequence[Peer]) -> None:  # noqa: ARG002 - the interface's own
        """One, who is not the leader by definition."""
        if self.target.rpartition("/")[2] == "leader":
            raise UsageError("leadership cannot go to the leader, who has it", hint="name another peer, or follower")
        if len(targets) != 1:
            raise UsageError(f"leadership cannot go to {len(targets)} peers", hint="name one peer, or follower")

    def inject(self, cluster: Cluster, targets: Sequence[Peer]) -> Undo:
        """Ask the leader, again while it or the follower refuse for a reason that passes; until the follower leads."""
        self.check_targets(cluster, targets)
        heir = targets[0]
        leader = cluster.leader(heir.group)
        if heir == leader:
            raise UsageError(f"{heir} leads {heir.group} already", hint="name another peer, or follower")

        def attempt() -> bool | Pending:
            present = cluster.raft(heir).metadata().leader_id
            if present == heir.id:
                return True
            if present != leader.id:
                return Pending(f"{heir} says that {present or 'nobody'} leads")
            asked = cluster.raft(leader)
            try:
                asked.transfer_leadership(heir.id, term=asked.term(other_peer_id=heir.id))
            except RequestTimeoutError as error:
                return Pending(error.what)
            except RemoteError as error:
                if error.code not in PASSING:
                    raise
                return Pending(f"{leader}: {error.remark}")
            return Pending(f"{heir} took leadership, and does not say so yet")

        try:
            wait_until(attempt, label=f"{heir} leads {heir.group}", timeout_s=WITHIN_S, every_s=0.2)
        except WaitTimeoutError as error:
            raise FaultError(
                f"leadership of {heir.group} did not go from {leader} to {heir} within {error.waited_s:.0f} s: "
                f"{error.last_seen}",
                hint="`rmqkit status` shows each peer's view; send slower, so that the follower is not behind",
            ) from error
        return lambda: None

    def describe(self) -> str:
        """To whom."""
        to = f"a {self.target}" if self.target == "follower" else self.target
        return f"transfer leadership to {to}" + (f" of {self.group}" if self.group else "")

    @classmethod
    def random(cls, rng: Random) -> Self:
        """To any follower."""
        return cls(seed=rng.randrange(2**32))
