"""Promises of rmqkit.client.send."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from captured_answers import VERSIONS, fail, play, request, say

from rmqkit.client.outcomes import OutcomeUnknown, Receipt, Refused, Verdict
from rmqkit.client.send import OutgoingMessage, new_message_id, send_once
from rmqkit.errors import (
    ConnectFailedError,
    ConnectionLostError,
    RequestTimeoutError,
    UsageError,
    WireError,
)
from rmqkit.transport.scripted import ScriptedPool
from rmqkit.wire.codes import RequestCode
from rmqkit.wire.frames import decode
from rmqkit.wire.messages import decode_properties

ADDRESS = "127.0.0.1:30911"
SEND = RequestCode.SEND_MESSAGE_V2
MESSAGE = OutgoingMessage("T", b"body", message_id="ID1")


@pytest.fixture
def pool() -> ScriptedPool:
    return ScriptedPool()


@pytest.mark.parametrize("version", VERSIONS)
def test_the_request_is_the_one_that_real_brokers_took(pool: ScriptedPool, version: str) -> None:
    pool.on(ADDRESS, SEND, play(version, "send"))
    message = OutgoingMessage(
        "VectorTopic",
        "body 0: 你好".encode(),
        tags="TagA",
        keys=["order-0"],
        properties={"colour": "blue"},
        message_id=f"KIT{0:029d}",
    )
    receipt = send_once(pool, ADDRESS, message, queue_id=0, broker_name="RaftNode00")
    assert isinstance(receipt, Receipt)
    assert (receipt.message_id, receipt.queue_id, receipt.queue_offset) == (message.message_id, 0, 0)
    assert receipt.msg_id.startswith("7F000001")
    assert (receipt.address, receipt.broker_name) == (ADDRESS, "RaftNode00")
    assert receipt.latency_ms >= 0

    taken, sent = decode(request(version, "send")), pool.asked[0].command
    assert sent.body == taken.body
    told = dict(sent.ext)
    assert told.pop("n") == "RaftNode00"
    assert told.pop("g") != "0"
    assert told == {name: value for name, value in taken.ext.items() if name != "g"}


def test_the_kits_id_travels_as_unique_key_and_first_key() -> None:
    message = OutgoingMessage("T", b"x", keys=("k1", "ID"), message_id="ID", tags="A", properties={"p": "q"})
    assert decode_properties(message.encoded_properties) == {
        "p": "q",
        "KEYS": "ID k1",
        "UNIQ_KEY": "ID",
        "TAGS": "A",
    }


def test_message_ids_are_32_hex_characters_and_differ() -> None:
    ids = {new_message_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(one) == 32 and int(one, 16) >= 0 for one in ids)


@pytest.mark.parametrize(
    ("code", "remark", "kind"),
    [
        (14, "service not available now", Refused),
        (1, "[PC_SYNCHRONIZED]broker busy, start flow control for a while", OutcomeUnknown),
        (2, "[TIMEOUT_CLEAN_QUEUE]broker busy", Refused),
        (99, "something new", OutcomeUnknown),
    ],
)
def test_an_answer_that_is_no_success_is_an_outcome(pool: ScriptedPool, code: int, remark: str, kind: type) -> None:
    pool.on(ADDRESS, SEND, say(code=code, remark=remark))
    outcome = send_once(pool, ADDRESS, MESSAGE, queue_id=1)
    assert type(outcome) is kind
    assert isinstance(outcome, Refused | OutcomeUnknown)
    assert (outcome.code, outcome.remark, outcome.message_id) == (code, remark, "ID1")
    assert outcome.reason.startswith(str(code))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectFailedError("refused", address=ADDRESS, request_sent=False), Refused),
        (ConnectionLostError("reset", address=ADDRESS, request_sent=True), OutcomeUnknown),
        (ConnectionLostError("stale", address=ADDRESS, request_sent=False), Refused),
        (RequestTimeoutError("silent", address=ADDRESS, request_sent=True), OutcomeUnknown),
        (RequestTimeoutError("stuck", address=ADDRESS, request_sent=False), Refused),
        (WireError("garbage"), OutcomeUnknown),
    ],
)
def test_trouble_on_the_way_is_refused_only_when_nothing_was_sent(
    pool: ScriptedPool, error: Exception, kind: type
) -> None:
    pool.on(ADDRESS, SEND, fail(error))
    outcome = send_once(pool, ADDRESS, MESSAGE, queue_id=1)
    assert type(outcome) is kind
    assert isinstance(outcome, Refused | OutcomeUnknown)
    assert (outcome.code, outcome.reason) == (None, str(error))
    (attempt,) = outcome.attempts
    assert attempt.verdict is (Verdict.REFUSED if kind is Refused else Verdict.UNKNOWN)


@pytest.mark.parametrize("ext", [{}, {"msgId": "A", "queueId": "x", "queueOffset": "1"}])
def test_a_success_that_does_not_say_where_is_unknown(pool: ScriptedPool, ext: dict[str, str]) -> None:
    pool.on(ADDRESS, SEND, say(ext=ext))
    outcome = send_once(pool, ADDRESS, MESSAGE, queue_id=1)
    assert isinstance(outcome, OutcomeUnknown)
    assert "without msgId" in outcome.reason


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: OutgoingMessage("", b"x"), "not a topic name"),
        (lambda: OutgoingMessage("a b", b"x"), "not a topic name"),
        (lambda: OutgoingMessage("T" * 128, b"x"), "not a topic name"),
        (lambda: OutgoingMessage("T", b""), "no body"),
        (lambda: OutgoingMessage("T", bytes(17_000_000)), "does not fit"),
        (lambda: OutgoingMessage("T", b"x", keys=["a b"]), "not a message key"),
        (lambda: OutgoingMessage("T", b"x", keys=[""]), "not a message key"),
        (lambda: OutgoingMessage("T", b"x", keys="abc"), "keys is the text"),
        (lambda: OutgoingMessage("T", b"x", message_id=""), "not a message key"),
        (lambda: OutgoingMessage("T", b"x", properties={"KEYS": "a"}), "may not contain KEYS"),
        (lambda: OutgoingMessage("T", b"x", properties={"a": "b\x01c"}), "neither may contain"),
        (lambda: OutgoingMessage("T", b"x", tags="a\x02b"), "neither may contain"),
    ],
)
def test_what_could_not_come_back_as_it_was_sent_is_the_callers_mistake(
    make: Callable[[], OutgoingMessage], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        make()


def test_a_message_does_not_change_with_what_it_was_made_from() -> None:
    properties, keys = {"a": "b"}, ["k"]
    message = OutgoingMessage("T", b"x", properties=properties, keys=keys)
    properties["a"], keys[0] = "changed", "changed"
    assert (dict(message.properties), tuple(message.keys)) == ({"a": "b"}, ("k",))
    assert replace(message, tags="B").encoded_properties != message.encoded_properties


def test_a_queue_that_the_broker_would_choose_is_refused(pool: ScriptedPool) -> None:
    with pytest.raises(UsageError, match="random queue"):
        send_once(pool, ADDRESS, MESSAGE, queue_id=-1)
    assert pool.asked == []
