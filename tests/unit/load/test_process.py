"""Promises of worker processes: they tell everything, end with their parent, and are missed by name when they die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from loopback_cluster import LoopbackCluster

from rmqkit.errors import MachineError, RmqkitError
from rmqkit.load.batches import SendBatch
from rmqkit.load.crew import Crew
from rmqkit.load.plan import SendPlan
from rmqkit.load.process import WorkerProcess
from rmqkit.load.squad import Assignment
from rmqkit.waiting import Pending, wait_until


def rows_of(batches: list[SendBatch]) -> list[str]:
    return [f"ab12-{row.worker}-{row.sequence}" for batch in batches for row in batch.rows()]


def run_out(crew: Crew) -> list[SendBatch]:
    """Take until nobody sends any more."""
    batches: list[SendBatch] = []

    def ended() -> bool | Pending:
        batches.extend(crew.take())
        return not crew.running or Pending(f"{len(batches)} batches")

    wait_until(ended, label="the crew ends", timeout_s=60, every_s=0.02)
    batches.extend(crew.take())
    return batches


def gone(pid: int) -> bool | Pending:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z" or Pending(f"{pid} is {state}")


@pytest.mark.parametrize("processes", [0, 1, 3])
def test_every_message_is_told_once_however_many_processes_send(
    loopback_cluster: LoopbackCluster, processes: int
) -> None:
    plan = SendPlan(threads=3, processes=processes, count=300)
    with Crew("ab12", plan, [loopback_cluster.address]) as crew:
        pids = crew.pids
        crew.go(time.monotonic_ns())
        told = rows_of(run_out(crew))
        account = crew.finish()
    assert crew.failure is None
    assert sorted(told) == sorted(loopback_cluster.ids)
    assert len(set(told)) == 300
    assert account.cpu_s > 0
    assert len(pids) == processes
    assert all(gone(pid) is True for pid in pids)


@pytest.mark.parametrize(("window", "batch"), [(16, 1), (0, 5)])
def test_windows_and_batches_tell_every_message_too(loopback_cluster: LoopbackCluster, window: int, batch: int) -> None:
    plan = SendPlan(threads=2, window=window, batch=batch, count=200)
    with Crew("ab12", plan, [loopback_cluster.address]) as crew:
        crew.go(time.monotonic_ns())
        told = rows_of(run_out(crew))
        crew.finish()
    assert crew.failure is None
    assert sorted(told) == sorted(f"ab12-{worker}-{number}" for worker in range(2) for number in range(100))


def test_stopping_lets_what_is_under_way_come_to_its_outcome(loopback_cluster: LoopbackCluster) -> None:
    plan = SendPlan(threads=4, processes=2)
    with Crew("ab12", plan, [loopback_cluster.address]) as crew:
        crew.go(time.monotonic_ns())
        batches: list[SendBatch] = []

        def some() -> bool | Pending:
            batches.extend(crew.take())
            return bool(batches) or Pending("none")

        wait_until(some, label="sends", timeout_s=60)
        crew.stop()
        told = rows_of(batches + run_out(crew))
        crew.finish()
    assert sorted(told) == sorted(loopback_cluster.ids)


def test_a_worker_process_that_dies_is_named_and_the_others_end(loopback_cluster: LoopbackCluster) -> None:
    plan = SendPlan(threads=4, processes=2)
    with Crew("ab12", plan, [loopback_cluster.address]) as crew:
        crew.go(time.monotonic_ns())
        victim = crew.pids[1]
        os.kill(victim, signal.SIGKILL)
        run_out(crew)
        others = crew.pids
    assert isinstance(crew.failure, MachineError)
    assert f"worker process 1 (pid {victim}, senders 2 to 3) ended by itself: killed by signal 9" in str(crew.failure)
    assert all(gone(pid) is True for pid in others)


def test_a_worker_process_that_fails_is_an_error_with_its_last_words(loopback_cluster: LoopbackCluster) -> None:
    assignment = Assignment("ab12", SendPlan(threads=1), ("not an address",), 0, 1)
    process = WorkerProcess(0, assignment)
    try:
        process.start(time.monotonic_ns())
        with pytest.raises(RmqkitError, match=r"worker process 0 .* failed: .*not an address"):
            wait_until(lambda: bool(process.take()) or Pending(""), label="it fails", timeout_s=60)
    finally:
        process.close()


def test_leaving_before_the_start_leaves_no_process(loopback_cluster: LoopbackCluster) -> None:
    with Crew("ab12", SendPlan(threads=2, processes=2), [loopback_cluster.address]) as crew:
        pids = crew.pids
    for pid in pids:
        wait_until(lambda pid=pid: gone(pid), label="it is gone", timeout_s=20)
    assert loopback_cluster.ids == []


PARENT = """
import sys, time
from rmqkit.load.crew import Crew
from rmqkit.load.plan import SendPlan
with Crew("ab12", SendPlan(threads=2, processes=2), [sys.argv[1]]) as crew:
    crew.go(time.monotonic_ns())
    print(*crew.pids, flush=True)
    while True:
        crew.take()
        time.sleep(0.05)
"""


def test_a_killed_parent_leaves_no_child(loopback_cluster: LoopbackCluster) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, loopback_cluster.address], stdout=subprocess.PIPE, text=True
    )
    try:
        assert parent.stdout is not None
        children = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(children) == 2
        wait_until(lambda: bool(loopback_cluster.ids) or Pending("nothing sent"), label="they send", timeout_s=60)
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()  # type: ignore[union-attr]
    for pid in children:
        wait_until(lambda pid=pid: gone(pid), label="the child is gone", timeout_s=20)


def test_no_thread_of_this_process_stays(loopback_cluster: LoopbackCluster) -> None:
    with Crew("ab12", SendPlan(threads=3, count=3), [loopback_cluster.address]) as crew:
        crew.go(time.monotonic_ns())
        run_out(crew)
        crew.finish()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("rmqkit-load")]
