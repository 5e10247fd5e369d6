"""Promises of the arithmetic: exact numbers from sends whose times are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_runs import SECOND, START, empty, fault, send, small

from rmqkit.checks.intervals import Interval
from rmqkit.history import Outcome, ReceiveRecord
from rmqkit.report.analysis import Analysis
from rmqkit.report.columns import columns
from rmqkit.report.series import (
    MOST_POINTS,
    bins_over,
    cumulative,
    curve,
    distribution,
    lag,
    percentiles_over_time,
    ranked,
    within,
)


def seconds(*values: float) -> np.ndarray:
    return START + (np.array(values) * SECOND).astype(np.int64)


# ---- bins


def test_short_runs_are_counted_in_half_seconds_and_longer_ones_in_seconds() -> None:
    assert bins_over((START, START + 60 * SECOND)).width_ns == SECOND // 2
    assert bins_over((START, START + 61 * SECOND)).width_ns == SECOND


def test_every_time_is_in_exactly_one_bin_and_the_rest_of_a_step_is_in_the_last() -> None:
    bins = bins_over((START, START + round(2.3 * SECOND)))
    assert bins.edges_s.tolist() == [0.0, 0.5, 1.0, 1.5, 2.3]
    assert bins.counts(seconds(0, 0.4999, 0.5, 1.999, 2.0, 2.3)).tolist() == [2, 1, 0, 3]
    assert bins.rates(seconds(0, 2.0)).tolist() == [2.0, 0.0, 0.0, pytest.approx(1.25)]


def test_a_run_of_one_moment_is_one_bin() -> None:
    bins = bins_over((START, START))
    assert len(bins) == 1
    assert bins.counts(seconds(0)).tolist() == [1]


def test_a_long_run_is_thinned_and_the_slowest_and_the_fastest_second_are_kept() -> None:
    bins = bins_over((START, START + 2 * MOST_POINTS * SECOND))
    values = np.full(len(bins), 10.0)
    values[100], values[101] = 0.0, 40.0
    thin = curve(bins, values)
    assert len(thin.mean) == MOST_POINTS
    assert (thin.mean[50], thin.low[50], thin.high[50]) == (20.0, 0.0, 40.0)
    assert thin.thinned


@pytest.mark.parametrize("hours", [1, 24])
def test_no_curve_has_more_points_than_a_screen(hours: int) -> None:
    span = (START, START + hours * 3600 * SECOND)
    assert len(curve(bins_over(span), np.zeros(len(bins_over(span)))).mean) <= MOST_POINTS
    assert len(bins_over(span, fine=False)) <= MOST_POINTS


# ---- percentiles


def test_a_percentile_is_the_nearest_rank() -> None:
    values = np.arange(1.0, 1001.0)
    assert [ranked(values, each) for each in (0, 50, 90, 99, 99.9, 100)] == [1, 500, 900, 990, 999, 1000]


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300), st.sampled_from([50.0, 90.0, 99.0, 99.9, 100.0]))
def test_a_percentile_is_what_numpy_calls_the_inverted_distribution(values: list[float], percent: float) -> None:
    ordered = np.sort(np.array(values))
    assert ranked(ordered, percent) == np.percentile(ordered, percent, method="inverted_cdf")


def test_a_distribution_has_its_exact_numbers_and_of_nothing_there_is_none() -> None:
    found = distribution(np.array([5.0, 1.0, 2.0, 4.0, 3.0]))
    assert (found.count, found.mean, found.p50, found.p90, found.high) == (5, 3.0, 3.0, 5.0, 5.0)
    assert np.isnan(distribution(np.empty(0)).p99)


def test_percentiles_over_time_are_of_what_ended_in_each_step_and_a_hole_where_nothing_did() -> None:
    bins = bins_over((START, START + 2 * SECOND))
    times = seconds(0.1, 1.2, 0.2, 0.3, 1.3)
    found = percentiles_over_time(bins, times, np.array([1.0, 10.0, 2.0, 3.0, 20.0]), (50.0, 100.0))
    assert found[0].tolist() == [2.0, pytest.approx(np.nan, nan_ok=True), 10.0, pytest.approx(np.nan, nan_ok=True)]
    assert found[1, [0, 2]].tolist() == [3.0, 20.0]


def test_the_distributions_curve_begins_with_the_fastest_and_ends_with_the_slowest() -> None:
    shares, values = cumulative(np.arange(1.0, 10_001.0))
    assert (values[0], values[-1], shares[-1]) == (1.0, 10_000.0, 1.0)
    assert len(values) <= 242
    assert np.all(np.diff(shares) > 0)
    assert values[np.searchsorted(shares, 0.99)] == pytest.approx(9_900, rel=0.01)


# ---- parts, lag, errors


def test_a_fault_without_an_end_lasts_to_the_end_of_the_run() -> None:
    faults = [Interval("kill", "n0", START + SECOND)]
    assert within(seconds(0.5, 1.0, 9.0), faults, START + 9 * SECOND).tolist() == [False, True, True]


def test_the_parts_of_a_run_hold_every_send_once() -> None:
    run = Analysis(small(), {})
    whole, before, fault, after = run.parts()
    assert [int(part.ended.sum()) for part in (whole, before, fault, after)] == [300, 100, 59, 141]
    assert [int((part.ended & run.acked).sum()) for part in (whole, before, fault, after)] == [240, 100, 0, 140]
    assert (before.lasted_s, fault.lasted_s) == (10.0, pytest.approx(5.83))
    assert before.lasted_s + fault.lasted_s + after.lasted_s == pytest.approx(whole.lasted_s)


def test_two_faults_at_once_are_not_counted_twice() -> None:
    history = small()
    fault(history, 12.0, kind="stop-leader")
    _, before, during, after = Analysis(history, {}).parts()
    assert (before.lasted_s, during.lasted_s) == (10.0, pytest.approx(7.83))
    assert after.lasted_s == pytest.approx(31.13 - 17.83)


def test_lag_counts_a_message_from_its_acknowledgement_to_its_first_delivery() -> None:
    history = empty()
    for number in range(4):
        history.add_send(send(number, Outcome.ACKNOWLEDGED, start_s=number * 0.1))
    history.add_send(send(9, Outcome.REFUSED, start_s=2.9))
    for consumer, number, at_s in (
        ("g/0", 0, 0.9),
        ("g/1", 0, 0.2),  # the earlier of two deliveries counts, whichever was recorded first
        ("g/0", 1, 1.4),
        ("g/0", 2, 0.05),  # delivered before its sender knew
        ("other/0", 3, 0.6),
        ("g/0", 77, 0.1),  # somebody else's
    ):
        history.add_receive(ReceiveRecord(consumer, f"run-{number}", "T", 0, number, START + round(at_s * SECOND)))
    sends, receives = columns(history)
    bins = bins_over((START, START + 3 * SECOND))
    assert receives.groups == ("g", "other")
    assert lag(bins, sends, receives, 0).tolist() == [2, 2, 1, 1, 1, 1]
    assert lag(bins, sends, receives, 1).tolist() == [4, 3, 3, 3, 3, 3]


def test_ids_with_huge_numbers_are_told_apart_too() -> None:
    history = empty()
    for text in ("a-9223372036854775807", "a-1", "b-9223372036854775806", "a-9223372036854775807", "plain"):
        record = send(0, Outcome.ACKNOWLEDGED, start_s=0)
        history.add_send(type(record)(text, *[getattr(record, name) for name in record.__slots__[1:]]))
    messages = columns(history)[0].message.tolist()
    assert messages[0] == messages[3]
    assert len(set(messages)) == 4


def test_errors_are_counted_by_outcome_and_reason_the_most_frequent_first_and_the_rest_together() -> None:
    history = empty()
    counts = {"why 1": 5, "why 2": 4, "why 3": 3, "why 4": 3, "why 5": 2, "why 6": 1, "why 7": 1}
    number = 0
    for reason, times in counts.items():
        for _ in range(times):
            history.add_send(send(number, Outcome.REFUSED, start_s=number, reason=reason))
            number += 1
    history.add_send(send(99, Outcome.UNKNOWN, start_s=30, reason="why 1"))
    found = [(each.letter, each.outcome, each.reason, len(each.ended_ns)) for each in Analysis(history, {}).error_kinds]
    assert found == [
        ("a", "refused", "why 1", 5),
        ("b", "refused", "why 2", 4),
        ("c", "refused", "why 3", 3),
        ("d", "refused", "why 4", 3),
        ("e", "refused", "why 5", 2),
        ("f", "others", "3 more reasons", 3),
    ]


def test_what_the_load_counted_from_when_messages_were_due_is_drawn_where_it_differs() -> None:
    window = {"second": 1, "latency": {"count": 10, "p99_ms": 500.0}}
    idle = {"second": 2, "latency": {"count": 0, "p99_ms": 0.0}}
    _, rows = Analysis(small(), {"start_ns": START, "windows": [window, idle]}).latency_over_time
    due = rows["p99 since due"]
    assert due[3] == 500.0
    assert np.isnan(np.delete(due, 3)).all()
    same = {"second": 1, "latency": {"count": 10, "p99_ms": 2.0}}
    assert "p99 since due" not in Analysis(small(), {"start_ns": START, "windows": [same]}).latency_over_time[1]


def test_a_history_of_nothing_is_empty_and_breaks_nothing() -> None:
    run = Analysis(empty(), {})
    assert run.empty
    assert run.error_kinds == []
    assert run.outages == ()
    assert run.longest_gap is None
    assert run.throughput == run.lag == {}


def test_the_longest_gap_is_between_two_acknowledgements_whoever_sent() -> None:
    history = small()
    assert Analysis(history, {}).longest_gap == (pytest.approx(9.902), pytest.approx(6.1))
    history.add_send(send(999, Outcome.ACKNOWLEDGED, start_s=13.0, sender="java/0"))
    assert Analysis(history, {}).longest_gap == (pytest.approx(9.902), pytest.approx(3.099))


def test_a_fault_in_a_long_run_is_shown_from_near_with_each_driver_by_itself() -> None:
    history = empty()
    for number in range(300):
        away = 100 <= number < 106
        outcome = Outcome.REFUSED if away else Outcome.ACKNOWLEDGED
        history.add_send(send(number, outcome, start_s=number, sender="java/0"))
        history.add_send(send(number + 1000, Outcome.ACKNOWLEDGED, start_s=number + 0.5, sender="native/0"))
    fault(history, 100.0)
    (near,) = Analysis(history, {}).closeups()
    assert (near.number, near.begin_s, near.end_s) == (1, 95.0, pytest.approx(100 + 19.13 + 5))
    java, native = near.curves["java"], near.curves["native"]
    assert java.edges_s[0] == 95.0
    assert java.mean[:10].tolist() == [2.0, 0.0] * 5
    assert java.mean[10:22].max() == 0.0
    assert java.mean[22] == 2.0
    assert native.mean[11] == 2.0


def test_in_a_short_run_the_fault_is_near_enough_already() -> None:
    assert list(Analysis(small(), {}).closeups()) == []


def test_of_many_faults_only_the_first_are_shown_from_near_and_none_runs_into_the_next() -> None:
    history = empty()
    for number in range(1000):
        history.add_send(send(number, Outcome.ACKNOWLEDGED, start_s=number))
    for at_s in (100, 110, 500, 700):
        fault(history, at_s)
    found = [(each.number, each.begin_s, round(each.end_s)) for each in Analysis(history, {}).closeups()]
    assert [number for number, _, _ in found] == [1, 2, 3]
    assert found[0][2] <= 115


def test_two_faults_at_the_same_moment_are_both_shown() -> None:
    history = empty()
    for number in range(300):
        history.add_send(send(number, Outcome.ACKNOWLEDGED, start_s=number))
    for kind in ("kill-leader", "partition"):
        fault(history, 100.0, kind=kind)
    assert [each.number for each in Analysis(history, {}).closeups()] == [1, 2]
