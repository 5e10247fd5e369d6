"""What network, disk and clock faults say of themselves, whom they choose, and the scripts of their guards.

The scripts run in a real shell, with the commands that would touch the machine replaced.
"""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.guard import LEFT, Task
from rmqkit.cluster.peers import from_spec
from rmqkit.errors import NotFoundError, UsageError
from rmqkit.faults import (
    FAULTS,
    ClockSkew,
    CutClients,
    CutLink,
    CutNameServer,
    DiskFull,
    Halves,
    Isolate,
    Latency,
    Loss,
    Ring,
    SlowDisk,
    SlowNetwork,
)
from rmqkit.faults.disk_full import filled
from rmqkit.faults.fault import Fault
from rmqkit.faults.network import NetworkFault
from rmqkit.topology.spec import ClusterSpec
from rmqkit.waiting import Pending, wait_until

SPEC = ClusterSpec.pod(base_port=20000)
NETWORK = [kind for kind in FAULTS.values() if issubclass(kind, NetworkFault)]


def cluster_of(spec: ClusterSpec = SPEC, **facts: str) -> Cluster:
    """What a fault asks of a cluster before it does anything; n0 leads."""
    members = from_spec(spec)
    return cast(
        "Cluster",
        SimpleNamespace(
            spec=spec,
            members=members,
            services=("net",),
            leader=lambda _group=None: members.peers[0],
            followers=lambda _group=None: members.peers[1:],
            build_info=lambda: SimpleNamespace(facts={"iptables": "yes", "tc": "yes", "faketime": "yes"} | facts),
        ),
    )


# ---- whom, and whether ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", NETWORK)
def test_an_image_without_iptables_is_named_as_the_reason(kind: type[Fault]) -> None:
    assert "no iptables" in kind().why_not(cluster_of(iptables="no"))


@pytest.mark.parametrize("kind", [Isolate, Halves, CutLink, CutNameServer, CutClients, Loss, Ring])
def test_cuts_work_on_a_pod_of_the_kit(kind: type[Fault]) -> None:
    assert kind().why_not(cluster_of()) == ""


@pytest.mark.parametrize("kind", NETWORK)
def test_rules_are_never_set_in_the_machines_own_network(kind: type[Fault]) -> None:
    why = kind().why_not(cluster_of(ClusterSpec.stock()))
    assert "no network of their own" in why
    assert "ClusterSpec.pod" in why


def test_clients_that_come_the_brokers_way_cannot_be_cut_alone() -> None:
    spec = ClusterSpec.pod(base_port=20000, advertise="10.1.2.3")
    assert "advertises 10.1.2.3" in CutClients().why_not(cluster_of(spec))
    assert "advertises 10.1.2.3" in Isolate(traffic="all").why_not(cluster_of(spec))
    assert Isolate().why_not(cluster_of(spec)) == ""


@pytest.mark.parametrize(("direction", "senders"), [("out", {21101}), ("in", {21102, 21103})])
def test_isolation_in_one_direction(direction: str, senders: set[int]) -> None:
    cluster = cluster_of()
    fault = Isolate(direction=direction)
    flows = fault.flows(cluster, fault.targets(cluster))
    assert {flow.uid for flow in flows} == senders


def test_a_link_has_two_ends_and_names_its_direction() -> None:
    cluster = cluster_of()
    fault = CutLink(target="n1", to="leader", one_way=True)
    ends = fault.targets(cluster)
    assert [peer.id for peer in ends] == ["n1", "n0"]
    assert fault.target_text(cluster, ends) == "n1->n0"
    assert {flow.uid for flow in fault.flows(cluster, ends)} == {21102}
    assert CutLink().target_text(cluster, ends) == "n1--n0"
    assert list(fault.out_at_once(ends)) == [(ends[0],), (ends[1],)]


@pytest.mark.parametrize(
    "fault", [CutLink(target="n1", to="n1"), CutLink(target="all"), CutLink(to="majority", target="n0")]
)
def test_a_link_of_one_peer_or_of_many_is_refused(fault: CutLink) -> None:
    with pytest.raises(UsageError, match="a link between"):
        fault.targets(cluster_of())


@pytest.mark.parametrize(
    ("fault", "name"),
    [(CutLink(to="n7"), "n7"), (CutLink(target="n8"), "n8"), (CutNameServer(nameserver="ns9"), "ns9")],
)
def test_a_name_that_there_is_not_is_refused_before_anything_is_done(fault: Fault, name: str) -> None:
    with pytest.raises(NotFoundError, match=name) as caught:
        fault.check_names(cluster_of())
    assert caught.value.hint


