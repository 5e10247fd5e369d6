"""How a host's engine is called, and what is said where it fails; a scripted ``docker`` stands in for the program."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from deploy_cases import HOSTS, broker, nameserver, running

from rmqkit.deploy import shipping
from rmqkit.deploy.engines import EngineFacts, HostEngine, docker_environment, engines_of
from rmqkit.deploy.hostprobe import EngineMachine, prepare_stores
from rmqkit.deploy.site import members_of, nameservers_of, ports_of
from rmqkit.errors import EngineError, ImageError, MachineError, SpecError, UsageError
from rmqkit.topology.deployfile import load_deployment
from rmqkit.topology.deployment import HostSpec

SPEC = """\
name: orders
edition: 4.9.8
environment: staging
hosts:
  - {name: a, address: 10.0.0.1, cores: 4, memory: 8g}
  - {name: b, address: 10.0.0.2, cores: 4, memory: 8g, engine: "ssh://deployer@10.0.0.2:2222"}
  - {name: c, address: 10.0.0.3, cores: 4, memory: 8g, engine: rack-c}
groups: 1
"""
INFO = {"ServerVersion": "20.10.24", "DockerRootDir": "/var/lib/docker", "SystemTime": "2026-01-01T00:00:00.123456789Z"}
FACTS = EngineFacts("20.10.24", "/var/lib/docker", (0.0, 0.0))
Docker = Callable[[str], Path]


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    """Put a shell script in docker's place; it finds its arguments as one text in $all."""

    def put(script: str) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        log = tmp_path / "calls"
        (folder / "docker").write_text(f'#!/bin/sh\nall="$*"\necho "$all" >> {log}\n{script}\n', encoding="utf-8")
        (folder / "docker").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        return log

    return put


def test_a_host_is_reached_by_ssh_at_its_address_unless_the_specification_or_an_option_says_otherwise() -> None:
    deployment = load_deployment(SPEC, source="cluster.yaml").deployment
    found = engines_of(deployment, {"a": "unix:///run/a.sock"})
    assert {host: engine.reference for host, engine in found.items()} == {
        "a": "unix:///run/a.sock",
        "b": "ssh://deployer@10.0.0.2:2222",
        "c": "rack-c",
    }
    assert engines_of(deployment)["a"].reference == "ssh://10.0.0.1"
    with pytest.raises(UsageError, match=r"--engine names d: no host of the specification"):
        engines_of(deployment, {"d": "x"})


def test_an_address_is_given_as_host_and_a_name_as_context() -> None:
    assert HostEngine("a", "ssh://10.0.0.1").command("ps") == ["docker", "--host", "ssh://10.0.0.1", "ps"]
    assert HostEngine("a", "rack-c").command("ps") == ["docker", "--context", "rack-c", "ps"]
    assert HostEngine("here").command("ps") == ["docker", "ps"]


@pytest.mark.parametrize("text", ["http://10.0.0.1", "ssh://", "unix://relative", "two words", "-x", "ssh://a b"])
def test_what_is_no_engine_is_refused_in_the_specification(text: str) -> None:
    with pytest.raises(SpecError, match="neither a DOCKER_HOST nor the name of a Docker context"):
        HostSpec(name="a", address="10.0.0.1", cores=1, memory_mb=2048, engine=text)


def test_what_the_users_shell_says_of_docker_and_of_brokers_does_not_reach_a_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "RMQ_BROKER_HEAP", "COMPOSE_FILE"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("DOCKER_CERT_PATH", "kept")
    left = docker_environment()
    assert not {"DOCKER_HOST", "DOCKER_CONTEXT", "RMQ_BROKER_HEAP", "COMPOSE_FILE"} & set(left)
    assert left["DOCKER_CERT_PATH"] == "kept"


def test_an_engine_that_answers_tells_its_clock(docker: Docker) -> None:
    docker(f"echo '{json.dumps(INFO)}'")
    facts = HostEngine("a", "rack-c").facts()
    assert facts.root == "/var/lib/docker"
    assert facts.ahead_s[0] <= facts.ahead_s[1]


