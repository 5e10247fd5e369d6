"""Promises of the tally: a message counts as received once, and what others sent does not count."""

from __future__ import annotations

from test_statistics import batch, receipt, refused, unknown

from rmqkit.load.batches import SendBatch
from rmqkit.load.tally import Tally


def sends() -> SendBatch:
    outcomes = [receipt(), receipt(), refused(), unknown(), receipt()]
    return batch(*[(number % 2, 0, 0, 1, outcome) for number, outcome in enumerate(outcomes)])


def test_what_was_acknowledged_and_did_not_come_is_missing() -> None:
    tally = Tally("ab12")
    tally.sent(sends())
    assert tally.missing == 3
    tally.received(["ab12-0-0", "ab12-1-1"])
    assert (tally.own, tally.again, tally.missing) == (2, 0, 1)
    tally.received(["ab12-0-4"])
    assert tally.missing == 0


def test_what_comes_before_its_receipt_is_not_missing_afterwards() -> None:
    tally = Tally("ab12")
    tally.received(["ab12-0-0", "ab12-1-1", "ab12-0-4"])
    tally.sent(sends())
    assert (tally.own, tally.missing) == (3, 0)


def test_a_message_that_comes_twice_is_counted_as_come_again() -> None:
    tally = Tally("ab12")
    tally.received(["ab12-0-9000", "ab12-0-9000", "ab12-0-9000", "ab12-0-1"])
    assert (tally.own, tally.again) == (2, 2)


def test_others_messages_are_nobodys() -> None:
    tally = Tally("ab12")
    tally.received(["", "ab12", "ab12-0", "ab12-0-1x", "xab12-0-1", "cd34-0-1", "ab12--1-1", "7F0000010001"])
    assert (tally.own, tally.again, tally.missing) == (0, 0, 0)


def test_an_unknown_send_that_turns_up_is_the_runs_own() -> None:
    tally = Tally("ab12")
    tally.sent(sends())
    tally.received(["ab12-1-3"])
    assert (tally.own, tally.missing) == (1, 3)
