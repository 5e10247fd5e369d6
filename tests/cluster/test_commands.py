"""The commands to their good end, against a running cluster: what they print is what the cluster did."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rmqkit.checks import VerdictStatus, judge
from rmqkit.cluster import Cluster
from rmqkit.cluster.engine import Engine
from rmqkit.history import History
from rmqkit.topology.names import LABEL_RUN

pytestmark = [pytest.mark.cluster, pytest.mark.failover]


def rmqkit(*argv: str, code: int = 0, timeout_s: float = 240) -> subprocess.CompletedProcess[str]:
    """A command and its exit code."""
    command = [sys.executable, "-m", "rmqkit", *argv]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return done


def test_a_drill_ends_with_its_timeline_and_a_verdict_that_its_evidence_bears_out(
    healthy_cluster: Cluster, tmp_path: Path
) -> None:
    evidence = tmp_path / "report"
    before = healthy_cluster.leader()
    done = rmqkit("drill", "--run", healthy_cluster.run, "--json", "--report", str(evidence))
    said = json.loads(done.stdout)
    assert said["verdict"]["status"] == "PASSED"
    assert said["victim"] == before.id != said["successor"]
    phases = [each["phase"] for each in said["timeline"]]
    assert phases[0] == "injected"
    assert phases[-2:] == ["restarted", "restored"]
    assert set(phases) == {"injected", "elected", "serves", "registered", "acked", "restarted", "restored"}
    assert said["unavailable_s"] > 1.0, "nothing was interrupted: was the leader really killed?"
    (outage,) = said["outages"]
    assert outage["lower_s"] <= outage["gap_s"] <= outage["upper_s"]
    assert said["unread"] == {}
    verdict = judge(History.load(evidence / "history"))
    assert verdict.status is VerdictStatus.PASSED
    assert "<html" in (evidence / "index.html").read_text(encoding="utf-8")
    assert rmqkit("report", str(evidence)).stdout.count("PASSED") >= 1


def test_a_leader_is_killed_and_back_when_the_command_ends(healthy_cluster: Cluster) -> None:
    before = healthy_cluster.leader()
    said = rmqkit("kill-leader", "--run", healthy_cluster.run).stdout
    assert f"kill-leader of {before.id} in {before.group}" in said
    assert f"{before.id} is a follower again and has caught up" in said
    healthy_cluster.wait_ready()
    assert healthy_cluster.leader() != before


def test_a_process_last_lines_are_its_own(healthy_cluster: Cluster) -> None:
    peer = healthy_cluster.peers[1]
    assert peer.service
    said = rmqkit("logs", peer.service, "--run", healthy_cluster.run).stdout.splitlines()
    assert len(said) > 5
    assert healthy_cluster.engine is not None
    everything = healthy_cluster.engine.logs(healthy_cluster.container_of(peer), tail=None)
    assert set(said) <= set(everything)


def test_status_says_what_the_tutorials_own_tool_says(healthy_cluster: Cluster) -> None:
    """Cluster, broker name, id, address and version of every broker, beside `mqadmin clusterList`."""
    leader = healthy_cluster.leader()
    assert healthy_cluster.engine is not None
    container = healthy_cluster.container_of(leader)
    command = ["docker", "exec", container, "rmq", "mqadmin", "clusterList", "-n", healthy_cluster.namesrv_addr]
    theirs = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    rows = {tuple(line.split()[:5]) for line in theirs.splitlines() if line.startswith("RaftCluster")}
    assert len(rows) == 3, theirs
    ours = json.loads(rmqkit("status", "--run", healthy_cluster.run, "--json").stdout)
    (group,) = ours["groups"]
    assert {
        (group["cluster"], group["name"], str(peer["broker_id"]), peer["address"], peer["version"])
        for peer in group["peers"]
    } == rows


@pytest.mark.long
def test_two_groups_and_three_nameservers_come_up_whole_and_go(rmq_edition: str, rmq_engine: Engine) -> None:
    wanted = ("--edition", rmq_edition, "--groups", "2", "--nameservers", "3", "--timeout", "240")
    said_up = json.loads(rmqkit("up", *wanted, "--json", timeout_s=400).stdout)
    run = said_up["run"]
    try:
        assert len(set(said_up["namesrv"].split(";"))) == 3
        said = json.loads(rmqkit("status", "--run", run, "--json").stdout)
        assert said["healthy"]
        assert [group["name"] for group in said["groups"]] == ["RaftNode00", "RaftNode01"]
        assert [[peer["id"] for peer in group["peers"]] for group in said["groups"]] == [["n0", "n1", "n2"]] * 2
        addresses = {peer["address"] for group in said["groups"] for peer in group["peers"]}
        assert len(addresses) == 6
        for server in said["nameservers"]:
            assert {address for ids in server["table"].values() for address in ids.values()} == addresses
        assert len(said["nameservers"]) == 3
        assert len(things_of_run(rmq_engine, run)) > 10, "six brokers, three NameServers, their network and stores"
    finally:
        rmqkit("down", run)
    assert things_of_run(rmq_engine, run) == []
    assert run not in rmqkit("status", "--list").stdout


def things_of_run(engine: Engine, run: str) -> list[str]:
    """Containers, volumes and networks of a run, by their labels."""
    filters = {"label": f"{LABEL_RUN}={run}"}
    api = engine.client.api
    volumes = [each["Name"] for each in api.volumes(filters=filters)["Volumes"] or ()]
    return [
        each["Id"] for each in (*api.containers(all=True, filters=filters), *api.networks(filters=filters))
    ] + volumes
