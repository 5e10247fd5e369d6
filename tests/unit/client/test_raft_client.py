"""Promises of rmqkit.client.raft."""

from __future__ import annotations

import json

import pytest
from captured_answers import VERSIONS, answer, play, request

from rmqkit.client.raft import RaftClient
from rmqkit.errors import RemoteError, UsageError
from rmqkit.transport.scripted import ScriptedPool
from rmqkit.wire.codes import DLedgerCode
from rmqkit.wire.frames import encode

ADDRESS = "127.0.0.1:40911"

pytestmark = pytest.mark.parametrize("version", VERSIONS)


@pytest.fixture
def pool() -> ScriptedPool:
    return ScriptedPool()


def client(pool: ScriptedPool, *, group: str = "RaftNode00", peer_id: str = "n0") -> RaftClient:
    return RaftClient(pool, ADDRESS, group=group, peer_id=peer_id)


def sent(pool: ScriptedPool) -> bytes:
    return encode(pool.asked[-1].command, opaque=7)


def test_a_peer_tells_whom_it_believes_to_lead(pool: ScriptedPool, version: str) -> None:
    pool.on(ADDRESS, DLedgerCode.METADATA, play(version, "raft_metadata"))
    metadata = client(pool).metadata()
    assert metadata.peer_id == "n0"
    assert metadata.leader_id in metadata.peers
    assert sent(pool) == request(version, "raft_metadata")


def test_a_peer_without_a_leader_says_none(pool: ScriptedPool, version: str) -> None:
    pool.on(ADDRESS, DLedgerCode.METADATA, play(version, "raft_metadata_electing"))
    assert client(pool).metadata().leader_id is None


def test_the_term_comes_from_a_refused_heartbeat(pool: ScriptedPool, version: str) -> None:
    pool.on(ADDRESS, DLedgerCode.HEART_BEAT, play(version, "raft_term"))
    assert client(pool).term(other_peer_id="n1") == json.loads(answer(version, "raft_term").body)["term"]
    assert sent(pool) == request(version, "raft_term")


def test_the_heartbeat_is_always_older_than_every_term(pool: ScriptedPool, version: str) -> None:
    pool.on(ADDRESS, DLedgerCode.HEART_BEAT, play(version, "raft_term"))
    client(pool).term(other_peer_id="n2")
    body = json.loads(pool.asked[0].command.body)
    assert body["term"] == -2, "an equal term may set the peer's leader, a higher one makes it a candidate"
    assert (body["localId"], body["leaderId"], body["remoteId"]) == ("n2", "n2", "n0")


def test_no_heartbeat_goes_out_in_the_peers_own_name(pool: ScriptedPool, version: str) -> None:
    del version
    with pytest.raises(UsageError, match="the peer itself"):
        client(pool).term(other_peer_id="n0")
    assert pool.asked == []


def test_a_wrong_group_is_told_from_a_wrong_peer_and_an_unknown_other(pool: ScriptedPool, version: str) -> None:
    pool.on(
        ADDRESS,
        DLedgerCode.METADATA,
        play(version, "raft_metadata_wrong_group"),
        play(version, "raft_metadata_wrong_peer"),
    )
    with pytest.raises(RemoteError, match="400 UNKNOWN_GROUP") as caught:
        client(pool, group="Other").metadata()
    assert "not in group 'Other'" in str(caught.value)
    with pytest.raises(RemoteError, match="401 UNKNOWN_MEMBER") as caught:
        client(pool, peer_id="n1").metadata()
    assert "own id is not 'n1'" in str(caught.value)
    pool.on(ADDRESS, DLedgerCode.HEART_BEAT, play(version, "raft_term_unknown_other"))
    with pytest.raises(RemoteError, match="401 UNKNOWN_MEMBER") as caught:
        client(pool).term(other_peer_id="n9")
    assert "'n9' is not in the peer's dLegerPeers" in str(caught.value)


def test_a_port_that_is_no_dledger_port_is_named_as_such(pool: ScriptedPool, version: str) -> None:
    pool.on(ADDRESS, DLedgerCode.METADATA, play(version, "raft_port_asked_for_config"))
    with pytest.raises(RemoteError, match="3 REQUEST_CODE_NOT_SUPPORTED") as caught:
        client(pool).metadata()
    assert "is this the DLedger port" in str(caught.value)
