"""Promises about what brokers say: what they deleted is not lost, offsets do not move back, halves and delays end."""

from __future__ import annotations

from dataclasses import replace

import pytest
from model_runs import REPLICAS, SECOND, TOPIC, Run, plain_run, send

from rmqkit.checks import Thresholds, Verdict, VerdictStatus, judge
from rmqkit.errors import UsageError
from rmqkit.history import (
    COMMIT,
    HALF,
    ROLLBACK,
    History,
    OffsetRecord,
    Outcome,
    RangeRecord,
    ReadRecord,
    ReceiveRecord,
    SendRecord,
)

PASSED, FAILED, INCONCLUSIVE = VerdictStatus.PASSED, VerdictStatus.FAILED, VerdictStatus.INCONCLUSIVE
ACKED, REFUSED, UNKNOWN = Outcome.ACKNOWLEDGED, Outcome.REFUSED, Outcome.UNKNOWN
ENOUGH = Thresholds(min_acked_before=5, min_acked_after=5, min_replicas=3)
LATE = 1000 * SECOND


def kinds(found: Verdict) -> tuple[list[str], list[str]]:
    return [each.kind for each in found.violations], [each.kind for each in found.doubts]


def held(history: History, first: int, *, on: tuple[str, ...] = REPLICAS, at_ns: int = LATE) -> History:
    """The history with what each replica said of its queue."""
    for replica in on:
        history.add_range(RangeRecord(replica, TOPIC, 0, first, 10, at_ns))
    return history


def cut(run: Run, first: int, *, on: tuple[str, ...]) -> Run:
    return run.with_reads([read for read in run.reads if read.replica not in on or read.offset >= first])


# ---- trimmed


def test_what_a_replica_deleted_itself_is_not_lost() -> None:
    run = cut(plain_run(before=8), 3, on=("n1",))
    assert kinds(judge(run.history(), ENOUGH))[0] == ["acknowledged-lost"]
    found = judge(held(run.history(), 3, on=("n1",)), ENOUGH)
    assert found.status is PASSED, found
    assert "trimmed: 3 of 13 acknowledged were deleted by n1 itself" in str(found)


def test_what_is_beyond_the_first_offset_is_lost_all_the_same() -> None:
    run = cut(plain_run(), 4, on=("n1",))
    (lost,) = judge(held(run.history(), 3, on=("n1",)), ENOUGH).violations
    assert (lost.kind, lost.ids) == ("acknowledged-lost", ("a3",))


def test_a_replica_that_deleted_everything_proves_nothing() -> None:
    run = cut(plain_run(), 10, on=REPLICAS)
    found = judge(held(run.history(), 10), ENOUGH)
    assert (found.status, set(kinds(found)[1])) == (INCONCLUSIVE, {"all-trimmed", "much-trimmed"})


def test_where_the_receipt_names_no_place_another_replica_tells() -> None:
    run = plain_run(before=8)
    hidden = replace(run, sends=[replace(each, queue=-1, offset=-1) for each in run.sends])
    one = held(cut(hidden, 3, on=("n1",)).history(), 3, on=("n1",))
    assert judge(one, ENOUGH).status is PASSED
    every = held(cut(hidden, 3, on=REPLICAS).history(), 3)
    found = judge(every, ENOUGH)
    assert (found.status, set(kinds(found)[1])) == (INCONCLUSIVE, {"trimmed-untold"})


def test_what_was_deleted_on_another_topic_excuses_nothing() -> None:
    history = cut(plain_run(), 3, on=("n1",)).history()
    history.add_range(RangeRecord("n1", "U", 0, 3, 10, LATE))
    assert kinds(judge(history, ENOUGH))[0] == ["acknowledged-lost"]


def test_a_group_that_did_not_get_what_was_deleted_since_may_have_come_too_late() -> None:
    whole = plain_run(before=8)
    history = held(cut(whole, 3, on=("n1",)).history(), 3, on=("n1",))
    for number, read in enumerate(each for each in whole.reads if each.replica == "n0" and each.offset >= 3):
        history.add_receive(ReceiveRecord("g/0", read.message_id, TOPIC, 0, read.offset, (30 + number) * SECOND))
    history.consumer_done("g", drained=True)
    found = judge(history, ENOUGH)
    assert (found.status, kinds(found)) == (INCONCLUSIVE, ([], ["trimmed-unreceived"]))