@pytest.mark.parametrize(
    "script",
    [
        "echo 'Cannot connect to the Docker daemon' >&2; exit 1",
        """echo '{"ServerErrors": ["error during connect: ssh: Connection refused"]}'; exit 1""",
        "echo 'context not found' >&2; exit 1",
        "echo nonsense",
    ],
)
def test_an_engine_that_does_not_answer_is_named_with_its_host_and_how_to_try_it(docker: Docker, script: str) -> None:
    docker(script)
    with pytest.raises(EngineError) as caught:
        HostEngine("rmq-b", "ssh://10.0.0.2").facts()
    text = str(caught.value)
    assert text.startswith("rmq-b: its Docker engine is not reached at ssh://10.0.0.2")
    assert "docker --host ssh://10.0.0.2 info" in text
    assert "--engine rmq-b=" in text


def test_without_docker_that_is_what_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match="there is no `docker` in the PATH"):
        HostEngine("a", "x").facts()


# ---- the image


def ids(**by_host: str) -> str:
    """A docker that knows the image under these ids; ``here`` is this machine's."""
    lines = [f"""*"--context {host} image inspect"*) echo {text}; exit 0;;""" for host, text in by_host.items()]
    here = f"echo {by_host['here']}; exit 0" if "here" in by_host else "echo 'No such image' >&2; exit 1"
    return "case $all in " + "\n".join(lines) + f"\n'image inspect'*) {here};; esac\necho 'No such image' >&2; exit 1"


ENGINES = [HostEngine(host, host) for host in HOSTS]


def test_the_image_of_this_machine_goes_to_those_that_have_another_or_none(docker: Docker) -> None:
    docker(ids(here="id1", a="id1", b="id2"))
    plan = shipping.planned("i:1", ENGINES)
    assert (plan.image_id, plan.source.host) == ("id1", "this machine")
    assert [engine.host for engine in plan.targets] == ["b", "c"]


def test_without_one_here_it_is_taken_from_a_host_that_has_it(docker: Docker) -> None:
    docker(ids(b="id2"))
    plan = shipping.planned("i:1", ENGINES)
    assert (plan.source.host, [engine.host for engine in plan.targets]) == ("b", ["a", "c"])


def test_an_image_that_is_nowhere_and_images_that_differ_are_told_with_the_hosts(docker: Docker) -> None:
    docker(ids())
    with pytest.raises(ImageError, match=r"image i:1 is absent: .* and none on a, b, c"):
        shipping.planned("i:1", ENGINES)
    docker(ids(a="id1", b="id2"))
    with pytest.raises(ImageError) as caught:
        shipping.planned("i:1", ENGINES)
    assert caught.value.details == ("a: id1", "b: id2")


def test_a_load_that_fails_names_the_host_and_both_ends(docker: Docker) -> None:
    docker("""case $all in save*) echo bytes;; *load) echo 'no space left on device' >&2; exit 1;; esac""")
    plan = shipping.Shipment("i:1", "id1", shipping.HERE, (HostEngine("rmq-b", "b"),))
    with pytest.raises(ImageError) as caught:
        shipping.ship(plan, on_step=lambda _text: None)
    text = str(caught.value)
    assert text.startswith("rmq-b (b): image i:1 could not be shipped there from this machine")
    assert "load: no space left on device" in text


def test_an_image_that_arrives_as_another_one_is_not_taken_for_it(docker: Docker) -> None:
    docker("""case $all in save*) echo bytes;; *load) cat > /dev/null;; *inspect*) echo id9;; esac""")
    plan = shipping.Shipment("i:1", "id1", shipping.HERE, (HostEngine("rmq-b", "b"),))
    with pytest.raises(ImageError, match="arrived there as another one"):
        shipping.ship(plan, on_step=lambda _text: None)


