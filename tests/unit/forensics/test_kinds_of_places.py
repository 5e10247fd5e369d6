"""Promises of the sentence that says what became of a message: one kind for each pattern of evidence."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from rmqkit.checks import judge, lost_ids
from rmqkit.forensics import Kind, LogPlace, Place, Places, ReplicaView, Told, classify
from rmqkit.forensics.histories import received_of, told_of
from rmqkit.forensics.words import ADVICE
from rmqkit.history import History, Outcome, RangeRecord, ReadRecord, ReceiveRecord, SendRecord

ENTRY = LogPlace(index=7, term=2, position=900, queue=1, offset=3, committed=True, dispatched=True)
UNCOMMITTED = replace(ENTRY, committed=False, dispatched=False)
UNSURE = replace(ENTRY, committed=None, dispatched=False)
UNDISPATCHED = replace(ENTRY, dispatched=False)


def has(entry: LogPlace = ENTRY, *, served: bool | None = True, leads: bool = False) -> ReplicaView:
    return ReplicaView("?", (entry,), served=served, keyed=served, leads=leads, extent="entries 0 to 9 of term 2")


def lacks(*, served: bool | None = False, leads: bool = False, trimmed: bool = False) -> ReplicaView:
    return ReplicaView(
        "?", served=served, keyed=served, leads=leads, trimmed=trimmed, extent="entries 0 to 4 of term 2"
    )


DOWN_WITH = has(UNSURE, served=None)
DOWN_WITHOUT = lacks(served=None)
GONE = ReplicaView("?", unread="the cluster is attached to", unasked="refused")
ONLY_ASKED_HAS = ReplicaView("?", unread="the cluster is attached to", served=True, keyed=True)
ONLY_ASKED_LACKS = ReplicaView("?", unread="the cluster is attached to", served=False, keyed=False)


def named(views: list[ReplicaView]) -> list[ReplicaView]:
    return [replace(view, peer=f"n{number}") for number, view in enumerate(views)]


@pytest.mark.parametrize(
    ("views", "kind", "peers", "why"),
    [
        ([lacks(), lacks(), lacks()], Kind.DATA_LOSS, (), "no replica's log has it"),
        ([has(), lacks(), lacks()], Kind.DATA_LOSS, (), "only n0 still has it"),
        ([DOWN_WITH, lacks(), lacks()], Kind.DATA_LOSS, (), "only n0 still has it"),
        ([lacks(), lacks(), GONE], Kind.DATA_LOSS, (), "n2 could not be read, and cannot make a majority"),
        ([has(UNCOMMITTED), has(UNCOMMITTED), lacks()], Kind.LOST_ON, ("n2",), "n0, n1 have it"),
        ([has(UNCOMMITTED, served=False)] * 3, Kind.DATA_LOSS, (), "uncommitted"),
        ([has(), has(), lacks()], Kind.LOST_ON, ("n2",), "n0, n1 have it, n2 not"),
        ([has(), has(), lacks(leads=True)], Kind.LOST_ON, ("n2",), "n2 leads, so that nobody is given it"),
        ([has(), has(), DOWN_WITHOUT], Kind.LOST_ON, ("n2",), "n2 not"),
        ([has(), lacks(), GONE], Kind.UNDECIDED, ("n2",), "n2 could neither be asked nor read"),
        ([lacks(), GONE, GONE], Kind.UNDECIDED, ("n1", "n2"), "may have it"),
        ([GONE, GONE, GONE], Kind.UNDECIDED, ("n0", "n1", "n2"), "may have it"),
        ([DOWN_WITH, DOWN_WITH, DOWN_WITH], Kind.UNDECIDED, ("n0", "n1", "n2"), "not known to be committed"),
        ([has(UNDISPATCHED, served=False, leads=True), has(), has()], Kind.NOT_DISPATCHED, ("n0",), "asks the leader"),
        ([has(leads=True), has(UNDISPATCHED, served=False), has()], Kind.NOT_DISPATCHED, ("n1",), "until one of them"),
        ([has(ENTRY, served=False, leads=True), has(), has()], Kind.NOT_DISPATCHED, ("n0",), "would not deliver it"),
        ([lacks(trimmed=True)] * 3, Kind.TRIMMED, ("n0", "n1", "n2"), "the queue begins behind it"),
        ([has(), has(), lacks(trimmed=True)], Kind.TRIMMED, ("n2",), "retention or a full disk"),
        ([lacks(trimmed=True), lacks(), lacks()], Kind.DATA_LOSS, (), "no replica's log has it"),
        ([has(), has(), has()], Kind.PRESENT, (), "would deliver it"),
        ([has(), has(), GONE], Kind.PRESENT, (), "every replica that could be asked"),
        ([ONLY_ASKED_HAS] * 3, Kind.PRESENT, (), "would deliver it"),
        ([ONLY_ASKED_LACKS] * 3, Kind.UNDECIDED, ("n0", "n1", "n2"), "may have it"),
        ([has()], Kind.PRESENT, (), ""),
        ([lacks()], Kind.DATA_LOSS, (), "no majority of 1 replicas"),
    ],
)
def test_each_pattern_of_evidence_has_its_kind(
    views: list[ReplicaView], kind: Kind, peers: tuple[str, ...], why: str
) -> None:
    place = classify("m", named(views))
    assert (place.kind, place.peers) == (kind, peers), place.why
    assert why in place.why


def test_what_the_brokers_would_deliver_and_no_consumer_was_handed_the_consumer_missed() -> None:
    views = named([has(), has(), has()])
    assert classify("m", views, handed_out=False).kind is Kind.CONSUMER_MISSED
    assert classify("m", views, handed_out=True).kind is Kind.PRESENT
    assert classify("m", views, handed_out=None).kind is Kind.PRESENT
    assert classify("m", named([lacks()] * 3), handed_out=False).kind is Kind.DATA_LOSS


def places() -> Places:
    told = Told("acknowledged", "T", 1, 3, "127.0.0.1:10911")
    lost = classify("m1", named([lacks(leads=True), DOWN_WITH, GONE, lacks(), lacks()]), told=told)
    behind = classify("m2", named([has(leads=True), has(), lacks()]))
    return Places((lost, behind), left_out=3)


def test_the_text_says_what_was_found_where_and_what_to_do() -> None:
    queued = "in its consume queue 1 at offset 3"
    everything = f"entry 7 of term 2 at byte 900, committed, {queued}; a pull gives it; found by its key"
    assert str(places()).splitlines() == [
        "data loss: 1 of 2 messages that were looked for",
        (
            "  m1: data loss: only n1 still has it; n2 could not be read, and cannot make a majority: "
            "no majority of 5 replicas keeps it"
        ),
        "    the producer was told: acknowledged by 127.0.0.1:10911, T queue 1 offset 3",
        "    n0 (leads): not in its log (entries 0 to 4 of term 2); no pull gives it; not found by its key",
        "    n1: entry 7 of term 2 at byte 900, not known to be committed, not in its consume queue 1 at offset 3",
        "    n2: its files were not read (the cluster is attached to); it does not answer (refused)",
        "    n3: not in its log (entries 0 to 4 of term 2); no pull gives it; not found by its key",
        "    n4: not in its log (entries 0 to 4 of term 2); no pull gives it; not found by its key",
        (
            "  What to do: the group goes on without it. If a peer's files still have it, copy them before that peer"
            " starts: a follower cuts off what its leader has not. What was sent must be sent again"
        ),
        "lost on: 1 of 2 messages that were looked for",
        "  m2: lost on n2: n0, n1 have it, n2 not",
        "    the producer was told: nothing that the history knows",
        f"    n0 (leads): {everything}",
        f"    n1: {everything}",
        "    n2: not in its log (entries 0 to 4 of term 2); no pull gives it; not found by its key",
        f"  What to do: {ADVICE[Kind.LOST_ON]}",
        "3 more were not looked for",
    ]


def test_of_many_ids_some_are_shown_and_all_are_counted() -> None:
    many = Places(tuple(replace(places().places[0], message_id=f"m{number}") for number in range(12)))
    text = many.lines(shown=2)
    assert text[0] == "data loss: 12 of 12 messages that were looked for"
    assert "  … and 10 more" in text
    assert sum(line.startswith("  m") for line in text) == 2


def test_json_has_all_of_it() -> None:
    plain = json.loads(json.dumps(places().as_dict()))
    assert plain["kinds"] == {"data loss": 1, "lost on": 1}
    assert plain["left_out"] == 3
    assert plain["places"][0]["replicas"][1]["log"][0]["position"] == 900
    assert plain["places"][0]["told"]["offset"] == 3


def test_every_kind_has_its_advice() -> None:
    for kind in Kind:
        place = Place("m", kind, ("n1",), "so", None, ())
        assert "What to do: " in str(Places((place,)))


# ---- what the history knows ------------------------------------------------------------------------------------------


def history() -> History:
    made = History()
    rows = [
        ("run-1-1", Outcome.ACKNOWLEDGED, 0, 5, ""),
        ("run-1-2", Outcome.UNKNOWN, -1, -1, "no answer"),
        ("run-1-2", Outcome.ACKNOWLEDGED, 1, 6, ""),
        ("run-1-2", Outcome.UNKNOWN, -1, -1, "no answer"),
        ("run-2-1", Outcome.REFUSED, -1, -1, "14 SERVICE_NOT_AVAILABLE"),
        ("AC110001000018B4AAC20000000000FF", Outcome.ACKNOWLEDGED, 2, 7, ""),
    ]
    for message_id, outcome, queue, offset, reason in rows:
        made.add_send(SendRecord(message_id, "T", 0, 1, outcome, queue, offset, "a:1", reason))
    return made


def test_the_history_tells_what_the_producer_was_told() -> None:
    ids = ["run-1-2", "run-2-1", "AC110001000018B4AAC20000000000FF", "never sent"]
    assert told_of(history(), ids) == {
        "run-1-2": Told("acknowledged", "T", 1, 6, "a:1"),
        "run-2-1": Told("refused", "T", -1, -1, "a:1", "14 SERVICE_NOT_AVAILABLE"),
        "AC110001000018B4AAC20000000000FF": Told("acknowledged", "T", 2, 7, "a:1"),
    }


@pytest.mark.parametrize("again", [Outcome.REFUSED, Outcome.UNKNOWN])
def test_an_acknowledgement_that_names_no_place_is_not_forgotten_for_a_later_failure(again: Outcome) -> None:
    """The native driver tells no offset."""
    made = History()
    sent = SendRecord("m", "T", 0, 1, Outcome.ACKNOWLEDGED, -1, -1, "a:1", "")
    made.add_send(sent)
    made.add_send(replace(sent, outcome=again, reason="no answer"))
    assert told_of(made, ["m"]) == {"m": Told("acknowledged", "T", -1, -1, "a:1")}
    made.add_send(replace(sent, queue=2, offset=7))
    made.add_send(replace(sent, outcome=again, reason="no answer"))
    assert told_of(made, ["m"]) == {"m": Told("acknowledged", "T", 2, 7, "a:1")}


def test_the_history_tells_what_consumers_were_handed_where_there_were_any() -> None:
    made = history()
    assert received_of(made, ["run-1-1"]) is None
    made.add_receive(ReceiveRecord("g/0", "run-1-1", "T", 0, 5, 9))
    assert received_of(made, ["run-1-1", "run-1-2"]) == {"run-1-1"}


def test_all_lost_ids_are_told_and_not_ten_of_them() -> None:
    made = History()
    for number in range(40):
        made.add_send(SendRecord(f"r-{number}", "T", 0, 1, Outcome.ACKNOWLEDGED, 0, number, "a:1", ""))
    for replica, count in (("n0", 40), ("n1", 15), ("n2", 0)):
        for number in range(count):
            made.add_read(ReadRecord(replica, f"r-{number}", "T", 0, number))
        made.reader_done(replica, reached_end=replica != "n2")
    assert lost_ids(made) == tuple(sorted(f"r-{number}" for number in range(15, 40)))
    made.consumer_done("g", drained=True)
    for number in range(1, 40):
        made.add_receive(ReceiveRecord("g/0", f"r-{number}", "T", 0, number, number))
    assert lost_ids(made) == tuple(sorted([*(f"r-{number}" for number in range(15, 40)), "r-0"]))
    assert lost_ids(History()) == ()


def beside_trimmed(lost: str, *, trimmed: int) -> History:
    """One lost message on n1 beside some that n1 deleted by itself: it names its first offset."""
    made = History()
    for number in range(trimmed + 20):
        made.add_send(SendRecord(f"r-{number}", "T", 0, 1, Outcome.ACKNOWLEDGED, 0, number, "a:1", ""))
        for replica in ("n0", "n1"):
            if replica == "n0" or (number >= trimmed and f"r-{number}" != lost):
                made.add_read(ReadRecord(replica, f"r-{number}", "T", 0, number))
    for replica, first in (("n0", 0), ("n1", trimmed)):
        made.add_range(RangeRecord(replica, "T", 0, first, trimmed + 20, 9))
        made.reader_done(replica, reached_end=True)
    return made


def lost_of(history: History) -> int:
    """How many the verdict counts as lost, in all."""
    return sum(each.count for each in judge(history).violations if each.kind.endswith("-lost"))


def test_what_was_trimmed_is_not_among_the_lost_ids() -> None:
    made = beside_trimmed("r-160", trimmed=150)
    assert lost_ids(made) == ("r-160",)
    assert lost_of(made) == 1


def test_what_was_trimmed_is_not_lost_to_a_group_either() -> None:
    made = beside_trimmed("", trimmed=150)
    for number in range(150, 170):
        if number != 165:
            made.add_receive(ReceiveRecord("g/0", f"r-{number}", "T", 0, number, number))
    made.consumer_done("g", drained=True)
    assert lost_ids(made) == ("r-165",)
    assert lost_of(made) == 1


@pytest.mark.parametrize(("read_s", "lost"), [(20, ()), (26, ("late",))])
def test_what_is_not_due_yet_is_not_among_the_lost_ids(read_s: int, lost: tuple[str, ...]) -> None:
    made = History()
    second = 1_000_000_000
    made.add_send(
        SendRecord("late", "T", 10 * second, 11 * second, Outcome.ACKNOWLEDGED, 4, 0, "a:1", "", delay_ms=5000)
    )
    made.add_range(RangeRecord("n0", "T", 0, 0, 0, read_s * second))
    made.reader_done("n0", reached_end=True)
    made.consumer_done("g", drained=True, at_ns=read_s * second)
    assert lost_ids(made) == lost
    assert lost_of(made) == 2 * len(lost)
