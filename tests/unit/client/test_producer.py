"""Promises of rmqkit.client.producer."""

from __future__ import annotations

import pytest
from captured_answers import fail, play, say

from rmqkit.client.outcomes import OutcomeUnknown, Receipt, Refused, Verdict
from rmqkit.client.producer import Producer
from rmqkit.client.send import OutgoingMessage
from rmqkit.errors import ConnectFailedError, RequestTimeoutError, UsageError
from rmqkit.transport.scripted import Handler, ScriptedPool
from rmqkit.wire.codes import RequestCode
from rmqkit.wire.frames import Command
from rmqkit.wire.messages import decode_properties

NAMESERVER, OLD, NEW = "127.0.0.1:9876", "127.0.0.1:30911", "127.0.0.1:30921"
ROUTE, SEND = RequestCode.GET_ROUTEINTO_BY_TOPIC, RequestCode.SEND_MESSAGE_V2
LOST = RequestTimeoutError("silent", address=OLD, request_sent=True)


def route(addresses: str, *, queues: int = 4, perm: int = 6) -> Handler:
    body = (
        f'{{"brokerDatas":[{{"brokerAddrs":{{{addresses}}},"brokerName":"b","cluster":"c"}}],"queueDatas":'
        f'[{{"brokerName":"b","perm":{perm},"readQueueNums":{queues},"writeQueueNums":{queues}}}]}}'
    )
    return say(body=body.encode())


def stored(command: Command) -> Command:
    ext = {"msgId": "7F", "queueId": command.ext["e"], "queueOffset": 5}
    return Command.answer(command, ext=ext)


@pytest.fixture
def pool() -> ScriptedPool:
    return ScriptedPool()


@pytest.fixture
def producer(pool: ScriptedPool) -> Producer:
    return Producer(pool, [NAMESERVER])


def test_queues_are_used_in_turn(pool: ScriptedPool, producer: Producer) -> None:
    pool.on(NAMESERVER, ROUTE, route(f'0:"{OLD}"'))
    pool.on(OLD, SEND, stored)
    outcomes = [producer.send("T", b"x") for _ in range(8)]
    assert [outcome.queue_id for outcome in outcomes if isinstance(outcome, Receipt)] == [0, 1, 2, 3] * 2
    assert pool.codes(NAMESERVER) == (ROUTE,)
    assert isinstance(outcomes[0], Receipt)
    assert outcomes[0].broker_name == "b"


def test_a_named_queue_is_used(pool: ScriptedPool, producer: Producer) -> None:
    pool.on(NAMESERVER, ROUTE, route(f'0:"{OLD}"'))
    pool.on(OLD, SEND, stored)
    assert {producer.send("T", b"x", queue_id=2).queue_id for _ in range(3)} == {2}  # type: ignore[union-attr]


def test_after_a_failure_the_route_is_asked_for_at_once(pool: ScriptedPool, producer: Producer) -> None:
    pool.on(NAMESERVER, ROUTE, route(f'0:"{OLD}",2:"{NEW}"'), route(f'0:"{NEW}"'))
    pool.on(OLD, SEND, say(code=14))
    pool.on(NEW, SEND, stored)
    assert isinstance(producer.send("T", b"x"), Refused)
    assert isinstance(producer.send("T", b"x"), Receipt)


def test_a_retry_follows_the_new_route_with_the_same_id_and_both_are_on_record(
    pool: ScriptedPool, producer: Producer
) -> None:
    pool.on(NAMESERVER, ROUTE, route(f'0:"{OLD}"'), route(f'0:"{NEW}"'))
    pool.on(OLD, SEND, fail(LOST))
    pool.on(NEW, SEND, stored)
    outcome = producer.send("T", b"x", retries=2)
    assert isinstance(outcome, Receipt)
    assert [(attempt.address, attempt.verdict) for attempt in outcome.attempts] == [
        (OLD, Verdict.UNKNOWN),
        (NEW, Verdict.STORED),
    ]
    sends = [asked.command for asked in pool.asked if asked.command.code == SEND]
    assert {decode_properties(command.ext["i"])["UNIQ_KEY"] for command in sends} == {outcome.message_id}


def test_one_unknown_attempt_makes_the_outcome_unknown_whatever_was_refused_later(
    pool: ScriptedPool, producer: Producer
) -> None:
    pool.on(NAMESERVER, ROUTE, route(f'0:"{OLD}"'))
    pool.on(OLD, SEND, fail(LOST), say(code=14))
    outcome = producer.send("T", b"x", retries=2)
    assert isinstance(outcome, OutcomeUnknown)
    assert [attempt.verdict for attempt in outcome.attempts] == [
        Verdict.UNKNOWN,
        Verdict.REFUSED,
        Verdict.REFUSED,
    ]


