"""Promises of the timeline and of its numbers above the figures."""

from __future__ import annotations

from report_runs import START, fault, small

from rmqkit.checks import timelines
from rmqkit.history import FaultEvent, History
from rmqkit.report.canvas import rail
from rmqkit.report.phases import Mark, marks


def marked(history: History) -> list[Mark]:
    return marks(timelines(history), START)


def test_phases_are_numbered_in_order_and_timed_from_their_fault() -> None:
    found = marked(small())
    names = ["last-ack", "injected", "elected", "registered", "serves", "acked", "first-ack", "healed", "restored"]
    assert [(each.number, each.step) for each in found] == list(enumerate(names, start=1))
    assert [each.since_fault_s for each in found] == [-0.098, 0.0, 5.2, 5.77, 5.81, 5.83, 6.002, 8.03, 19.13]
    assert found[0].since_step_s is None
    assert found[2].at_s == 15.2
    assert found[2].meaning == "Raft elected n1, as a majority of the peers says"
    assert (found[6].target, found[6].within_s) == ("built-in", 0.002)


def test_a_second_fault_is_timed_from_its_own_injection() -> None:
    history = small()
    fault(history, 100.0)
    found = marked(history)
    assert [each.since_fault_s for each in found if each.fault == 1 and each.step != "last-ack"][:2] == [0.0, 5.2]
    assert [each.number for each in found] == list(range(1, len(found) + 1))
    assert [each.at_s for each in found] == sorted(each.at_s for each in found)


def test_a_step_that_is_not_known_is_shown_by_its_name_and_braces_stay_braces() -> None:
    history = History()
    history.faults += [FaultEvent("x", "melted", "n{0}", START), FaultEvent("x", "acked", "{target}", START)]
    known, step = marked(history)
    assert step.meaning == "melted (n{0})"
    assert known.meaning == "first send acknowledged by {target}, to the kit itself"
    assert step.since_fault_s is None


def test_numbers_that_would_lie_on_each_other_become_one() -> None:
    found = marked(small())
    assert [name for _, name in rail(found, 0.05)] == ["1–2", "3–7", "8", "9"]
    assert [name for _, name in rail(found, 0.0001)] == ["1", "2", "3", "4", "5", "6", "7", "8", "9"]
    assert [name for _, name in rail(found, 10)] == ["1–9"]
    assert rail([], 1) == []
