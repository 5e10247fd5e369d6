"""Promises of a load's plan: what cannot be is refused by the name of its option, before anything is asked or sent."""

from __future__ import annotations

import pytest

from rmqkit.errors import UsageError
from rmqkit.load.plan import ReceivePlan, SendPlan


def test_the_defaults_are_the_tutorials_benchmark() -> None:
    plan = SendPlan()
    assert (plan.topic, plan.tag, plan.body, plan.threads) == ("TopicTest", "TagA", b"Test", 10)
    assert (plan.rate, plan.duration_s, plan.count, plan.window, plan.batch) == (None, None, None, 0, 1)
    assert (ReceivePlan().group, ReceivePlan().expression) == ("test_consumer_group", "*")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rate": 0.0}, "--rate is 0"),
        ({"rate": -1.0}, "--rate is -1"),
        ({"rate": float("nan")}, "--rate is nan"),
        ({"rate": float("inf")}, "--rate is inf"),
        ({"threads": 0}, "--threads is 0"),
        ({"threads": -3}, "--threads is -3"),
        ({"threads": 1_000_000}, "--threads is 1000000"),
        ({"processes": -1}, "--processes is -1"),
        ({"processes": 3, "threads": 2}, "--processes 3 for --threads 2"),
        ({"size": 0}, "--size is 0"),
        ({"size": -4}, "--size is -4"),
        ({"size": 1 << 30}, "--size is 1073741824"),
        ({"batch": 0}, "--batch is 0"),
        ({"window": -1}, "--window is -1"),
        ({"batch": 2, "window": 8}, "--batch and --window are two ways"),
        ({"duration_s": 0.0}, "--duration is 0"),
        ({"duration_s": -1.0}, "--duration is -1"),
        ({"duration_s": float("nan")}, "--duration is nan"),
        ({"duration_s": float("inf")}, "--duration is inf"),
        ({"count": 0}, "--count is 0"),
        ({"count": 3, "batch": 4}, "--count 3 is less than one --batch 4"),
        ({"topic": "a topic"}, "not a topic name: 'a topic'"),
        ({"topic": ""}, "not a topic name: ''"),
        ({"topic": "T" * 128}, "not a topic name"),
        ({"tag": "A || B"}, "--tag is 'A || B'"),
        ({"drivers": ("fast",)}, "there is no driver fast"),
        ({"drivers": ()}, "there is no driver named"),
        ({"drivers": ("java", "java")}, "a driver is named twice"),
        ({"drivers": ("built-in", "java"), "window": 8}, "--window is the built-in driver's alone"),
        ({"drivers": ("native",), "batch": 8}, "--batch is the built-in driver's alone"),
        ({"drivers": ("native",), "processes": 2}, "--processes is the built-in driver's alone"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_by_name(changes: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        SendPlan(**changes)  # type: ignore[arg-type]
    assert said in caught.value.what
    assert caught.value.hint


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"group": "a group"}, "not a group name: 'a group'"),
        ({"group": ""}, "not a group name: ''"),
        ({"expression": ""}, "--expression is ''"),
        ({"expression": "A || "}, "--expression is 'A || '"),
        ({"topic": "a/b"}, "not a topic name"),
        ({"threads": 0}, "--threads is 0"),
        ({"duration_s": -1.0}, "--duration is -1"),
        ({"count": -1}, "--count is -1"),
    ],
)
def test_a_consumer_that_cannot_be_is_refused_by_name(changes: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        ReceivePlan(**changes)  # type: ignore[arg-type]
    assert said in caught.value.what


def test_a_count_is_shared_without_a_rest() -> None:
    plan = SendPlan(count=25, threads=3, drivers=("built-in", "java"))
    assert plan.senders == 6
    assert sum(plan.share(worker) or 0 for worker in range(plan.senders)) == 25
    assert [plan.driver_of(worker) for worker in range(6)] == ["built-in"] * 3 + ["java"] * 3


def test_a_body_of_a_size_is_the_seeds_and_does_not_compress() -> None:
    body = SendPlan(size=1000, seed=3).body
    assert body == SendPlan(size=1000, seed=3).body != SendPlan(size=1000, seed=4).body
    assert len(set(body)) > 200
