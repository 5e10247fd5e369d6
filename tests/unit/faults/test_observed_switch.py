"""Promises of watching a leader change: each phase once, in time, and the phase that did not come is named."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from scripted_group import GROUP, MEMBERS, N0, N1, N2, NAMESRV, ScriptedGroup

from rmqkit.errors import FaultError
from rmqkit.faults.timeline import Failover, observe
from rmqkit.history import History
from rmqkit.waiting import Pending, wait_until


class Switching(ScriptedGroup):
    """Every look of the observer (each asks n1 first) does the next of ``steps``."""

    def __init__(self, *steps: Callable[[ScriptedGroup], None]) -> None:
        super().__init__()
        self._steps: Iterator[Callable[[ScriptedGroup], None]] = iter(steps)

    def _metadata(self, name: str, command: Any) -> Any:
        if name == "n1":
            next(self._steps, lambda _group: None)(self)
        return super()._metadata(name, command)


def kill_n0(group: ScriptedGroup) -> None:
    group.silent.add("n0")
    group.votes = dict.fromkeys(group.votes, None)


def elect(peer: str) -> Callable[[ScriptedGroup], None]:
    def step(group: ScriptedGroup) -> None:
        group.votes = dict.fromkeys(group.votes, peer)

    return step


def serve(peer: str) -> Callable[[ScriptedGroup], None]:
    def step(group: ScriptedGroup) -> None:
        group.masters = {peer}

    return step


def register(peer: Any) -> Callable[[ScriptedGroup], None]:
    def step(group: ScriptedGroup) -> None:
        group.registered = {0: peer.address}

    return step


def wait(_group: ScriptedGroup) -> None:
    """One look at which nothing is new."""


def observed(
    group: ScriptedGroup,
    history: History | None = None,
    *,
    timeout_s: float = 20,
    while_killing: Callable[[ScriptedGroup], None] = wait,
) -> Failover:
    def inject() -> None:
        while_killing(group)
        kill_n0(group)

    cluster: Any = SimpleNamespace(pool=group.pool, members=MEMBERS, nameservers=(NAMESRV,))
    return observe(
        cluster,
        kind="kill-leader",
        victim=N0,
        inject=inject,
        timeout_s=timeout_s,
        history=history if history is not None else History(),
    )


def names(failover: Failover) -> list[str]:
    return [phase.name for phase in failover.phases]


def test_every_phase_is_seen_when_it_comes() -> None:
    history = History()
    found = observed(Switching(wait, elect("n2"), wait, serve("n2"), register(N2)), history)
    assert names(found) == ["injected", "elected", "serves", "registered", "acked"]
    assert (found.victim, found.successor, found.group, found.elections) == (N0, N2, GROUP, 1)
    times = [phase.at_s for phase in found.phases]
    assert times == sorted(times)
    assert [(fault.step, fault.target) for fault in history.faults] == [
        ("injected", "n0"),
        ("left", "n1"),
        ("left", "n2"),
        ("elected", "n2"),
        ("serves", "n2"),
        ("registered", "n2"),
        ("acked", "n2"),
    ]
    assert all(fault.within_ns > 0 for fault in history.faults[1:]), "how finely each is known is recorded"
    assert found.phases[0].within_s == found.phases[0].at_s, "it was there at some moment of the call"


def test_each_survivor_gives_its_leader_up_once_and_that_is_part_of_the_timeline() -> None:
    found = observed(Switching(elect("n1"), elect("n2"), elect("n1"), serve("n1"), register(N1)))
    assert [(phase.name, phase.target) for phase in found.left] == [("left", "n1"), ("left", "n2")]
    assert [phase.name for phase in found.timeline][:3] == ["injected", "left", "left"]
    assert found.left[1].as_dict()["peer"] == "n2"
    assert "n2 named its leader no longer (known to " in "\n".join(found.lines())


def test_what_was_not_answered_leaves_open_since_when_it_is_so() -> None:
    """n2 is silent for a while, and its vote is what makes the majority: it may have been there all the time."""

    def silent(group: ScriptedGroup) -> None:
        group.silent.add("n2")
        silenced.append(time.monotonic())

    def quiet(_group: ScriptedGroup) -> None:
        wait_until(
            lambda: time.monotonic() - silenced[0] > 0.2 or Pending("not yet"), label="0.2 s of silence", timeout_s=20
        )

    def speak(group: ScriptedGroup) -> None:
        group.silent.remove("n2")
        elect("n2")(group)

    silenced: list[float] = []
    found = observed(Switching(wait, silent, quiet, speak, wait, serve("n2"), register(N2)))
    known = {phase.name: phase.within_s for phase in found.phases}
    assert known["elected"] >= 0.2
    assert known["serves"] < known["elected"] > known["registered"]


def test_a_kill_is_in_the_history_from_before_the_call_that_did_it() -> None:
    """On a busy machine the call took five seconds: a successor was elected and the outage over when it returned."""
    history, in_the_call = History(), []

    def slow(group: ScriptedGroup) -> None:
        in_the_call.append(time.monotonic_ns())

    observed(Switching(elect("n1"), serve("n1"), register(N1)), history, while_killing=slow)
    assert history.faults[0].step == "injected"
    assert history.faults[0].at_ns <= in_the_call[0]


def test_a_broker_that_registers_before_it_serves_is_shown_so() -> None:
    found = observed(Switching(elect("n1"), register(N1), wait, serve("n1")))
    assert names(found) == ["injected", "elected", "registered", "serves", "acked"]


def test_a_second_election_starts_the_timeline_anew() -> None:
    """A fresh leader may step down and another be elected (dledger #60)."""
    found = observed(Switching(elect("n1"), serve("n1"), elect("n2"), wait, serve("n2"), register(N2)))
    assert found.successor == N2
    assert found.elections == 2
    assert names(found) == ["injected", "elected", "serves", "registered", "acked"]


def test_the_victim_is_no_successor_of_itself() -> None:
    """For a moment the survivors still name the dead leader."""
    found = observed(Switching(elect("n0"), elect("n0"), elect("n1"), serve("n1"), register(N1)))
    assert (found.successor, found.elections) == (N1, 1)


def test_one_survivor_of_three_is_no_majority() -> None:
    def only_n1(group: ScriptedGroup) -> None:
        group.votes = {"n0": None, "n1": "n1", "n2": None}

    with pytest.raises(FaultError, match="kill-leader of n0: no successor acknowledged a send") as caught:
        observed(Switching(only_n1), timeout_s=0.1)
    assert caught.value.details[0] == "reached: injected"
    assert "no survivor's majority names a new leader" in caught.value.details[1]


def test_the_phase_that_did_not_come_is_named() -> None:
    with pytest.raises(FaultError) as caught:
        observed(Switching(elect("n1"), register(N1)), timeout_s=0.2)
    assert caught.value.details[0] == "reached: injected, elected, registered"
    assert "n1 is elected; not yet: serves" in caught.value.details[1]


def test_a_successor_that_acknowledges_nothing_has_not_taken_over() -> None:
    group = Switching(elect("n1"), serve("n1"), register(N1))
    group.refusal = (14, "service not available now")
    with pytest.raises(FaultError) as caught:
        observed(group, timeout_s=0.2)
    assert caught.value.details[0] == "reached: injected, elected, serves, registered"
    assert "probe write to n1" in caught.value.details[1]
    assert set(group.sends) == {"n1"}
