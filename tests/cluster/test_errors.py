"""Bad input and failure, with a real engine: one screen that says what to do, and nothing left behind."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from leftovers import things_of

from rmqkit.cluster import Cluster, images, lifecycle
from rmqkit.cluster.engine import Engine
from rmqkit.cluster.images import BuildRequest, image_name
from rmqkit.cluster.peers import Peer
from rmqkit.cluster.ports import PortBlock, reserve_block
from rmqkit.cluster.status import ClusterStatus
from rmqkit.errors import (
    BrokerExitedError,
    ComposeError,
    ImageError,
    NoLeaderError,
    NotFoundError,
    NotReadyError,
    PortInUseError,
    ReadOnlyClusterError,
    RmqkitError,
)
from rmqkit.faults import kill_leader
from rmqkit.fixtures.hooks import editions
from rmqkit.topology.spec import ClusterSpec, pod_ports_needed
from rmqkit.waiting import Pending, wait_until

pytestmark = pytest.mark.cluster

SCREEN = 30
PLUGIN_FOLDERS = ("/usr/local/lib", "/usr/local/libexec", "/usr/lib", "/usr/libexec")


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """Whatever the test did, this process has afterwards what it had before."""
    before = things_of(os.getpid())
    yield
    assert things_of(os.getpid()) <= before


@pytest.fixture
def block() -> Iterator[PortBlock]:
    with reserve_block(pod_ports_needed()) as reserved:
        yield reserved


@pytest.fixture
def spec(pytestconfig: pytest.Config, block: PortBlock) -> ClusterSpec:
    """A cluster that nobody has started yet, of the first edition of this run."""
    edition = editions(pytestconfig)[0]
    name = f"rmqkit-errors-{os.getpid()}"
    return ClusterSpec.pod(base_port=block.base, name=name, edition=edition, image=image_name(edition))


def refused(spec: ClusterSpec, kind: type[RmqkitError], *, timeout_s: float = 60, keep: bool = False) -> RmqkitError:
    """The error with which the cluster does not start; one screen long."""
    with pytest.raises(kind) as caught, Cluster.start(spec, timeout_s=timeout_s, keep=keep):
        pytest.fail("it started")
    assert len(str(caught.value).splitlines()) <= SCREEN
    assert caught.value.hint
    return caught.value


def agreed_leader(cluster: Cluster) -> Peer:
    """Who leads, as soon as all views agree: on a busy machine an answer may be late."""
    leader = cluster.wait_ready(timeout_s=60).groups[0].leader
    assert leader is not None
    return leader


def rmqkit(*argv: str) -> subprocess.CompletedProcess[str]:
    """A command, as users run it."""
    done = subprocess.run(
        [sys.executable, "-m", "rmqkit", *argv], capture_output=True, text=True, timeout=120, check=False
    )
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= SCREEN
    return done


# ---- starting


def test_a_port_that_is_taken_is_named_before_anything_starts(spec: ClusterSpec) -> None:
    port = spec.ports()[3]
    with socket.create_server(("127.0.0.1", port)):
        error = refused(spec, PortInUseError)
    assert error.what == f"port {port} on 127.0.0.1 already taken"
    assert f"ss -ltnp 'sport = :{port}'" in error.hint


def test_a_port_that_is_taken_in_the_last_moment_is_composes_failure(
    spec: ClusterSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "ports_in_use", lambda _ports, **_: [])
    with socket.create_server(("127.0.0.1", spec.ports()[0])):
        error = refused(spec, ComposeError)
    assert error.what.startswith("docker compose up ended with exit code ")
    assert str(spec.ports()[0]) in error.details[-1]
    assert error.hint.startswith("a port was taken between the check and the start")


def test_an_image_that_was_not_built_is_answered_with_the_command_that_builds_it(spec: ClusterSpec) -> None:
    error = refused(spec.replace(edition="0.0.1", image=image_name("0.0.1")), ImageError)
    assert error.what == "there is no image rmqkit/rocketmq:0.0.1 on this engine"
    assert error.hint.endswith("rmqkit build 0.0.1")


def test_a_suite_that_asks_for_an_image_that_was_not_built_sees_the_same(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(rmq_cluster):\n    pass\n")
    result = pytester.runpytest_subprocess("--rmq-edition", "0.0.1", timeout=60)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["*ImageError: there is no image rmqkit/rocketmq:0.0.1 on this engine", "*What to do: *rmqkit build 0.0.1"]
    )


def test_a_broker_that_refuses_its_configuration_is_shown_with_its_last_lines(spec: ClusterSpec) -> None:
    """Its delay levels are no times: a broker gives up at start (ScheduleMessageService.parseDelayLevel)."""
    error = refused(spec.replace(config={**spec.config, "messageDelayLevel": "1x"}), BrokerExitedError)
    assert error.what.endswith("ended by itself (exit code 253)")
    assert any("parseDelayLevel exception" in line for line in error.details)


def test_a_start_that_takes_too_long_names_the_condition_and_every_view(spec: ClusterSpec) -> None:
    """Also when it was to be kept: what never was a cluster is not kept."""
    error = refused(spec, NotReadyError, timeout_s=0.5, keep=True)
    assert error.what.startswith("the cluster was not ready after ")
    assert "RaftNode00: DISAGREE: " in error.what
    for peer in ("n0", "n1", "n2"):
        assert any(line.startswith(f"RaftNode00/{peer} ") for line in error.details)
    assert any(line.startswith(f"NameServer {spec.nameservers[0].address}: ") for line in error.details)


def test_without_the_docker_command_line_nothing_starts(
    spec: ClusterSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    error = refused(spec, ComposeError)
    assert error.what == "Docker Compose v2 is missing: there is no `docker` in the PATH"


DOCKER_WITHOUT_COMPOSE = """#!/bin/sh
# Where Compose is installed for all users, docker finds it whatever DOCKER_CONFIG says: these are its words without it.
if [ "$1" = compose ]; then
    echo "docker: 'compose' is not a docker command." >&2
    echo "See 'docker --help'" >&2
    exit 1
