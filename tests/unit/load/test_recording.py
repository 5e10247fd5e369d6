"""Promises of the record: what was shipped is in the history, send by send and message by message."""

from __future__ import annotations

from test_statistics import MS, batch, receipt, refused, unknown

from rmqkit.history import History, Outcome, ReceiveRecord, SendRecord
from rmqkit.load.batches import ReceivedRow
from rmqkit.load.plan import ReceivePlan, SendPlan
from rmqkit.load.recording import HIDDEN_ATTEMPTS, record_received, record_sends


def test_every_send_is_recorded_as_it_ended() -> None:
    history = History()
    plan = SendPlan(threads=2, drivers=("built-in", "java"))
    sends = batch(
        (0, 1, 2, 3, receipt(4, 5)),
        (3, 1, 2, 4, unknown()),
        (1, 1, 2, 5, refused(code=2, reason="busy")),
        (0, 1, 2, 6, refused()),
    )
    record_sends(history, "ab12", plan, sends)
    by_id = {record.message_id: record for record in history.sends()}
    assert by_id["ab12-0-0"] == SendRecord(
        "ab12-0-0", "TopicTest", 2 * MS, 3 * MS, Outcome.ACKNOWLEDGED, 4, 5, "a:1", "", "built-in/0"
    )
    assert by_id["ab12-3-1"] == SendRecord(
        "ab12-3-1", "TopicTest", 2 * MS, 4 * MS, Outcome.UNKNOWN, -1, -1, "", "no answer", "java/1"
    )
    assert [(each.outcome, each.reason, each.sender) for each in (by_id["ab12-1-2"], by_id["ab12-0-3"])] == [
        (Outcome.REFUSED, "busy", "built-in/1"),
        (Outcome.REFUSED, "no leader", "built-in/0"),
    ]


def test_a_client_that_tries_again_by_itself_may_have_stored_a_message_more_often() -> None:
    """Else what it stored twice would be judged as a duplicate of the broker's."""
    history = History()
    plan = SendPlan(threads=1, drivers=("built-in", "native"))
    sends = batch((0, 1, 2, 3, receipt()), (1, 1, 2, 3, receipt()))
    record_sends(history, "ab12", plan, sends, hidden_retries={"native"})
    assert {record.sender: record.attempts for record in history.sends()} == {
        "built-in/0": 1,
        "native/0": HIDDEN_ATTEMPTS,
    }


def test_every_message_received_is_recorded_and_one_from_the_retry_topic_without_its_place() -> None:
    history = History()
    plan = ReceivePlan(group="g", topic="T")
    record_received(history, plan, [])
    record_received(history, plan, [ReceivedRow("m1", 0, 3, 7, 10), ReceivedRow("m2", 1, 0, 2, 11, retried=True)])
    assert list(history.receives()) == [
        ReceiveRecord("g/0", "m1", "T", 3, 7, 10),
        ReceiveRecord("g/1", "m2", "T", -1, -1, 11),
    ]