def test_only_cut_raft_traffic_takes_a_peer_out_of_the_quorum() -> None:
    peers = from_spec(SPEC).peers[:1]
    assert list(Isolate().out_at_once(peers)) == [peers]
    assert list(Isolate(traffic="nameserver,client").out_at_once(peers)) == []
    assert list(Loss(probability=0.9).out_at_once(peers)) == [peers]
    assert list(Loss(probability=0.1).out_at_once(peers)) == []


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (Isolate, {"traffic": "udp"}),
        (Isolate, {"direction": "up"}),
        (CutLink, {"traffic": "client"}),
        (Loss, {"probability": 1.0}),
        (SlowNetwork, {"kbit": 1}),
        (SlowNetwork, {"traffic": "all"}),
        (Latency, {"ms": 0}),
        (Latency, {"ms": 5, "jitter_ms": 6}),
        (DiskFull, {"ratio": 1.1}),
        (SlowDisk, {"kib_per_s": 0}),
        (ClockSkew, {"by_s": 0}),
    ],
)
def test_values_that_mean_nothing_are_refused_when_the_fault_is_made(kind: Any, values: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        kind(**values)


@pytest.mark.parametrize("kind", [*NETWORK, DiskFull, SlowDisk, ClockSkew])
def test_a_random_one_is_repeated_by_its_seed(kind: type[Fault]) -> None:
    assert kind.random(Random(7)) == kind.random(Random(7))
    assert kind().describe()


def test_disks_are_filled_and_clocks_are_set_only_where_the_cluster_was_made_for_it() -> None:
    assert "limited:256m" in DiskFull().why_not(cluster_of())
    assert DiskFull().why_not(cluster_of(SPEC.replace(store="limited:64m"))) == ""
    assert "in memory" in SlowDisk().why_not(cluster_of(SPEC.replace(store="limited:64m")))
    assert "own_clocks=True" in ClockSkew().why_not(cluster_of())
    assert ClockSkew().why_not(cluster_of(SPEC.replace(own_clocks=True))) == ""
    assert "no faketime" in ClockSkew().why_not(cluster_of(SPEC.replace(own_clocks=True), faketime="no"))


# ---- the guard's scripts --------------------------------------------------------------------------------------------


def task_of(folder: Path, *, undo: str = "rm -f done\n") -> Task:
    return Task(what="t", do=": >done", undo=undo, gone="! ls done")


def guarding(task: Task, folder: Path, *, dead_man_s: float) -> subprocess.Popen[str]:
    (folder / "done").touch()
    script = task.watch(dead_man_s).replace("sleep ", "touch waiting; sleep ", 1)
    return subprocess.Popen(["sh", "-c", script], cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_guard_takes_its_work_back_at_its_deadline_by_itself(tmp_path: Path) -> None:
    guard = guarding(task_of(tmp_path), tmp_path, dead_man_s=0.1)
    said, _ = guard.communicate(timeout=20)
    assert (guard.returncode, (tmp_path / "done").exists()) == (0, False)
    assert "dead man's timer" in said


def test_a_guard_takes_its_work_back_when_it_is_told(tmp_path: Path) -> None:
    guard = guarding(task_of(tmp_path), tmp_path, dead_man_s=30)
    ready = tmp_path / "waiting"
    wait_until(lambda: ready.exists() or Pending("not yet"), label="the guard waits", timeout_s=20)
    assert (tmp_path / "done").exists()
    guard.send_signal(signal.SIGTERM)
    said, _ = guard.communicate(timeout=20)
    assert (guard.returncode, (tmp_path / "done").exists()) == (0, False)
    assert "timer" not in said


def test_a_guard_that_left_something_says_so_by_its_exit_code(tmp_path: Path) -> None:
    guard = guarding(task_of(tmp_path, undo="false\n"), tmp_path, dead_man_s=0.1)
    guard.communicate(timeout=20)
    assert guard.returncode == LEFT


def fill(folder: Path, *, used_after: int) -> subprocess.CompletedProcess[str]:
    """Fill a disk of 1,000,000 bytes of which 100,000 are used; ``used_after`` is what df says at the end."""
    fakes = (
        f"df() {{ echo size used; if [ -e asked ]; then echo 1000000 {used_after}; else echo 1000000 100000; fi; }}\n"
        'fallocate() { echo "$2" >asked; }\n'
    )
    script = fakes + filled("./file", 0.96)
    return subprocess.run(["bash", "-ec", script], cwd=folder, check=False, capture_output=True, text=True)


def test_a_disk_is_filled_up_to_the_ratio(tmp_path: Path) -> None:
    assert fill(tmp_path, used_after=960_000).returncode == 0
    assert (tmp_path / "asked").read_text() == "860000\n"


def test_a_disk_that_did_not_get_full_is_an_error(tmp_path: Path) -> None:
    failed = fill(tmp_path, used_after=900_000)
    assert failed.returncode == 1
    assert "only 900000 of 1000000 bytes" in failed.stdout


def test_a_clock_is_set_as_the_brokers_own_user_and_taken_back_to_none(tmp_path: Path) -> None:
    task = ClockSkew(by_s=-5).task(from_spec(SPEC).peers[0], "volume", 21101)
    assert task.user == "21101:21101"
    here = tmp_path / "conf" / "faketime"
    here.parent.mkdir()

    said: list[bytes] = []

    def run(script: str) -> int:
        script = script.replace("/store/", f"{tmp_path}/")
        done = subprocess.run(["sh", "-ec", script], check=False, capture_output=True)
        said[:] = [done.stdout + done.stderr]
        return done.returncode

    assert run(task.do) != 0, "a broker that has no clock of its own was not noticed"
    assert b"without libfaketime" in said[0]
    here.write_text("+0\n")
    assert (run(task.do), here.read_text(), run(task.gone)) == (0, "-5.000\n", 1)
    assert (run(task.undo), here.read_text(), run(task.gone)) == (0, "+0\n", 0)
