"""Promises of the verdict: each violation and each doubt, one at a time, and which of them decides."""

from __future__ import annotations

from dataclasses import replace

import pytest
from model_runs import INJECTED, PREFIX, REPLICAS, SECOND, TOPIC, Run, faults, plain_run, send

from rmqkit.checks import Thresholds, Verdict, VerdictStatus, judge
from rmqkit.history import FaultEvent, History, Outcome, ReadRecord, ReceiveRecord

PASSED, FAILED, INCONCLUSIVE = VerdictStatus.PASSED, VerdictStatus.FAILED, VerdictStatus.INCONCLUSIVE
ENOUGH = Thresholds(min_acked_before=5, min_acked_after=5, min_replicas=3)
NOTHING_NEEDED = Thresholds(min_acked_before=0, min_acked_after=0, min_replicas=0, fault_required=False)


def verdict(run: Run, thresholds: Thresholds = ENOUGH) -> Verdict:
    return judge(run.history(), thresholds)


def kinds(found: Verdict) -> set[str]:
    return {finding.kind for finding in found.violations}


def doubts(found: Verdict) -> set[str]:
    return {finding.kind for finding in found.doubts}


def without(run: Run, message_id: str, *, on: str) -> Run:
    return run.with_reads([r for r in run.reads if (r.replica, r.message_id) != (on, message_id)])


def also(
    run: Run, message_id: str, *, on: tuple[str, ...] = REPLICAS, queue: int = 0, offset: int = 99, intact: bool = True
) -> Run:
    return run.with_reads([*run.reads, *(ReadRecord(each, message_id, TOPIC, queue, offset, intact) for each in on)])


def test_a_run_with_nothing_wrong_and_enough_evidence_passes() -> None:
    found = verdict(plain_run())
    assert found.status is PASSED
    assert found.exit_code == 0
    assert (found.violations, found.doubts) == ((), ())
    assert found.numbers == {
        "sent": 12,
        "acknowledged": 10,
        "refused": 1,
        "unknown": 1,
        "acknowledged_before_fault": 5,
        "acknowledged_during_fault": 0,
        "acknowledged_after_fault": 5,
        "replicas": 3,
        "read": 30,
    }


# ---- violations


def test_an_acknowledged_message_that_one_replica_lacks_is_lost() -> None:
    found = verdict(without(plain_run(), "a3", on="n1"))
    assert found.status is FAILED
    assert found.exit_code == 1
    (lost,) = found.violations
    assert (lost.kind, lost.count, lost.ids) == ("acknowledged-lost", 1, ("a3",))
    assert lost.text == "acknowledged-lost: 1 of 10 acknowledged not on n1"


def test_a_replica_that_shows_nothing_at_all_has_lost_everything() -> None:
    run = plain_run()
    run = run.with_reads([read for read in run.reads if read.replica != "n2"])
    (lost,) = verdict(run).violations
    assert (lost.kind, lost.count) == ("acknowledged-lost", 10)


def test_nothing_is_called_lost_on_a_replica_that_was_not_read_to_its_end() -> None:
    run = without(plain_run(), "a3", on="n1")
    found = verdict(replace(run, readers={**run.readers, "n1": False}))
    assert kinds(found) == set()
    assert found.status is INCONCLUSIVE


def test_the_same_message_at_two_places_of_one_replica_is_duplicated() -> None:
    found = verdict(also(plain_run(), "a3"))
    assert [(twice.kind, twice.ids) for twice in found.violations] == [("duplicated", ("a3",))] * 3
    assert found.violations[1].text == "duplicated: 1 stored more often than sent on n1"
    assert found.status is FAILED


def test_the_same_message_twice_in_another_queue_is_duplicated_too() -> None:
    assert kinds(verdict(also(plain_run(), "a3", queue=1, offset=3))) == {"duplicated"}


def test_a_place_that_was_read_twice_holds_one_message() -> None:
    run = plain_run()
    assert verdict(run.with_reads(run.reads * 2)).status is PASSED


def test_a_message_that_was_sent_twice_may_be_there_twice_but_not_three_times() -> None:
    run = plain_run()
    run = replace(run, sends=[*run.sends, send("a3", Outcome.UNKNOWN, at_s=11.5)])
    twice = also(run, "a3")
    assert verdict(twice).status is PASSED
    assert kinds(verdict(also(twice, "a3", offset=100))) == {"duplicated"}


