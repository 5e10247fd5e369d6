"""Promises of the wrapper around every fault: healthy before, guarded, undone whatever happens, in the history."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import pytest
from fake_engine import FakeEngine, fake_cluster
from scripted_group import ScriptedGroup

from rmqkit.checks.intervals import intervals
from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.peers import Peer
from rmqkit.errors import EngineError, FaultError, NoLeaderError, NotFoundError
from rmqkit.faults import (
    Fault,
    Kill,
    NameServerKill,
    NameServerPause,
    Pause,
    Restart,
    RollingRestart,
    Stop,
    injected,
    pause,
)
from rmqkit.faults.fault import PeerFault, Undo, done_to_each
from rmqkit.history import History


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def cluster(engine: FakeEngine) -> Cluster:
    return fake_cluster(engine=engine, nameservers=2)


@pytest.mark.parametrize(
    ("fault", "before", "after"),
    [
        (Kill(), ["kill n0"], ["start n0"]),
        (Kill("n2"), ["kill n2"], ["start n2"]),
        (Stop("n1"), ["term n1"], ["start n1"]),
        (Restart("n1"), ["kill n1", "start n1"], ["start n1"]),
        (Pause("leader"), ["pause n0"], ["unpause n0"]),
        (
            RollingRestart(),
            ["term n1", "start n1", "term n2", "start n2", "term n0", "start n0"],
            [],
        ),
        (NameServerKill(), ["kill namesrv0", "kill namesrv1"], ["start namesrv1", "start namesrv0"]),
        (NameServerKill("namesrv1"), ["kill namesrv1"], ["start namesrv1"]),
        (NameServerPause(), ["pause namesrv0", "pause namesrv1"], ["unpause namesrv1", "unpause namesrv0"]),
    ],
    ids=lambda value: str(value) if isinstance(value, Fault) else "",
)
def test_each_fault_does_this_and_undoes_it(
    cluster: Cluster, engine: FakeEngine, fault: Fault, before: list[str], after: list[str]
) -> None:
    history = History()
    with injected(cluster, fault, history=history) as injection:
        assert engine.did == before
        assert [phase.name for phase in injection.phases] == ["injected"]
    assert engine.did == before + after
    assert (engine.down, engine.frozen) == (set(), set())
    assert [phase.name for phase in injection.phases] == ["injected", "healed", "restored"]
    assert injection.at("injected") <= injection.at("healed") <= injection.at("restored")
    (interval,) = intervals(history.faults)
    assert (interval.kind, interval.target) == (fault.kind, injection.target)
    assert interval.end_ns is not None


def test_a_fault_is_in_the_history_from_before_the_call_that_did_it(
    cluster: Cluster, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    history, in_the_call, kill = History(), [], engine.kill

    def noted(container_id: str, *, signal: str = "SIGKILL") -> None:
        in_the_call.append(time.monotonic_ns())
        kill(container_id, signal=signal)

    monkeypatch.setattr(engine, "kill", noted)
    with injected(cluster, Kill(), history=history) as injection:
        assert injection.at("injected") * 1e9 >= in_the_call[0] - injection.started * 1e9
    assert history.faults[0].step == "injected"
    assert history.faults[0].at_ns <= in_the_call[0]


@pytest.mark.parametrize("fault", [Kill(), Stop(), Pause(), NameServerKill(), NameServerPause()], ids=str)
def test_a_fault_is_undone_when_the_block_fails(cluster: Cluster, engine: FakeEngine, fault: Fault) -> None:
    history = History()
    with pytest.raises(ZeroDivisionError), injected(cluster, fault, history=history):
        raise ZeroDivisionError
    assert (engine.down, engine.frozen) == (set(), set())
    assert [event.step for event in history.faults] == ["injected", "healed"]


@pytest.mark.parametrize("fault", [Kill("majority"), Pause("all"), Stop("RaftNode00/majority"), Restart("all")])
def test_what_would_break_the_quorum_is_refused_with_nothing_done(
    cluster: Cluster, engine: FakeEngine, fault: Fault
) -> None:
    with pytest.raises(FaultError, match="no majority without"), injected(cluster, fault):
        pytest.fail("entered")
    assert engine.did == []
    with injected(cluster, fault, allow_quorum_loss=True) as injection:
        assert len(injection.targets) >= 2
    assert (engine.down, engine.frozen) == (set(), set())


def test_a_peer_that_is_down_counts_for_the_quorum(cluster: Cluster, engine: FakeEngine) -> None:
    engine.down = {"n2"}
    for fault in (Kill("n1"), RollingRestart()):
        with pytest.raises(FaultError, match="no majority without n1: 1 of 3 peers"), injected(cluster, fault):
            pytest.fail("entered")
    assert engine.did == []


@pytest.mark.parametrize(
    ("fault", "there_is"),
    [
        (Kill("n9"), "peers of this group: n0, n1, n2; or by role"),
        (Pause("leader", group="Raft9"), "groups of this cluster: RaftNode00"),
        (RollingRestart("Raft9"), "groups of this cluster: RaftNode00"),
        (NameServerKill("namesrv7"), "NameServers: namesrv0, namesrv1; or one, all"),
    ],
    ids=str,
)
def test_an_unknown_name_is_answered_with_those_that_there_are(
    cluster: Cluster, engine: FakeEngine, fault: Fault, there_is: str
) -> None:
    with pytest.raises(NotFoundError) as caught, injected(cluster, fault):
        pytest.fail("entered")
    assert there_is in caught.value.hint
    assert engine.did == []


def test_an_injection_that_fails_half_way_is_undone(cluster: Cluster, engine: FakeEngine) -> None:
    engine.fails = {"kill n1"}
    history = History()
    with (
        pytest.raises(EngineError, match="refused: kill n1"),
        injected(cluster, Kill("all"), allow_quorum_loss=True, history=history),
    ):
        pytest.fail("entered")
    assert engine.did == ["kill n0", "kill n1", "start n1", "start n0"], "n1 may be dead: an answer can get lost"
    assert history.faults == [], "nothing was injected"


def test_what_fails_while_a_half_done_injection_is_undone_is_a_note(cluster: Cluster, engine: FakeEngine) -> None:
    engine.fails = {"kill n1", "start n1"}
    with (
        pytest.raises(EngineError, match="refused: kill n1") as caught,
        injected(cluster, Kill("all"), allow_quorum_loss=True),
    ):
        pytest.fail("entered")
    assert caught.value.__notes__ == ["Besides, undoing it failed: the engine refused: start n1"]
    assert "start n0" in engine.did


def test_a_rolling_restart_that_fails_brings_back_whom_it_stopped(cluster: Cluster, engine: FakeEngine) -> None:
    engine.fails = {"term n2"}
    history = History()
    with pytest.raises(EngineError, match="term n2"), injected(cluster, RollingRestart(), history=history):
        pytest.fail("entered")
    assert engine.did[:4] == ["term n1", "start n1", "term n2", "kill n2"]
    assert engine.did[-1] == "start n2"
    assert [event.step for event in history.faults] == ["injected", "healed"]


def test_a_sick_cluster_gets_no_fault(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rmqkit.faults.wrapper.HEALTHY_WITHIN_S", 0.1)
    group = ScriptedGroup()
    cluster = fake_cluster(group, engine=engine)
    group.silent = {"n2"}
    with pytest.raises(FaultError, match="not healthy before the fault"), injected(cluster, Kill()):
        pytest.fail("entered")
    group.silent = set()
    group.votes = dict.fromkeys(group.votes, None)
    with pytest.raises(NoLeaderError), injected(cluster, NameServerKill()):
        pytest.fail("entered")
    assert engine.did == []


@dataclass(frozen=True, slots=True)
class Never(PeerFault):
    kind: ClassVar[str] = "never"

    def why_not(self, cluster: Cluster) -> str:
        del cluster
        return "the moon is not full; wait for it"

    def inject(self, cluster: Cluster, targets: Sequence[Peer]) -> Undo:
        raise AssertionError(f"injected into {cluster.run}, {targets}")


def test_a_fault_that_cannot_work_says_why_and_does_nothing(cluster: Cluster) -> None:
    with pytest.raises(FaultError) as caught, injected(cluster, Never()):
        pytest.fail("entered")
    assert str(caught.value) == "cannot never the leader here: the moon is not full; wait for it"


@pytest.mark.parametrize("fault", [Kill(), Stop(), Restart(), Pause(), RollingRestart(), NameServerKill()], ids=str)
def test_an_attached_cluster_is_read_only(cluster: Cluster, fault: Fault) -> None:
    attached = Cluster(members=cluster.members, nameservers=cluster.nameservers, pool=cluster.pool)
    assert "read only; start one with the kit" in fault.why_not(attached)
    with pytest.raises(FaultError, match="read only"), injected(attached, fault):
        pytest.fail("entered")
    assert fault.why_not(cluster) == ""


def test_ctrl_c_during_an_injection_comes_when_the_undo_is_in_hand(
    cluster: Cluster, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill = engine.kill

    def interrupted(container: str, **how: str) -> None:
        signal.raise_signal(signal.SIGINT)
        kill(container, **how)

    monkeypatch.setattr(engine, "kill", interrupted)
    with pytest.raises(KeyboardInterrupt), injected(cluster, Kill()):
        pytest.fail("entered")
    assert engine.did == ["kill n0", "start n0"]


def test_a_stopped_peer_that_does_not_end_is_killed_before_it_is_started(
    cluster: Cluster, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill = engine.kill

    def deaf(container: str, *, signal: str = "SIGKILL") -> None:
        kill(container, signal=signal)
        if signal == "SIGTERM":
            engine.down.discard(container)

    monkeypatch.setattr(engine, "kill", deaf)
    with pytest.raises(ZeroDivisionError), injected(cluster, Stop("n1")):
        raise ZeroDivisionError
    assert engine.did == ["term n1", "kill n1", "start n1"]


def test_freezing_is_tried_again_where_the_runtime_gives_up(
    cluster: Cluster, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    act, refusals = engine.pause, iter([True, True, False])

    def pausing(container: str) -> None:
        engine.fails = {f"pause {container}"} if next(refusals) else set()
        act(container)

    monkeypatch.setattr(engine, "pause", pausing)
    with injected(cluster, Pause("n1")):
        assert engine.did == ["pause n1"] * 3
    assert engine.did[3:] == ["unpause n1"]


def test_what_will_not_freeze_is_an_error_with_the_engines_words(
    cluster: Cluster, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pause, "FREEZE_WITHIN_S", 0.1)
    engine.fails = {"pause n1", "unpause n1"}
    with pytest.raises(EngineError, match="refused: pause n1") as caught, injected(cluster, Pause("n1")):
        pytest.fail("entered")
    assert not getattr(caught.value, "__notes__", ()), "one that is not frozen need not be thawed"


def test_a_peer_that_cannot_be_thawed_is_an_error(cluster: Cluster, engine: FakeEngine) -> None:
    engine.fails = {"unpause n1"}
    with pytest.raises(EngineError, match="refused: unpause n1"), injected(cluster, Pause("n1")):
        pass


def test_every_undo_is_tried_whatever_becomes_of_the_others() -> None:
    undone: list[int] = []

    def undo(number: int) -> None:
        undone.append(number)
        if number == 2:
            raise EngineError("no")

    take_back = done_to_each([1, 2, 3], lambda _number: None, undo)
    with pytest.raises(EngineError):
        take_back()
    assert undone == [3, 2, 1]


@dataclass(frozen=True, slots=True)
class Counting(PeerFault):
    """A fault that took so many packets; None where it has no rules."""

    kind: ClassVar[str] = "counting"
    packets: int | None = 0

    def inject(self, cluster: Cluster, targets: Sequence[Peer]) -> Undo:
        return lambda: self.packets


@pytest.mark.parametrize(("packets", "said"), [(0, ["unfelt"]), (3, []), (None, [])])
def test_a_fault_that_no_packet_met_is_told_from_one_that_was_felt(
    cluster: Cluster, packets: int | None, said: list[str]
) -> None:
    history = History()
    with injected(cluster, Counting(packets=packets), history=history) as injection:
        pass
    assert injection.packets == packets
    assert [event.step for event in history.faults] == ["injected", *said, "healed", "restored"]
    assert ("no packet met its rules" in str(injection)) is bool(said)
    assert [each.end_ns is not None for each in intervals(history.faults)] == [True]
