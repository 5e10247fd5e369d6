"""Promises of rmqkit.client.heldqueue: only what was acknowledged can be committed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rmqkit.client.heldqueue import Handed, HeldQueue
from rmqkit.client.messagequeue import MessageQueue

QUEUE = MessageQueue("T", "b", 0)


def test_what_was_handed_out_is_not_committed_before_it_is_acknowledged() -> None:
    held = HeldQueue.starting_at(QUEUE, 5, committed=5)
    held.take_in(8, b"abc")
    assert (held.buffered, held.buffered_bytes, held.to_commit) == (3, 3, None)
    batch = held.hand_out()
    assert batch is not None
    assert (batch.pulled.start, held.position, held.acknowledged, held.to_commit) == (5, 8, 5, None)
    held.acknowledge(batch, to=6)
    assert held.to_commit == 6
    held.acknowledge(batch)
    assert (held.acknowledged, held.to_commit, held.buffered, held.buffered_bytes) == (8, 8, 0, 0)


def test_a_later_batch_waits_for_the_ones_before_it() -> None:
    held = HeldQueue.starting_at(QUEUE, 0, committed=0)
    held.take_in(2, b"a")
    held.take_in(4, b"b")
    first, second = held.hand_out(), held.hand_out()
    assert first is not None
    assert second is not None
    held.acknowledge(second)
    assert held.to_commit is None
    held.acknowledge(first)
    assert held.to_commit == 4


def test_offsets_without_a_message_are_passed_over_in_order() -> None:
    held = HeldQueue.starting_at(QUEUE, 0, committed=0)
    held.take_in(3, b"")
    assert (held.position, held.to_commit) == (3, 3)
    held.take_in(5, b"x")
    held.take_in(9, b"")  # a filter passed nothing: not consumed before what lies before it
    assert held.acknowledged == 3
    batch = held.hand_out()
    assert batch is not None
    assert held.acknowledged == 3
    held.acknowledge(batch)
    assert held.acknowledged == 9


def test_after_a_seek_nothing_from_before_counts() -> None:
    held = HeldQueue.starting_at(QUEUE, 0, committed=0)
    held.pull = object()
    held.take_in(4, b"a")
    held.take_in(8, b"b")
    batch = held.hand_out()
    assert batch is not None
    held.move_to(2)
    assert (held.pull, held.position, held.pull_offset, held.buffered_bytes) == (None, 2, 2, 0)
    held.acknowledge(batch)
    assert (held.acknowledged, held.to_commit) == (2, 2)


@given(st.lists(st.sampled_from(["pull", "empty", "hand", "ack first", "ack last", "part", "all"]), max_size=40))
def test_the_positions_never_pass_each_other(steps: list[str]) -> None:
    held = HeldQueue.starting_at(QUEUE, 10, committed=10)
    out: list[Handed] = []
    acknowledged = 10
    for step in steps:
        if step in ("pull", "empty"):
            held.take_in(held.pull_offset + 3, b"x" if step == "pull" else b"")
        elif step == "hand":
            batch = held.hand_out()
            out += [batch] if batch is not None else []
        elif step == "all":
            held.acknowledge_all()
            out.clear()
        elif out and step == "part":
            held.acknowledge(out[0], to=out[0].pulled.start + 1)
        elif out:
            held.acknowledge(out.pop(0 if step == "ack first" else -1))
        assert acknowledged <= held.acknowledged <= held.position <= held.pull_offset
        assert held.acknowledged <= min((batch.pulled.end for batch in out), default=held.pull_offset)
        acknowledged = held.acknowledged


def test_a_pull_that_the_broker_holds_is_no_trouble() -> None:
    held = HeldQueue.starting_at(QUEUE, 0, committed=0)
    held.trouble = error = OSError("before")
    assert held.trouble_at(50.0) is error
    held.pull, held.pull_began = object(), 50.0
    assert held.trouble_at(50.5) is error
    assert held.trouble_at(51.5) is None
