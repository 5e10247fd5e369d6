"""Promises of leadership transfer: asked of the leader, again while it passes, and refused where brokers cannot."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fake_engine import FakeEngine, fake_cluster
from scripted_group import MEMBERS, N0, N1, ScriptedGroup

from rmqkit.errors import FaultError, RemoteError, UsageError
from rmqkit.faults import Transfer, injected
from rmqkit.wire.codes import DLedgerCode, RequestCode
from rmqkit.wire.frames import Command


class Transferring(ScriptedGroup):
    """Answers each request for transfer with the next of ``codes``; 200 moves leadership."""

    def __init__(self, *codes: int, version: str = "V4_9_8") -> None:
        super().__init__()
        self.codes = list(codes)
        self.asked: list[dict[str, Any]] = []
        self.version = version
        self.pool.on(N0.raft_address, DLedgerCode.LEADERSHIP_TRANSFER, self._transfer)

    def _transfer(self, command: Command) -> Command:
        self.asked.append(json.loads(command.body))
        code = self.codes.pop(0)
        if code == 200:
            self.lead(MEMBERS.one(self.asked[-1]["transfereeId"]))
        return Command.answer(command, body=json.dumps({"code": code, "term": 7}).encode())

    def _runtime(self, name: str, command: Command) -> Command:
        table = {
            "commitLogMaxOffset": str(self.positions[name]),
            "dispatchBehindBytes": "0",
            "brokerVersionDesc": self.version,
        }
        return Command.answer(command, body=json.dumps({"table": table}).encode())

    def _config(self, name: str, command: Command) -> Command:
        answer = super()._config(name, command)
        return Command.answer(command, body=answer.body + b"enableDLegerCommitLog=true\n")


def test_the_leader_is_asked_with_the_fields_that_dledger_wants_and_nobody_is_touched() -> None:
    group, engine = Transferring(200), FakeEngine()
    with injected(fake_cluster(group, engine=engine), Transfer("n1")) as injection:
        assert injection.targets == (N1,)
    assert group.asked == [
        {"group": "RaftNode00", "remoteId": "n0", "transferId": "n0", "transfereeId": "n1", "term": 7}
    ]
    assert engine.did == []


def test_a_refusal_that_passes_is_tried_again() -> None:
    """417 FALL_BEHIND_TOO_MUCH, 418 TAKE_LEADERSHIP_FAILED, 500 INTERNAL_ERROR, 506 LEADER_TRANSFERRING."""
    group = Transferring(417, 418, 500, 506, 200)
    with injected(fake_cluster(group), Transfer()):
        assert len(group.asked) == 5
        assert group.codes == []


def test_any_other_refusal_is_an_error() -> None:
    with (
        pytest.raises(RemoteError, match="411 UNEXPECTED_ARGUMENT"),
        injected(fake_cluster(Transferring(411)), Transfer()),
    ):
        pytest.fail("entered")


def test_a_leadership_that_does_not_move_is_an_error_with_what_was_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rmqkit.faults.transfer.WITHIN_S", 0.3)
    with (
        pytest.raises(FaultError, match=r"did not go from n0 to n1 within .* s: n0: 417 FALL_BEHIND_TOO_MUCH"),
        injected(fake_cluster(Transferring(*[417] * 99)), Transfer("n1")),
    ):
        pytest.fail("entered")


@pytest.mark.parametrize(("target", "said"), [("n0", "n0 leads RaftNode00 already"), ("all", "cannot go to 3 peers")])
def test_it_goes_to_one_follower(target: str, said: str) -> None:
    group = Transferring(200)
    with pytest.raises(UsageError, match=said), injected(fake_cluster(group), Transfer(target)):
        pytest.fail("entered")
    assert group.asked == []


@pytest.mark.parametrize("version", ["V4_5_1", "V4_7_1"])
def test_brokers_that_cannot_are_named_with_their_version_and_the_mend(version: str) -> None:
    group = Transferring(version=version)
    with pytest.raises(FaultError) as caught, injected(fake_cluster(group), Transfer()):
        pytest.fail("entered")
    number = version[1:].replace("_", ".")
    assert f"n0 runs RocketMQ {number}, whose DLedger has no leadership transfer" in caught.value.what
    assert "use an edition of 4.8.0 or later" in caught.value.what
    assert group.asked == []


def test_a_peer_that_does_not_answer_is_no_reason_against_it() -> None:
    """Only its health is, and that is looked at next."""
    group = Transferring(200)
    group.pool.on(N1.address or "", RequestCode.GET_BROKER_RUNTIME_INFO, group._answer("away", group._runtime))
    group.silent = {"away"}
    assert Transfer().why_not(fake_cluster(group)) == ""
