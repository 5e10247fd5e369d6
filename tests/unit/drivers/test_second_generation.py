"""Promises of the native driver on rocketmq-client-python 2.x: the package's own code, the library's calls replaced."""

from __future__ import annotations

import os

import pytest
from second_generation import Second

from rmqkit.client.message import OutgoingMessage
from rmqkit.client.outcomes import OutcomeUnknown, Receipt, Refused
from rmqkit.drivers.interface import DriverConsumer, DriverProducer
from rmqkit.errors import DriverError, UsageError
from rmqkit.waiting import Pending, wait_until


def test_it_says_which_package_and_which_library(second: Second) -> None:
    with second.producer() as producer:
        assert producer.client == "rocketmq-client-python 2.0.0 (librocketmq.so of the tests)"
        assert isinstance(producer, DriverProducer)
        assert producer.name == "native"


def test_a_message_goes_out_whole_and_its_outcome_comes_back(second: Second) -> None:
    with second.producer(group="mine", attempt_timeout_s=1.5) as producer:
        message = OutgoingMessage("T", b"a\0b", tags="TagA", keys=["k"], properties={"colour": "blue"})
        outcome = producer.send(message)
    assert isinstance(outcome, Receipt)
    assert (outcome.message_id, outcome.msg_id) == (message.message_id, "0102")
    assert (outcome.queue_id, outcome.queue_offset, outcome.address) == (-1, -1, "")
    assert outcome.attempts == (), "how many there were is not told"
    calls = second.calls()
    assert ["CreateProducer", "mine"] in calls
    assert any(call[0] == "SetProducerNameServerAddress" and "127.0.0.1:1;127.0.0.1:2" in call for call in calls)
    assert any(call[0] == "SetProducerSendMsgTimeout" and 1500 in call for call in calls)
    (body,) = second.calls("SetByteMessageBody")
    assert body[2:] == ["a\0b", 3], "set_body would end at the NUL byte"
    assert second.calls("SetMessageKeys")[0][-1] == f"{message.message_id} k"
    assert {tuple(call[2:]) for call in second.calls("SetMessageProperty")} == {
        ("colour", "blue"),
        ("rmqkit-id", message.message_id),
    }
    assert len(second.calls("DestroyMessage")) == 1, "2.x never frees a message itself"
    assert second.calls("ShutdownProducer")


def test_messages_in_order_go_through_a_producer_of_their_own_kind(second: Second) -> None:
    with second.producer() as producer:
        assert isinstance(producer.send(OutgoingMessage("T", b"1", sharding_key="order-7")), Receipt)
        assert isinstance(producer.send(OutgoingMessage("T", b"2", sharding_key="order-7")), Receipt)
    assert len(second.calls("CreateOrderlyProducer")) == 1
    assert [call[-1] for call in second.calls("SendMessageOrderlyByShardingKey")] == ["order-7", "order-7"]
    names = [call[-1] for call in second.calls("SetProducerInstanceName")]
    assert len(set(names)) == 2, "two producers of one group in a process need two names"


def test_oneway_is_unknown_for_nobody_answers(second: Second) -> None:
    with second.producer() as producer:
        outcome = producer.send_oneway(OutgoingMessage("T", b"x"))
    assert isinstance(outcome, OutcomeUnknown)
    assert outcome.reason == "one-way: nobody answers"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("msg: the message body size over max value, MAX: 131072,error:-1", Refused),
        ("msg: No route info of this topic: T,error:-1", OutcomeUnknown),
        ("something new", OutcomeUnknown),
    ],
)
def test_the_librarys_words_become_outcomes(second: Second, text: str, kind: type) -> None:
    with second.producer() as producer:
        outcome = producer.send(OutgoingMessage("fail", text.encode()))
    assert isinstance(outcome, kind)
    assert text.removeprefix("msg: ") in outcome.remark


def test_a_status_short_of_ok_is_unknown(second: Second) -> None:
    with second.producer() as producer:
        outcome = producer.send(OutgoingMessage("status2", b"x"))
    assert isinstance(outcome, OutcomeUnknown)
    assert outcome.reason.startswith("status 2 FLUSH_SLAVE_TIMEOUT")


def test_a_consumer_hands_out_acknowledges_and_gives_back(second: Second) -> None:
    with second.consumer(properties=["colour"]) as consumer:
        assert isinstance(consumer, DriverConsumer)
        came: dict[int | None, object] = {}

        def all_three() -> bool | Pending:
            for message in consumer.poll(0.1):
                came[message.queue_id] = message
                assert message.body == b"body %d" % message.queue_id
                assert (message.message_id, message.unique_key) == (f"ID{message.queue_id}", f"U{message.queue_id}")
                assert message.keys == (f"K{message.queue_id}", "other")
                assert (message.tags, message.properties["colour"]) == ("TagA", "blue")
                assert message.queue_offset == message.queue_id * 10
            return len(came) == 3 or Pending(f"{len(came)} came")

        wait_until(all_three, label="three messages", timeout_s=10)
        assert not second.calls("delivered"), "none is answered for before the caller has"
        consumer.ack([came[0]])  # type: ignore[list-item]
        consumer.later([came[1]])  # type: ignore[list-item]

        def answered() -> bool | Pending:
            done = {call[1]: call[2] for call in second.calls("delivered")}
            return done == {0: 0, 1: 1} or Pending(str(done))

        wait_until(answered, label="both answers", timeout_s=10)

    def given_back() -> bool | Pending:
        done = {call[1]: call[2] for call in second.calls("delivered")}
        return done == {0: 0, 1: 1, 2: 1} or Pending(str(done))

    wait_until(given_back, label="what nobody acknowledged is given back", timeout_s=10)


def test_a_client_that_does_not_start_says_why(second: Second) -> None:
    with pytest.raises(DriverError, match="does not start: PushConsumerStartFailed: the client does not want to"):
        second.consumer(topic="cannot-start")


def test_a_shutdown_that_hangs_is_bounded(second: Second) -> None:
    consumer = second.consumer(topic="hangs-at-its-end", close_timeout_s=0.5)
    pid = consumer.pid
    consumer.close()
    consumer.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(UsageError, match="closed"):
        consumer.poll(0)
