"""What a specification promises: it is right as soon as it exists, and says what is wrong when it is not."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmqkit.errors import NotFoundError, SpecError
from rmqkit.topology.layout import TEST_CONFIG
from rmqkit.topology.spec import (
    BLOCK_SIZE,
    ClusterSpec,
    GroupSpec,
    NameServerSpec,
    PeerSpec,
    Topology,
    pod_ports_needed,
)


def peer(number: int = 0, **changes: Any) -> PeerSpec:
    fields: dict[str, Any] = {
        "id": f"n{number}",
        "listen_port": 20012 + 10 * number,
        "raft_port": 20015 + 10 * number,
        "uid": 21101 + number,
    }
    return PeerSpec(**(fields | changes))


def cluster(*peers: PeerSpec, **changes: Any) -> ClusterSpec:
    fields: dict[str, Any] = {
        "name": "t",
        "topology": Topology.HOST,
        "nameservers": (NameServerSpec(uid=21001),),
        "groups": (GroupSpec(peers=peers or (peer(0), peer(1), peer(2))),),
    }
    return ClusterSpec(**(fields | changes))


pods = st.builds(
    ClusterSpec.pod,
    base_port=st.integers(1024, 60000),
    name=st.from_regex(r"[a-z0-9][a-z0-9_-]{0,20}", fullmatch=True),
    peers=st.integers(1, 5),
    groups=st.integers(1, 4),
    nameservers=st.integers(1, 4),
    config=st.dictionaries(
        st.from_regex(r"x[A-Za-z0-9]{1,10}", fullmatch=True),
        st.from_regex(r"([!-~]([ -~]{0,10}[!-~])?)?", fullmatch=True),
        max_size=3,
    ),
)


def test_the_stock_cluster_is_the_tutorials() -> None:
    spec = ClusterSpec.stock()
    group = spec.group("RaftNode00")
    assert spec.cluster_name == "RaftCluster"
    assert spec.namesrv_addr == "127.0.0.1:9876"
    assert [p.address for p in group.peers] == ["127.0.0.1:30911", "127.0.0.1:30921", "127.0.0.1:30931"]
    assert group.dledger_peers == "n0-127.0.0.1:40911;n1-127.0.0.1:40912;n2-127.0.0.1:40913"
    assert group.quorum == 2
    assert (spec.topology, spec.restart) == (Topology.HOST, True)
    assert spec.image_ref == "rmqkit/rocketmq:store_with_dledger"


@given(spec=pods)
def test_every_port_of_a_pod_lies_in_its_own_range_and_is_claimed_once(spec: ClusterSpec) -> None:
    base = min(server.port for server in spec.nameservers)
    groups = len(spec.groups)
    needed = pod_ports_needed(peers=len(spec.groups[0].peers), groups=groups, nameservers=len(spec.nameservers))
    claimed = [port for _, member in spec.all_peers() for port in member.claimed_ports()]
    claimed += [server.port for server in spec.nameservers]
    assert len(claimed) == len(set(claimed))
    assert all(base <= port < base + needed for port in claimed)
    assert set(spec.ports()) <= set(claimed)


def test_nine_brokers_fit_into_one_block() -> None:
    assert pod_ports_needed(peers=3, groups=3, nameservers=3) <= BLOCK_SIZE < pod_ports_needed(peers=10)


def test_the_ports_of_a_cluster_are_those_that_something_listens_on() -> None:
    spec = ClusterSpec.pod(base_port=20000, name="t", peers=1)
    assert spec.ports() == (20000, 20010, 20012, 20015)  # NameServer; fast port, listen port, Raft port


@given(spec=pods)
def test_a_specification_survives_json(spec: ClusterSpec) -> None:
    again = ClusterSpec.from_json(spec.to_json())
    assert again == spec
    assert hash(again) == hash(spec)
    assert "\n" not in spec.to_json()


def test_a_specification_travels_to_another_process() -> None:
    spec = ClusterSpec.pod(base_port=20000, name="t", config={"fileReservedTime": "1"})
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert copy.deepcopy(spec) == spec


def test_nothing_of_a_specification_can_change() -> None:
    given_config = {"fileReservedTime": "1"}
    spec = cluster(config=given_config)
    given_config["fileReservedTime"] = "2"
    assert spec.config == {"fileReservedTime": "1"}
    with pytest.raises(FrozenInstanceError):
        spec.name = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        spec.config["fileReservedTime"] = "3"  # type: ignore[index]


def test_a_callers_config_wins_over_the_test_defaults() -> None:
    spec = ClusterSpec.pod(base_port=20000, name="t", config={"registerNameServerPeriod": "30000"})
    assert spec.config == {**TEST_CONFIG, "registerNameServerPeriod": "30000"}


def test_a_pod_advertises_one_address_and_keeps_its_raft_traffic_inside() -> None:
    spec = ClusterSpec.pod(base_port=20000, name="t", advertise="172.17.0.1")
    member = spec.groups[0].peer("n1")
    assert member.address == "172.17.0.1:20022"
    assert member.raft_address == "127.0.0.1:20025"
    assert spec.namesrv_addr == "172.17.0.1:20000"


def test_a_followers_broker_id_is_its_number_plus_one() -> None:
    assert [peer(number).follower_broker_id for number in range(3)] == [1, 2, 3]


@pytest.mark.parametrize(("size", "quorum"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)])
def test_a_quorum_is_more_than_half(size: int, quorum: int) -> None:
    assert GroupSpec(peers=tuple(peer(number) for number in range(size))).quorum == quorum


def test_an_unknown_peer_or_group_is_answered_with_those_that_exist() -> None:
    spec = ClusterSpec.stock()
    with pytest.raises(NotFoundError, match=r"(?s)no peer 'n9'.*n0, n1, n2"):
        spec.group("RaftNode00").peer("n9")
    with pytest.raises(NotFoundError, match=r"(?s)no group 'x'.*RaftNode00"):
        spec.group("x")


def test_replace_validates_again() -> None:
    spec = ClusterSpec.stock()
    assert spec.replace(edition="4.9.8").image_ref == "rmqkit/rocketmq:4.9.8"
    with pytest.raises(SpecError, match="broker_heap='512'"):
        spec.replace(broker_heap="512")


BAD_PEERS: list[tuple[dict[str, Any], str]] = [
    ({"id": "node0"}, "'node0'.*one letter followed by a number"),
    ({"id": "0"}, "'0'.*one letter"),
    ({"id": "n01"}, "'n01'"),
    ({"listen_port": 2}, "listen_port=2 is not a port"),
    ({"listen_port": 65535}, "65536 is not a port"),
    ({"listen_port": True}, "listen_port=True"),
    ({"raft_port": 0}, "raft_port=0"),
    ({"raft_port": 20013}, "20013 is there more than once"),
    ({"host": "10.0.0.1:99"}, "10.0.0.1:99"),
    ({"host": "::1"}, "IPv6"),
    ({"host": ""}, "host=''"),
    ({"uid": 0}, "(?s)uid=0.*nothing of the cluster runs as root"),
    ({"config": {"listenPort": "1"}}, "(?s)listenPort=1 is decided.*PeerSpec.listen_port"),
    ({"config": {"brokerId": "1"}}, "brokerId=1 is decided"),
    ({"config": {"a-b": "1"}}, "'a-b' is not a configuration key"),
    ({"config": {"ok": 1}}, '(?s)value of ok is 1, which is not text.*"1"'),
    ({"config": {"ok": "a\nb"}}, "not one trimmed line"),
    ({"config": {"ok": "ä"}}, "printable ASCII"),
]


@pytest.mark.parametrize(("changes", "words"), BAD_PEERS)
def test_a_bad_peer_is_refused_by_name_and_value(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words) as caught:
        peer(**changes)
    assert caught.value.hint


BAD_CLUSTERS: list[tuple[dict[str, Any], str]] = [
    ({"name": "Upper"}, "name='Upper'.*Compose project"),
    ({"cluster_name": "a b"}, "cluster_name='a b'"),
    ({"edition": "feature/x"}, "edition='feature/x'"),
    ({"image": "a b"}, "image='a b'"),
    ({"broker_heap": "1"}, "broker_heap='1'"),
    ({"nameserver_heap": "2t"}, "nameserver_heap='2t'"),
    ({"java_opts": "-Xss1m server"}, "java_opts='-Xss1m server' are not JVM options: 'server' begins with no dash"),
    ({"java_opts": "-Da=b\n-Dc=d"}, "java_opts=.* are not JVM options"),
    ({"store": "tmpfs"}, "(?s)store='tmpfs'.*empty after kill"),
    ({"store": "/"}, "store='/'"),
    ({"store": "limited"}, "(?s)store='limited' has no size.*limited:256m"),
    ({"store": "limited:lots"}, "store='limited:lots' has no size"),
    ({"store": "limited:256m"}, "store='limited:256m' on hosts"),
    ({"nameservers": ()}, "nameservers is empty"),
    ({"groups": ()}, "groups is empty"),
    ({"nameservers": (NameServerSpec(uid=21101),)}, "uid: 21101 is there more than once"),
    ({"nameservers": (NameServerSpec(uid=1, name="n1"),)}, "service name: n1 is there more than once"),
    ({"nameservers": (NameServerSpec(uid=1, port=20025),)}, "port 20025 on 127.0.0.1 is claimed by namesrv0"),
    ({"nameserver_config": {"listenPort": "1"}}, "(?s)listenPort=1.*NameServerSpec.port"),
    ({"topology": Topology.POD, "restart": True}, "restart=True in a pod"),
    ({"topology": Topology.POD, "advertise": "10.0.0.1"}, "hosts 127.0.0.1 in a pod that advertises 10.0.0.1"),
]


@pytest.mark.parametrize(("changes", "words"), BAD_CLUSTERS)
def test_a_bad_cluster_is_refused_by_name_and_value(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words) as caught:
        cluster(**changes)
    assert caught.value.hint


def test_two_peers_may_not_share_a_port() -> None:
    with pytest.raises(SpecError, match=r"port 20032 on 127.0.0.1 is claimed by RaftNode00/n0 and by RaftNode00/n1"):
        cluster(peer(0, raft_port=20032), peer(1, listen_port=20032))


def test_two_peers_may_not_listen_next_to_each_other() -> None:
    with pytest.raises(SpecError, match=r"listen ports 20012 and 20021 on 127.0.0.1 are 9 apart"):
        cluster(peer(0), peer(1, listen_port=20021))


def test_peers_on_different_hosts_may_use_the_same_ports() -> None:
    members = [peer(number, listen_port=30911, raft_port=40911, host=f"10.0.0.{number}") for number in range(3)]
    assert cluster(*members).groups[0].dledger_peers.count(":40911") == 3


def test_loopback_and_other_addresses_do_not_mix() -> None:
    with pytest.raises(SpecError, match=r"host 127.0.0.1 beside 10.0.0.2"):
        cluster(peer(0), peer(1, host="10.0.0.2"))


def test_two_ids_with_one_number_would_register_the_same_broker_id() -> None:
    with pytest.raises(SpecError, match="the number in a peer's id: 0 is there more than once"):
        GroupSpec(peers=(peer(0), peer(1, id="m0")))


@pytest.mark.parametrize("edition", ["4.5.1", "store_with_dledger", "4.9.4"])
def test_a_dashed_host_is_refused_where_dledger_cuts_it(edition: str) -> None:
    members = [peer(number, host=f"rmq-{number}") for number in range(3)]
    with pytest.raises(SpecError, match=r"(?s)'rmq-0' contains '-'.*takes the second part"):
        cluster(*members, edition=edition)


@pytest.mark.parametrize("edition", ["4.9.5", "4.9.8", "5.3.2"])
def test_a_dashed_host_is_allowed_where_dledger_reads_it(edition: str) -> None:
    members = [peer(number, host=f"rmq-{number}") for number in range(3)]
    assert cluster(*members, edition=edition).groups[0].peers[0].raft_address == "rmq-0:20015"


BAD_PODS: list[dict[str, Any]] = [
    {"peers": 0},
    {"groups": 0},
    {"nameservers": 0},
    {"nameservers": 11},
    {"base_port": 65500},
]


@pytest.mark.parametrize("changes", BAD_PODS)
def test_a_pod_that_cannot_be_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(SpecError):
        ClusterSpec.pod(**{"base_port": 20000, "name": "t", **changes})


BAD_JSON = ["", "[]", "{}", "null", '{"nameservers": [1], "groups": []}', '{"nameservers": [], "groups": [{}]}']


@pytest.mark.parametrize("text", BAD_JSON)
def test_text_that_is_no_specification_is_refused(text: str) -> None:
    with pytest.raises(SpecError):
        ClusterSpec.from_json(text)


def test_json_with_a_field_of_another_version_is_refused_by_name() -> None:
    text = ClusterSpec.stock().to_json().replace('"restart":true', '"restart":true,"colour":"red"')
    with pytest.raises(SpecError, match="unknown field colour"):
        ClusterSpec.from_json(text)
