"""Promises of the verdict on what consumer groups were handed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from judged import ENOUGH, FAILED, INCONCLUSIVE, PASSED, kinds
from model_runs import PREFIX, SECOND, TOPIC, Run, plain_run

from rmqkit.checks import judge
from rmqkit.history import History, ReceiveRecord


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
