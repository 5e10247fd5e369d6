"""No good history is condemned, and no seeded violation is overlooked, whatever else happened in the run."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from model_runs import PREFIX, TOPIC, Run, good_runs

from rmqkit.checks import Thresholds, VerdictStatus, judge
from rmqkit.history import Outcome, ReadRecord

ANY = Thresholds(min_acked_before=0, min_acked_after=0)
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])


def kinds(run: Run) -> set[str]:
    return {finding.kind for finding in judge(run.history(), ANY).violations}


def fresh_place(run: Run) -> tuple[int, int]:
    return 0, max((read.offset for read in run.reads), default=-1) + 1


@unhurried
@given(good_runs())
def test_a_good_run_is_never_condemned(run: Run) -> None:
    assert kinds(run) == set()


@unhurried
@given(good_runs(whole=True))
def test_a_good_run_that_acknowledged_something_passes(run: Run) -> None:
    assume(run.ids(Outcome.ACKNOWLEDGED))
    assert judge(run.history(), ANY).status is VerdictStatus.PASSED


@unhurried
@given(good_runs(whole=True), st.data())
def test_a_lost_message_is_found_wherever_it_is_missing(run: Run, data: st.DataObject) -> None:
    acknowledged = run.ids(Outcome.ACKNOWLEDGED)
    assume(acknowledged)
    lost, replica = data.draw(st.sampled_from(acknowledged)), data.draw(st.sampled_from(sorted(run.readers)))
    reads = [read for read in run.reads if (read.replica, read.message_id) != (replica, lost)]
    assert "acknowledged-lost" in kinds(run.with_reads(reads))


@unhurried
@given(good_runs(), st.data())
def test_a_message_stored_once_more_than_it_was_sent_is_found(run: Run, data: st.DataObject) -> None:
    assume(run.reads)
    sent = Counter(send.message_id for send in run.sends if send.outcome is not Outcome.REFUSED)
    # Of one replica, the last place of the message is copied until it is there more often than it was sent.
    victim = data.draw(st.sampled_from([read for read in run.reads if read.message_id in sent] or [None]))
    assume(victim is not None)
    queue, offset = fresh_place(run)
    copies = [
        ReadRecord(victim.replica, victim.message_id, TOPIC, queue, offset + i)
        for i in range(sent[victim.message_id] + 1)
    ]
    assert "duplicated" in kinds(run.with_reads([*run.reads, *copies]))


@unhurried
@given(good_runs(), st.data())
def test_a_message_that_nobody_sent_is_found(run: Run, data: st.DataObject) -> None:
    replica = data.draw(st.sampled_from(sorted(run.readers)))
    ghost = ReadRecord(replica, f"{PREFIX}never-sent", TOPIC, *fresh_place(run))
    assert "phantom" in kinds(run.with_reads([*run.reads, ghost]))


@unhurried
@given(good_runs(), st.data())
def test_a_refusal_that_was_none_is_found(run: Run, data: st.DataObject) -> None:
    possible = {send.message_id for send in run.sends if send.outcome is not Outcome.REFUSED}
    refused = sorted(set(run.ids(Outcome.REFUSED)) - possible)
    assume(refused)
    read = ReadRecord(sorted(run.readers)[0], data.draw(st.sampled_from(refused)), TOPIC, *fresh_place(run))
    assert "phantom" in kinds(run.with_reads([*run.reads, read]))


@unhurried
@given(good_runs(), st.data())
def test_replicas_that_differ_at_one_place_are_found(run: Run, data: st.DataObject) -> None:
    places = {(read.queue, read.offset, read.message_id) for read in run.reads}
    assume(places)
    queue, offset, there = data.draw(st.sampled_from(sorted(places)))
    other = ReadRecord("n9", f"not-{there}", TOPIC, queue, offset)
    assert "divergent" in kinds(run.with_reads([*run.reads, other]))


@unhurried
@given(good_runs(whole=True), st.data())
def test_a_message_that_a_whole_replica_lacks_is_found_whosever_it_is(run: Run, data: st.DataObject) -> None:
    assume(run.reads)
    assume(len(run.readers) > 1)
    victim = data.draw(st.sampled_from(run.reads))
    place = (victim.replica, victim.queue, victim.offset)
    reads = [read for read in run.reads if (read.replica, read.queue, read.offset) != place]
    assert kinds(run.with_reads(reads)) & {"divergent", "acknowledged-lost", "misplaced"}


@unhurried
@given(good_runs(whole=True), st.data())
def test_a_receipt_that_names_another_place_is_found(run: Run, data: st.DataObject) -> None:
    acknowledged = [number for number, send in enumerate(run.sends) if send.outcome is Outcome.ACKNOWLEDGED]
    assume(acknowledged)
    sends = list(run.sends)
    chosen = data.draw(st.sampled_from(acknowledged))
    sends[chosen] = replace(sends[chosen], offset=sends[chosen].offset + 1_000)
    assert kinds(replace(run, sends=sends)) == {"misplaced"}


@unhurried
@given(good_runs(), st.data())
def test_a_damaged_body_is_found(run: Run, data: st.DataObject) -> None:
    assume(run.reads)
    reads = list(run.reads)
    chosen = data.draw(st.integers(0, len(reads) - 1))
    reads[chosen] = replace(reads[chosen], intact=False)
    assert kinds(run.with_reads(reads)) == {"corrupt"}
