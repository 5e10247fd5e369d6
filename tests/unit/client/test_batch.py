"""Promises of rmqkit.client.batch and of the producer's batches."""

from __future__ import annotations

import struct

import pytest
from captured_answers import fail, say
from test_producer import NAMESERVER, OLD, ROUTE, route

from rmqkit.client.batch import check_batch
from rmqkit.client.outcomes import OutcomeUnknown, Receipt, Refused, SendOutcome, Verdict
from rmqkit.client.producer import Producer
from rmqkit.client.send import OutgoingMessage
from rmqkit.errors import ConnectFailedError, NotSupportedError, RequestTimeoutError, UsageError
from rmqkit.transport.scripted import ScriptedPool
from rmqkit.wire.codes import RequestCode
from rmqkit.wire.messages import decode_properties

BATCH, CONFIG, RUNTIME = (
    RequestCode.SEND_BATCH_MESSAGE,
    RequestCode.GET_BROKER_CONFIG,
    RequestCode.GET_BROKER_RUNTIME_INFO,
)
IDS = [f"{n:032X}" for n in range(3)]


@pytest.fixture
def pool() -> ScriptedPool:
    pool = ScriptedPool()
    pool.on(NAMESERVER, ROUTE, route(f'0:"{OLD}"', queues=2))
    edition(pool, "V4_9_8")
    return pool


def edition(pool: ScriptedPool, version: str, *, dledger: bool = True) -> None:
    pool.on(OLD, RUNTIME, say(body=f'{{"table":{{"brokerVersionDesc":"{version}"}}}}'.encode()))
    config = f"enableDLegerCommitLog={str(dledger).lower()}\nmessageDelayLevel=1s 5s 10s\n"
    pool.on(OLD, CONFIG, say(body=config.encode()))


def batch(count: int = 3, **fields: str) -> list[OutgoingMessage]:
    return [OutgoingMessage("T", f"b{n}".encode(), message_id=f"m{n}", **fields) for n in range(count)]  # type: ignore[arg-type]


def send(pool: ScriptedPool, messages: list[OutgoingMessage], *, retries: int = 0) -> tuple[SendOutcome, ...]:
    return Producer(pool, [NAMESERVER]).send_batch(messages, retries=retries)


def test_each_message_of_a_batch_gets_the_place_that_the_broker_gave_it(pool: ScriptedPool) -> None:
    pool.on(OLD, BATCH, say(ext={"msgId": ",".join(IDS), "queueId": 1, "queueOffset": 40}))
    outcomes = send(pool, batch())
    assert [(o.message_id, o.msg_id, o.queue_id, o.queue_offset) for o in outcomes if isinstance(o, Receipt)] == [
        ("m0", IDS[0], 1, 40),
        ("m1", IDS[1], 1, 41),
        ("m2", IDS[2], 1, 42),
    ]
    assert [attempt.verdict for outcome in outcomes for attempt in outcome.attempts] == [Verdict.STORED] * 3


def test_the_request_is_laid_out_as_brokers_read_it(pool: ScriptedPool) -> None:
    pool.on(OLD, BATCH, say(ext={"msgId": ",".join(IDS[:2]), "queueId": 0, "queueOffset": 0}))
    send(pool, batch(2, tags="TagA"))
    request = pool.asked[-1].command
    assert (request.ext["b"], request.ext["m"], request.ext["i"], request.ext["f"]) == ("T", "true", "", "0")
    at, found = 0, []
    while at < len(request.body):
        size, magic, crc, flag, length = struct.unpack_from(">iiiii", request.body, at)
        assert (magic, crc, flag) == (0, 0, 0)
        body = request.body[at + 20 : at + 20 + length]
        (properties_length,) = struct.unpack_from(">h", request.body, at + 20 + length)
        properties = request.body[at + 22 + length : at + 22 + length + properties_length]
        assert size == 22 + length + properties_length
        found.append((body, decode_properties(properties)["UNIQ_KEY"], decode_properties(properties)["TAGS"]))
        at += size
    assert found == [(b"b0", "m0", "TagA"), (b"b1", "m1", "TagA")]


@pytest.mark.parametrize("ids", ["", IDS[0], ",".join(IDS[:2])])
def test_success_with_another_number_of_ids_is_unknown(pool: ScriptedPool, ids: str) -> None:
    pool.on(OLD, BATCH, say(ext={"msgId": ids, "queueId": 0, "queueOffset": 0}))
    outcomes = send(pool, batch())
    assert {type(outcome) for outcome in outcomes} == {OutcomeUnknown}
    assert "for a batch of 3" in outcomes[0].attempts[0].reason


