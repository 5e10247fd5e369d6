"""The commands to their good end, against a running cluster: what they print is what the cluster did."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rmqkit.checks import VerdictStatus, judge
from rmqkit.cluster import Cluster
from rmqkit.cluster.engine import Engine
from rmqkit.history import History
from rmqkit.report import check
from rmqkit.topology.names import LABEL_RUN
from rmqkit.topology.spec import ClusterSpec

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
    assert set(phases) == {"injected", "left", "elected", "serves", "registered", "acked", "restarted", "restored"}
    assert_timeline(said["timelines"], before.id)
    assert said["unavailable_s"] > 1.0, "nothing was interrupted: was the leader really killed?"
    (outage,) = said["outages"]
    assert outage["lower_s"] <= outage["gap_s"] <= outage["upper_s"]
    assert said["unread"] == {}
    verdict = judge(History.load(evidence / "history"))
    assert verdict.status is VerdictStatus.PASSED
    assert "<html" in (evidence / "index.html").read_text(encoding="utf-8")
    assert rmqkit("report", str(evidence)).stdout.count("PASSED") >= 1
    holds_the_witness(evidence, healthy_cluster)
    checked = json.loads(rmqkit("check", str(evidence), "--json").stdout)
    assert (checked["verdict"], checked["recorded"]) == (said["verdict"], "PASSED")
    assert checked["timelines"] == check(evidence).summary["timelines"] == said["timelines"]
    assert (evidence / "plots" / "phases-1.svg").stat().st_size > 0
    assert rmqkit("check", str(evidence), "--max-outage", "0.5", code=1).stdout.count("FAILED") == 1


def assert_timeline(timelines: list[dict[str, Any]], victim: str) -> None:
    """One fault, all its phases in order: what was asked for is known to a round of questions, whoever was asked."""
    (found,) = timelines
    assert (found["fault"], found["target"]) == ("kill-leader", victim)
    names = [each["phase"] for each in found["phases"]]
    assert [name for name in names if name in ("injected", "elected", "acked", "healed", "restored")] == [
        "injected", "elected", "acked", "healed", "restored"
    ]  # fmt: skip
    assert names.index("last-ack") < names.index("first-ack")
    assert {"left", "serves", "registered"} <= set(names)
    seen = {each["phase"]: each for each in found["phases"]}
    # On a busy machine a client may be served before the question about it is answered; not before it can be so.
    assert seen["elected"]["at_s"] - seen["elected"]["within_s"] <= seen["first-ack"]["at_s"]
    times = [each["at_s"] for each in found["phases"]]
    assert times == sorted(times)
    known = {each["within_s"] for each in found["phases"] if each["phase"] not in ("injected", "healed", "restored")}
    assert 0 < min(known) < 1.0, "how finely each is known is recorded; on a busy machine a round takes longer"


def holds_the_witness(evidence: Path, cluster: Cluster) -> None:
    """What the cluster was and said beside the operations: specification, status meanwhile, logs of every process."""
    assert ClusterSpec.from_json((evidence / "spec.json").read_text()) == cluster.spec
    samples = [json.loads(line) for line in (evidence / "status.jsonl").read_text().splitlines()]
    healthy = [each.get("healthy") for each in samples]
    assert healthy[0] is True
    assert True in healthy[-3:], "one late answer is not ill health"
    assert False in healthy, "a leader was killed, and nobody saw it"
    for peer in cluster.peers:
        assert peer.service
        logs = {path.name: path.read_bytes() for path in (evidence / "logs" / peer.service).iterdir()}
        assert {"console.log", "broker.log"} <= logs.keys()
        # One for each start of the JVM.
        assert [name for name in logs if name.startswith("gc-")], sorted(logs)
        assert all(logs.values())
    assert (evidence / "logs" / "namesrv0" / "namesrv.log").stat().st_size > 0


SCHEDULE = '{"seed": 7, "steps": [{"fault": "kill", "target": "leader", "gap_s": 1, "hold_s": 2}]}'


@pytest.mark.long
def test_what_a_run_did_is_done_again_on_a_cluster_of_its_own(healthy_cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "steps.json").write_text(SCHEDULE)
    first, second = tmp_path / "first", tmp_path / "second"
    common = ("--schedule", str(tmp_path / "steps.json"), "--rate", "100")
    rmqkit("chaos", "--run", healthy_cluster.run, *common, "--report", str(first), timeout_s=480)
    done = rmqkit("replay", str(first), "--report", str(second), timeout_s=480)
    assert f"this run again: rmqkit replay {first}" in done.stdout
    assert check(second).verdict.exit_code == check(first).verdict.exit_code == 0
    assert (first / "schedule.json").read_text() == (second / "schedule.json").read_text()
    assert check(first).summary["options"]["rate"] == check(second).summary["options"]["rate"] == 100
    specs = [ClusterSpec.from_json((each / "spec.json").read_text()) for each in (first, second)]
    assert not set(specs[0].ports()) & set(specs[1].ports())
    assert specs[0].edition == specs[1].edition


@pytest.mark.long
def test_an_interrupted_run_leaves_what_it_recorded_and_that_it_is_not_all(
    healthy_cluster: Cluster, tmp_path: Path
) -> None:
    argv = ["chaos", "--run", healthy_cluster.run, "--seed", "1", "--report", str(tmp_path / "run")]
    command = [sys.executable, "-m", "rmqkit", *argv]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as running:
        assert running.stderr
        try:
            said = next(line for line in running.stderr if "] 1/" in line)
            running.send_signal(signal.SIGINT)
            assert "rmqkit: interrupted" in running.communicate(timeout=120)[1], said
            assert running.returncode == 130
        finally:
            running.kill()
    found = json.loads(rmqkit("check", str(tmp_path / "run"), "--json", code=3).stdout)["verdict"]
    assert found["numbers"]["sent"] > 100
    assert found["doubts"][0]["text"] == "the history is not whole: the chaos did not come to its end: interrupted"
    assert (tmp_path / "run" / "logs" / "n0" / "console.log").stat().st_size > 0
    healthy_cluster.wait_ready()


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