def test_a_refused_try_does_not_excuse_a_duplicate() -> None:
    run = plain_run()
    run = replace(run, sends=[*run.sends, send("a3", Outcome.REFUSED, at_s=11.5)])
    assert kinds(verdict(also(run, "a3"))) == {"duplicated"}


def test_a_message_that_was_never_sent_is_a_phantom() -> None:
    (phantom,) = verdict(also(plain_run(), f"{PREFIX}never-sent")).violations
    assert (phantom.kind, phantom.ids) == ("phantom", (f"{PREFIX}never-sent",))
    assert "0 of them were refused" in phantom.text


def test_a_refused_message_that_is_there_is_a_phantom() -> None:
    (phantom,) = verdict(also(plain_run(), "refused")).violations
    assert phantom.kind == "phantom"
    assert "1 of them were refused" in phantom.text


def test_a_message_refused_once_and_unknown_once_may_be_there() -> None:
    run = plain_run()
    run = replace(run, sends=[*run.sends, send("refused", Outcome.UNKNOWN, at_s=12.5)])
    assert verdict(also(run, "refused")).status is PASSED


def test_an_unknown_message_that_turns_up_is_recovered_and_nothing_worse() -> None:
    found = verdict(also(plain_run(), "unknown"))
    assert found.status is PASSED
    (note,) = found.notes
    assert (note.kind, note.count) == ("recovered", 1)
    assert note.text == "1 sends of unknown outcome; 1 of them are there (recovered)"


def test_an_unknown_message_that_does_not_turn_up_is_not_lost() -> None:
    found = verdict(plain_run())
    assert found.notes[0].count == 0
    assert found.status is PASSED


def test_two_replicas_with_different_messages_at_one_place_diverge() -> None:
    run = plain_run()
    reads = [replace(r, message_id="unknown") if (r.replica, r.message_id) == ("n2", "b9") else r for r in run.reads]
    found = verdict(run.with_reads(reads))
    assert kinds(found) == {"divergent", "acknowledged-lost"}
    (divergent,) = (finding for finding in found.violations if finding.kind == "divergent")
    assert divergent.ids == ("T queue 0 offset 9: b9 / unknown",)


def test_a_message_without_an_id_in_the_place_of_ours_is_divergence_too() -> None:
    assert "divergent" in kinds(verdict(also(plain_run(), "", on=("n2",), offset=3)))


@pytest.mark.parametrize("message_id", ["unknown", "other", ""])
def test_what_one_whole_replica_shows_and_another_does_not_is_divergence(message_id: str) -> None:
    """Whosever message it is: two replicas of one log differ."""
    found = verdict(also(plain_run(), message_id, on=("n0", "n1")))
    (divergent,) = found.violations
    assert divergent.kind == "divergent"
    assert divergent.ids[0].endswith(" / nothing on n2")


def test_what_a_replica_shows_that_was_not_read_to_its_end_is_no_divergence() -> None:
    run = plain_run()
    cut = run.with_reads([read for read in run.reads if read.replica != "n2" or read.offset < 4])
    assert kinds(verdict(replace(cut, readers={**run.readers, "n2": False}))) == set()


def test_a_lost_message_is_not_told_twice_as_divergence() -> None:
    assert kinds(verdict(without(plain_run(), "a3", on="n1"))) == {"acknowledged-lost"}


def test_a_message_that_is_not_where_its_receipt_says_is_misplaced() -> None:
    run = plain_run()
    moved = replace(run, sends=[replace(s, offset=77) if s.message_id == "a3" else s for s in run.sends])
    found = verdict(moved)
    assert kinds(found) == {"misplaced"}
    assert found.violations[0].ids == ("a3: T queue 0 offset 77 holds nothing",)
    assert found.status is FAILED


def test_a_body_that_does_not_match_its_checksum_is_corrupt() -> None:
    run = plain_run()
    reads = [replace(r, intact=False) if (r.replica, r.message_id) == ("n2", "b9") else r for r in run.reads]
    (corrupt,) = verdict(run.with_reads(reads)).violations
    assert (corrupt.kind, corrupt.ids) == ("corrupt", ("b9 at T queue 0 offset 9 on n2",))


@pytest.mark.parametrize("message_id", ["", "0A00000100002A9F0000"])
def test_messages_of_others_are_neither_phantoms_nor_duplicates(message_id: str) -> None:
    """Every producer gives ids."""
    run = also(also(plain_run(), message_id, offset=99), message_id, offset=100)
    assert verdict(run).status is PASSED


