"""Promises of a schedule: the same seed draws the same one, and what is written down comes back."""

from __future__ import annotations

import json
from dataclasses import fields
from random import Random
from typing import Any, cast

import pytest
from fake_engine import FakeEngine, fake_cluster

from rmqkit.cluster.cluster import Cluster
from rmqkit.errors import FaultError, NotFoundError, UsageError
from rmqkit.faults import FAULTS, Kill, NameServerKill, Pause, Schedule, Step, Transfer, make
from rmqkit.faults.registry import kinds, values_of
from rmqkit.faults.schedule import STEP_KEYS, possible

EVERY = list(FAULTS.values())


def drawn(seed: int, **how: Any) -> Schedule:
    return Schedule.random(seed, **{"duration_s": 120.0, "kinds": EVERY, **how})


def test_two_schedules_of_one_seed_are_equal_and_of_two_seeds_are_not() -> None:
    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)
    assert len({drawn(seed).to_json() for seed in range(50)}) == 50


def test_a_seed_draws_the_same_for_ever() -> None:
    """Neither a release of the kit nor a Python may change what a seed means without this being seen."""
    schedule = drawn(7, duration_s=30.0, kinds=[Kill, Pause])
    assert schedule.lines() == [
        "1. after 3.4 s: kill a follower, for 10.4 s",
        "2. after 7.5 s: pause a follower, for 7.1 s",
    ]


def test_gaps_and_holds_fill_the_duration_and_no_more() -> None:
    for seed in range(50):
        steps = drawn(seed, duration_s=200.0).steps
        assert 200.0 - 23.0 <= sum(step.gap_s + step.hold_s for step in steps) <= 200.0
        assert all(3.0 <= step.gap_s <= 8.0 and 5.0 <= step.hold_s <= 15.0 for step in steps)


def test_however_short_it_is_there_is_one_fault() -> None:
    assert len(drawn(1, duration_s=0.1).steps) == 1


def test_each_kind_comes_once_before_any_comes_again() -> None:
    for seed in range(20):
        steps = drawn(seed, duration_s=23.0 * len(EVERY)).steps
        assert {step.fault.kind for step in steps[: len(EVERY)]} == set(FAULTS)


def test_what_is_drawn_leaves_a_group_of_three_its_majority() -> None:
    cluster = fake_cluster()
    for seed in range(30):
        for step in drawn(seed).steps:
            for out in step.fault.out_at_once(step.fault.targets(cluster)):
                assert len(out) == 1, step


def test_faults_of_peers_are_drawn_for_the_group_that_is_asked_for() -> None:
    for step in drawn(3, group="RaftNode01").steps:
        assert getattr(step.fault, "group", "RaftNode01") == "RaftNode01"


