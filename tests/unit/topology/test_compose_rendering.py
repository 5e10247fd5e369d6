"""What the rendered Compose file promises, read back through a YAML library, in both topologies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rmqkit.errors import SpecError
from rmqkit.topology import names
from rmqkit.topology.brokerconf import DATA_DIR, broker_config, nameserver_config
from rmqkit.topology.compose import render_compose, volume_name
from rmqkit.topology.layout import TEST_JAVA_OPTS
from rmqkit.topology.spec import ClusterSpec, GroupSpec, PeerSpec, Topology

LABELS = {"rmqkit.run": "r1", "rmqkit.spec": '{"a": "$b"}'}

_INNERMOST = re.compile(r"(?<!\$)\$\{(\w+):-([^${}]*)\}")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
few = settings(deadline=None, max_examples=25)


def interpolated(value: Any) -> Any:
    """What Compose makes of a value when no variable is set: ``${name:-default}``, from the inside out."""
    if isinstance(value, dict):
        return {key: interpolated(item) for key, item in value.items()}
    if isinstance(value, list):
        return [interpolated(item) for item in value]
    if not isinstance(value, str):
        return value
    while (again := _INNERMOST.sub(r"\2", value)) != value:
        value = again
    return value


def document(spec: ClusterSpec, **options: Any) -> dict[str, Any]:
    tree: dict[str, Any] = yaml.load(render_compose(spec, **options), Loader=_LOADER)
    return tree


def pod(**changes: Any) -> ClusterSpec:
    fields: dict[str, Any] = {"base_port": 20000, "name": "t", **changes}
    return ClusterSpec.pod(**fields)


def configuration(service: Mapping[str, Any]) -> dict[str, str]:
    """The RMQ_CONF_ part of a service's environment, as the image's entrypoint reads it."""
    prefix = "RMQ_CONF_"
    environment = service["environment"].items()
    return {key.removeprefix(prefix): value.replace("$$", "$") for key, value in environment if key.startswith(prefix)}


specs = st.one_of(
    st.builds(
        pod,
        peers=st.integers(1, 3),
        groups=st.integers(1, 3),
        nameservers=st.integers(1, 3),
        config=st.sampled_from([{}, {"fileReservedTime": "1"}, {"note": "100$ ${HOME} \\ \"'"}]),
        nameserver_config=st.sampled_from([{}, {"scanNotActiveBrokerInterval": "5000"}]),
    ),
    st.builds(
        ClusterSpec.stock,
        edition=st.sampled_from(["store_with_dledger", "4.9.8"]),
        config=st.sampled_from([{}, {"sendMessageThreadPoolNums": "auto"}, {"note": "100$ ${HOME}"}]),
    ),
)


@given(spec=specs)
@few
def test_every_process_gets_exactly_its_configuration(spec: ClusterSpec) -> None:
    services = document(spec)["services"]
    for group, peer in spec.all_peers():
        service = services[spec.service_of(group, peer)]
        assert configuration(service) == broker_config(spec, group, peer)
        assert service["environment"]["RMQ_HEAP"] == spec.broker_heap
        assert (service["command"], service["user"]) == (["broker"], str(peer.uid))
    for server in spec.nameservers:
        service = services[server.name]
        assert configuration(service) == nameserver_config(spec, server)
        assert service["environment"]["RMQ_HEAP"] == spec.nameserver_heap
        assert (service["command"], service["user"]) == (["namesrv"], str(server.uid))


@given(spec=specs)
@few
def test_no_process_is_root_or_has_a_privilege(spec: ClusterSpec) -> None:
    for service in document(spec)["services"].values():
        assert int(service["user"]) > 0
        assert service["cap_drop"] == ["ALL"]
        assert "privileged" not in service
        assert "cap_add" not in service


@given(spec=specs)
@few
def test_every_service_runs_the_same_image_and_one_at_most_builds_it(spec: ClusterSpec) -> None:
    services = document(spec)["services"].values()
    assert {service["image"] for service in services} == {spec.image_ref}
    assert sum("build" in service for service in services) == (1 if spec.topology is Topology.HOST else 0)
    assert {service["pull_policy"] for service in services} == {"never"}


@given(spec=specs)
@few
def test_everything_carries_the_labels(spec: ClusterSpec) -> None:
    tree = document(spec, labels=LABELS)
    things = [*tree["services"].values(), *tree["volumes"].values(), *tree.get("networks", {}).values()]
    assert things
    for thing in things:
        labels = {key: value.replace("$$", "$") for key, value in thing["labels"].items()}
        assert LABELS.items() <= labels.items()
        assert labels[names.LABEL_EDITION] == spec.edition
        assert labels[names.LABEL_ROLE] in (names.ROLE_NET, names.ROLE_NAMESERVER, names.ROLE_BROKER)


@given(spec=specs)
@few
def test_every_process_keeps_its_data_on_a_volume_of_its_own(spec: ClusterSpec) -> None:
    tree = document(spec)
    mounts = [
        mount for name, service in tree["services"].items() for mount in service.get("volumes", []) if name != "net"
    ]
    assert sorted(mounts) == sorted(f"{volume}:{DATA_DIR}" for volume in tree["volumes"])
    assert len(mounts) == len(spec.nameservers) + len(spec.all_peers())


@given(spec=specs)
@few
def test_comments_change_nothing_that_is_read(spec: ClusterSpec) -> None:
    assert document(spec, comments=True) == document(spec)


@given(spec=specs)
@few
def test_the_same_specification_gives_the_same_bytes(spec: ClusterSpec) -> None:
    again = ClusterSpec.from_json(spec.to_json())
    assert render_compose(again, labels=LABELS) == render_compose(spec, labels=LABELS)


def test_a_pod_publishes_every_port_on_loopback_under_the_same_number_and_nothing_else() -> None:
    spec = pod(groups=2, nameservers=2)
    services = document(spec)["services"]
    assert services["net"]["ports"] == [f"127.0.0.1:{port}:{port}" for port in spec.ports()]
    assert [name for name, service in services.items() if "ports" in service] == ["net"]


def test_a_pod_is_published_on_the_address_that_it_advertises_too() -> None:
    spec = pod(advertise="172.17.0.1", peers=1)
    services = document(spec)["services"]
    assert services["net"]["ports"] == [
        f"{address}:{port}:{port}" for address in ("127.0.0.1", "172.17.0.1") for port in spec.ports()
    ]
    assert configuration(services["n0"])["brokerIP1"] == "172.17.0.1"
    assert configuration(services["n0"])["namesrvAddr"] == "127.0.0.1:20000"


def test_a_name_that_a_pod_advertises_is_not_an_address_to_publish_on() -> None:
    services = document(pod(advertise="host.docker.internal", peers=1))["services"]
    assert {mapping.split(":")[0] for mapping in services["net"]["ports"]} == {"127.0.0.1"}


def test_all_processes_of_a_pod_share_the_network_of_one_that_idles() -> None:
    services = document(pod())["services"]
    net = services.pop("net")
    assert net["command"] == ["idle"]
    assert "network_mode" not in net
    assert net["tmpfs"] == [DATA_DIR]  # no nameless volume is left behind
    assert {service["network_mode"] for service in services.values()} == {"service:net"}


def test_a_killed_broker_of_a_pod_stays_dead_and_nothing_probes_it() -> None:
    for service in document(pod())["services"].values():
        assert "restart" not in service
        assert service["healthcheck"] == {"disable": True}


def test_brokers_start_after_the_nameservers() -> None:
    assert document(pod(nameservers=2))["services"]["n0"]["depends_on"] == ["namesrv0", "namesrv1"]
    stock = document(ClusterSpec.stock())["services"]["n0"]
    assert stock["depends_on"] == {"namesrv0": {"condition": "service_started", "required": False}}


def test_groups_have_services_of_their_own() -> None:
    services = document(pod(groups=2, peers=2))["services"]
    assert list(services) == ["net", "namesrv0", *(f"raftnode0{g}-n{p}" for g in range(2) for p in range(2))]
    assert services["raftnode01-n0"]["labels"][names.LABEL_GROUP] == "RaftNode01"
    assert services["raftnode01-n0"]["labels"][names.LABEL_PEER] == "n0"


def test_a_peers_own_key_reaches_that_peer_alone_and_wins() -> None:
    base = ClusterSpec.stock()
    own = {"fileReservedTime": "1", "sendMessageThreadPoolNums": "3"}
    first, *others = base.groups[0].peers
    changed = PeerSpec(id=first.id, listen_port=first.listen_port, raft_port=first.raft_port, uid=first.uid, config=own)
    spec = base.replace(groups=(GroupSpec(peers=(changed, *others)),), config={"fileReservedTime": "9"})
    services = document(spec)["services"]
    assert own.items() <= configuration(services["n0"]).items()
    assert configuration(services["n1"])["fileReservedTime"] == "9"
    assert "sendMessageThreadPoolNums" not in configuration(services["n1"])


def test_stores_can_lie_in_a_directory_of_the_host() -> None:
    tree = document(ClusterSpec.stock(store="/srv/rmq"))
    assert "volumes" not in tree
    assert tree["services"]["n1"]["volumes"] == [f"/srv/rmq/n1:{DATA_DIR}"]


def test_limited_stores_have_a_size_and_are_held_by_the_net_container() -> None:
    """A tmpfs volume is emptied when its last container ends: the one that outlives every broker mounts it too."""
    tree = document(pod(store="limited:256m"))
    for name in ("n0", "n1", "n2"):
        stored = tree["volumes"][volume_name(name)]["driver_opts"]
        assert stored == {"type": "tmpfs", "device": "tmpfs", "o": "size=256m,mode=1777"}
        assert f"{volume_name(name)}:{DATA_DIR}" in tree["services"][name]["volumes"]
        assert f"{volume_name(name)}:/hold/{name}" in tree["services"]["net"]["volumes"]
    assert "driver_opts" not in tree["volumes"][volume_name("namesrv0")]
    assert "volumes" not in document(pod())["services"]["net"]


def test_clocks_of_their_own_are_the_brokers_and_only_when_asked_for() -> None:
    services = document(pod(own_clocks=True))["services"]
    having = {name for name, each in services.items() if "RMQ_FAKETIME" in each.get("environment", {})}
    assert having == {"n0", "n1", "n2"}
    assert "RMQ_FAKETIME" not in render_compose(pod())


def test_production_is_restarted_watched_and_bounded() -> None:
    for service in document(ClusterSpec.stock())["services"].values():
        assert service["restart"] == "unless-stopped"
        assert service["network_mode"] == "host"
        assert service["healthcheck"]["test"] == ["CMD", "rmq", "health"]
        assert service["logging"]["options"]["max-size"]
        assert service["ulimits"]["nofile"]
        assert service["stop_grace_period"] == "30s"


def test_a_test_cluster_starts_with_the_quick_compiler_and_its_options_can_be_others() -> None:
    def options(spec: ClusterSpec) -> set[str | None]:
        services = document(spec)["services"]
        return {services[name]["environment"].get("RMQ_JAVA_OPTS") for name in ("namesrv0", "n0", "n1", "n2")}

    assert options(pod()) == {TEST_JAVA_OPTS}
    assert options(pod().replace(java_opts="-Da=b$c -Xss1m")) == {"-Da=b$$c -Xss1m"}
    assert options(pod().replace(java_opts="")) == {None}
    assert options(ClusterSpec.stock()) == {""}


def test_a_pod_has_no_variables() -> None:
    with pytest.raises(SpecError, match="parametrized=True for a pod"):
        render_compose(pod(), parametrized=True)


@given(
    spec=st.builds(
        ClusterSpec.stock,
        edition=st.sampled_from(["store_with_dledger", "4.9.8"]),
        broker_heap=st.sampled_from(["512m", "8g"]),
        java_opts=st.sampled_from(["", "-XX:+UseG1GC -Da=b"]),
        store=st.sampled_from(["volume", "/srv/rmq"]),
        restart=st.booleans(),
        image=st.sampled_from([None, "own/rocketmq:1"]),
        config=st.sampled_from([{}, {"sendMessageThreadPoolNums": "auto", "note": "100$"}]),
    )
)
@few
def test_variables_without_values_mean_what_is_written_out(spec: ClusterSpec) -> None:
    assert interpolated(document(spec, parametrized=True, labels=LABELS)) == document(spec, labels=LABELS)


def test_a_volume_is_named_after_its_service() -> None:
    assert volume_name("n0") == "n0-data"
    assert "n0-data" in document(pod())["volumes"]


def test_a_release_is_built_as_a_release_and_a_branch_by_git_with_its_release_to_fall_back_on() -> None:
    def arguments(edition: str) -> dict[str, str]:
        build = document(ClusterSpec.stock(edition=edition))["services"]["namesrv0"]["build"]
        return {key: build["args"][key] for key in ("SOURCE", "VERSION", "ROCKETMQ_REF")}

    assert arguments("4.9.8") == {"SOURCE": "release", "VERSION": "4.9.8", "ROCKETMQ_REF": "4.9.8"}
    assert arguments("store_with_dledger") == {
        "SOURCE": "auto",
        "VERSION": "4.5.1",
        "ROCKETMQ_REF": "store_with_dledger",
    }


def test_a_peer_that_is_reached_elsewhere_by_its_group_says_so_in_the_peers_of_all() -> None:
    base = ClusterSpec.stock()
    first, *others = base.groups[0].peers
    spec = base.replace(groups=(GroupSpec(peers=(replace(first, raft_host="127.0.0.9"), *others)),))
    for parametrized in (False, True):
        services = interpolated(document(spec, parametrized=parametrized))["services"]
        peers = "n0-127.0.0.9:40911;n1-127.0.0.1:40912;n2-127.0.0.1:40913"
        assert {configuration(services[f"n{number}"])["dLegerPeers"] for number in range(3)} == {peers}
        assert configuration(services["n0"])["brokerIP1"] == "127.0.0.1"
