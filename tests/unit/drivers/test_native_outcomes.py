"""Promises of the table of the native client's words: refused only where that is certain."""

from __future__ import annotations

import pytest

from rmqkit.client.outcomes import Verdict
from rmqkit.drivers.native_outcomes import RULES, STATUSES, classify_failure, classify_status

SEEN_LIVE = {
    "the message body size over max value, MAX: 131072,error:-1,in file rocketmq-client-cpp/src/common/Validators.cpp"
    " line:99": Verdict.REFUSED,
    "the message body is empty,error:-1,in file rocketmq-client-cpp/src/common/Validators.cpp line:93": Verdict.REFUSED,
    "No route info of this topic: T1,error:-1,in file"
    " rocketmq-client-cpp/src/producer/DefaultMQProducer.cpp line:402": Verdict.UNKNOWN,
}


@pytest.mark.parametrize(("text", "verdict"), SEEN_LIVE.items())
def test_what_0_4_4_was_seen_to_say_is_told_apart(text: str, verdict: Verdict) -> None:
    assert classify_failure("ProducerSendSyncFailed", text).verdict is verdict


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("No route info for this topic", Verdict.REFUSED),  # one letter: the path that tries once
        ("No route info of this topic, ", Verdict.UNKNOWN),
        ("response is null,error:-1", Verdict.UNKNOWN),
        ("The broker[RaftNode00] not exist", Verdict.UNKNOWN),
        ("the topic[TBW102] is conflict with default topic.", Verdict.REFUSED),
        ("the specified topic is blank", Verdict.REFUSED),
        ("", Verdict.UNKNOWN),
        ("None", Verdict.UNKNOWN),
    ],
)
def test_words_without_a_certain_meaning_are_unknown(text: str, verdict: Verdict) -> None:
    assert classify_failure("ProducerSendSyncFailed", text).verdict is verdict


def test_a_null_pointer_is_found_before_anything_is_sent() -> None:
    assert classify_failure("NullPointerException", "None").verdict is Verdict.REFUSED


def test_only_ok_is_stored() -> None:
    assert classify_status(0)[0] is Verdict.STORED
    assert {classify_status(status)[0] for status in (*STATUSES, 4, -1)} == {Verdict.UNKNOWN}


def test_no_text_means_stored_and_every_row_has_its_source() -> None:
    assert all(rule.verdict is not Verdict.STORED for rule in RULES)
    assert all(rule.source and rule.reason for rule in RULES)
