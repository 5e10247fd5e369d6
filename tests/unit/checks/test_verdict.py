"""Promises of the verdict: each violation that replicas show, one at a time, and what is said of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from judged import FAILED, INCONCLUSIVE, PASSED, also, kinds, verdict, without
from model_runs import PREFIX, plain_run, send

from rmqkit.history import Outcome


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