def test_trouble_is_the_outcome_of_every_message(pool: ScriptedPool) -> None:
    pool.on(OLD, BATCH, fail(RequestTimeoutError("silent", address=OLD, request_sent=True)))
    assert {type(outcome) for outcome in send(pool, batch())} == {OutcomeUnknown}
    pool.on(OLD, BATCH, fail(ConnectFailedError("dead", address=OLD, request_sent=False)))
    assert {type(outcome) for outcome in send(pool, batch())} == {Refused}
    pool.on(OLD, BATCH, say(code=2, remark="[PC_SYNCHRONIZED]broker busy"))
    assert {type(outcome) for outcome in send(pool, batch())} == {OutcomeUnknown}


def test_retries_of_a_batch_are_all_on_record(pool: ScriptedPool) -> None:
    pool.on(OLD, BATCH, say(code=14), say(ext={"msgId": ",".join(IDS), "queueId": 0, "queueOffset": 7}))
    outcomes = send(pool, batch(), retries=3)
    assert [[attempt.verdict for attempt in outcome.attempts] for outcome in outcomes] == [
        [Verdict.REFUSED, Verdict.STORED]
    ] * 3


def test_a_version_without_batches_is_named_before_anything_is_sent(pool: ScriptedPool) -> None:
    edition(pool, "V4_5_1")
    with pytest.raises(NotSupportedError, match=r"runs RocketMQ 4\.5\.1") as caught:
        send(pool, batch())
    assert "4.8.0" in str(caught.value)
    assert BATCH not in pool.codes(OLD)


def test_a_broker_without_dledger_always_took_batches(pool: ScriptedPool) -> None:
    edition(pool, "V4_5_1", dledger=False)
    pool.on(OLD, BATCH, say(ext={"msgId": ",".join(IDS), "queueId": 0, "queueOffset": 0}))
    assert {type(outcome) for outcome in send(pool, batch())} == {Receipt}


def test_what_a_broker_can_is_asked_once_and_again_after_a_failure(pool: ScriptedPool) -> None:
    done = say(ext={"msgId": ",".join(IDS), "queueId": 0, "queueOffset": 0})
    pool.on(OLD, BATCH, done, done, say(code=14), done)
    producer = Producer(pool, [NAMESERVER])
    for _ in range(4):
        producer.send_batch(batch())
    assert pool.codes(OLD).count(RUNTIME) == 2


def test_a_broker_that_does_not_tell_its_version_is_tried(pool: ScriptedPool) -> None:
    pool.on(OLD, RUNTIME, fail(RequestTimeoutError("silent", address=OLD, request_sent=True)))
    pool.on(OLD, BATCH, say(code=13))
    assert {type(outcome) for outcome in send(pool, batch())} == {Refused}


def test_delay_levels_are_held_against_the_brokers_own(pool: ScriptedPool) -> None:
    producer = Producer(pool, [NAMESERVER])
    with pytest.raises(UsageError, match=r"delay level 4 of 3: 127\.0\.0\.1:30911 has 1s 5s 10s"):
        producer.send("T", b"x", delay_level=4)
    pool.on(OLD, RequestCode.SEND_MESSAGE_V2, say(ext={"msgId": IDS[0], "queueId": 0, "queueOffset": 0}))
    assert isinstance(producer.send("T", b"x", delay_level=3), Receipt)
    assert decode_properties(pool.asked[-1].command.ext["i"])["DELAY"] == "3"


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        ([], "without a message"),
        ([OutgoingMessage("A", b"x"), OutgoingMessage("B", b"x")], "2 topics: A, B"),
        ([OutgoingMessage("A", b"x", delay_level=1)], "has delay level 1"),
        ([OutgoingMessage("A", b"x", sharding_key="1"), OutgoingMessage("A", b"x")], "2 sharding keys"),
        ([OutgoingMessage("A", b"x", message_id="m"), OutgoingMessage("A", b"x", message_id="m")], "twice"),
        ([OutgoingMessage("%RETRY%g", b"x")], "retry topic"),
    ],
)
def test_a_batch_that_brokers_refuse_is_refused_beforehand(messages: list[OutgoingMessage], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        check_batch(messages)


def test_properties_that_a_batch_cannot_hold_are_refused(pool: ScriptedPool) -> None:
    with pytest.raises(UsageError, match="properties of"):
        send(pool, [OutgoingMessage("T", b"x", properties={"p": "x" * 40_000})])


def test_a_batch_beyond_a_frame_is_refused_and_not_called_unknown(pool: ScriptedPool) -> None:
    with pytest.raises(UsageError, match=r"a batch of 4 messages of 160\d+ bytes does not fit"):
        send(pool, [OutgoingMessage("T", b"x" * 4_000_000) for _ in range(4)])
    assert BATCH not in pool.codes(OLD)