def test_a_reader_that_found_something_counts_even_when_its_end_was_not_recorded() -> None:
    run = replace(plain_run(), readers={"n0": True, "n1": True})
    assert kinds(verdict(also(run, f"{PREFIX}never-sent", on=("n2",)))) == {"phantom"}


# ---- doubts


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


# ---- what is shown


def test_the_text_names_every_finding_with_examples() -> None:
    text = str(verdict(replace(without(plain_run(), "a3", on="n1"), faults=[])))
    assert text.splitlines()[:3] == [
        "verdict: FAILED",
        "  ✗ acknowledged-lost: 1 of 10 acknowledged not on n1",
        "      a3",
    ]
    assert "  ? no fault was recorded: nothing was tested" in text
    assert "  · 1 sends of unknown outcome; 0 of them are there (recovered)" in text


def test_at_most_ten_examples_are_shown_of_what_is_counted_in_full() -> None:
    run = plain_run(before=30)
    (lost,) = verdict(run.with_reads([r for r in run.reads if r.replica != "n1" or r.message_id[0] != "a"])).violations
    assert (lost.count, len(lost.ids)) == (30, 10)


def test_the_json_says_the_same() -> None:
    found = verdict(without(plain_run(), "a3", on="n1"))
    plain = found.as_dict()
    assert plain["status"] == "FAILED"
    assert plain["violations"] == [
        {"kind": "acknowledged-lost", "count": 1, "text": found.violations[0].text, "ids": ["a3"]}
    ]
    assert plain["numbers"] == found.numbers


# ---- consumers


def received(
    run: Run, *deliveries: ReceiveRecord, drained: bool | None = True, topics: tuple[str, ...] = ()
) -> History:
    """The run with what group ``g`` was handed; ``drained`` None: its end was not recorded."""
    history = run.history()
    for delivery in deliveries:
        history.add_receive(delivery)
    if drained is not None:
        history.consumer_done("g", drained=drained, topics=topics, reason="" if drained else "it was stopped")
    return history


def handed(run: Run, consumer: str = "g/0") -> list[ReceiveRecord]:
    """What replica n0 shows, one message a second, after the last send."""
    log = [read for read in run.reads if read.replica == "n0"]
    places = [(each.message_id, each.topic, each.queue, each.offset) for each in log]
    return [ReceiveRecord(consumer, *place, (30 + n) * SECOND) for n, place in enumerate(places)]


def test_a_group_that_received_everything_passes_and_is_counted() -> None:
    run = plain_run()
    found = judge(received(run, *handed(run)), replace(ENOUGH, min_consumers=1, ordered=True))
    assert found.status is PASSED, found
    assert (found.numbers["consumers"], found.numbers["received"]) == (1, 10)


def test_an_acknowledged_message_that_a_drained_group_never_received_is_lost_to_it() -> None:
    run = plain_run()
    found = judge(received(run, *(each for each in handed(run) if each.message_id != "a3")), ENOUGH)
    (lost,) = found.violations
    assert (lost.kind, lost.ids) == ("consumer-lost", ("a3",))
    assert lost.text == "consumer-lost: 1 of 10 acknowledged never received by g"


def test_a_drained_group_that_received_nothing_at_all_has_lost_everything() -> None:
    (lost,) = judge(received(plain_run()), ENOUGH).violations
    assert (lost.kind, lost.count) == ("consumer-lost", 10)


def test_members_of_a_group_receive_together() -> None:
    run = plain_run()
    both = [replace(each, consumer=f"g/{number % 2}") for number, each in enumerate(handed(run))]
    assert judge(received(run, *both), ENOUGH).status is PASSED


@pytest.mark.parametrize(
    ("drained", "text"),
    [(False, "g was not drained: it was stopped"), (None, "whether g was drained was not recorded")],
)
def test_a_group_that_was_not_drained_proves_nothing(drained: bool | None, text: str) -> None:
    run = plain_run()
    found = judge(received(run, *handed(run)[:3], drained=drained), ENOUGH)
    assert found.status is INCONCLUSIVE
    assert [(doubt.kind, doubt.text) for doubt in found.doubts] == [("consumer-undrained", text)]


def test_fewer_drained_groups_than_asked_for_are_a_doubt() -> None:
    run = plain_run()
    found = judge(received(run, *handed(run)), replace(ENOUGH, min_consumers=2))
    assert [(doubt.kind, doubt.text) for doubt in found.doubts] == [
        ("consumers-undrained", "only 1 consumer groups were drained; 2 needed")
    ]


