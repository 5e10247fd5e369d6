"""Promises of rmqkit.cluster.peers: who belongs to a cluster, found from outside or known from its spec."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from rmqkit.cluster.peers import Members, Peer, discover, from_spec
from rmqkit.errors import ClusterError, ConnectFailedError, NotFoundError, UsageError
from rmqkit.topology.spec import ClusterSpec
from rmqkit.transport.scripted import ScriptedPool
from rmqkit.wire.codes import RequestCode
from rmqkit.wire.frames import Command

NAMESRV, NAMESRV2 = "127.0.0.1:9876", "127.0.0.1:9877"
BROKERS = {f"n{i}": f"127.0.0.1:{30911 + 10 * i}" for i in range(3)}
RAFT = {f"n{i}": f"127.0.0.1:{40911 + i}" for i in range(3)}


@pytest.fixture
def pool() -> ScriptedPool:
    return ScriptedPool()


def nameserver(pool: ScriptedPool, registered: Mapping[str, Mapping[int, str]], *, at: str = NAMESRV) -> None:
    """A NameServer that lists ``registered``: group to broker id to address."""
    table = {
        name: {"brokerName": name, "cluster": "C", "brokerAddrs": {str(number): at for number, at in ids.items()}}
        for name, ids in registered.items()
    }
    body = json.dumps({"brokerAddrTable": table, "clusterAddrTable": {"C": list(registered)}}).encode()
    pool.on(at, RequestCode.GET_BROKER_CLUSTER_INFO, lambda command: Command.answer(command, body=body))


def broker(pool: ScriptedPool, address: str, **config: str) -> None:
    """A broker whose live configuration is ``config``."""
    body = "".join(f"{key}={value}\n" for key, value in config.items()).encode()
    pool.on(address, RequestCode.GET_BROKER_CONFIG, lambda command: Command.answer(command, body=body))


def raft_broker(pool: ScriptedPool, peer_id: str, group: str = "RaftNode00") -> None:
    broker(
        pool,
        BROKERS[peer_id],
        brokerName=group,
        dLegerGroup=group,
        dLegerSelfId=peer_id,
        enableDLegerCommitLog="true",
        dLegerPeers=";".join(f"{name}-{address}" for name, address in RAFT.items()),
    )


def test_every_registered_broker_is_found_with_its_raft_address(pool: ScriptedPool) -> None:
    nameserver(pool, {"RaftNode00": {0: BROKERS["n1"], 1: BROKERS["n0"], 3: BROKERS["n2"]}})
    for name in BROKERS:
        raft_broker(pool, name)
    members = discover(pool, [NAMESRV])
    assert members.peers == tuple(Peer("RaftNode00", name, BROKERS[name], RAFT[name]) for name in ("n0", "n1", "n2"))
    assert members.groups == ("RaftNode00",)


def test_a_dead_follower_is_known_by_the_configuration_of_the_others(pool: ScriptedPool) -> None:
    nameserver(pool, {"RaftNode00": {0: BROKERS["n0"], 2: BROKERS["n1"]}})
    raft_broker(pool, "n0")
    raft_broker(pool, "n1")
    members = discover(pool, [NAMESRV])
    assert members.one("n2") == Peer("RaftNode00", "n2", None, RAFT["n2"])
    assert len(members.peers) == 3


def test_a_registered_broker_that_is_silent_is_known_without_an_address(pool: ScriptedPool) -> None:
    """It died a moment ago: the NameServer drops it after two minutes only."""
    nameserver(pool, {"RaftNode00": {0: BROKERS["n0"], 3: BROKERS["n2"]}})
    raft_broker(pool, "n0")
    assert [(peer.id, peer.address) for peer in discover(pool, [NAMESRV]).peers] == [
        ("n0", BROKERS["n0"]),
        ("n1", None),
        ("n2", None),
    ]


def test_what_any_nameserver_knows_counts(pool: ScriptedPool) -> None:
    nameserver(pool, {"RaftNode00": {0: BROKERS["n0"]}})
    nameserver(pool, {"RaftNode00": {2: BROKERS["n1"]}}, at=NAMESRV2)
    raft_broker(pool, "n0")
    raft_broker(pool, "n1")
    found = discover(pool, [NAMESRV, NAMESRV2])
    assert [peer.address for peer in found.peers] == [BROKERS["n0"], BROKERS["n1"], None]


def test_one_silent_nameserver_of_two_is_passed_over(pool: ScriptedPool) -> None:
    nameserver(pool, {"RaftNode00": {0: BROKERS["n0"]}}, at=NAMESRV2)
    raft_broker(pool, "n0")
    assert discover(pool, [NAMESRV, NAMESRV2]).one("n0").address == BROKERS["n0"]


def test_groups_are_kept_apart(pool: ScriptedPool) -> None:
    nameserver(pool, {"A": {0: BROKERS["n0"]}, "B": {0: BROKERS["n1"]}})
    raft_broker(pool, "n0", group="A")
    raft_broker(pool, "n1", group="B")
    members = discover(pool, [NAMESRV])
    assert members.groups == ("A", "B")
    assert members.one("n0", group="A").address == BROKERS["n0"]
    assert members.one("n0", group="B").address is None


def test_a_broker_outside_dledger_mode_is_named_with_the_setting_that_is_off(pool: ScriptedPool) -> None:
    nameserver(pool, {"broker-a": {0: BROKERS["n0"]}})
    broker(pool, BROKERS["n0"], brokerName="broker-a", enableDLegerCommitLog="false")
    with pytest.raises(ClusterError, match="no DLedger broker is known") as caught:
        discover(pool, [NAMESRV])
    assert f"{BROKERS['n0']}: not in DLedger mode (enableDLegerCommitLog is not true)" in caught.value.details


def test_a_nameserver_that_knows_nobody_is_told_from_one_that_is_silent(pool: ScriptedPool) -> None:
    nameserver(pool, {})
    with pytest.raises(ClusterError, match=f"no DLedger broker is known to {NAMESRV}"):
        discover(pool, [NAMESRV])
    with pytest.raises(ClusterError, match=f"no NameServer answers at {NAMESRV2}") as caught:
        discover(pool, [NAMESRV2])
    assert f"NameServer {NAMESRV2}: cannot connect" in caught.value.details[0]
    assert isinstance(caught.value.__cause__, ConnectFailedError)
    assert "9876" in caught.value.hint


def test_a_server_that_is_no_nameserver_is_named_with_its_own_words(pool: ScriptedPool) -> None:
    """A broker's port in the NameServer's place: it answers, and refuses."""
    pool.on(
        NAMESRV, RequestCode.GET_BROKER_CLUSTER_INFO, lambda command: Command.answer(command, code=3, remark="type 106")
    )
    with pytest.raises(ClusterError, match="no NameServer answers") as caught:
        discover(pool, [NAMESRV])
    assert "REQUEST_CODE_NOT_SUPPORTED" in caught.value.details[0]


@pytest.mark.parametrize("nameservers", [[], ["nonsense"], ["127.0.0.1:9876", "127.0.0.1"], ["http://a:1"]])
def test_what_is_no_address_is_an_error_of_use(pool: ScriptedPool, nameservers: list[str]) -> None:
    with pytest.raises(UsageError):
        discover(pool, nameservers)
    assert pool.asked == []


def test_the_peers_of_a_spec_are_known_before_anything_runs() -> None:
    spec = ClusterSpec.pod(base_port=20000, name="t", groups=2)
    members = from_spec(spec)
    assert members.groups == ("RaftNode00", "RaftNode01")
    peer = members.one("n1", group="RaftNode01")
    assert peer.address is not None
    assert peer.service == "raftnode01-n1"
    assert len({peer.address for peer in members.peers}) == 6


def test_a_group_or_peer_that_does_not_exist_is_answered_with_those_that_do() -> None:
    one = from_spec(ClusterSpec.pod(base_port=20000, name="t"))
    with pytest.raises(NotFoundError, match="there is no group 'Raft'") as caught:
        one.of("Raft")
    assert caught.value.hint == "groups of this cluster: RaftNode00"
    with pytest.raises(NotFoundError, match="there is no peer 'n7' in group RaftNode00") as caught:
        one.one("n7")
    assert caught.value.hint == "peers of this group: n0, n1, n2"


def test_with_several_groups_one_must_be_named() -> None:
    two = from_spec(ClusterSpec.pod(base_port=20000, name="t", groups=2))
    with pytest.raises(NotFoundError, match="this cluster has 2 groups: RaftNode00, RaftNode01"):
        two.one("n0")
    with pytest.raises(NotFoundError, match="this cluster has 0 groups: none"):
        Members(()).of(None)


def test_a_followers_broker_id_is_its_number_plus_one() -> None:
    assert [peer.broker_id for peer in from_spec(ClusterSpec.pod(base_port=20000, name="t")).peers] == [1, 2, 3]
