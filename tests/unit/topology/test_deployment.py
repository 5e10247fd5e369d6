"""What a cluster.yaml promises: every mistake with its line, and a placement that is balanced and always the same."""

from __future__ import annotations

from collections import Counter

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rmqkit.errors import SpecError
from rmqkit.topology.brokerconf import broker_config
from rmqkit.topology.deployfile import load_deployment, parse_deployment
from rmqkit.topology.hostfiles import deployment_files
from rmqkit.topology.placement import Plan
from rmqkit.topology.spec import ClusterSpec

SPEC = """\
name: orders
edition: 4.9.8
environment: production
hosts:
  - {name: a, address: 10.0.0.1, cores: 16, memory: 32g, store: /srv/rocketmq}
  - {name: b, address: 10.0.0.2, cores: 8, memory: 16g}
  - name: c
    address: 10.0.0.3
    cores: 16
    memory: 32g
groups: 2
"""


def plan(text: str = SPEC) -> Plan:
    return load_deployment(text, source="cluster.yaml")


def test_three_hosts_get_a_nameserver_and_a_replica_of_each_group() -> None:
    made = plan()
    assert [server.address for server in made.spec.nameservers] == [f"10.0.0.{n}:9876" for n in (1, 2, 3)]
    assert [group.name for group in made.spec.groups] == ["RaftNode00", "RaftNode01"]
    for group in made.spec.groups:
        assert [peer.host for peer in group.peers] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    assert made.spec.group("RaftNode00").dledger_peers == "n0-10.0.0.1:40911;n1-10.0.0.2:40912;n2-10.0.0.3:40913"


def test_the_first_group_has_the_tutorials_ports() -> None:
    stock = ClusterSpec.stock().groups[0]
    mine = plan().spec.groups[0]
    assert [(p.listen_port, p.raft_port, p.uid) for p in mine.peers] == [
        (p.listen_port, p.raft_port, p.uid) for p in stock.peers
    ]


MISTAKES: list[tuple[str, str, int, str, str]] = [
    ("environment:", "enviroment:", 3, "enviroment: unknown key", "did you mean 'environment'"),
    ("environment: production", "environment: prod", 3, "environment: is 'prod'", "staging or production"),
    ("cores: 8", "coars: 8", 6, "hosts[1].coars: unknown key", "did you mean 'cores'"),
    ("cores: 8", "cores: eight", 6, "hosts[1].cores: is 'eight'", "digits only"),
    ("memory: 16g", "memory: 16", 6, "hosts[1].memory: memory='16' is not a size", "512m or 32g"),
    ("10.0.0.2", "10.0.0.2:9876", 6, "hosts[1].address: address='10.0.0.2:9876'", "no port"),
    ("    address: 10.0.0.3\n", "", 7, "hosts[2].address: is missing", "add `address:`"),
    ("10.0.0.3", "10.0.0.1", 4, "10.0.0.1 is there more than once", "give each its own"),
    ("name: orders", "name: Orders", 1, "name: name='Orders'", "lower-case"),
    ("groups: 2", "groups: many", 11, "groups: is 'many'", "digits"),
    ("groups: 2", "groups:\n  - {name: A, replicas: 4}", 1, "4 replicas on 3 hosts", "share_hosts"),
    ("groups: 2", "groups:\n  - {name: A, on: [a, b, x]}", 1, "there is no host 'x'", "the hosts are a, b, c"),
    ("groups: 2", "groups:\n  - {name: A, on: [a, a, b]}", 1, "names a more than once", "share_hosts"),
    ("groups: 2", "groups:\n  - {name: A, on: [a, b]}", 12, "on names 2 hosts for 3 replicas", "leave `on` out"),
    ("groups: 2", "groups: 2\ngroups: 3", 12, "groups: is there twice", "keep one"),
    ("groups: 2", "groups: 2\nshare_hosts: maybe", 12, "share_hosts: is 'maybe'", "true or false"),
    ("groups: 2", "groups: 2\nbrokers: {config: {listenPort: 1}}", 12, "listenPort=1 is decided", "ports.listen"),
    ("groups: 2", "groups: 2\nbrokers: {heap: 8}", 12, "brokers.heap: heap='8'", "512m or 8g"),
    ("groups: 2", "groups: 2\nbrokers: {memory_limit: much}", 12, "brokers.memory_limit: memory_limit='much'", "512m"),
    ("groups: 2", "groups: 2\nnameservers: {on: c}", 12, "nameservers.on: is not a list", "on: [a, b, c]"),
    ("groups: 2", "groups: 2\nports: [1]", 12, "ports: is not a mapping", "listen, raft"),
    ("store: /srv/rocketmq", "store: srv", 5, "hosts[0].store: store='srv'", "absolute"),
    ("hosts:", "hosts: [", 5, "not YAML", "indentation"),
]