fi
exec {docker} "$@"
"""


def test_an_engine_without_compose_v2_is_told_from_a_failure_of_compose(
    spec: ClusterSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    if any(Path(folder, "docker/cli-plugins/docker-compose").exists() for folder in PLUGIN_FOLDERS):
        docker = shutil.which("docker")
        assert docker is not None
        (tmp_path / "docker").write_text(DOCKER_WITHOUT_COMPOSE.format(docker=docker), encoding="utf-8")
        (tmp_path / "docker").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    error = refused(spec, ComposeError)
    assert error.what.startswith("Docker Compose v2 is missing: ")
    assert "docker compose version" in error.hint


def test_a_build_that_fails_shows_mavens_words_and_keeps_the_whole_log(
    rmq_engine: Engine, spec: ClusterSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The stand-in for Maven says what Maven says, and fails as it does."""
    (tmp_path / "rocketmq").mkdir()
    (tmp_path / "rocketmq" / "Dockerfile").write_text(
        f"FROM {spec.image_ref}\n"
        "RUN for i in $(seq 50); do echo \"[INFO] line $i\"; done; echo '[ERROR] COMPILATION ERROR : x'; exit 1\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(images, "images_dir", lambda: tmp_path)
    request = BuildRequest(edition="broken", tag="rmqkit/rocketmq:errors-test")
    with pytest.raises(ImageError, match="building image rmqkit/rocketmq:errors-test failed") as caught:
        images.build(request, engine=rmq_engine)
    assert len(str(caught.value).splitlines()) <= SCREEN
    assert any(line.startswith("[ERROR] COMPILATION ERROR") for line in caught.value.details)
    log = Path(caught.value.details[-1].removeprefix("the whole log: "))
    assert "[INFO] line 1\n" in log.read_text(encoding="utf-8")
    log.unlink()
    assert rmq_engine.image_id(request.image) is None


# ---- a cluster that runs


def test_a_cluster_is_named_by_its_run_so_that_two_of_one_spec_never_meet(
    rmq_engine: Engine, rmq_cluster: Cluster
) -> None:
    container = rmq_engine.client.containers.get(rmq_cluster.container_of(rmq_cluster.peers[0]))
    assert container.labels["com.docker.compose.project"] == rmq_cluster.run


def test_an_attached_clusters_status_names_cluster_group_and_leader(rmq_cluster: Cluster) -> None:
    leader = agreed_leader(rmq_cluster)
    done = rmqkit("status", "--namesrv", rmq_cluster.namesrv_addr)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if line.split()[:1] == ["RaftCluster"]]
    assert [row[:3] for row in rows] == [["RaftCluster", "RaftNode00", peer.id] for peer in rmq_cluster.peers]
    assert [row[2] for row in rows if row[3] == "0"] == [leader.id]
    assert f"RaftNode00: all agree, {leader.id} leads" in done.stdout