@pytest.mark.parametrize("how", [{"kinds": []}, {"duration_s": 0.0}, {"duration_s": float("inf")}])
def test_a_schedule_of_nothing_is_refused(how: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        drawn(1, **how)
    with pytest.raises(UsageError, match="without a step"):
        Schedule(())


# ---- written down


@pytest.mark.parametrize("seed", range(20))
def test_what_was_written_down_comes_back_equal(seed: int) -> None:
    assert Schedule.parse(drawn(seed).to_json()) == drawn(seed)


def test_a_schedule_can_be_written_by_hand() -> None:
    text = """{"steps": [
        {"fault": "kill", "target": "n1"},
        {"fault": "pause", "gap_s": 0, "hold_s": 2.5, "target": "majority", "allow_quorum_loss": true},
        {"fault": "nameserver-kill"}
    ]}"""
    assert Schedule.parse(text) == Schedule(
        (
            Step(Kill("n1")),
            Step(Pause("majority"), gap_s=0, hold_s=2.5, allow_quorum_loss=True),
            Step(NameServerKill()),
        )
    )
    assert Schedule.parse(Schedule.parse(text).to_json()) == Schedule.parse(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kill the leader", "is not JSON"),
        ("[]", "has no list of steps"),
        ('{"steps": 3}', "has no list of steps"),
        ('{"steps": []}', "without a step"),
        ('{"steps": [{"fault": "kill"}], "stepps": []}', "'stepps' beside its steps"),
        ('{"format": 9, "steps": [{"fault": "kill"}]}', "format 9"),
        ('{"seed": "x", "steps": [{"fault": "kill"}]}', "seed 'x' is not a whole number"),
        ('{"steps": [{"target": "n1"}]}', "step 1 names no fault"),
        ('{"steps": ["kill"]}', "step 1 names no fault"),
        ('{"steps": [{"fault": "kill"}, {"fault": "kil"}]}', "step 2: there is no fault 'kil'"),
        ('{"steps": [{"fault": "kill", "tarjet": "n1"}]}', "step 1: fault 'kill' has no 'tarjet'"),
        ('{"steps": [{"fault": "kill", "target": 1}]}', "step 1: target=1 of fault 'kill' is no str"),
        ('{"steps": [{"fault": "kill", "seed": true}]}', "step 1: seed=True of fault 'kill' is no int"),
        ('{"steps": [{"fault": "kill", "group": 5}]}', "step 1: group=5 of fault 'kill' is no str"),
        ('{"steps": [{"fault": "kill", "hold_s": "10"}]}', "step 1: hold_s='10' of kill the leader"),
        ('{"steps": [{"fault": "kill", "gap_s": -1}]}', "step 1: gap_s=-1 of kill the leader"),
        ('{"steps": [{"fault": "kill", "gap_s": NaN}]}', "step 1: gap_s=nan of kill the leader"),
        ('{"steps": [{"fault": "kill", "allow_quorum_loss": 1}]}', "step 1: allow_quorum_loss=1"),
    ],
)
def test_what_is_wrong_with_a_written_schedule_is_said_with_its_step(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        Schedule.parse(text, where="f.json")
    assert said in caught.value.what


# ---- what a cluster can have


def test_a_step_that_cannot_be_is_named_before_any_is_tried() -> None:
    engine = FakeEngine()
    cluster = fake_cluster(engine=engine)
    with pytest.raises(FaultError, match="1 of 2 steps") as caught:
        Schedule((Step(Kill()), Step(Pause("majority")))).check(cluster)
    assert caught.value.details[0].startswith("step 2, pause a majority: no majority without ")
    Schedule((Step(Kill()), Step(Pause("majority"), allow_quorum_loss=True))).check(cluster)
    with pytest.raises(NotFoundError, match=r"^step \d of the schedule, .*: .*no peer 'n9'"):
        Schedule((Step(Kill()), Step(Kill("n9")))).check(cluster)
    assert engine.did == []


def every_tool_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rmqkit.faults.network.lacks", lambda *_: "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"fault": "isolate", "hold_s": 300}', "held for 300 s, it would end by itself before: its dead_man_s is 300"),
        ('{"fault": "clock-skew", "dead_man_s": 8, "hold_s": 9}', "its dead_man_s is 8"),
        ('{"fault": "isolate", "target": "all", "allow_quorum_loss": true}', "takes no packet"),
        ('{"fault": "transfer", "target": "leader"}', "leadership cannot go to the leader"),
        ('{"fault": "transfer", "target": "all"}', "leadership cannot go to 3 peers"),
        ('{"fault": "cut-link", "target": "n1", "to": "n1"}', "a link between n1 and n1"),
        ('{"fault": "ring", "traffic": "udp"}', "names no kind of traffic"),
    ],
)
def test_a_step_that_would_fail_under_way_is_named_before(
    text: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    every_tool_is_there(monkeypatch)
    schedule = Schedule.parse(f'{{"steps": [{{"fault": "kill"}}, {text}]}}')
    with pytest.raises(FaultError, match="1 of 2 steps") as caught:
        schedule.check(fake_cluster())
    assert caught.value.details[0].startswith("step 2, ")
    assert said in caught.value.details[0]


def test_steps_that_may_be_right_when_their_time_comes_are_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """n0 leads now, and does not when it has been killed."""
    every_tool_is_there(monkeypatch)
    Schedule.parse(
        '{"steps": [{"fault": "kill"}, {"fault": "transfer", "target": "n0"},'
        ' {"fault": "isolate", "hold_s": 3600, "dead_man_s": 4000}]}'
    ).check(fake_cluster())


@pytest.mark.parametrize(
    "kind", [kind for kind in EVERY if any(f.name == "dead_man_s" for f in fields(cast("Any", kind)))]
)
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_dead_mans_timer_needs_seconds(kind: type[Any], value: float) -> None:
    with pytest.raises(UsageError, match="dead_man_s="):
        kind(dead_man_s=value)


def test_kinds_that_a_cluster_cannot_have_are_left_out_with_a_line() -> None:
    cluster = fake_cluster()
    assert possible(cluster, [Kill, NameServerKill]) == ([Kill, NameServerKill], [])
    attached = Cluster(members=cluster.members, nameservers=cluster.nameservers, pool=cluster.pool)
    can, left_out = possible(attached, [Kill, Transfer])
    assert can == []
    assert [line.split(":")[0] for line in left_out] == ["kill is left out", "transfer is left out"]
    assert all("read only" in line for line in left_out)


# ---- the registry


def test_every_fault_can_be_written_down_and_made_again() -> None:
    for kind, fault in FAULTS.items():
        assert fault.kind == kind
        names = {each.name for each in fields(cast("Any", fault))}
        assert not names & set(STEP_KEYS), f"{kind}: a step has these already"
        for made in (fault(), *(fault.random(Random(seed)) for seed in range(10))):
            values = values_of(made)
            assert make(kind, **json.loads(json.dumps(values))) == made
            assert made.describe()


def test_an_unknown_fault_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match="there is no fault 'explode'") as caught:
        make("explode")
    assert caught.value.hint == f"faults: {', '.join(sorted(FAULTS))}"


def test_kinds_come_as_a_list_of_names() -> None:
    assert kinds("pause, kill,,pause") == [Pause, Kill]
    for text in ("", " , "):
        with pytest.raises(UsageError, match="no fault is named"):
            kinds(text)
    with pytest.raises(UsageError, match="there is no fault 'kil'"):
        kinds("kill,kil")
