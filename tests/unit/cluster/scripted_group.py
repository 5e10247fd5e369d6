"""A group of three and its NameServer as a script: what each says is set, and changed, by the test."""

from __future__ import annotations

import json

from rmqkit.cluster.peers import Members, Peer
from rmqkit.errors import RequestTimeoutError
from rmqkit.transport.scripted import Handler, ScriptedPool
from rmqkit.wire.codes import DLedgerCode, RequestCode
from rmqkit.wire.frames import Command

GROUP, NAMESRV = "RaftNode00", "127.0.0.1:9876"
PEERS = N0, N1, N2 = tuple(
    Peer(GROUP, f"n{i}", f"127.0.0.1:{30911 + 10 * i}", f"127.0.0.1:{40911 + i}", f"n{i}") for i in range(3)
)
MEMBERS = Members(PEERS)

IDLE = {"dispatchBehindBytes": "0", "putTps": "", "getTransferedTps": "", "pageCacheLockTimeMills": "0"} | {
    f"{kind}ThreadPoolQueue{what}": "0" for kind in ("send", "pull") for what in ("Size", "HeadWaitTimeMills")
}
IDLE |= {"earliestMessageTimeStamp": "-1", "commitLogDiskRatio": "0.18"}
"""What a broker without messages and traffic says of itself, as far as status asks."""


class ScriptedGroup:
    """Healthy, with n0 as its leader, until a test says otherwise.

    ``votes``: whom each peer names as leader; ``masters``: whose brokers serve; ``registered``: broker id to address,
    as the NameServer has it; ``silent``: addresses and peers that do not answer; ``refusal``: code and remark of sends.
    """

    def __init__(self) -> None:
        self.pool = ScriptedPool()
        self.votes: dict[str, str | None] = dict.fromkeys(("n0", "n1", "n2"), "n0")
        self.masters = {"n0"}
        self.registered = {0: N0.address, 2: N1.address, 3: N2.address}
        self.silent: set[str] = set()
        self.refusal: tuple[int, str] | None = None
        self.positions = dict.fromkeys(("n0", "n1", "n2"), 1000)
        self.sends: list[str] = []
        self.pool.on(NAMESRV, RequestCode.GET_BROKER_CLUSTER_INFO, self._answer("namesrv", self._table))
        for peer in PEERS:
            assert peer.address is not None
            self.pool.on(peer.raft_address, DLedgerCode.METADATA, self._answer(peer.id, self._metadata))
            self.pool.on(peer.raft_address, DLedgerCode.HEART_BEAT, self._answer(peer.id, self._term))
            self.pool.on(peer.address, RequestCode.GET_BROKER_CONFIG, self._answer(peer.id, self._config))
            self.pool.on(peer.address, RequestCode.GET_BROKER_RUNTIME_INFO, self._answer(peer.id, self._runtime))
            self.pool.on(peer.address, RequestCode.SEND_MESSAGE_V2, self._answer(peer.id, self._send))

    def lead(self, peer: Peer) -> None:
        """Everybody who can speak agrees on ``peer``."""
        self.votes = dict.fromkeys(self.votes, peer.id)
        self.masters = {peer.id}
        self.registered = {0: peer.address} | {p.broker_id: p.address for p in PEERS if p != peer}

    def _answer(self, name: str, say: object) -> Handler:
        def handler(command: Command) -> Command:
            if name in self.silent:
                raise RequestTimeoutError(f"{name} is silent", address=name, request_sent=True)
            return say(name, command)  # type: ignore[operator]

        return handler

    def _table(self, _name: str, command: Command) -> Command:
        broker = {"brokerName": GROUP, "cluster": "C", "brokerAddrs": {str(k): v for k, v in self.registered.items()}}
        body = {"brokerAddrTable": {GROUP: broker}, "clusterAddrTable": {"C": [GROUP]}}
        return Command.answer(command, body=json.dumps(body).encode())

    def _metadata(self, name: str, command: Command) -> Command:
        said = {"code": 200, "group": GROUP, "leaderId": self.votes[name], "peers": {}}
        return Command.answer(command, body=json.dumps(said).encode())

    def _term(self, _name: str, command: Command) -> Command:
        return Command.answer(command, body=json.dumps({"code": 403, "group": GROUP, "term": 7}).encode())

    def _config(self, name: str, command: Command) -> Command:
        serves = name in self.masters
        role, number = ("SYNC_MASTER", 0) if serves else ("SLAVE", MEMBERS.one(name).broker_id)
        return Command.answer(command, body=f"brokerRole={role}\nbrokerId={number}\n".encode())

    def _runtime(self, name: str, command: Command) -> Command:
        table = {**IDLE, "commitLogMaxOffset": str(self.positions[name])}
        return Command.answer(command, body=json.dumps({"table": table}).encode())

    def _send(self, name: str, command: Command) -> Command:
        self.sends.append(name)
        if self.refusal:
            code, remark = self.refusal
            return Command.answer(command, code=code, remark=remark)
        return Command.answer(command, ext={"msgId": "x", "queueId": 0, "queueOffset": len(self.sends)})