def test_nothing_of_an_attached_cluster_is_killed(rmq_cluster: Cluster) -> None:
    leader = agreed_leader(rmq_cluster)
    with Cluster.attach(rmq_cluster.namesrv_addr) as attached:
        assert agreed_leader(attached).address == leader.address
        with pytest.raises(ReadOnlyClusterError, match="cannot act on n0: this cluster is attached to"):
            kill_leader(attached).__enter__()
    done = rmqkit("kill-leader", "--namesrv", rmq_cluster.namesrv_addr)
    assert done.returncode == 2
    assert "read only" in done.stderr
    assert agreed_leader(rmq_cluster) == leader
    assert all(rmq_cluster.state(peer).running for peer in rmq_cluster.peers)


def test_a_group_or_peer_that_does_not_exist_is_answered_with_those_that_do(rmq_cluster: Cluster) -> None:
    with pytest.raises(NotFoundError, match="there is no peer 'n9' in group RaftNode00") as caught:
        rmq_cluster.peer("n9")
    assert caught.value.hint == "peers of this group: n0, n1, n2"
    with pytest.raises(NotFoundError, match="there is no group 'RaftNode99'"):
        kill_leader(rmq_cluster, group="RaftNode99").__enter__()
    for argv in (["kill-leader", "--group", "RaftNode99"], ["logs", "n9"]):
        done = rmqkit(*argv, "--run", rmq_cluster.run)
        assert done.returncode == 2
        assert "there is no" in done.stderr
        assert "What to do: " in done.stderr


@pytest.mark.parametrize("argv", [["status", "--run"], ["kill-leader", "--run"], ["logs", "--run"], ["down"]])
def test_a_run_that_does_not_exist_is_answered_with_those_that_do(rmq_cluster: Cluster, argv: list[str]) -> None:
    done = rmqkit(*argv, "no-such-run")
    assert done.returncode == 2
    assert "run 'no-such-run'" in done.stderr
    assert rmq_cluster.run in done.stderr


# ---- a cluster that has lost its quorum


@dataclass(frozen=True)
class Broken:
    """A cluster of which only the former leader runs: one follower died by itself, one was killed on purpose."""

    cluster: Cluster
    leader: Peer
    died: Peer


@pytest.fixture(scope="module")
def broken(pytestconfig: pytest.Config, rmq_engine: Engine) -> Iterator[Broken]:
    with Cluster.start(edition=editions(pytestconfig)[0], engine=rmq_engine) as cluster:
        leader = agreed_leader(cluster)
        died, killed = (peer for peer in cluster.peers if peer != leader)
        rmq_engine.kill(cluster.container_of(died))
        cluster.kill(killed)
        yield Broken(cluster, leader, died)


def test_a_broker_that_died_by_itself_is_told_from_one_that_was_killed_on_purpose(broken: Broken) -> None:
    with pytest.raises(BrokerExitedError) as caught:
        broken.cluster.check_alive()
    assert caught.value.what == f"{broken.died.service} ended by itself (exit code 137)"
    assert caught.value.details, "its last lines"


def test_without_a_quorum_there_is_no_leader_to_kill(broken: Broken) -> None:
    cluster = broken.cluster

    def leaderless() -> ClusterStatus | Pending:
        status = cluster.status()
        return status if status.groups[0].raft_leader is None else Pending(status.groups[0].summary)

    # One vote of three is no majority for anybody, as soon as the other two no longer answer.
    wait_until(leaderless, label="nobody leads", timeout_s=30)
    with pytest.raises(NoLeaderError, match="group RaftNode00 has no agreed leader") as caught:
        cluster.leader()
    assert [line.partition(":")[0] for line in caught.value.details] == ["n0", "n1", "n2"]
    done = rmqkit("kill-leader", "--run", cluster.run)
    assert done.returncode == 5
    assert "there is no leader of RaftNode00 to take out" in done.stderr
    assert cluster.state(broken.leader).running, "a refused fault touches nobody"
    assert rmqkit("status", "--run", cluster.run).returncode == 1