@pytest.mark.parametrize(("old", "new", "line", "words", "mend"), MISTAKES)
def test_a_mistake_is_named_with_file_line_path_and_mend(old: str, new: str, line: int, words: str, mend: str) -> None:
    assert old in SPEC
    with pytest.raises(SpecError) as caught:
        plan(SPEC.replace(old, new, 1))
    matching = [text for text in caught.value.details if words in text]
    assert matching, caught.value
    assert matching[0].startswith(f"cluster.yaml:{line}: "), caught.value
    assert mend in matching[0]


def test_all_mistakes_are_told_at_once() -> None:
    broken = SPEC.replace("cores: 8", "coars: 8").replace("environment:", "enviroment:")
    with pytest.raises(SpecError, match="4 mistakes") as caught:
        plan(broken)
    assert len(caught.value.details) == 4  # two unknown keys, and what is missing for them


def test_a_file_that_is_no_mapping_is_said_so() -> None:
    assert [p.what for p in parse_deployment("- a\n").problems] == ["not a mapping of keys"]
    assert [p.what for p in parse_deployment("").problems] == ["not a mapping of keys"]


def spec_text(hosts: int, replicas: list[int], *, share: bool = False) -> str:
    return yaml.safe_dump(
        {
            "name": "t",
            "edition": "4.9.8",
            "environment": "staging",
            "hosts": [
                {"name": f"h{n}", "address": f"10.0.1.{n + 1}", "cores": 4, "memory": "64g"} for n in range(hosts)
            ],
            "groups": [{"name": f"G{n}", "replicas": count} for n, count in enumerate(replicas)],
            "share_hosts": share,
        }
    )


@given(hosts=st.integers(3, 9), replicas=st.lists(st.sampled_from([1, 3]), min_size=1, max_size=12))
@settings(deadline=None, max_examples=40)
def test_placement_is_balanced_and_no_group_has_two_replicas_on_a_host(hosts: int, replicas: list[int]) -> None:
    made = plan(spec_text(hosts, replicas))
    load = Counter({f"10.0.1.{n + 1}": 0 for n in range(hosts)})
    for group in made.spec.groups:
        addresses = [peer.host for peer in group.peers]
        assert len(set(addresses)) == len(addresses)
        load.update(addresses)
    assert max(load.values()) - min(load.values()) <= 1
    ports = [port for _, peer in made.spec.all_peers() for port in peer.claimed_ports()]
    assert len(set(ports)) == len(ports)


@given(replicas=st.lists(st.sampled_from([1, 3]), min_size=2, max_size=8))
@settings(deadline=None, max_examples=20)
def test_a_group_added_at_the_end_moves_nobody(replicas: list[int]) -> None:
    before, after = plan(spec_text(5, replicas[:-1])), plan(spec_text(5, replicas))
    assert after.spec.groups[:-1] == before.spec.groups


def test_replicas_share_a_host_only_where_that_is_asked_for() -> None:
    with pytest.raises(SpecError, match="1 mistake"):
        plan(spec_text(2, [3]))
    assert len(plan(spec_text(2, [3], share=True)).spec.groups[0].peers) == 3


def test_separate_machines_for_nameservers_and_brokers() -> None:
    text = SPEC.replace("store: /srv/rocketmq", "runs: [nameserver]") + "share_hosts: true\n"
    made = plan(text.replace("name: b,", "name: b, runs: [broker],"))
    assert [made.host_of[server.name] for server in made.spec.nameservers] == ["a", "c"]
    assert {peer.host for _, peer in made.spec.all_peers()} == {"10.0.0.2", "10.0.0.3"}


