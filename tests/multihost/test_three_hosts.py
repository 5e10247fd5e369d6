"""One specification on three hosts: deployed, seen, survived by the end of a whole host, taken down."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from commands import EDITION, Ran, rmqkit, write_spec
from hosts import Host

from rmqkit.checks import Thresholds, VerdictStatus, judge, longest_gap_s
from rmqkit.cluster import Cluster
from rmqkit.cluster.topics import create_topic, wait_topic_everywhere
from rmqkit.deploy import shipping
from rmqkit.deploy.engines import HostEngine
from rmqkit.deploy.hostprobe import prepare_stores
from rmqkit.errors import MachineError, NoLeaderError
from rmqkit.history import History
from rmqkit.load import SteadyTraffic, read_back
from rmqkit.scenario import replica_addresses
from rmqkit.waiting import wait_until

pytestmark = pytest.mark.cluster

PROCESSES = 6


@contextmanager
def listening(host: Host, port: int) -> Iterator[None]:
    """Somebody else's process on a host that has a port."""
    code = f"import socket; s = socket.create_server(('0.0.0.0', {port})); print('there', flush=True); s.accept()"
    command = ["nsenter", f"--net=/run/netns/{host.namespace}", sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"there\n"
            yield
        finally:
            process.kill()


def namesrv_addr(over: Sequence[Host]) -> str:
    return ";".join(f"{host.address}:9876" for host in over)


@pytest.fixture(scope="module")
def spec(three_hosts: tuple[Host, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_spec(tmp_path_factory.mktemp("deploy") / "cluster.yaml", three_hosts)


@pytest.fixture(scope="module")
def deployed(spec: Path, three_hosts: tuple[Host, ...]) -> Iterator[Ran]:
    """The first deploy's answer; what it made is taken down at the end, volumes too."""
    try:
        ran = rmqkit("deploy", spec, "--json", "--timeout", 300)
        assert ran.code == 0, str(ran)
        yield ran
    finally:
        gone = rmqkit("down", spec, "--volumes")
    assert gone.code == 0, str(gone)
    for host in three_hosts:
        assert host.docker("ps", "--all", "--quiet") == ""
        assert host.docker("volume", "ls", "--quiet") == ""


@pytest.mark.long
def test_an_image_that_is_nowhere_is_told_before_anything_starts(three_hosts: tuple[Host, ...], tmp_path: Path) -> None:
    ran = rmqkit("deploy", write_spec(tmp_path / "cluster.yaml", three_hosts, image="nobody/has:this"))
    assert ran.code == 4, str(ran)
    assert "image nobody/has:this is absent" in ran.err
    assert "rmq-a, rmq-b, rmq-c" in ran.err
    assert not any(host.docker("ps", "--all", "--quiet") for host in three_hosts)


def test_an_engine_that_is_not_reached_is_told_by_its_host(spec: Path, three_hosts: tuple[Host, ...]) -> None:
    ran = rmqkit("deploy", spec, "--engine", "rmq-b=unix:///nonexistent/docker.sock")
    assert ran.code == 4, str(ran)
    assert ran.err.splitlines()[0].startswith("rmqkit: rmq-b: its Docker engine is not reached")
    assert len(ran.err.splitlines()) < 25
    assert not any(host.docker("ps", "--all", "--quiet") for host in three_hosts)


def test_one_deploy_ships_the_image_and_starts_everything_until_all_views_agree(
    deployed: Ran, spec: Path, three_hosts: tuple[Host, ...]
) -> None:
    said = json.loads(deployed.out)
    assert said["shipped"] == [host.name for host in three_hosts]
    assert [change["act"] for change in said["changes"]] == ["create"] * PROCESSES
    assert said["healthy"]
    assert [row["well"] for row in said["processes"]] == [True] * PROCESSES
    ids = {host.docker("image", "inspect", "--format", "{{.Id}}", f"rmqkit/rocketmq:{EDITION}") for host in three_hosts}
    assert len(ids) == 1
    with Cluster.attach(namesrv_addr(three_hosts)) as cluster:
        status = cluster.status()
        assert status.healthy
        (group,) = status.groups
        assert {view.peer.address.partition(":")[0] for view in group.peers if view.peer.address} == {
            host.address for host in three_hosts
        }


def test_a_second_deploy_changes_nothing_and_says_so(deployed: Ran, spec: Path, three_hosts: tuple[Host, ...]) -> None:
    def started() -> list[str]:
        return [host.docker("ps", "--format", "{{.ID}} {{.CreatedAt}}", "--no-trunc") for host in three_hosts]

    before = started()
    ran = rmqkit("deploy", spec)
    assert ran.code == 0, str(ran)
    assert f"nothing changed: all {PROCESSES} processes run as the specification says" in ran.out
    assert started() == before


def test_acknowledged_messages_survive_the_end_of_a_whole_host(
    deployed: Ran, spec: Path, three_hosts: tuple[Host, ...]
) -> None:
    history = History()
    topic = "host_ends"
    with Cluster.attach(namesrv_addr(three_hosts), timeout_s=240) as cluster:
        cluster.wait_ready()
        for peer in cluster.peers:
            assert peer.address is not None
            history.add_peer(peer.address, peer.group)
        create_topic(cluster, topic, queues=8)
        wait_topic_everywhere(cluster, topic)
        leader = cluster.leader()
        assert leader.address is not None
        victim = next(host for host in three_hosts if leader.address.startswith(f"{host.address}:"))
        with SteadyTraffic(cluster.nameservers, topic=topic, history=history, rate=100) as traffic:
            traffic.wait_acknowledged(100, timeout_s=60)
            began = time.monotonic()
            victim.power_off()
            history.add_fault("host-off", "injected", victim.name)
            traffic.wait_acknowledged(100, timeout_s=120)
            successor = wait_until(
                cluster.leader, label="all that are left agree", timeout_s=60, every_s=0.2, tolerate=(NoLeaderError,)
            )
            assert successor != leader
            seen = rmqkit("status", spec)
            assert seen.code == 1, str(seen)
            assert f"{victim.name}: its Docker engine is not reached" in seen.out
            assert f"{successor} leads" in seen.out
            victim.power_on()
            history.add_fault("host-off", "healed", victim.name)
            cluster.wait_ready()
            history.add_fault("host-off", "restored", victim.name)
            back_s = time.monotonic() - began
            traffic.wait_acknowledged(100, timeout_s=60)
        cluster.wait_caught_up()
        unread = read_back(cluster.pool, replica_addresses(cluster.peers), topic=topic, history=history)
        assert unread == {}
        verdict = judge(history, Thresholds(min_acked_before=100, min_acked_after=50, min_replicas=3))
        print(f"{victim.name} off: nothing acknowledged for {longest_gap_s(history):.1f} s; whole again {back_s:.1f} s")
        print(verdict)
        assert verdict.status is VerdictStatus.PASSED, str(verdict)
        assert longest_gap_s(history) > 1.0, "nothing was interrupted: was the host really off?"


@pytest.mark.long
def test_a_port_that_somebody_has_is_told_by_its_host(three_hosts: tuple[Host, ...], tmp_path: Path) -> None:
    other = write_spec(
        tmp_path / "cluster.yaml",
        three_hosts,
        name="other",
        nameservers={"heap": "256m", "port": 19876},
        ports={"listen": 31911, "raft": 41911},
    )
    with listening(three_hosts[1], 31921):
        ran = rmqkit("deploy", other)
    assert ran.code == 4, str(ran)
    assert "rmq-b: port 31921 is taken by something that is not of this deployment" in ran.err
    assert not any("other" in host.docker("ps", "--all", "--format", "{{.Names}}") for host in three_hosts)


@pytest.mark.long
def test_store_directories_are_made_for_the_users_that_write_there(
    three_hosts: tuple[Host, ...], tmp_path: Path
) -> None:
    engine, image = HostEngine("rmq-a", three_hosts[0].engine), f"rmqkit/rocketmq:{EDITION}"
    shipping.ship(shipping.planned(image, [engine]), on_step=print)
    fresh, used = tmp_path / "fresh" / "n0", tmp_path / "used"
    assert prepare_stores(engine, {str(fresh): 21101}, image=image) == [str(fresh)]
    assert fresh.stat().st_uid == 21101
    assert prepare_stores(engine, {str(fresh): 21101}, image=image) == []
    used.mkdir()
    (used / "somebodys").write_text("file", encoding="utf-8")
    with pytest.raises(MachineError, match="a store directory belongs to somebody else"):
        prepare_stores(engine, {str(used): 21101}, image=image)
    assert used.stat().st_uid == os.getuid()
