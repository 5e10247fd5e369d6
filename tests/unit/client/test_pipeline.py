"""Promises of rmqkit.client.pipeline, against a real socket on loopback."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from loopback_broker import LoopbackBroker, stored

from rmqkit.client.outcomes import OutcomeUnknown, Receipt, Refused, SendOutcome
from rmqkit.client.pipeline import PipelinedProducer
from rmqkit.client.send import OutgoingMessage
from rmqkit.errors import UsageError
from rmqkit.transport.pool import ChannelPool
from rmqkit.wire.frames import Command

Done = list[tuple[str, SendOutcome]]


@pytest.fixture
def broker() -> Iterator[LoopbackBroker]:
    with LoopbackBroker() as broker:
        yield broker


@pytest.fixture
def pool() -> Iterator[ChannelPool]:
    with ChannelPool() as pool:
        yield pool


def submit(pipeline: PipelinedProducer, count: int, done: Done) -> None:
    for number in range(count):
        pipeline.submit(
            OutgoingMessage("T", f"{number}".encode(), message_id=f"m{number}"),
            on_done=lambda message, outcome: done.append((message.message_id, outcome)),
        )


def kinds(done: Done) -> list[str]:
    return [type(outcome).__name__ for _, outcome in done]


def test_every_message_gets_its_own_outcome_in_the_order_of_the_answers(
    broker: LoopbackBroker, pool: ChannelPool
) -> None:
    done: Done = []
    with PipelinedProducer(pool, [broker.address], window=10) as pipeline:
        submit(pipeline, 100, done)
    assert [message_id for message_id, _ in done] == [f"m{number}" for number in range(100)]
    assert [outcome.queue_offset for _, outcome in done if isinstance(outcome, Receipt)] == list(range(100))
    assert broker.routes_asked == 1
    assert pipeline.under_way == 0


def test_no_more_than_the_window_is_under_way(broker: LoopbackBroker, pool: ChannelPool) -> None:
    held: list[Command] = []

    def answer_late(command: Command, number: int) -> Command | None:
        held.append(command)
        return stored(command, number) if len(held) > 20 else None

    broker.answer = answer_late
    done: Done = []
    with PipelinedProducer(pool, [broker.address], window=8, gather=2, timeout_s=0.3) as pipeline:
        submit(pipeline, 8, done)
        assert (pipeline.under_way, done, len(broker.sends) <= 8) == (8, [], True)
        submit(pipeline, 1, done)
        assert done, "it waited until there was room"
        assert pipeline.under_way <= 8


def test_silence_is_unknown_after_the_time_and_the_next_ones_use_another_connection(
    broker: LoopbackBroker, pool: ChannelPool
) -> None:
    broker.answer = lambda command, number: None if number == 0 else stored(command, number)
    done: Done = []
    with PipelinedProducer(pool, [broker.address], timeout_s=0.2) as pipeline:
        submit(pipeline, 1, done)
        pipeline.flush()
        submit(pipeline, 1, done)
    assert kinds(done) == ["OutcomeUnknown", "Receipt"]
    assert "no answer came" in done[0][1].attempts[0].reason
    assert broker.routes_asked == 2, "the route is asked for anew after a failure"


def test_a_lost_connection_leaves_what_was_under_way_unknown_each_once(
    broker: LoopbackBroker, pool: ChannelPool
) -> None:
    def hang_up(command: Command, number: int) -> Command:
        if number == 5:
            raise ConnectionError
        return stored(command, number)

    broker.answer = hang_up
    done: Done = []
    with PipelinedProducer(pool, [broker.address], window=64, gather=16) as pipeline:
        submit(pipeline, 16, done)
        pipeline.flush()
        assert len(done) == 16
        assert {message_id for message_id, _ in done} == {f"m{number}" for number in range(16)}
        assert set(kinds(done)) == {"OutcomeUnknown"}, "answers of the same write were not sent either"
        submit(pipeline, 3, done)
    assert kinds(done)[16:] == ["Receipt"] * 3


def test_a_broker_that_does_not_listen_refuses_what_was_never_sent(pool: ChannelPool) -> None:
    with LoopbackBroker() as broker:
        nameserver = broker
        done: Done = []
        dead = LoopbackBroker()
        dead.__exit__(None, None, None)
        nameserver.master_address = dead.address
        with PipelinedProducer(pool, [nameserver.address]) as pipeline:
            submit(pipeline, 5, done)
    assert kinds(done) == ["Refused"] * 5


def test_without_a_leader_a_message_is_refused_at_once(broker: LoopbackBroker, pool: ChannelPool) -> None:
    broker.master = False
    done: Done = []
    with PipelinedProducer(pool, [broker.address]) as pipeline:
        submit(pipeline, 2, done)
        assert kinds(done) == ["Refused"] * 2
        broker.master = True
        submit(pipeline, 1, done)
    assert kinds(done) == ["Refused", "Refused", "Receipt"]
    refused = done[0][1]
    assert isinstance(refused, Refused)
    assert "no broker has a master" in refused.reason


def test_a_refusal_is_the_outcome_of_its_message_alone(broker: LoopbackBroker, pool: ChannelPool) -> None:
    broker.answer = lambda command, number: (
        Command.answer(command, code=2, remark="[OVERLOAD]system busy") if number % 3 == 1 else stored(command, number)
    )
    done: Done = []
    with PipelinedProducer(pool, [broker.address]) as pipeline:
        submit(pipeline, 6, done)
    assert kinds(done) == ["Receipt", "Refused", "Receipt"] * 2
    refused = done[1][1]
    assert isinstance(refused, Refused)
    assert refused.is_flow_control


def test_answers_out_of_order_reach_their_messages(broker: LoopbackBroker, pool: ChannelPool) -> None:
    first: list[Command] = []

    def swap(command: Command, number: int) -> Command | None:
        if number == 0:
            first.append(command)
            return None
        return stored(first.pop(), 0) if first else stored(command, number)

    broker.answer = swap
    done: Done = []
    with PipelinedProducer(pool, [broker.address], gather=1, timeout_s=0.4) as pipeline:
        submit(pipeline, 3, done)
    assert [message_id for message_id, _ in done] == ["m0", "m2", "m1"]
    assert isinstance(done[2][1], OutcomeUnknown)


def test_poll_hands_out_what_has_come_and_leaves_the_rest(broker: LoopbackBroker, pool: ChannelPool) -> None:
    broker.answer = lambda command, number: stored(command, number) if number < 2 else None
    done: Done = []
    with PipelinedProducer(pool, [broker.address], timeout_s=0.5) as pipeline:
        submit(pipeline, 3, done)
        assert done == [], "gathered, and not written yet"
        assert pipeline.poll(2.0) <= 2
        started = time.monotonic()
        while len(done) < 2:
            pipeline.poll(0.1)
        assert time.monotonic() - started < 0.4
    assert kinds(done) == ["Receipt", "Receipt", "OutcomeUnknown"]


def test_what_a_callback_raises_comes_out_and_loses_no_other_outcome(broker: LoopbackBroker, pool: ChannelPool) -> None:
    done: Done = []

    def on_done(message: OutgoingMessage, outcome: SendOutcome) -> None:
        done.append((message.message_id, outcome))
        if message.message_id == "m1":
            raise LookupError("mine")

    with PipelinedProducer(pool, [broker.address]) as pipeline:
        for number in range(4):
            pipeline.submit(OutgoingMessage("T", b"x", message_id=f"m{number}"), on_done=on_done)
        with pytest.raises(LookupError, match="mine"):
            pipeline.flush()
        pipeline.flush()
    assert [message_id for message_id, _ in done] == ["m0", "m1", "m2", "m3"]


def test_a_callback_may_submit(broker: LoopbackBroker, pool: ChannelPool) -> None:
    done: Done = []

    def again(message: OutgoingMessage, outcome: SendOutcome) -> None:
        done.append((message.message_id, outcome))
        if len(done) < 50:
            pipeline.submit(OutgoingMessage("T", b"x"), on_done=again)

    with PipelinedProducer(pool, [broker.address], window=2, gather=1) as pipeline:
        pipeline.submit(OutgoingMessage("T", b"x"), on_done=again)
        pipeline.submit(OutgoingMessage("T", b"x"), on_done=again)
    assert kinds(done) == ["Receipt"] * len(done)
    assert len(done) in (50, 51)


def test_a_clock_on_the_wall_that_jumps_changes_no_deadline(
    broker: LoopbackBroker, pool: ChannelPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    jumps = iter(range(10**6))
    monkeypatch.setattr(time, "time_ns", lambda: next(jumps) % 2 * 10**18 + 10**18)
    monkeypatch.setattr(time, "time", lambda: next(jumps) % 2 * 10.0**9)
    done: Done = []
    with PipelinedProducer(pool, [broker.address]) as pipeline:
        submit(pipeline, 50, done)
    assert kinds(done) == ["Receipt"] * 50


@pytest.mark.parametrize("bad", [{"window": 0}, {"gather": 0}])
def test_a_window_without_room_is_refused(pool: ChannelPool, bad: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="is 0"):
        PipelinedProducer(pool, ["127.0.0.1:9876"], **bad)  # type: ignore[arg-type]
