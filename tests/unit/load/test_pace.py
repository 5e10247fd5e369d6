"""Promises of the schedule: a fixed one owes what it could not send and says how late it is; another owes nothing."""

from __future__ import annotations

import pytest

from rmqkit.load.pace import FIRST_BACKOFF_S, LONGEST_BACKOFF_S, Backoff, Pace


def driven(pace: Pace, now: float, answers: list[float]) -> tuple[list[float], list[float]]:
    """When messages were sent, and when they were due, if answers take so long."""
    sent, due = [], []
    for answer_s in answers:
        now += pace.left_s(now)
        sent.append(now)
        due.append(pace.sends(now))
        now += answer_s
    return sent, due


def test_the_rate_is_held_whatever_an_answer_takes() -> None:
    sent, due = driven(Pace(10.0, interval_s=2.0), 7.0, [0.5, 1.5, 0.0, 1.0])
    assert sent == due == [10.0, 12.0, 14.0, 16.0]


def test_a_pause_owes_no_burst_without_a_fixed_schedule() -> None:
    sent, _ = driven(Pace(10.0, interval_s=2.0), 10.0, [9.0, 0.5, 0.0, 0.0])
    assert sent == [10.0, 19.0, 19.5, 21.0]


def test_a_fixed_schedule_catches_up_and_tells_when_each_message_was_due() -> None:
    """Coordinated omission is what a tool leaves out that waits for a slow answer and then begins anew."""
    sent, due = driven(Pace(10.0, interval_s=2.0, catch_up=True), 10.0, [9.0, 0.5, 0.0, 0.0, 0.0, 0.0])
    assert due == [10.0, 12.0, 14.0, 16.0, 18.0, 20.0]
    assert sent == [10.0, 19.0, 19.5, 19.5, 19.5, 20.0]


def test_a_schedule_does_not_drift_in_an_hour() -> None:
    pace = Pace(0.1, interval_s=0.001, catch_up=True)
    for _ in range(3_600_000 // 10):
        due = pace.sends(0.0)
    assert due == pytest.approx(0.1 + (360_000 - 1) * 0.001, abs=1e-9)


def test_what_was_due_and_not_sent_is_owed() -> None:
    pace = Pace(10.0, interval_s=2.0, catch_up=True)
    assert pace.owed(9.9) == pace.owed(10.0) == 0
    assert pace.owed(14.0) == 2
    assert pace.owed(14.1) == 3
    pace.sends(10.0)
    assert pace.owed(14.1) == 2
    assert Pace(10.0, interval_s=2.0).owed(99.0) == 0
    assert Pace(10.0).owed(99.0) == 0


def test_in_a_closed_loop_a_message_is_due_when_it_is_sent() -> None:
    sent, due = driven(Pace(10.0), 10.0, [3.0, 0.5, 0.0])
    assert sent == due == [10.0, 13.0, 13.5]


def test_backing_off_doubles_up_to_a_limit_and_begins_anew_after_success() -> None:
    backoff = Backoff("7/0")
    waits = [backoff.refused() for _ in range(12)]
    steps = [min(FIRST_BACKOFF_S * 2**number, LONGEST_BACKOFF_S) for number in range(12)]
    assert all(step / 2 <= wait <= step for wait, step in zip(waits, steps, strict=True))
    assert backoff.total_s == pytest.approx(sum(waits))
    backoff.served()
    assert backoff.refused() <= FIRST_BACKOFF_S


def test_the_jitter_is_the_seeds() -> None:
    one, same, other = (Backoff(seed) for seed in ("7/0", "7/0", "7/1"))
    first = [one.refused() for _ in range(5)]
    assert first == [same.refused() for _ in range(5)]
    assert first != [other.refused() for _ in range(5)]