def test_refused_every_time_is_refused(pool: ScriptedPool, producer: Producer) -> None:
    pool.on(NAMESERVER, ROUTE, route(f'0:"{OLD}"'))
    pool.on(OLD, SEND, say(code=14))
    outcome = producer.send("T", b"x", retries=1)
    assert isinstance(outcome, Refused)
    assert len(outcome.attempts) == 2


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (play("4.9.8", "route_unknown"), "no route for topic 'T'"),
        (route(f'2:"{OLD}"'), f"no broker has a master (broker id 0); registered: b {{2: '{OLD}'}}"),
        (route(f'0:"{OLD}"', perm=4), "no writable queue"),
        (route(f'0:"{OLD}"', queues=0), "no writable queue"),
        (fail(RequestTimeoutError("silent", address=NAMESERVER, request_sent=True)), "no route: silent"),
    ],
)
def test_without_a_route_nothing_is_written(
    pool: ScriptedPool, producer: Producer, handler: Handler, reason: str
) -> None:
    pool.on(NAMESERVER, ROUTE, handler)
    outcome = producer.send("T", b"x")
    assert isinstance(outcome, Refused)
    assert reason in outcome.reason
    assert outcome.code is None
    assert {asked.command.code for asked in pool.asked} == {ROUTE}


def test_a_queue_that_the_route_does_not_have_is_refused(pool: ScriptedPool, producer: Producer) -> None:
    pool.on(NAMESERVER, ROUTE, route(f'0:"{OLD}"'))
    outcome = producer.send("T", b"x", queue_id=9)
    assert isinstance(outcome, Refused)
    assert "with queue 9" in outcome.reason


def test_a_callers_mistake_raises_before_anything_is_asked(pool: ScriptedPool, producer: Producer) -> None:
    with pytest.raises(UsageError):
        producer.send("T", b"")
    assert pool.asked == []


def test_a_oneway_send_is_unknown_once_written_and_refused_when_it_was_not(
    pool: ScriptedPool, producer: Producer
) -> None:
    pool.on(NAMESERVER, ROUTE, route(f'0:"{OLD}"'))
    pool.on(OLD, SEND, stored, fail(ConnectFailedError("dead", address=OLD, request_sent=False)))
    written = producer.send_oneway(OutgoingMessage("T", b"x"))
    assert isinstance(written, OutcomeUnknown)
    assert "one-way" in written.reason
    assert pool.asked[-1].command.is_oneway
    assert pool.codes(NAMESERVER) == (ROUTE,)
    assert isinstance(producer.send_oneway(OutgoingMessage("T", b"x")), Refused)
    producer.send_oneway(OutgoingMessage("T", b"x"))
    assert pool.codes(NAMESERVER) == (ROUTE, ROUTE), "asked for anew after the failure"


def test_long_bodies_are_compressed_unless_that_is_turned_off(pool: ScriptedPool) -> None:
    pool.on(NAMESERVER, ROUTE, route(f'0:"{OLD}"'))
    pool.on(OLD, SEND, stored)
    Producer(pool, [NAMESERVER]).send("T", b"a" * 5000)
    assert (pool.asked[-1].command.ext["f"], len(pool.asked[-1].command.body) < 200) == ("1", True)
    Producer(pool, [NAMESERVER], compress_over=None).send("T", b"a" * 5000)
    assert (pool.asked[-1].command.ext["f"], len(pool.asked[-1].command.body)) == ("0", 5000)


@pytest.mark.parametrize("group", ["", "a b", "x" * 256])
def test_a_group_name_that_brokers_refuse_is_named(pool: ScriptedPool, group: str) -> None:
    with pytest.raises(UsageError, match="not a group name"):
        Producer(pool, [NAMESERVER], group=group)


@pytest.mark.parametrize(
    ("code", "remark", "asked"),
    [
        (2, "[TIMEOUT_CLEAN_QUEUE]broker busy, period in queue: 210ms", 1),
        (2, "[REJECTREQUEST]system busy, start flow control for a while", 1),
        (2, "[PC_SYNCHRONIZED]broker busy, start flow control for a while", 2),
        (14, "service not available now", 2),
    ],
)
def test_a_leader_that_only_sheds_load_is_no_reason_to_ask_for_the_route(
    pool: ScriptedPool, producer: Producer, code: int, remark: str, asked: int
) -> None:
    pool.on(NAMESERVER, ROUTE, route(f'0:"{OLD}"'))
    pool.on(OLD, SEND, say(code=code, remark=remark))
    for _ in range(2):
        producer.send("T", b"x")
    assert len(pool.codes(NAMESERVER)) == asked
