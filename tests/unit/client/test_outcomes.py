"""Promises of rmqkit.client.outcomes: the meaning of each answer to a send in DLedger mode."""

from __future__ import annotations

import re

import pytest
from captured_answers import VERSIONS, answer

from rmqkit.client.outcomes import RULES, Verdict, classify

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
    (1500, "", UNKNOWN),
]


@pytest.mark.parametrize(("code", "remark", "verdict"), ANSWERS)
def test_each_answer_means_what_the_sources_say(code: int, remark: str, verdict: Verdict) -> None:
    assert classify(code, remark).verdict is verdict


def test_only_success_counts_as_stored() -> None:
    assert {rule.code for rule in RULES if rule.verdict is STORED} == {0}


def test_every_row_can_be_reached_and_names_its_source() -> None:
    reached = {classify(code, remark) for code, remark, _ in ANSWERS}
    assert [rule for rule in RULES if rule not in reached] == []
    assert all(rule.source and rule.reason and re.compile(rule.remark) for rule in RULES)


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
