"""Promises of the timeline and of its numbers above the figures."""

from __future__ import annotations

from report_runs import START, fault, small

from rmqkit.history import FaultEvent
from rmqkit.report.canvas import rail
from rmqkit.report.phases import marks


def test_steps_are_numbered_in_order_and_timed_from_their_fault() -> None:
    found = marks(small().faults, START)
    assert [(each.number, each.step) for each in found][:2] == [(1, "injected"), (2, "elected")]
    assert [each.since_fault_s for each in found] == [0.0, 5.2, 5.77, 5.81, 5.83, 8.03, 19.13]
    assert found[0].since_step_s is None
    assert found[1].at_s == 15.2
    assert found[1].meaning == "Raft elected n1, as the surviving peers say"


def test_a_second_fault_is_timed_from_its_own_injection() -> None:
    history = small()
    fault(history, 100.0)
    assert [each.since_fault_s for each in marks(history.faults, START)][7:9] == [0.0, 5.2]


def test_a_step_that_is_not_known_is_shown_by_its_name_and_braces_stay_braces() -> None:
    step, known = marks([FaultEvent("x", "melted", "n{0}", START), FaultEvent("x", "acked", "{target}", START)], START)
    assert step.meaning == "melted (n{0})"
    assert known.meaning == "first send acknowledged by {target}"
    assert step.since_fault_s is None


def test_numbers_that_would_lie_on_each_other_become_one() -> None:
    found = marks(small().faults, START)
    assert [name for _, name in rail(found, 0.05)] == ["1", "2–5", "6", "7"]
    assert [name for _, name in rail(found, 0.0001)] == ["1", "2", "3", "4", "5", "6", "7"]
    assert [name for _, name in rail(found, 10)] == ["1–7"]
    assert rail([], 1) == []
