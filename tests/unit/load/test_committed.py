"""Promises of what a run records beside sends and deliveries: committed offsets, and the steps of transactions."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import Self

import pytest

from rmqkit.checks import Thresholds, judge
from rmqkit.client.outcomes import OutcomeUnknown, Receipt, Refused, SendOutcome
from rmqkit.client.transactions import Decision, TransactionOutcome
from rmqkit.history import COMMIT, HALF, ROLLBACK, History, OffsetRecord, Outcome
from rmqkit.load.batches import Times
from rmqkit.load.committed import CommittedOffsets, record_transaction, sample_offsets
from rmqkit.transport.scripted import ScriptedPool
from rmqkit.waiting import Pending, wait_until
from rmqkit.wire.codes import RequestCode
from rmqkit.wire.frames import Command

LEADER = "127.0.0.1:30911"
NAMESERVER = "127.0.0.1:1"
ANY = Thresholds(min_acked_before=0, min_acked_after=0, fault_required=False)
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


# ---- sampled while a load goes on


class Pool(ScriptedPool):
    """In the place of one that is opened and closed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return


class Topic:
    """What a NameServer and brokers say of topic T and group g."""

    def __init__(self) -> None:
        self.pool = Pool()
        self.masters = {"b": LEADER}
        self.role = "SYNC_MASTER"
        self.committed = 5
        self.asked = threading.Semaphore(0)
        self.pool.on(NAMESERVER, RequestCode.GET_ROUTEINTO_BY_TOPIC, self._route)
        self.pool.on(LEADER, RequestCode.GET_BROKER_CONFIG, self._config)
        self.pool.on(LEADER, RequestCode.GET_ALL_CONSUMER_OFFSET, self._offsets)

    def _route(self, command: Command) -> Command:
        brokers = [{"brokerName": name, "brokerAddrs": {"0": at}} for name, at in self.masters.items()]
        return Command.answer(command, body=json.dumps({"queueDatas": [], "brokerDatas": brokers}).encode())

    def _config(self, command: Command) -> Command:
        self.asked.release()
        return Command.answer(command, body=f"brokerId=0\nbrokerRole={self.role}\n".encode())

    def _offsets(self, command: Command) -> Command:
        return Command.answer(command, body=json.dumps({"offsetTable": {"T@g": {"0": self.committed}}}).encode())


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> Topic:
    found = Topic()
    monkeypatch.setattr("rmqkit.load.committed.ChannelPool", lambda: found.pool)
    return found


def sampled(history: History, *, every_s: float = 60.0) -> CommittedOffsets:
    return CommittedOffsets([NAMESERVER], group="g", topic="T", history=history, every_s=every_s)


def test_a_group_is_asked_for_from_the_beginning_to_its_last_commit(topic: Topic) -> None:
    history = History()
    with sampled(history, every_s=0.01):
        for _ in range(3):
            assert topic.asked.acquire(timeout=10)
        topic.committed = 9
    offsets = [each.offset for each in history.offsets()]
    assert (offsets[0], offsets[-1]) == (5, 9)
    assert len(offsets) >= 4
    assert judge(history, ANY).violations == (), "they only rose"


def test_an_offset_that_moves_back_is_found_in_what_was_sampled(topic: Topic) -> None:
    history = History()
    with sampled(history):
        assert topic.asked.acquire(timeout=10)
        wait_until(lambda: history.offset_count > 0 or Pending("none yet"), label="the first one", timeout_s=10)
        topic.committed = 4
    assert [each.kind for each in judge(history, ANY).violations] == ["offset-moved-back"]


def test_who_is_no_master_by_its_own_word_is_not_asked(topic: Topic) -> None:
    """A broker that starts claims broker 0 at the NameServer (rocketmq #1464); its offsets are old."""
    topic.role = "SLAVE"
    history = History()
    with sampled(history) as offsets:
        assert topic.asked.acquire(timeout=10)
    assert (history.offset_count, offsets.trouble) == (0, "")


def test_queues_of_several_groups_of_brokers_are_not_mixed_up(topic: Topic) -> None:
    topic.masters["c"] = "127.0.0.1:2"
    history = History()
    with sampled(history) as offsets:
        pass
    assert history.offset_count == 0
    assert offsets.trouble == "T is on 2 groups of brokers, whose queues have the same numbers"


def test_a_cluster_that_does_not_answer_ends_no_load(topic: Topic) -> None:
    history = History()
    with CommittedOffsets(["127.0.0.1:9", "127.0.0.1:8"], group="g", topic="T", history=history) as offsets:
        pass
    assert "127.0.0.1:8" in offsets.trouble