def test_the_tutorials_machines_get_the_tutorials_heaps() -> None:
    text = SPEC.replace("cores: 16, memory: 32g, store: /srv/rocketmq", "cores: 8, memory: 16g, runs: [nameserver]")
    made = plan(text.replace("groups: 2", "groups: [{name: A, replicas: 1, on: [c]}]"))
    a, _, c = made.deployment.hosts
    assert (made.nameserver_heap_mb(a), made.broker_heap_mb(c), made.broker_direct_mb(c)) == (4096, 8192, 8192)
    assert made.threads(c) == 16


def test_the_same_specification_gives_the_same_bytes() -> None:
    assert deployment_files(plan()) == deployment_files(plan(SPEC + "\n# a comment\n"))


def test_each_host_gets_its_env_the_one_compose_file_and_its_brokers_files() -> None:
    files = deployment_files(plan())
    assert sorted(path for path in files if path.startswith("b/")) == [
        "b/.env",
        "b/docker-compose.yml",
        "b/namesrv1/namesrv.conf",
        "b/raftnode00-n1/broker.conf",
        "b/raftnode01-n1/broker.conf",
    ]
    assert files["a/docker-compose.yml"] == files["b/docker-compose.yml"] == files["c/docker-compose.yml"]
    assert "build:" not in files["a/docker-compose.yml"]


def test_a_broker_conf_is_whole_commented_and_that_of_its_host() -> None:
    made = plan()
    text = deployment_files(made)["b/raftnode01-n1/broker.conf"]
    lines = text.splitlines()
    values = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    group = made.spec.groups[1]
    expected = broker_config(made.spec, group, group.peers[1])
    root = "/var/lib/rocketmq/raftnode01-n1/store"
    assert values == expected | {
        "sendMessageThreadPoolNums": "8",
        "storePathRootDir": root,
        "storePathCommitLog": f"{root}/commitlog",
    }
    for number, line in enumerate(lines):
        if line and not line.startswith("#"):
            assert lines[number - 1].startswith("# "), f"{line} has no comment"
    keys = list(values)
    assert keys[:3] == ["brokerClusterName", "brokerName", "listenPort"]
    assert deployment_files(made)["a/raftnode00-n0/broker.conf"].count("/srv/rocketmq/raftnode00-n0/store") == 2


def test_an_env_says_what_runs_here_and_where_the_others_are() -> None:
    text = deployment_files(plan())["b/.env"]
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    on = {name for name, value in values.items() if value == "1"}
    assert on == {"RMQ_NAMESRV1", "RMQ_RAFTNODE00_N1", "RMQ_RAFTNODE01_N1"}
    assert values["RMQ_RAFTNODE00_N0_HOST"] == "10.0.0.1"
    assert values["RMQ_NAMESRV_ADDR"] == "10.0.0.1:9876;10.0.0.2:9876;10.0.0.3:9876"
    assert (values["RMQ_BROKER_HEAP"], values["RMQ_SEND_THREADS"]) == ("2048m", "8")
    assert (values["RMQ_EDITION"], values["RMQ_IMAGE"]) == ("4.9.8", "rmqkit/rocketmq:4.9.8")


def test_memory_limits_are_dockers_and_none_unless_said() -> None:
    limited = SPEC + "brokers: {memory_limit: 28g}\nnameservers: {memory_limit: 6g}\n"
    lines = deployment_files(plan(limited))["a/.env"].splitlines()
    assert {"RMQ_BROKER_MEMORY=28g", "RMQ_NAMESRV_MEMORY=6g"} <= set(lines)
    assert {"RMQ_BROKER_MEMORY=0", "RMQ_NAMESRV_MEMORY=0"} <= set(deployment_files(plan())["a/.env"].splitlines())


def test_a_value_that_means_something_to_a_shell_stays_what_it_is() -> None:
    text = SPEC.replace("edition: 4.9.8", "edition: 4.9.8\nimage: reg:5000/a@sha256:1")
    assert "RMQ_IMAGE=reg:5000/a@sha256:1\n" in deployment_files(plan(text))["a/.env"]
