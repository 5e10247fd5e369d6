"""Promises of rmqkit.client.outcomes: the meaning of each answer to a send in DLedger mode."""

from __future__ import annotations

import re

import pytest
from captured_answers import VERSIONS, answer

from rmqkit.client.outcomes import (
    END_RULES,
    RULES,
    Asked,
    OutcomeUnknown,
    Refused,
    Verdict,
    classify,
    is_flow_control,
)

STORED, REFUSED, UNKNOWN = Verdict.STORED, Verdict.REFUSED, Verdict.UNKNOWN

ANSWERS = [
    (0, "", STORED),
    (1, "[PC_SYNCHRONIZED]broker busy, start flow control for a while", UNKNOWN),
    (1, "UNKNOWN_ERROR", UNKNOWN),
    (1, "UNKNOWN_ERROR DEFAULT", UNKNOWN),
    (1, "in-sync replicas not enough", UNKNOWN),
    (1, "store putMessage return null", UNKNOWN),
    (1, "java.lang.NullPointerException, topic[T] not exist", UNKNOWN),
    (1, "", UNKNOWN),
    (1, "broker unable to service, until 2030-01-01 00:00:00", REFUSED),
    (1, "request queueId[9] is illegal, TopicConfig [topicName=T]", REFUSED),
    (1, "topic[%RETRY%g] not exist", REFUSED),
    (1, "the topic[TBW102] is conflict with system reserved words.", REFUSED),
    (1, "The specified topic is longer than topic max length.", REFUSED),
    (1, "org.apache.rocketmq.acl.common.AclException: No accessKey is configured", REFUSED),
    (2, "[REJECTREQUEST]system busy, start flow control for a while", REFUSED),
    (2, "[OVERLOAD]system busy, start flow control for a while", REFUSED),
    (2, "[TIMEOUT_CLEAN_QUEUE]broker busy, period in queue: 210ms, size of queue: 3", REFUSED),
    (2, "[PCBUSY_CLEAN_QUEUE]broker busy, start flow control for a while", REFUSED),
    (2, "[PC_SYNCHRONIZED]broker busy, start flow control for a while", REFUSED),
    (3, " request type 310 not supported", REFUSED),
    (10, "", UNKNOWN),
    (11, "", UNKNOWN),
    (12, "", UNKNOWN),
    (13, "the message is illegal", REFUSED),
    (14, "service not available now, maybe disk full", REFUSED),
    (16, "the broker[127.0.0.1] sending message is forbidden", REFUSED),
    (17, "topic[T] not exist, apply first please!", REFUSED),
    (26, "subscription group not exist, g", REFUSED),
    (29, "request queueId[9] is illegal", REFUSED),
    (-1, "", UNKNOWN),
    (501, "T-0 does not exit in request process of current broker", UNKNOWN),
    (1, "timer message is under flow control, max num limit is 20", REFUSED),
    (1, "accurate timer message is not enabled, timerWheelEnable is false", REFUSED),
    (1500, "", UNKNOWN),
]

OF_BATCHES = [
    (0, "", STORED),
    (
        1,
        "java.lang.RuntimeException: message size exceeded, org.apache.rocketmq.store.dledger.DLedgerCommitLog",
        REFUSED,
    ),
    (1, "java.lang.RuntimeException: message body size exceeded, org.apache.rocketmq.store.MessageExtEncoder", REFUSED),
    (1, "java.lang.RuntimeException: something else", UNKNOWN),
    (1, "[PC_SYNCHRONIZED]broker busy, start flow control for a while", UNKNOWN),
    (2, "[PC_SYNCHRONIZED]broker busy, start flow control for a while", UNKNOWN),
    (2, "[TIMEOUT_CLEAN_QUEUE]broker busy, period in queue: 210ms, size of queue: 3", REFUSED),
    (13, "the message is illegal", REFUSED),
    (14, "service not available now", REFUSED),
]

OF_ENDS = [
    (0, "", STORED),
    (1, "Find prepared transaction message failed", REFUSED),
    (1, "The producer group wrong", REFUSED),
    (1, "The transaction state table offset wrong", REFUSED),
    (1, "The commit log offset wrong", REFUSED),
    (1, "OS page cache busy, please try another machine", UNKNOWN),
    (1, "UNKNOWN_ERROR", UNKNOWN),
    (2, "[TIMEOUT_CLEAN_QUEUE]broker busy", REFUSED),
    (3, " request type 37 not supported", REFUSED),
    (11, "", REFUSED),
    (12, "", UNKNOWN),
    (13, "The message is illegal", REFUSED),
    (14, "Service not available now.", REFUSED),
    (604, "", REFUSED),
]


@pytest.mark.parametrize(("code", "remark", "verdict"), ANSWERS)
def test_each_answer_means_what_the_sources_say(code: int, remark: str, verdict: Verdict) -> None:
    assert classify(code, remark).verdict is verdict


@pytest.mark.parametrize(("code", "remark", "verdict"), OF_BATCHES)
def test_a_batch_is_refused_only_where_no_part_of_it_was_appended(code: int, remark: str, verdict: Verdict) -> None:
    assert classify(code, remark, Asked.BATCH).verdict is verdict


@pytest.mark.parametrize(("code", "remark", "verdict"), OF_ENDS)
def test_the_end_of_a_transaction_has_answers_of_its_own(code: int, remark: str, verdict: Verdict) -> None:
    assert classify(code, remark, Asked.END_TRANSACTION).verdict is verdict


@pytest.mark.parametrize(
    ("code", "remark", "busy"),
    [
        (2, "", True),
        (215, "", True),
        (2, "[OVERLOAD]system busy, start flow control for a while", True),
        (1, "[PC_SYNCHRONIZED]broker busy, start flow control for a while", True),
        (1, "OS page cache busy, please try another machine", True),
        (1, "UNKNOWN_ERROR", False),
        (14, "service not available now, maybe disk full", False),
        (None, "", False),
    ],
)
def test_flow_control_is_recognised_whatever_became_of_the_message(code: int | None, remark: str, busy: bool) -> None:
    assert is_flow_control(code, remark) is busy
    for kind in (Refused, OutcomeUnknown):
        outcome = kind(message_id="m", address="a", latency_ms=1.0, code=code, remark=remark, reason="r")
        assert outcome.is_flow_control is busy


def test_only_success_counts_as_stored() -> None:
    assert {rule.code for rule in RULES if rule.verdict is STORED} == {0}


def test_every_row_can_be_reached_and_names_its_source() -> None:
    reached = {classify(code, remark) for code, remark, _ in ANSWERS}
    reached |= {classify(code, remark, Asked.BATCH) for code, remark, _ in OF_BATCHES}
    reached |= {classify(code, remark, Asked.END_TRANSACTION) for code, remark, _ in OF_ENDS}
    assert [rule for rule in (*RULES, *END_RULES) if rule not in reached] == []
    assert all(rule.source and rule.reason and re.compile(rule.remark) for rule in (*RULES, *END_RULES))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("send", STORED),
        ("send_to_follower", REFUSED),
        ("send_illegal_queue", REFUSED),
        ("send_illegal_topic", REFUSED),
    ],
)
def test_answers_of_real_brokers_are_understood(version: str, name: str, verdict: Verdict) -> None:
    real = answer(version, name)
    assert classify(real.code, real.remark).verdict is verdict
