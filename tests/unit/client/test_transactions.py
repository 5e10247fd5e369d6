"""Promises of rmqkit.client.transactions, against a real socket on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest
from loopback_broker import LoopbackBroker, until

from rmqkit.client.outcomes import OutcomeUnknown, Receipt, Refused, Verdict
from rmqkit.client.send import OutgoingMessage
from rmqkit.client.transactions import Decision, TransactionProducer
from rmqkit.errors import UsageError
from rmqkit.wire.codes import RequestCode
from rmqkit.wire.frames import FLAG_ONEWAY, Command
from rmqkit.wire.messages import StoredMessage, decode_properties, encode_properties, encode_stored, host_bytes

SEND, END, BEAT = RequestCode.SEND_MESSAGE_V2, RequestCode.END_TRANSACTION, RequestCode.HEART_BEAT
POSITION = 0x1234


def half_stored(command: Command, number: int) -> Command | None:
    """A broker that stores half messages and takes every decision."""
    if command.code == SEND:
        ext = {"msgId": f"7F000001000078BF{POSITION:016X}", "queueId": command.ext["e"], "queueOffset": 42}
        return Command.answer(command, ext=ext)
    return Command.answer(command)


@pytest.fixture
def broker() -> Iterator[LoopbackBroker]:
    with LoopbackBroker(half_stored) as broker:
        yield broker


def never(message: StoredMessage) -> Decision:
    raise AssertionError(f"nobody asked about {message.unique_key}")


def open_producer(broker: LoopbackBroker, check: object = never) -> TransactionProducer:
    return TransactionProducer([broker.address], group="g", check=check, timeout_s=1.0)  # type: ignore[arg-type]


def taken(broker: LoopbackBroker, code: int) -> list[Command]:
    return [command for command in broker.sends if command.code == code]


def test_a_half_message_is_marked_and_its_end_names_its_place(broker: LoopbackBroker) -> None:
    with open_producer(broker) as producer:
        result = producer.send(OutgoingMessage("T", b"x", message_id="m"), lambda _message: Decision.COMMIT)
    half, end = taken(broker, SEND)[0], taken(broker, END)[0]
    properties = decode_properties(half.ext["i"])
    assert (properties["TRAN_MSG"], properties["PGROUP"], half.ext["f"], half.ext["a"]) == ("true", "g", "4", "g")
    assert end.ext == {
        "producerGroup": "g",
        "commitOrRollback": "8",
        "fromTransactionCheck": "false",
        "tranStateTableOffset": "42",
        "commitLogOffset": str(POSITION),
        "msgId": "m",
        "transactionId": "m",
        "bname": "b",
    }
    assert not end.is_oneway
    assert isinstance(result.outcome, Receipt)
    assert (result.outcome.queue_offset, len(result.outcome.attempts)) == (-1, 2)


def test_transactional_bodies_are_not_compressed_by_themselves(broker: LoopbackBroker) -> None:
    with open_producer(broker) as producer:
        producer.send(OutgoingMessage("T", b"a" * 9000), lambda _message: Decision.COMMIT)
    half = taken(broker, SEND)[0]
    assert (half.ext["f"], len(half.body)) == ("4", 9000)


def test_the_broker_knows_the_group_before_it_gets_a_half_message(broker: LoopbackBroker) -> None:
    with open_producer(broker) as producer:
        producer.send(OutgoingMessage("T", b"x"), lambda _message: Decision.COMMIT)
    assert [command.code for command in broker.sends][:2] == [BEAT, SEND]
    beat = json.loads(broker.sends[0].body)
    assert beat["producerDataSet"] == [{"groupName": "g"}]
    until(lambda: bool(taken(broker, RequestCode.UNREGISTER_CLIENT)))


@pytest.mark.parametrize(
    ("decision", "answer", "kind", "told"),
    [
        (Decision.COMMIT, {}, Receipt, ""),
        (Decision.ROLLBACK, {}, Refused, "rolled back by the local transaction"),
        (Decision.UNKNOWN, {}, OutcomeUnknown, "left to the broker's asking back"),
        (Decision.COMMIT, {"code": 11}, OutcomeUnknown, "commit not confirmed, so the broker asks back: 11"),
        (Decision.ROLLBACK, {"code": 1, "remark": "UNKNOWN_ERROR"}, OutcomeUnknown, "rollback not confirmed"),
        (Decision.COMMIT, None, OutcomeUnknown, "no answer came"),
    ],
)
def test_only_a_confirmed_decision_is_certain(
    broker: LoopbackBroker, decision: Decision, answer: dict[str, object] | None, kind: type, told: str
) -> None:
    def behave(command: Command, number: int) -> Command | None:
        if command.code != END:
            return half_stored(command, number)
        return None if answer is None else Command.answer(command, **answer)  # type: ignore[arg-type]

    broker.answer = behave
    with open_producer(broker) as producer:
        result = producer.send(OutgoingMessage("T", b"x"), lambda _message: decision)
    assert isinstance(result.outcome, kind)
    assert result.decision is decision
    assert told in getattr(result.outcome, "reason", "")
    assert len(taken(broker, END)) == (decision is not Decision.UNKNOWN)


def test_without_an_acknowledged_half_the_local_transaction_is_not_begun(broker: LoopbackBroker) -> None:
    def refuse(command: Command, number: int) -> Command | None:
        return Command.answer(command, code=14) if command.code == SEND else half_stored(command, number)

    broker.answer = refuse
    begun: list[OutgoingMessage] = []
    with open_producer(broker) as producer:
        result = producer.send(OutgoingMessage("T", b"x"), lambda m: begun.append(m) or Decision.COMMIT)  # type: ignore[func-returns-value]
    assert begun == []
    assert (result.decision, type(result.outcome)) == (None, Refused)
    assert taken(broker, END) == []


def test_what_the_local_transaction_raises_comes_out_and_leaves_the_message_open(broker: LoopbackBroker) -> None:
    def local(_message: OutgoingMessage) -> Decision:
        raise LookupError("no such account")

    with open_producer(broker) as producer, pytest.raises(LookupError, match="no such account"):
        producer.send(OutgoingMessage("T", b"x"), local)
    assert taken(broker, END) == []


def ask_back(broker: LoopbackBroker, message_id: str) -> None:
    message = StoredMessage(
        queue_id=3,
        queue_offset=42,
        physical_offset=POSITION,
        sys_flag=4,
        born_ms=1,
        store_ms=2,
        born_host_bytes=host_bytes("127.0.0.1", 1),
        store_host_bytes=host_bytes("127.0.0.1", 2),
        reconsume_times=0,
        prepared_offset=0,
        stored_body=b"x",
        body_crc=0,
        topic="T",
        properties_bytes=encode_properties({"UNIQ_KEY": message_id, "PGROUP": "g"}).encode(),
    )
    ext = {"tranStateTableOffset": 42, "commitLogOffset": POSITION, "msgId": message_id, "transactionId": message_id}
    request = Command.request(RequestCode.CHECK_TRANSACTION_STATE, ext=ext, body=encode_stored(message))
    broker.ask(Command(request.code, flag=FLAG_ONEWAY, ext=request.ext, body=request.body), after=BEAT)


def test_a_broker_that_asks_back_is_told(broker: LoopbackBroker) -> None:
    decisions = {"m1": Decision.COMMIT, "m2": Decision.ROLLBACK, "m3": Decision.UNKNOWN}
    with open_producer(broker, lambda message: decisions[message.unique_key]) as producer:
        producer.send(OutgoingMessage("T", b"x"), lambda _message: Decision.UNKNOWN)
        for message_id in decisions:
            ask_back(broker, message_id)
        until(lambda: len(producer.checks) == 3)
        checks = producer.checks
    assert [(check.message_id, check.decision, check.verdict) for check in checks] == [
        ("m1", Decision.COMMIT, Verdict.STORED),
        ("m2", Decision.ROLLBACK, Verdict.STORED),
        ("m3", Decision.UNKNOWN, None),
    ]
    ends = taken(broker, END)
    assert [(end.ext["msgId"], end.ext["commitOrRollback"], end.ext["fromTransactionCheck"]) for end in ends] == [
        ("m1", "8", "true"),
        ("m2", "12", "true"),
    ]
    assert {(end.ext["tranStateTableOffset"], end.ext["commitLogOffset"]) for end in ends} == {("42", str(POSITION))}


def test_brokers_of_named_topics_may_ask_before_anything_was_sent(broker: LoopbackBroker) -> None:
    with TransactionProducer([broker.address], group="g", check=lambda _m: Decision.COMMIT, topics=["T"]) as producer:
        until(lambda: bool(taken(broker, BEAT)))
        ask_back(broker, "of one that died")
        until(lambda: bool(producer.checks))
    assert producer.checks[0].message_id == "of one that died"


def test_a_check_that_fails_is_shown_and_the_next_one_answered(broker: LoopbackBroker) -> None:
    shown: list[threading.ExceptHookArgs] = []
    hook, threading.excepthook = threading.excepthook, shown.append

    def check(message: StoredMessage) -> Decision:
        if message.unique_key == "bad":
            raise LookupError("who knows")
        return Decision.COMMIT

    try:
        with open_producer(broker, check) as producer:
            producer.send(OutgoingMessage("T", b"x"), lambda _message: Decision.UNKNOWN)
            ask_back(broker, "bad")
            ask_back(broker, "good")
            until(lambda: bool(producer.checks))
    finally:
        threading.excepthook = hook
    assert [check.message_id for check in producer.checks] == ["good"]
    assert str(shown[0].exc_value) == "who knows"


def test_a_lost_connection_is_followed_by_a_new_heartbeat(broker: LoopbackBroker) -> None:
    with open_producer(broker) as producer:
        producer.send(OutgoingMessage("T", b"x"), lambda _message: Decision.COMMIT)
        broker.hang_up()
        until(lambda: len(taken(broker, BEAT)) >= 2)


def test_misuse_is_named(broker: LoopbackBroker) -> None:
    producer = open_producer(broker)
    with pytest.raises(UsageError, match="not open"):
        producer.send(OutgoingMessage("T", b"x"), lambda _message: Decision.COMMIT)
    with producer, pytest.raises(UsageError, match="has delay level 2"):
        producer.send(OutgoingMessage("T", b"x", delay_level=2), lambda _message: Decision.COMMIT)
    with pytest.raises(UsageError, match="opened once"):
        producer.__enter__()
    with open_producer(broker) as other, pytest.raises(UsageError, match="decided 'yes'"):
        other.send(OutgoingMessage("T", b"x"), lambda _message: "yes")  # type: ignore[arg-type, return-value]
    with pytest.raises(UsageError, match="not a group name"):
        TransactionProducer([broker.address], group="a b", check=never)
