"""Promises of watching changes of leader: each phase once, when it is true, and as finely known as it was asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

from scripted_group import GROUP, MEMBERS, N0, N1, N2, NAMESRV, PEERS, ScriptedGroup

from rmqkit.faults.watch import Event, Seen, Switch, Watch
from rmqkit.waiting import Pending, wait_until


def said(*views: Iterator[Event]) -> list[Event]:
    return [event for view in views for event in view]


def test_a_killed_leader_is_left_succeeded_registered_and_served_once_each() -> None:
    switch = Switch(PEERS, leader=N0)
    assert said(switch.raft("n0", "n0"), switch.broker("n0", leads=True), switch.route("ns", N0.address)) == []
    assert said(switch.raft("n1", None)) == [("left", "n1")]
    assert said(switch.raft("n1", "n1")) == []
    assert said(switch.raft("n2", "n1")) == [("left", "n2"), ("elected", "n1")]
    assert said(switch.raft("n2", "n1"), switch.broker("n1", leads=False), switch.route("ns", None)) == []
    assert said(switch.route("ns", N1.address), switch.broker("n1", leads=True)) == [
        ("registered", "n1"),
        ("serves", "n1"),
    ]
    assert said(switch.broker("n1", leads=True), switch.route("ns", N1.address), switch.raft("n1", "n1")) == []


def test_where_the_leader_stays_nothing_is_seen_but_who_lost_sight_of_it() -> None:
    switch = Switch(PEERS, leader=N0)
    assert said(switch.raft("n2", None), switch.raft("n2", "n0")) == [("left", "n2")]
    assert said(switch.broker("n0", leads=True), switch.route("ns", N0.address)) == []


def test_the_same_leader_elected_again_is_a_change_too() -> None:
    switch = Switch(PEERS, leader=N0)
    said(switch.broker("n0", leads=True), switch.route("ns", N0.address))
    assert said(switch.raft("n0", None), switch.raft("n1", None)) == [("left", "n0"), ("left", "n1")]
    assert said(switch.raft("n0", "n0")) == [("elected", "n0"), ("serves", "n0"), ("registered", "n0")]


def test_a_leader_that_names_itself_alone_is_no_majority() -> None:
    switch = Switch(PEERS, leader=N0)
    assert said(switch.raft("n1", "n1"), switch.raft("n2", "n1")) == [
        ("left", "n1"),
        ("left", "n2"),
        ("elected", "n1"),
    ]
    assert said(switch.raft("n0", "n0")) == []
    assert said(switch.raft("n0", "n1")) == [("left", "n0")]


def test_every_nameserver_that_answers_must_show_it() -> None:
    switch = Switch(PEERS, leader=N0)
    said(switch.route("a", N0.address), switch.route("b", N0.address), switch.raft("n1", "n2"), switch.raft("n2", "n2"))
    assert said(switch.route("a", N2.address)) == []
    assert said(switch.silent("b")) == [("registered", "n2")]


def test_a_second_change_has_phases_of_its_own() -> None:
    switch = Switch(PEERS, leader=N0)
    said(switch.raft("n1", "n1"), switch.raft("n2", "n1"), switch.broker("n1", leads=True))
    assert said(switch.raft("n2", "n2"), switch.raft("n0", "n2")) == [("left", "n2"), ("left", "n0"), ("elected", "n2")]
    assert said(switch.broker("n2", leads=True)) == [("serves", "n2")]


def watched(group: ScriptedGroup, act: Callable[[list[Seen]], None]) -> list[Seen]:
    seen: list[Seen] = []
    cluster: Any = SimpleNamespace(members=MEMBERS, nameservers=(NAMESRV,))
    with Watch(cluster, leader=N0, began=time.monotonic(), on_seen=seen.append, pool=group.pool):
        act(seen)
    return seen


def until(seen: list[Seen], name: str) -> None:
    wait_until(
        lambda: any(each.name == name for each in seen) or Pending(f"{seen}"), label=f"{name} is seen", timeout_s=20
    )


def test_all_processes_are_asked_and_a_silent_one_holds_nothing_up() -> None:
    group = ScriptedGroup()

    def act(seen: list[Seen]) -> None:
        group.silent.add("n0")
        group.votes = dict.fromkeys(group.votes, "n1")
        until(seen, "elected")
        group.registered = {0: N1.address}
        until(seen, "registered")
        group.masters = {"n1"}
        until(seen, "serves")

    seen = watched(group, act)
    assert [each.name for each in seen if each.name != "left"] == ["elected", "registered", "serves"]
    assert {each.target for each in seen} == {"n1", "n2"}
    assert {each.group for each in seen} == {GROUP}
    assert all(0 < each.within_s <= each.at_s for each in seen)


class Counting(ScriptedGroup):
    def __init__(self) -> None:
        self.asked: set[str] = set()
        super().__init__()

    def _metadata(self, name: str, command: Any) -> Any:
        self.asked.add(name)
        return super()._metadata(name, command)


def test_what_was_not_answered_leaves_open_since_when_it_is_so() -> None:
    group = Counting()

    def act(seen: list[Seen]) -> None:
        wait_until(lambda: group.asked == {"n0", "n1", "n2"} or Pending("not all"), label="all asked", timeout_s=20)
        group.silent |= {"n0", "n1", "n2"}
        silent = time.monotonic()
        wait_until(lambda: time.monotonic() - silent > 0.3 or Pending("silent"), label="0.3 s of silence", timeout_s=20)
        group.votes = dict.fromkeys(group.votes, "n1")
        group.silent -= {"n1", "n2"}
        until(seen, "elected")

    (elected,) = (each for each in watched(group, act) if each.name == "elected")
    assert elected.within_s >= 0.3


def test_no_thread_is_left() -> None:
    watched(ScriptedGroup(), lambda _seen: None)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("rmqkit-watch")]