def test_a_pull_that_fails_and_pulls_that_differ_are_told_by_host(docker: Docker) -> None:
    docker("echo 'pull access denied' >&2; exit 1")
    with pytest.raises(ImageError, match=r"a \(a\): could not pull image i:1"):
        shipping.pull("i:1", ENGINES, on_step=lambda _text: None)
    docker("""case $all in *"--context c image"*) echo id2;; *inspect*) echo id1;; esac""")
    with pytest.raises(ImageError) as caught:
        shipping.pull("i:1", ENGINES, on_step=lambda _text: None)
    assert caught.value.details == ("a: id1", "b: id1", "c: id2")


# ---- the host


LOOKED = """\
== proc net/fib_trie
  |-- 10.0.0.1
     /32 host LOCAL
== proc net/tcp
  sl  local_address rem_address   st
   0: 00000000:2694 00000000:0000 0A
   1: 00000000:0050 00000000:0000 0A
== proc net/tcp6
== proc meminfo
MemTotal:  8388608 kB
== proc sys/net/ipv4/ip_local_port_range
32768 60999
== proc sys/net/ipv4/ip_local_reserved_ports
40911-40913
== nofile
1048576
== cores
8
"""


def test_a_host_is_looked_at_through_its_engine_and_our_own_ports_are_in_nobodys_way(docker: Docker) -> None:
    log = docker(f"cat <<'X'\n{LOOKED}X\n")
    facts = EngineMachine(
        HostEngine("a", "a"),
        FACTS,
        image="i:1",
        ours=frozenset({9876}),
    ).facts(())
    assert facts.addresses == {"10.0.0.1"}
    assert (facts.memory_mb, facts.cores, facts.engine_nofile) == (8192, 8, 1048576)
    assert facts.listening == {80}
    assert facts.reserved == {40911, 40912, 40913}
    assert "readonly" in log.read_text(encoding="utf-8")


def test_a_host_that_cannot_be_looked_at_is_named(docker: Docker) -> None:
    docker("echo 'sh: not found' >&2; exit 127")
    with pytest.raises(MachineError, match=r"rmq-b .*could not look at that host"):
        EngineMachine(HostEngine("rmq-b", "b"), FACTS, image="i:1").facts(())


def test_a_store_that_is_somebody_elses_is_not_given_away(docker: Docker) -> None:
    docker("echo 'made /stores/0'; echo 'taken /stores/1 1000'; exit 3")
    with pytest.raises(MachineError) as caught:
        prepare_stores(HostEngine("rmq-b", "b"), {"/srv/x": 21101, "/srv/y": 21102}, image="i:1")
    assert caught.value.details == ("/srv/y: owner 1000, wanted 21102",)
    docker("echo 'made /stores/0'")
    assert prepare_stores(HostEngine("rmq-b", "b"), {"/srv/x": 21101}, image="i:1") == ["/srv/x"]


# ---- what containers say of the cluster


def test_brokers_are_asked_where_their_containers_were_told_to_be() -> None:
    settings = {
        "RMQ_CONF_dLegerGroup": "RaftNode00",
        "RMQ_CONF_brokerIP1": "10.0.0.1",
        "RMQ_CONF_listenPort": "30911",
        "RMQ_CONF_namesrvAddr": "10.0.0.1:9876;10.0.0.2:9876",
    }
    present = [running(broker("a", "n0", **settings)), running(nameserver("a", "namesrv0", RMQ_CONF_listenPort="9876"))]
    (peer,) = members_of(present).peers
    assert (peer.group, peer.id, peer.address, peer.raft_address) == (
        "RaftNode00",
        "n0",
        "10.0.0.1:30911",
        "10.0.0.1:40911",
    )
    assert nameservers_of(present) == ["10.0.0.1:9876", "10.0.0.2:9876"]
    assert ports_of([each.container for each in present]) == {9876, 30909, 30911, 30912, 40911}
    assert ports_of([running(broker("a", "n0", **settings), status="exited").container]) == frozenset()
