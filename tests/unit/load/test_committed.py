"""Promises of what a run records beside sends and deliveries: committed offsets, and the steps of transactions."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from rmqkit.client.outcomes import OutcomeUnknown, Receipt, Refused, SendOutcome
from rmqkit.client.transactions import Decision, TransactionOutcome
from rmqkit.history import COMMIT, HALF, ROLLBACK, History, OffsetRecord, Outcome
from rmqkit.load.batches import Times
from rmqkit.load.committed import record_transaction, sample_offsets
from rmqkit.transport.scripted import ScriptedPool
from rmqkit.wire.codes import RequestCode
from rmqkit.wire.frames import Command

LEADER = "127.0.0.1:30911"
ACKED, REFUSED, UNKNOWN = Outcome.ACKNOWLEDGED, Outcome.REFUSED, Outcome.UNKNOWN
RECEIPT = Receipt(
    message_id="m",
    address=LEADER,
    latency_ms=1.0,
    attempts=(),
    msg_id="0" * 32,
    queue_id=1,
    queue_offset=7,
    broker_name="b",
)
LEFT = OutcomeUnknown(
    message_id="m", address=LEADER, latency_ms=1.0, attempts=(), code=None, remark="", reason="not confirmed"
)
NEVER = Refused(message_id="m", address=LEADER, latency_ms=1.0, attempts=(), code=None, remark="", reason="rolled back")


def test_the_committed_offsets_of_one_group_and_topic_are_recorded_with_both_times() -> None:
    pool, history = ScriptedPool(), History()
    table = {"T@g": {"0": 5, "1": 9}, "T@h": {"0": 3}, "U@g": {"0": 1}}
    body = json.dumps({"offsetTable": table}).encode()
    pool.on(LEADER, RequestCode.GET_ALL_CONSUMER_OFFSET, lambda command: Command.answer(command, body=body))
    assert sample_offsets(pool, LEADER, group="g", topic="T", history=history) == {0: 5, 1: 9}
    found = list(history.offsets())
    assert [replace(each, start_ns=0, end_ns=0) for each in found] == [
        OffsetRecord("g", "T", 0, 5, 0, 0),
        OffsetRecord("g", "T", 1, 9, 0, 0),
    ]
    assert all(history.start_ns <= each.start_ns <= each.end_ns for each in found)


@pytest.mark.parametrize(
    ("half", "decision", "outcome", "steps"),
    [
        (RECEIPT, Decision.COMMIT, RECEIPT, [(HALF, ACKED), (COMMIT, ACKED)]),
        (RECEIPT, Decision.COMMIT, LEFT, [(HALF, ACKED), (COMMIT, UNKNOWN)]),
        (RECEIPT, Decision.ROLLBACK, NEVER, [(HALF, ACKED), (ROLLBACK, ACKED)]),
        (RECEIPT, Decision.ROLLBACK, LEFT, [(HALF, ACKED), (ROLLBACK, UNKNOWN)]),
        (RECEIPT, Decision.UNKNOWN, LEFT, [(HALF, ACKED)]),
        (LEFT, None, LEFT, [(HALF, UNKNOWN)]),
        (NEVER, None, NEVER, [(HALF, REFUSED)]),
    ],
)
def test_each_step_of_a_transaction_is_a_record(
    half: SendOutcome, decision: Decision | None, outcome: SendOutcome, steps: list[tuple[str, Outcome]]
) -> None:
    history = History()
    came = TransactionOutcome(half=half, decision=decision, outcome=outcome)
    record_transaction(history, "m", "T", Times(1, 2, 3), came, sender="built-in/0")
    found = list(history.sends())
    assert [(each.transaction, each.outcome) for each in found] == steps
    assert {(each.message_id, each.start_ns, each.end_ns, each.sender) for each in found} == {("m", 2, 3, "built-in/0")}
    assert [each.attempts for each in found] == [1, 0][: len(found)]
