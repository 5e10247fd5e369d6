"""What one peer of a DLedger group believes about its leader and term.

What belongs here: DLedger requests that change nothing, and the one by which an operator moves leadership. What does
not: which belief a majority shares (``rmqkit.cluster``), requests that would write or vote.

Source: DLedgerServer.handleMetadata and DLedgerLeaderElector.handleHeartBeat of dledger 0.1 and 0.3.1.2,
which read alike here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from rmqkit.client.calls import refusal
from rmqkit.errors import RemoteError, UsageError
from rmqkit.transport.pool import Requester
from rmqkit.wire.bodies import RaftAnswer, parse_raft_answer
from rmqkit.wire.codes import DLedgerCode, DLedgerResponseCode, dledger_name, request_name
from rmqkit.wire.frames import Command

_STALE_TERM = -2
"""Below every term (a new peer starts at -1), so that a heartbeat that carries it is always refused.

An equal term may set the peer's leader, and a higher one makes it a candidate: never send either.
"""


@dataclass(frozen=True, slots=True)
class RaftMetadata:
    """One peer's belief. ``leader_id`` is None while it knows no leader; ``peers`` maps id to address."""

    peer_id: str
    leader_id: str | None
    peers: Mapping[str, str]


class RaftClient:
    """One peer at ``address`` (the port of dLegerPeers), known as ``peer_id`` in ``group``.

    Methods raise :class:`~rmqkit.errors.RemoteError` when group or peer id are not the peer's own.
    """

    def __init__(self, pool: Requester, address: str, *, group: str, peer_id: str, timeout_s: float = 2.0) -> None:
        self.address = address
        self.group = group
        self.peer_id = peer_id
        self._pool = pool
        self._timeout_s = timeout_s

    def metadata(self) -> RaftMetadata:
        """Who leads, as this peer believes: a paused or cut-off leader goes on naming itself for 6 s."""
        answer = self._ask(DLedgerCode.METADATA, expect=DLedgerResponseCode.SUCCESS)
        return RaftMetadata(peer_id=self.peer_id, leader_id=answer.leader_id, peers=answer.peers)

    def term(self, *, other_peer_id: str) -> int:
        """The peer's current term, learnt from its refusal of an outdated heartbeat; nothing changes there.

        ``other_peer_id`` is any other configured peer of the group, in whose name the heartbeat goes.
        """
        if other_peer_id == self.peer_id:
            raise UsageError(
                f"other_peer_id is {other_peer_id!r}, the peer itself", hint="name another peer of the group"
            )
        answer = self._ask(
            DLedgerCode.HEART_BEAT,
            expect=DLedgerResponseCode.EXPIRED_TERM,
            localId=other_peer_id,
            leaderId=other_peer_id,
            term=_STALE_TERM,
        )
        return answer.term

    def transfer_leadership(self, to_peer_id: str, *, term: int) -> None:
        """Ask this peer, the leader in ``term``, to hand leadership to ``to_peer_id``; returns when that one leads.

        Raises RemoteError with the DLedger code of who refused: this peer (not the leader, another term, the other is
        1,000 entries behind) or the other one. Known since dledger 0.2 (RocketMQ 4.8.0): an older peer never answers,
        RequestTimeoutError. Source: DLedgerServer.handleLeadershipTransfer of 0.3.1.2.
        """
        self._ask(
            DLedgerCode.LEADERSHIP_TRANSFER,
            expect=DLedgerResponseCode.SUCCESS,
            transferId=self.peer_id,
            transfereeId=to_peer_id,
            term=term,
        )

    def metadata_command(self) -> Command:
        """The request of :meth:`metadata`, for who sends it ahead."""
        return self._command(DLedgerCode.METADATA)

    def term_command(self, *, other_peer_id: str) -> Command:
        """The request of :meth:`term`, for who sends it ahead."""
        return self._command(DLedgerCode.HEART_BEAT, localId=other_peer_id, leaderId=other_peer_id, term=_STALE_TERM)

    def _command(self, code: DLedgerCode, **fields: object) -> Command:
        return Command.request(
            code, body=json.dumps({"group": self.group, "remoteId": self.peer_id, **fields}).encode()
        )

    def _ask(self, code: DLedgerCode, *, expect: DLedgerResponseCode, **fields: object) -> RaftAnswer:
        frame = self._pool.request(self.address, self._command(code, **fields), timeout_s=self._timeout_s)
        if not frame.body:
            raise refusal(self.address, code, frame, hint="is this the DLedger port of the peer, not its listenPort?")
        answer = parse_raft_answer(frame.body)
        if answer.code != expect:
            raise self._error(code, answer, fields)
        return answer

    def _error(self, code: DLedgerCode, answer: RaftAnswer, fields: Mapping[str, object]) -> RemoteError:
        hint = ""
        if answer.code == DLedgerResponseCode.UNKNOWN_GROUP:
            hint = f"the peer is not in group {self.group!r}: compare dLegerGroup in its configuration"
        elif answer.code == DLedgerResponseCode.UNKNOWN_MEMBER and (answer.group or "leaderId" not in fields):
            hint = f"the peer's own id is not {self.peer_id!r}: compare dLegerSelfId in its configuration"
        elif answer.code == DLedgerResponseCode.UNKNOWN_MEMBER:
            # The elector's own refusal, unlike the server's above, does not repeat the request's group.
            hint = f"{fields['leaderId']!r} is not in the peer's dLegerPeers"
        return RemoteError(
            f"peer {self.peer_id} at {self.address} refused request {request_name(code)}: {dledger_name(answer.code)}",
            address=self.address,
            code=answer.code,
            remark=dledger_name(answer.code),
            hint=hint,
        )
