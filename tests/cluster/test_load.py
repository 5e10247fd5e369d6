"""What ``rmqkit load`` promises, held against real brokers: the numbers are true, and the end is orderly."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rmqkit.checks import Thresholds, VerdictStatus, judge
from rmqkit.cluster import Cluster
from rmqkit.cluster.topics import wait_topic_everywhere
from rmqkit.history import History, Outcome
from rmqkit.load import read_back
from rmqkit.report import check
from rmqkit.scenario import replica_addresses
from rmqkit.waiting import Pending, wait_until

pytestmark = pytest.mark.cluster


class LoadCommand:
    """``rmqkit load`` in a process of its own, which leads a process group, as one that a shell started does."""

    def __init__(self, folder: Path, *argv: str) -> None:
        self.folder = folder
        self._out, self._err = (folder / "out").open("w"), (folder / "err").open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rmqkit", "load", *argv],
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err,
            start_new_session=True,
            env={**os.environ, "TMPDIR": str(folder / "tmp")},
        )

    @property
    def out(self) -> str:
        return (self.folder / "out").read_text(encoding="utf-8")

    @property
    def err(self) -> str:
        return (self.folder / "err").read_text(encoding="utf-8")

    @property
    def summary(self) -> Any:
        return json.loads(self.out)

    @property
    def children(self) -> list[int]:
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(child) for task in tasks for child in task.read_text(encoding="utf-8").split()]

    def ctrl_c(self) -> None:
        """What a terminal does: the signal goes to the whole group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def until_it_runs(self) -> None:
        """Until the first second was shown."""

        def probe() -> bool | Pending:
            assert self.process.poll() is None, self.err
            return "acked/s" in self.err or Pending(self.err[-200:] or "silence")

        wait_until(probe, label="the load runs", timeout_s=60)

    def ended(self, timeout_s: float = 120) -> int:
        """Its exit code."""
        return self.process.wait(timeout=timeout_s)

    def ended_as_its_sends_did(self, timeout_s: float = 120) -> None:
        """Ended with 0; or with 1, and then a busy broker shed load and nothing else went wrong."""
        code = self.ended(timeout_s)
        assert code in (0, 1), self.err
        traffic = self.summary["produced"]["traffic"]
        assert traffic["sent"] == traffic["acknowledged"] + traffic["flow_control"], self.err
        assert (code == 0) == (traffic["flow_control"] == 0), self.err

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._out.close()
        self._err.close()


@pytest.fixture
def load(tmp_path: Path, healthy_cluster: Cluster) -> Iterator[Any]:
    """Starts ``rmqkit load COMMAND --run …`` of the shared cluster, and ends it after the test."""
    started: list[LoadCommand] = []

    def start(command: str, *argv: str, run: bool = True) -> LoadCommand:
        folder = tmp_path / str(len(started))
        (folder / "tmp").mkdir(parents=True)
        named = ["--run", healthy_cluster.run] if run else ["--namesrv", healthy_cluster.namesrv_addr]
        started.append(LoadCommand(folder, command, *named, *argv))
        return started[-1]

    yield start
    for each in started:
        each.close()
    for each in started:
        assert list((each.folder / "tmp").iterdir()) == [], "a temporary file stayed"


def assert_on_every_replica(cluster: Cluster, topic: str, history: History) -> None:
    """By an independent read: every acknowledged message is on every replica, once, at its place."""
    wait_topic_everywhere(cluster, topic)
    members = cluster.wait_caught_up().peers
    replicas = replica_addresses(tuple(view.peer for view in members))
    unread = read_back(cluster.pool, replicas, topic=topic, history=history)
    verdict = judge(history, Thresholds(min_acked_before=50, min_replicas=3, fault_required=False))
    assert verdict.status is VerdictStatus.PASSED, f"{verdict}\n{unread}"


def test_the_summary_agrees_with_the_history_and_with_every_replica(
    load: Any, healthy_cluster: Cluster, rmq_topic: str, tmp_path: Path
) -> None:
    group = f"load_{secrets.token_hex(4)}"
    path = tmp_path / "history"
    argv = ("--topic", rmq_topic, "--group", group, "--duration", "10", "--history", str(path), "--json")
    command = load("run", *argv)
    command.ended_as_its_sends_did()
    summary = command.summary
    traffic, came = summary["produced"]["traffic"], summary["consumed"]
    history = History.load(path)
    acked = {send.message_id for send in history.sends() if send.outcome is Outcome.ACKNOWLEDGED}
    assert traffic["sent"] == history.send_count
    assert traffic["acknowledged"] == len(acked) > 50
    assert sum(window["acknowledged"] for window in summary["windows"]) == len(acked)
    assert traffic["latency"]["count"] == len(acked)
    assert 10 <= summary["duration_s"] < 25
    assert came["drained"]
    assert (came["own"], came["missing"]) == (len(acked), 0)
    assert {received.message_id for received in history.receives()} >= acked
    assert_on_every_replica(healthy_cluster, rmq_topic, history)
    leader = healthy_cluster.broker(healthy_cluster.leader())
    ends = {queue: found.max_offset for queue, found in leader.topic_stats(rmq_topic).items()}
    assert leader.consumer_offsets()[rmq_topic, group] == ends, "the group has not committed everything"


