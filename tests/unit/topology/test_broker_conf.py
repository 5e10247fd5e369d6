"""What broker.conf and namesrv.conf hold, and who wins where two say the same."""

from __future__ import annotations

from dataclasses import replace

from rmqkit.topology.brokerconf import broker_config, nameserver_config
from rmqkit.topology.spec import ClusterSpec, GroupSpec

TUTORIAL = """\
brokerClusterName=RaftCluster
brokerName=RaftNode00
listenPort=30911
namesrvAddr=127.0.0.1:9876
enableDLegerCommitLog=true
dLegerGroup=RaftNode00
dLegerPeers=n0-127.0.0.1:40911;n1-127.0.0.1:40912;n2-127.0.0.1:40913
dLegerSelfId=n0
"""


def test_the_first_peer_of_the_stock_cluster_has_the_tutorials_broker_conf() -> None:
    spec = ClusterSpec.stock()
    group = spec.groups[0]
    config = broker_config(spec, group, group.peers[0])
    assert dict(line.split("=", 1) for line in TUTORIAL.splitlines()).items() <= config.items()
    assert config["storePathCommitLog"] == f"{config['storePathRootDir']}/commitlog"
    assert config["sendMessageThreadPoolNums"] == "auto"


def test_every_broker_is_told_what_to_advertise() -> None:
    """Left to itself it takes the first interface it finds, and followers then copy from the wrong address."""
    spec = ClusterSpec.pod(base_port=20000, name="t", advertise="10.1.2.3")
    assert {broker_config(spec, g, p)["brokerIP1"] for g, p in spec.all_peers()} == {"10.1.2.3"}


def test_a_peers_own_key_wins_over_the_clusters() -> None:
    spec = ClusterSpec.stock(config={"fileReservedTime": "48", "deleteWhen": "04"})
    first, *others = spec.groups[0].peers
    group = GroupSpec(peers=(replace(first, config={"fileReservedTime": "1"}), *others))
    spec = spec.replace(groups=(group,))
    assert broker_config(spec, group, group.peers[0])["fileReservedTime"] == "1"
    assert broker_config(spec, group, group.peers[0])["deleteWhen"] == "04"
    assert broker_config(spec, group, group.peers[1])["fileReservedTime"] == "48"


def test_test_clusters_register_as_often_as_a_broker_allows() -> None:
    spec = ClusterSpec.pod(base_port=20000, name="t")
    config = broker_config(spec, spec.groups[0], spec.groups[0].peers[0])
    assert config["registerNameServerPeriod"] == "10000"


def test_every_broker_registers_with_every_nameserver() -> None:
    spec = ClusterSpec.pod(base_port=20000, name="t", nameservers=3)
    for group, peer in spec.all_peers():
        assert broker_config(spec, group, peer)["namesrvAddr"] == "127.0.0.1:20000;127.0.0.1:20001;127.0.0.1:20002"


def test_a_nameserver_listens_on_its_port_and_takes_further_keys() -> None:
    spec = ClusterSpec.stock(nameserver_config={"scanNotActiveBrokerInterval": "5000"})
    expected = {"listenPort": "9876", "scanNotActiveBrokerInterval": "5000"}
    assert nameserver_config(spec, spec.nameservers[0]) == expected