def test_only_topics_that_a_group_consumed_can_be_lost_to_it() -> None:
    assert judge(received(plain_run(), topics=("Other",)), ENOUGH).status is PASSED
    assert kinds(judge(received(plain_run(), topics=("Other", TOPIC)), ENOUGH)) == {"consumer-lost"}


def test_a_message_received_again_is_a_note_and_no_violation() -> None:
    run = plain_run()
    again = replace(handed(run)[2], at_ns=99 * SECOND)
    found = judge(received(run, *handed(run), again), replace(ENOUGH, ordered=True))
    assert found.status is PASSED
    assert [(note.kind, note.ids) for note in found.notes if note.kind != "recovered"] == [("redelivered", ("a2",))]


def test_a_message_that_may_be_stored_twice_may_be_received_twice() -> None:
    run = plain_run()
    run = replace(run, sends=[replace(s, attempts=2) if s.message_id == "a2" else s for s in run.sends])
    found = judge(received(run, *handed(run), handed(run)[2]), ENOUGH)
    assert [note.kind for note in found.notes] == ["recovered"]


def test_a_message_received_that_was_never_sent_is_a_phantom() -> None:
    run = plain_run()
    ghost = ReceiveRecord("g", f"{PREFIX}never-sent", TOPIC, 1, 0, 99 * SECOND)
    (phantom,) = judge(received(run, *handed(run), ghost), ENOUGH).violations
    assert (phantom.kind, phantom.ids) == ("phantom", (f"{PREFIX}never-sent",))
    assert phantom.text == "phantom: 1 received by g that no send can have stored (0 of them were refused)"


@pytest.mark.parametrize("ordered", [True, False])
def test_a_queue_received_out_of_order_is_a_violation_where_order_was_promised(ordered: bool) -> None:
    run = plain_run()
    deliveries = handed(run)
    deliveries[2] = replace(deliveries[2], at_ns=int(35.5 * SECOND))
    found = judge(received(run, *deliveries), replace(ENOUGH, ordered=ordered))
    assert found.status is (FAILED if ordered else PASSED)
    (late,) = (each for each in (*found.violations, *found.notes) if each.kind == "out-of-order")
    assert late.ids == ("T queue 0 offset 2: a2 came after offset 5",)


@pytest.mark.parametrize("ordered", [True, False])
def test_a_sharding_key_received_out_of_order_is_seen_across_queues(ordered: bool) -> None:
    run = plain_run()
    sends = [replace(s, sharding_key="k") if s.message_id in ("a1", "a2") else s for s in run.sends]
    run = replace(run, sends=sends)
    # The client hides the queues; a2 was sent when a1 had been acknowledged.
    deliveries = [replace(each, queue=-1, offset=-1) for each in handed(run)]
    deliveries[1] = replace(deliveries[1], at_ns=99 * SECOND)
    found = judge(received(run, *deliveries), replace(ENOUGH, ordered=ordered))
    assert found.status is (FAILED if ordered else PASSED)
    (late,) = (each for each in (*found.violations, *found.notes) if each.kind == "out-of-order")
    assert late.ids == ("a2: came before a1 of its sharding key k",)


def test_sends_of_one_key_that_overlap_have_no_order_to_keep() -> None:
    run = plain_run()
    sends = [replace(s, sharding_key="k", start_ns=SECOND) if s.message_id in ("a1", "a2") else s for s in run.sends]
    run = replace(run, sends=sends)
    deliveries = [replace(each, queue=-1, offset=-1) for each in handed(run)]
    deliveries[1] = replace(deliveries[1], at_ns=99 * SECOND)
    assert judge(received(run, *deliveries), replace(ENOUGH, ordered=True)).status is PASSED


def test_an_incomplete_history_is_inconclusive_whatever_it_shows() -> None:
    history = without(plain_run(), "a3", on="n1").history()
    history.incomplete = "the run was killed"
    found = judge(history, ENOUGH)
    assert found.status is INCONCLUSIVE
    assert found.doubts[0].text == "the history is not whole: the run was killed"
    assert found.notes[0].text == "not counted: acknowledged-lost: 1 of 10 acknowledged not on n1"


def test_one_fault_of_two_that_took_no_packet_is_a_note() -> None:
    found = verdict(replace(plain_run(), faults=[*faults(), *faults(), UNFELT]))
    assert "fault-unfelt" not in doubts(found)
    assert [note.text for note in found.notes if note.kind == "fault-unfelt"] == [
        "no packet met the rules of kill-leader of n0"
    ]