FASTER = [("--window", "64"), ("--processes", "2"), ("--rate", "500"), ("--batch", "16")]


def test_however_it_is_sent_every_message_is_there_once(
    load: Any, healthy_cluster: Cluster, rmq_topic: str, tmp_path: Path
) -> None:
    """To an attached cluster: load writes to it on purpose."""
    histories: list[History] = []
    for faster in FASTER:
        path = tmp_path / faster[0]
        argv = ("--topic", rmq_topic, "--count", "1000", "--threads", "2", "--history", str(path), "--json", *faster)
        command = load("produce", *argv, run=False)
        if faster[0] == "--batch" and is_without_batches(healthy_cluster):
            assert command.ended() == 2
            assert "has no batches" in command.err
            assert not path.exists()
            continue
        command.ended_as_its_sends_did()
        assert command.summary["produced"]["traffic"]["sent"] == 1000
        histories.append(History.load(path))
    for history in histories:
        assert_on_every_replica(healthy_cluster, rmq_topic, history)


def is_without_batches(cluster: Cluster) -> bool:
    return cluster.broker(cluster.leader()).runtime_info().version < "V4_8_0"


def test_ctrl_c_ends_both_sides_with_a_summary_and_leaves_nothing(load: Any, rmq_topic: str) -> None:
    group = f"load_{secrets.token_hex(4)}"
    command = load("run", "--topic", rmq_topic, "--group", group, "--processes", "2", "--threads", "4")
    command.until_it_runs()
    children = command.children
    assert len(children) == 2
    command.ctrl_c()
    assert command.ended(60) in (0, 1), command.err
    assert "ended by interrupt" in command.out
    assert "0 acknowledged and not received" in command.out
    assert "Traceback" not in command.out + command.err
    for pid in (command.process.pid, *children):
        assert not Path(f"/proc/{pid}").exists()


def test_a_worker_process_that_is_killed_is_named(load: Any, rmq_topic: str) -> None:
    command = load("produce", "--topic", rmq_topic, "--processes", "2", "--threads", "4")
    command.until_it_runs()
    victim = command.children[0]
    os.kill(victim, signal.SIGKILL)
    assert command.ended(60) == 4, command.err
    assert f"(pid {victim}, senders 0 to 1) ended by itself: killed by signal 9" in command.err
    assert "ended by error" in command.out
    assert "Traceback" not in command.out + command.err


def test_a_topic_that_exists_nowhere_is_not_consumed(load: Any) -> None:
    command = load("consume", "--topic", f"nowhere_{secrets.token_hex(4)}")
    assert command.ended(60) == 2
    assert "there is no topic" in command.err


def leaves_what_check_needs(folder: Path, group: str, summary: Any) -> None:
    """The witness beside the history, every phase of the fault, and offsets for the check that needs them."""
    assert {"spec.json", "status.jsonl", "logs"} <= {path.name for path in folder.iterdir()}
    healthy = [json.loads(line).get("healthy") for line in (folder / "status.jsonl").read_text().splitlines()]
    assert healthy[0] is True
    assert False in healthy, "a leader was killed, and nobody saw it"
    checked = check(folder)
    assert checked.changed == ()
    (timeline,) = [each.as_dict() for each in checked.timelines]
    assert [timeline] == summary["timelines"]
    names = [each["phase"] for each in timeline["phases"]]
    assert names.index("last-ack") < names.index("first-ack") < names.index("restored")
    assert {"left", "elected", "serves", "registered", "acked"} <= set(names)
    assert [each["who"] for each in timeline["phases"] if each["phase"] == "first-consumed"] == [group]
    assert checked.verdict.numbers["committed_offsets"] > 8
    # A successor may have an older copy of what the group has committed; nothing else may be found.
    assert {each.kind for each in checked.verdict.violations} <= {"offset-moved-back"}
    assert {each.kind for each in checked.verdict.doubts} == {"replicas-unread"}


@pytest.mark.long
@pytest.mark.failover
def test_a_leader_kill_is_seen_as_an_outage_and_nothing_acknowledged_is_missing(
    load: Any, healthy_cluster: Cluster, copied_topic: str, tmp_path: Path
) -> None:
    group = f"load_{secrets.token_hex(4)}"
    path = tmp_path / "history"
    argv = ("--topic", copied_topic, "--group", group, "--duration", "40", "--rate", "200", "--kill-leader-at", "8")
    command = load("run", *argv, "--history", str(path), "--report", str(tmp_path / "report"), "--json")
    assert command.ended(240) == 0, command.err
    summary = command.summary
    leaves_what_check_needs(tmp_path / "report", group, summary)
    (driver,) = summary["produced"]["drivers"]
    assert driver["driver"] == "built-in"
    assert driver["outage_s"] > 1.0, "nothing was interrupted: was the leader really killed?"
    steps = [step["step"] for step in summary["faults"]]
    assert steps[0] == "injected"
    assert steps[-1] == "restored"
    assert 8 <= summary["faults"][0]["at_s"] < 10
    assert summary["consumed"]["missing"] == 0
    # What was due in the outage was late, and counts so.
    assert summary["produced"]["traffic"]["latency"]["max_ms"] > 1000
    history = History.load(path)
    assert {fault.kind for fault in history.faults} == {"kill-leader"}
    assert_on_every_replica(healthy_cluster, copied_topic, history)
