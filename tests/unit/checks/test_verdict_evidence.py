"""Promises of the verdict: each lack of evidence, one at a time, and that a violation decides over any of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from judged import ENOUGH, FAILED, INCONCLUSIVE, NOTHING_NEEDED, PASSED, also, doubts, kinds, verdict, without
from model_runs import INJECTED, REPLICAS, SECOND, TOPIC, Run, faults, plain_run, send

from rmqkit.checks import Thresholds, judge
from rmqkit.history import FaultEvent, History, Outcome, RangeRecord, SendRecord

UNFELT = FaultEvent("kill-leader", "unfelt", "n0", faults()[-1].at_ns)


@pytest.mark.parametrize(
    ("run", "doubt"),
    [
        pytest.param(replace(plain_run(), faults=[]), "no-fault", id="no fault"),
        pytest.param(replace(plain_run(), faults=faults()[1:]), "no-fault", id="a fault that was not injected"),
        pytest.param(replace(plain_run(), faults=[*faults(), UNFELT]), "fault-unfelt", id="a fault not felt"),
        pytest.param(replace(plain_run(), faults=faults()[:1]), "fault-not-ended", id="a fault without an end"),
        pytest.param(plain_run(before=4), "too-little-traffic", id="too little before"),
        pytest.param(plain_run(after=4), "too-little-traffic", id="too little after"),
        pytest.param(plain_run(replicas=("n0", "n1")), "replicas-unread", id="a replica was not read"),
        pytest.param(
            replace(plain_run(), readers={"n0": True, "n1": True, "n2": False}),
            "reader-incomplete",
            id="not to its end",
        ),
    ],
)
def test_each_lack_of_evidence_is_inconclusive_and_exits_non_zero(run: Run, doubt: str) -> None:
    found = verdict(run)
    assert found.status is INCONCLUSIVE
    assert found.exit_code == 3
    assert doubt in doubts(found)
    assert found.violations == ()


def test_a_fault_without_a_first_acknowledgement_ends_with_its_healing() -> None:
    """Killed followers: nobody elects, so no phase ``acked`` comes."""
    steps = [FaultEvent("kill", "injected", "n1", INJECTED), FaultEvent("kill", "healed", "n1", 15 * SECOND)]
    assert verdict(replace(plain_run(), faults=steps)).status is PASSED


def test_one_fault_of_two_without_an_end_is_a_doubt() -> None:
    second = FaultEvent("kill-leader", "injected", "n1", 17 * SECOND)
    found = verdict(replace(plain_run(), faults=[*faults(), second]))
    assert "fault-not-ended" in doubts(found)
    assert "kill-leader of n1 has no recorded end" in str(found)


def test_an_end_without_a_fault_ends_nothing() -> None:
    steps = [FaultEvent("pause", "healed", "n1", 9 * SECOND), *faults()[:2], FaultEvent("pause", "acked", "n1", SECOND)]
    assert "fault-not-ended" in doubts(verdict(replace(plain_run(), faults=steps)))


def test_after_two_faults_means_after_the_second() -> None:
    second = [FaultEvent("kill-leader", step, "n1", at * SECOND) for step, at in (("injected", 17), ("acked", 18))]
    numbers = verdict(replace(plain_run(), faults=[*faults(), *second])).numbers
    assert (numbers["acknowledged_during_fault"], numbers["acknowledged_after_fault"]) == (5, 0)


def test_sends_are_counted_by_when_they_ended() -> None:
    run = plain_run()
    run = replace(run, sends=[*run.sends, send("during", Outcome.ACKNOWLEDGED, at_s=12.0, queue=0, offset=99)])
    run = also(run, "during")
    assert verdict(run).numbers["acknowledged_during_fault"] == 1


def test_an_empty_run_never_passes_whatever_is_asked_of_it() -> None:
    for thresholds in (ENOUGH, Thresholds(), NOTHING_NEEDED):
        found = judge(History(), thresholds)
        assert found.status is INCONCLUSIVE
        assert "empty" in doubts(found)


def test_a_run_without_an_acknowledged_send_never_passes() -> None:
    run = Run([send("u", Outcome.UNKNOWN, at_s=1.0)], [], {"n0": True}, faults())
    assert verdict(run, NOTHING_NEEDED).status is INCONCLUSIVE


def test_a_run_that_was_not_read_back_never_passes() -> None:
    run = replace(plain_run(), reads=[], readers={})
    assert "replicas-unread" in doubts(verdict(run, NOTHING_NEEDED))


def test_a_violation_decides_over_any_number_of_doubts() -> None:
    """What was seen lost stays lost, however little was tested."""
    found = verdict(replace(without(plain_run(before=1), "a0", on="n0"), faults=[]))
    assert {"no-fault", "too-little-traffic"} <= doubts(found)
    assert found.status is FAILED


def test_an_incomplete_history_is_inconclusive_whatever_it_shows() -> None:
    history = without(plain_run(), "a3", on="n1").history()
    history.incomplete = "the run was killed"
    found = judge(history, ENOUGH)
    assert found.status is INCONCLUSIVE
    assert found.doubts[0].text == "the history is not whole: the run was killed"
    assert found.notes[0].text == "not counted: acknowledged-lost: 1 of 10 acknowledged not on n1"


# ---- which replicas were read


def test_a_replica_whose_end_was_not_recorded_is_a_doubt() -> None:
    """What was read of it may be half of what it has, and nothing is looked for on it."""
    run = replace(plain_run(), readers={"n0": True, "n1": True})
    found = verdict(run, replace(ENOUGH, min_replicas=2))
    assert found.status is INCONCLUSIVE
    assert [(doubt.kind, doubt.text) for doubt in found.doubts] == [
        ("reader-incomplete", "whether the reader of n2 reached the end was not recorded")
    ]


def test_a_replica_that_only_said_what_it_holds_is_a_doubt_too() -> None:
    history = plain_run(replicas=("n0", "n1")).history()
    history.add_range(RangeRecord("n2", TOPIC, 0, 0, 10, 99 * SECOND))
    found = judge(history, replace(ENOUGH, min_replicas=2))
    assert (found.status, doubts(found)) == (INCONCLUSIVE, {"reader-incomplete"})


def read_back(*replicas: str, peers: int) -> History:
    history = plain_run(before=20, after=20, replicas=replicas).history()
    for number in range(peers):
        history.add_peer(f"127.0.0.1:3{number}", "broker-a")
    return history


@pytest.mark.parametrize(
    ("replicas", "peers", "passes"),
    [(REPLICAS, 3, True), (("n0", "n1"), 3, False), (("n0",), 3, False), (("n0",), 0, True), (("n0",), 1, True)],
)
def test_without_a_number_every_peer_that_the_history_names_must_be_read(
    replicas: tuple[str, ...], peers: int, passes: bool
) -> None:
    found = judge(read_back(*replicas, peers=peers))
    assert (found.status is PASSED) == passes, found
    if not passes:
        (doubt,) = found.doubts
        assert doubt.text == f"only {len(replicas)} replicas were read back; {peers} needed"


def test_who_asks_for_fewer_replicas_than_there_are_gets_a_verdict_on_them() -> None:
    assert judge(read_back("n0", peers=3), Thresholds(min_replicas=1)).status is PASSED


# ---- how much of it replicas have deleted


def trimmed(sends: int, *, to: int, on: tuple[str, ...], placed: bool = True) -> History:
    """Half of the sends before the fault; those replicas deleted all below ``to`` by themselves."""
    run = plain_run(before=sends // 2, after=sends // 2)
    if not placed:
        run = replace(run, sends=[replace(each, queue=-1, offset=-1) for each in run.sends])
    history = run.with_reads([read for read in run.reads if read.replica not in on or read.offset >= to]).history()
    for replica in REPLICAS:
        history.add_range(RangeRecord(replica, TOPIC, 0, to if replica in on else 0, sends, 99 * SECOND))
    return history


@pytest.mark.parametrize(
    ("sends", "to", "on"),
    [
        pytest.param(1600, 1599, ("n1", "n2"), id="all but one on two of three"),
        pytest.param(200, 199, REPLICAS, id="all but one on all three"),
        pytest.param(200, 81, ("n0",), id="one too many before the fault on one"),
    ],
)
def test_what_replicas_deleted_is_no_evidence_that_they_kept_it(sends: int, to: int, on: tuple[str, ...]) -> None:
    found = judge(trimmed(sends, to=to, on=on))
    assert (found.status, doubts(found)) == (INCONCLUSIVE, {"much-trimmed"}), found
    left = max(0, sends // 2 - to)
    assert f"replicas deleted {min(to, sends // 2)} themselves, or may have: {left} are left" in found.doubts[0].text


def test_where_enough_is_left_on_every_replica_it_passes() -> None:
    assert judge(trimmed(200, to=80, on=("n0",))).status is PASSED


def test_what_may_have_been_deleted_is_no_evidence_either() -> None:
    found = judge(trimmed(200, to=199, on=REPLICAS, placed=False))
    assert (found.status, doubts(found)) == (INCONCLUSIVE, {"much-trimmed", "trimmed-untold"})


def test_too_few_after_the_fault_do_not_matter_where_none_was_needed() -> None:
    history = trimmed(200, to=80, on=("n0",))
    history.faults.clear()
    assert judge(history, Thresholds(fault_required=False)).status is PASSED


def test_what_is_lost_beside_much_that_was_trimmed_decides() -> None:
    history = trimmed(200, to=199, on=REPLICAS)
    history.add_send(SendRecord("gone", TOPIC, 17 * SECOND, 18 * SECOND, Outcome.ACKNOWLEDGED, 0, 500, "", ""))
    found = judge(history)
    assert (found.status, kinds(found)) == (FAILED, {"acknowledged-lost"})


def test_one_fault_of_two_that_took_no_packet_is_a_note() -> None:
    found = verdict(replace(plain_run(), faults=[*faults(), *faults(), UNFELT]))
    assert "fault-unfelt" not in doubts(found)
    assert [note.text for note in found.notes if note.kind == "fault-unfelt"] == [
        "no packet met the rules of kill-leader of n0"
    ]