# ---- committed offsets


def committed(*answers: tuple[int, int, int], deliberate: int = -1) -> History:
    """A good run with answers: asked at, answered at, offset; the number ``deliberate`` of them was set on purpose."""
    history = plain_run().history()
    for number, (start, end, offset) in enumerate(answers):
        history.add_offset(OffsetRecord("g", TOPIC, 0, offset, start, end, deliberate=number == deliberate))
    return history


def test_a_committed_offset_that_moved_back_is_a_violation_unless_it_may() -> None:
    history = committed((1, 2, 5), (3, 4, 7), (5, 6, 6))
    found = judge(history, ENOUGH)
    assert [(each.kind, each.ids) for each in found.violations] == [("offset-moved-back", ("T queue 0: 6 after 7",))]
    assert found.numbers["committed_offsets"] == 3
    allowed = judge(history, replace(ENOUGH, offsets_may_move_back=True))
    assert (allowed.status, [each.kind for each in allowed.notes][-1]) == (PASSED, "offset-moved-back")


def test_of_two_answers_under_way_at_once_neither_is_the_earlier() -> None:
    assert judge(committed((1, 4, 7), (2, 5, 6)), ENOUGH).status is PASSED


def test_what_was_set_deliberately_binds_from_there_on() -> None:
    history = committed((1, 2, 7), (3, 4, 0), (5, 6, 2), deliberate=1)
    assert judge(history, ENOUGH).status is PASSED
    again = committed((1, 2, 7), (3, 4, 3), (5, 6, 2), deliberate=1)
    assert kinds(judge(again, ENOUGH))[0] == ["offset-moved-back"]


def test_other_groups_and_queues_have_offsets_of_their_own() -> None:
    history = committed((1, 2, 7))
    history.add_offset(OffsetRecord("h", TOPIC, 0, 3, 5, 6))
    history.add_offset(OffsetRecord("g", TOPIC, 1, 3, 5, 6))
    history.add_offset(OffsetRecord("g", "U", 0, 3, 5, 6))
    assert judge(history, ENOUGH).status is PASSED


# ---- delays


def late(outcome: Outcome = ACKED) -> SendRecord:
    """A send of the tenth second, delayed by five."""
    return replace(send("late", outcome, at_s=10.0, queue=4, offset=0), delay_ms=5000)


def with_late(*, read_ns: int, there: bool) -> History:
    run = plain_run()
    reads = [ReadRecord(each, "late", TOPIC, 0, 10) for each in REPLICAS] if there else []
    return held(Run([*run.sends, late()], [*run.reads, *reads], run.readers, run.faults).history(), 0, at_ns=read_ns)


def test_a_delayed_message_lies_elsewhere_than_its_receipt_says() -> None:
    assert judge(with_late(read_ns=LATE, there=True), ENOUGH).status is PASSED


def test_a_delayed_message_that_is_not_there_in_time_is_lost() -> None:
    found = judge(with_late(read_ns=26 * SECOND, there=False), ENOUGH)
    assert kinds(found)[0] == ["delayed-lost"] * 3


@pytest.mark.parametrize("read_ns", [24 * SECOND, 0])
def test_a_delayed_message_that_need_not_be_there_yet_is_a_doubt(read_ns: int) -> None:
    found = judge(with_late(read_ns=read_ns, there=False), ENOUGH)
    assert (found.status, set(kinds(found)[1])) == (INCONCLUSIVE, {"delayed-pending"})


@pytest.mark.parametrize(("after_s", "early"), [(4.9, True), (4.99, False), (5.0, False), (60.0, False)])
def test_a_delayed_message_is_not_handed_out_early(after_s: float, early: bool) -> None:
    history = with_late(read_ns=LATE, there=True)
    at_ns = late().start_ns + int(after_s * SECOND)
    history.add_receive(ReceiveRecord("g/0", "late", TOPIC, 0, 10, at_ns))
    history.consumer_done("g", drained=False)
    assert kinds(judge(history, ENOUGH))[0] == (["delayed-early"] if early else [])


