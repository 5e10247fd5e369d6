"""Promises of a load's numbers: each operation counts once, in its second, and percentiles are those of the values."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest

from rmqkit.client.outcomes import OutcomeUnknown, Receipt, Refused, SendOutcome
from rmqkit.load.batches import Ending, ReceivedRow, SendBatch, SendRecorder, Times, ending_of
from rmqkit.load.plan import SendPlan
from rmqkit.load.statistics import MOST_REASONS, Gaps, Statistics, new_histogram, percentiles_of, record_all

MS = 1_000_000
SECOND = 1000 * MS


def receipt(queue: int = 1, offset: int = 2) -> SendOutcome:
    return Receipt(message_id="m", address="a:1", latency_ms=1, msg_id="x", queue_id=queue, queue_offset=offset)


def refused(code: int | None = 14, remark: str = "", reason: str = "no leader") -> SendOutcome:
    return Refused(message_id="m", address="a:1", latency_ms=1, code=code, remark=remark, reason=reason)


def unknown(reason: str = "no answer") -> SendOutcome:
    return OutcomeUnknown(message_id="m", address="", latency_ms=1, code=None, remark="", reason=reason)


def batch(*sends: tuple[int, float, float, float, SendOutcome]) -> SendBatch:
    """Worker, due, start and end in milliseconds, outcome."""
    recorder = SendRecorder()
    for sequence, (worker, due, start, end, outcome) in enumerate(sends):
        recorder.add(worker, sequence, Times(int(due * MS), int(start * MS), int(end * MS)), outcome)
    taken = recorder.take()
    assert taken is not None
    return taken


def test_a_recorder_is_empty_after_it_was_taken() -> None:
    recorder = SendRecorder()
    assert recorder.take() is None
    recorder.add(0, 0, Times(1, 2, 3), receipt())
    taken = recorder.take()
    assert taken is not None
    assert [row[:8] for row in taken.rows()] == [(0, 0, 1, 2, 3, 0, 1, 2)]
    assert recorder.take() is None


@pytest.mark.parametrize(
    ("outcome", "ending"),
    [
        (receipt(), Ending.ACKNOWLEDGED),
        (refused(), Ending.REFUSED),
        (refused(code=None), Ending.REFUSED),
        (refused(code=2), Ending.FLOW_CONTROL),
        (refused(code=215), Ending.FLOW_CONTROL),
        (refused(code=1, remark="SYSTEM BUSY, try again"), Ending.FLOW_CONTROL),
        (unknown(), Ending.UNKNOWN),
        (unknown("system busy"), Ending.UNKNOWN),
    ],
)
def test_a_broker_that_sheds_load_is_told_from_one_that_refuses(outcome: SendOutcome, ending: Ending) -> None:
    assert ending_of(outcome) is ending


def test_every_send_counts_once_in_the_second_in_which_it_ended() -> None:
    statistics = Statistics(10 * SECOND, SendPlan(threads=2))
    second = 10_000.0
    sends = [
        (0, second, second + 1, second + 5, receipt()),
        (1, second, second + 1, second + 999, refused()),
        (0, second, second + 900, second + 1000, receipt()),
        (1, second, second + 900, second + 3500, unknown()),
        (1, second, second + 900, second + 3600, refused(code=2, reason="busy")),
    ]
    statistics.add_sends(batch(*sends))
    windows = statistics.windows(14 * SECOND)
    assert [(w.second, w.acknowledged, w.refused, w.unknown, w.flow_control) for w in windows] == [
        (0, 1, 1, 0, 0),
        (1, 1, 0, 0, 0),
        (2, 0, 0, 0, 0),
        (3, 0, 1, 1, 1),
        (4, 0, 0, 0, 0),
    ]
    assert (statistics.sent, statistics.ended(Ending.ACKNOWLEDGED)) == (5, 2)
    errors = {(error.kind, error.reason): error.count for error in statistics.errors()}
    assert errors == {("refused", "no leader"): 1, ("unknown", "no answer"): 1, ("flow control", "busy"): 1}
    assert statistics.error_kinds() == {"refused": 1, "unknown": 1, "flow control": 1}


def test_latency_counts_from_when_a_message_was_due_and_service_from_its_request() -> None:
    statistics = Statistics(0, SendPlan(threads=1))
    statistics.add_sends(batch(*[(0, 0, 100, 101, receipt()) for _ in range(10)]))
    traffic = statistics.traffic(2.0)
    assert traffic.latency.p50_ms == pytest.approx(101, rel=0.001)
    assert traffic.service.p50_ms == pytest.approx(1, rel=0.001)
    assert traffic.acked_per_s == 5


def test_seconds_are_settled_once_and_late_batches_are_not_lost() -> None:
    statistics = Statistics(0, SendPlan(threads=1))
    statistics.add_sends(batch((0, 0, 0, 500, receipt())))
    statistics.settle(10 * SECOND)
    statistics.add_sends(batch((0, 0, 0, 600, receipt())))
    windows = statistics.windows(11 * SECOND)
    assert [window.second for window in windows] == list(range(12))
    assert [window.acknowledged for window in windows] == [1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]
    assert sum(window.acknowledged for window in windows) == statistics.sent == 2
    assert statistics.windows(11 * SECOND)[0] is windows[0]


def test_memory_does_not_grow_with_the_number_of_sends() -> None:
    statistics = Statistics(0, SendPlan(threads=1))
    for second in range(100):
        sends = [(0, second * 1000, second * 1000, second * 1000 + each, receipt()) for each in range(50)]
        statistics.add_sends(batch(*sends))
        statistics.settle(second * SECOND)
        assert len(statistics._open) < 6
        assert len(statistics._all_gaps._young) < 50 * 6


def test_percentiles_are_those_of_the_values() -> None:
    random.seed(5)
    values = np.array([int(random.lognormvariate(8, 2)) for _ in range(20_000)], dtype=np.int64)
    histogram, one_by_one = new_histogram(), new_histogram()
    for part in np.array_split(values, 7):
        record_all(histogram, part)
    for value in values.tolist():
        one_by_one.record_value(max(value, 1))
    got = percentiles_of(histogram)
    assert got == percentiles_of(one_by_one)
    assert got.count == len(values)
    for name, percent in (("p50_ms", 50), ("p90_ms", 90), ("p99_ms", 99), ("p999_ms", 99.9), ("max_ms", 100)):
        assert getattr(got, name) == pytest.approx(np.percentile(values, percent) / 1000, rel=0.005)


def test_a_time_beyond_the_histogram_is_its_largest_and_not_lost() -> None:
    histogram = new_histogram()
    record_all(histogram, np.array([-5, 0, 10**15], dtype=np.int64))
    assert percentiles_of(histogram).count == 3
    assert percentiles_of(new_histogram()).count == 0


def test_the_outage_is_the_longest_time_between_two_acknowledgements_of_a_driver() -> None:
    plan = SendPlan(threads=2, drivers=("built-in", "java"))
    statistics = Statistics(0, plan)
    built_in = [(0, 0, 0, end, receipt()) for end in (1, 2, 500, 501)]
    java = [(3, 0, 0, end, receipt()) for end in (1, 700, 701)] + [(2, 0, 0, 300, refused())]
    statistics.add_sends(batch(*built_in, *java))
    by_driver = {each.driver: each for each in statistics.by_driver(1.0)}
    assert (by_driver["built-in"].outage_s, by_driver["java"].outage_s) == (0.498, 0.699)
    assert (by_driver["java"].sent, by_driver["java"].acknowledged, by_driver["java"].refused) == (4, 3, 1)
    assert statistics.traffic(1.0).outage_s == 0.498


def test_gaps_are_those_of_all_ends_however_they_are_cut_and_ordered() -> None:
    random.seed(9)
    ends = sorted(random.sample(range(20 * SECOND), 300))
    wanted = max(later - earlier for earlier, later in pairwise(ends)) / 1e9
    gaps = Gaps()
    for at in range(0, 300, 20):
        part = ends[at : at + 20]
        random.shuffle(part)
        gaps.add(np.array(part, dtype=np.int64))
    assert gaps.longest_s == wanted
    assert len(gaps._young) < 300
    assert Gaps().longest_s == 0


def test_reasons_without_end_are_not_kept_without_end() -> None:
    statistics = Statistics(0, SendPlan(threads=1))
    statistics.add_sends(batch(*[(0, 0, 0, 1, refused(reason=f"reason {each}")) for each in range(MOST_REASONS * 2)]))
    errors = statistics.errors()
    assert len(errors) == MOST_REASONS + 1
    assert sum(error.count for error in errors) == MOST_REASONS * 2
    assert errors[0].reason == "other reasons"


def test_received_messages_count_in_their_second() -> None:
    statistics = Statistics(SECOND)
    rows = [ReceivedRow("m", 0, 0, 0, at) for at in (0, SECOND, 3 * SECOND)]
    statistics.add_received(rows)
    assert [window.received for window in statistics.windows(3 * SECOND)] == [2, 0, 1]
    assert (statistics.received, statistics.received_until_s) == (3, 2.0)
