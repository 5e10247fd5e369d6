"""Promises of rmqkit.cluster.owner: what is a leftover, and what is not touched."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from rmqkit.cluster import owner as owners
from rmqkit.cluster.owner import LABEL_KEPT, TEMP_PREFIX, Leftover, Owner, group_runs, machine_id, remove_stale
from rmqkit.topology.names import LABEL_HOST, LABEL_OWNER_PID, LABEL_RUN


class EngineOfLabels:
    """An engine that holds nothing but labelled containers, and remembers what was removed."""

    def __init__(self, *labels: Mapping[str, str], state: str = "running") -> None:
        self.client = self.api = self
        self._labels = labels
        self._state = state
        self.removed: list[Mapping[str, str]] = []

    def containers(self, **_: object) -> list[dict[str, object]]:
        return [{"Labels": dict(each), "State": self._state} for each in self._labels]

    def networks(self, **_: object) -> list[dict[str, object]]:
        return [{"Labels": dict(each)} for each in self._labels]

    def volumes(self, **_: object) -> dict[str, object]:
        return {"Volumes": None}

    def remove_project(self, labels: Mapping[str, str]) -> int:
        self.removed.append(labels)
        return 1


def a_dead_process() -> Owner:
    """A process of this machine that has ended."""
    child = subprocess.Popen(["sleep", "60"])
    known = Owner(f"{child.pid}@{owners._start_time(child.pid)}", machine_id())
    assert known.alive
    child.kill()
    child.wait()
    return known


def test_this_process_is_alive_and_says_so_in_labels() -> None:
    me = Owner.myself()
    assert me.alive
    assert me.labels("r1", kept=False) == {
        LABEL_RUN: "r1",
        LABEL_OWNER_PID: me.pid,
        LABEL_HOST: me.host,
        LABEL_KEPT: "no",
    }
    assert me.labels("r1", kept=True)[LABEL_KEPT] == "yes"


def test_a_process_that_ended_is_dead() -> None:
    assert not a_dead_process().alive


def test_another_process_under_the_same_pid_is_not_the_owner() -> None:
    number = Owner.myself().pid.partition("@")[0]
    assert not Owner(f"{number}@1", machine_id()).alive


def test_a_zombie_is_dead() -> None:
    """A killed process whose parent has not looked after it holds nothing any more."""
    child = subprocess.Popen(["sleep", "60"])
    started = owners._start_time(child.pid)
    assert Owner(f"{child.pid}@{started}", machine_id()).alive
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not Owner(f"{child.pid}@{started}", machine_id()).alive
    child.wait()


@pytest.mark.parametrize("pid", ["", "?", "x@1", "-1@2", "99999999@1"])
def test_a_label_that_names_no_process_of_this_machine_is_dead(pid: str) -> None:
    assert not Owner(pid, machine_id()).alive


def test_an_owner_on_another_machine_counts_as_alive() -> None:
    assert Owner("1@1", "other-12345678-4026531836").alive
    assert not Owner("1@1", "other-12345678-4026531836").before_reboot
    assert Owner("1@1", "").alive


def test_a_leftover_has_a_dead_owner_and_was_not_kept_on_purpose() -> None:
    dead = a_dead_process()
    assert Leftover("r", dead, kept=False).stale
    assert not Leftover("r", dead, kept=True).stale
    assert not Leftover("r", Owner.myself(), kept=False).stale


def test_what_ended_with_a_reboot_is_a_leftover() -> None:
    name, _, namespace = machine_id().rsplit("-", 2)
    before = Owner("1@1", f"{name}-deadbeef-{namespace}")
    assert before.before_reboot
    assert Leftover("r", before, kept=False, ended=True).stale
    assert not Leftover("r", before, kept=False, ended=False).stale, "it runs: another machine of this name has it"
    assert not Leftover("r", before, kept=True, ended=True).stale


def test_runs_are_told_apart_and_have_ended_only_with_all_their_containers() -> None:
    me = Owner.myself()
    labels = [me.labels("a", kept=False), me.labels("a", kept=False), me.labels("b", kept=True), {LABEL_RUN: "c"}]
    runs = group_runs(labels, [("a", "exited"), ("a", "running"), ("b", "exited")])
    assert runs == [
        Leftover("a", me, kept=False, ended=False),
        Leftover("b", me, kept=True, ended=True),
        Leftover("c", Owner("", ""), kept=False, ended=False),
    ]


def test_only_what_dead_owners_left_is_removed() -> None:
    me, dead = Owner.myself(), a_dead_process()
    engine = EngineOfLabels(
        me.labels("mine", kept=False), dead.labels("left", kept=False), dead.labels("kept", kept=True)
    )
    assert remove_stale(engine) == ["left"]
    assert engine.removed == [{LABEL_RUN: "left"}]


def test_temporary_folders_of_dead_owners_go_and_others_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead, mine, foreign = (
        tmp_path / f"{TEMP_PREFIX}{name}" for name in (f"{a_dead_process().pid}-x", f"{Owner.myself().pid}-x", "odd")
    )
    for folder in (dead, mine, foreign, tmp_path / "unrelated"):
        folder.mkdir()
        (folder / "compose.yml").touch()
    remove_stale(EngineOfLabels())
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([mine.name, foreign.name, "unrelated"])


def test_the_machines_name_is_the_same_in_every_process_of_one_boot() -> None:
    script = "from rmqkit.cluster.owner import machine_id; print(machine_id())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == machine_id()