# ---- transactions


def transaction(*steps: tuple[str, Outcome], seen: bool, read_ns: int = LATE) -> History:
    """A good run with one transactional message of these steps, on all replicas or on none."""
    run = plain_run()
    rows = [replace(send("tx", what, at_s=16.0 + n), transaction=name) for n, (name, what) in enumerate(steps)]
    reads = [ReadRecord(each, "tx", TOPIC, 0, 10) for each in REPLICAS] if seen else []
    history = Run([*run.sends, *rows], [*run.reads, *reads], run.readers, run.faults).history()
    return held(history, 0, at_ns=read_ns)


@pytest.mark.parametrize(
    ("steps", "seen", "violations", "doubts"),
    [
        ([(HALF, ACKED), (COMMIT, ACKED)], True, [], []),
        ([(HALF, ACKED), (COMMIT, ACKED)], False, ["acknowledged-lost"] * 3, []),
        ([(HALF, ACKED), (COMMIT, UNKNOWN)], True, [], []),
        ([(HALF, ACKED), (COMMIT, UNKNOWN)], False, ["half-unsettled"], []),
        ([(HALF, ACKED), (COMMIT, REFUSED)], False, ["half-unsettled"], []),
        ([(HALF, ACKED), (COMMIT, REFUSED), (COMMIT, ACKED)], True, [], []),
        ([(HALF, ACKED), (ROLLBACK, ACKED)], False, [], []),
        ([(HALF, ACKED), (ROLLBACK, ACKED)], True, ["phantom"], []),
        ([(HALF, ACKED), (ROLLBACK, UNKNOWN)], False, [], []),
        ([(HALF, ACKED)], False, [], ["half-pending"]),
        ([(HALF, ACKED)], True, [], []),
        ([(HALF, UNKNOWN)], False, [], []),
        ([(HALF, REFUSED)], False, [], []),
        ([(HALF, REFUSED)], True, ["phantom"], []),
    ],
)
def test_a_half_message_is_settled(
    steps: list[tuple[str, Outcome]], seen: bool, violations: list[str], doubts: list[str]
) -> None:
    assert kinds(judge(transaction(*steps, seen=seen), ENOUGH)) == (violations, doubts)


def test_a_half_message_has_time_to_be_settled() -> None:
    history = transaction((HALF, ACKED), (COMMIT, UNKNOWN), seen=False, read_ns=100 * SECOND)
    assert kinds(judge(history, ENOUGH)) == ([], ["half-pending"])


def test_a_message_that_was_rolled_back_is_named_as_such() -> None:
    (phantom,) = judge(transaction((HALF, ACKED), (ROLLBACK, ACKED), seen=True), ENOUGH).violations
    assert "(0 of them were refused, 1 rolled back)" in phantom.text


def test_a_step_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="a send is the step 'haf' of a transaction"):
        judge(transaction(("haf", ACKED), seen=False))


# ---- clocks


def test_times_that_run_back_are_a_doubt() -> None:
    run = plain_run()
    sends = [replace(each, end_ns=each.start_ns - 1) if each.message_id == "a1" else each for each in run.sends]
    found = judge(replace(run, sends=sends).history(), ENOUGH)
    assert (found.status, kinds(found)[1]) == (INCONCLUSIVE, ["times-run-back"])


def test_what_is_received_before_it_was_sent_is_of_another_clock() -> None:
    history = plain_run().history()
    history.add_receive(ReceiveRecord("g/0", "b5", TOPIC, 0, 5, 3 * SECOND))
    history.consumer_done("g", drained=False)
    assert kinds(judge(history, ENOUGH))[1] == ["consumer-undrained", "clocks-differ"]


def test_what_a_person_can_do_is_said_beside_what_was_found() -> None:
    shown = str(judge(cut(plain_run(), 3, on=("n1",)).history(), ENOUGH))
    assert "      → see what that replica's log was cut back to around the fault" in shown
