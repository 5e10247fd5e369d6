"""Promises of steady traffic: every send is recorded once, with its outcome; no failure of a thread is lost."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Callable

import pytest

from rmqkit.client.outcomes import OutcomeUnknown, Receipt, Refused, SendOutcome
from rmqkit.client.producer import Producer
from rmqkit.client.send import OutgoingMessage
from rmqkit.errors import UsageError, WaitTimeoutError
from rmqkit.history import History, Outcome
from rmqkit.load import SteadyTraffic

Answer = Callable[[OutgoingMessage], SendOutcome]


def receipt(message: OutgoingMessage) -> Receipt:
    return Receipt(
        message_id=message.message_id,
        address="127.0.0.1:1",
        latency_ms=1.0,
        broker_name="b",
        queue_id=3,
        queue_offset=7,
        msg_id="x",
    )


def refused(message: OutgoingMessage) -> Refused:
    return Refused(
        message_id=message.message_id,
        address="127.0.0.1:1",
        latency_ms=1.0,
        code=14,
        remark="",
        reason="no leader",
    )


def unknown(message: OutgoingMessage) -> OutcomeUnknown:
    return OutcomeUnknown(
        message_id=message.message_id, address="127.0.0.1:1", latency_ms=1.0, code=None, remark="", reason="no answer"
    )


def answer_with(monkeypatch: pytest.MonkeyPatch, *answers: Answer) -> None:
    """Let every producer answer with ``answers`` in turn, for ever."""
    turn = itertools.cycle(answers)
    lock = threading.Lock()

    def send_message(_self: Producer, message: OutgoingMessage) -> SendOutcome:
        with lock:
            answer = next(turn)
        return answer(message)

    monkeypatch.setattr(Producer, "send_message", send_message)


def traffic(history: History, **changes: object) -> SteadyTraffic:
    options: dict[str, object] = {"topic": "T", "history": history, "rate": 2000.0, "threads": 2}
    return SteadyTraffic(["127.0.0.1:9876"], **(options | changes))  # type: ignore[arg-type]


def test_each_of_the_three_outcomes_is_recorded_as_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_with(monkeypatch, receipt, refused, unknown)
    history = History()
    with traffic(history) as running:
        running.wait_acknowledged(20, timeout_s=20)
    by_outcome = {outcome: [s for s in history.sends() if s.outcome is outcome] for outcome in Outcome}
    assert len(by_outcome[Outcome.ACKNOWLEDGED]) == running.acknowledged >= 20
    assert {(s.queue, s.offset, s.reason) for s in by_outcome[Outcome.ACKNOWLEDGED]} == {(3, 7, "")}
    assert {(s.queue, s.offset, s.reason) for s in by_outcome[Outcome.REFUSED]} == {(-1, -1, "no leader")}
    assert {(s.queue, s.offset, s.reason) for s in by_outcome[Outcome.UNKNOWN]} == {(-1, -1, "no answer")}


def test_every_message_has_an_id_of_its_own_and_exactly_one_send(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is tried again: what comes back twice was stored twice."""
    answer_with(monkeypatch, receipt, refused)
    one, two = History(), History()
    with traffic(one) as first, traffic(two) as second:
        first.wait_acknowledged(20, timeout_s=20)
        second.wait_acknowledged(20, timeout_s=20)
    ids = [send.message_id for history in (one, two) for send in history.sends()]
    assert len(ids) == len(set(ids))


def test_nothing_is_sent_after_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_with(monkeypatch, receipt)
    history = History()
    with traffic(history) as running:
        running.wait_acknowledged(5, timeout_s=20)
    count = history.send_count
    time.sleep(0.05)
    assert history.send_count == count
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("rmqkit-load-")]


def test_the_rate_is_held_and_a_pause_owes_no_burst(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_with(monkeypatch, lambda message: (time.sleep(0.3), receipt(message))[1], *[receipt] * 10_000)
    history = History()
    with traffic(history, threads=1, rate=50.0):
        time.sleep(0.8)
    # 40 were due in 0.8 s; the 15 of the 0.3 s pause are not made up for.
    assert 1 <= history.send_count <= 32


def test_a_bug_in_a_thread_is_raised_and_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(_message: OutgoingMessage) -> SendOutcome:
        raise ZeroDivisionError("a bug")

    answer_with(monkeypatch, bug)
    with pytest.raises(ZeroDivisionError, match="a bug"), traffic(History()) as running:
        running.wait_acknowledged(1, timeout_s=20)
    with pytest.raises(ZeroDivisionError, match="a bug"), traffic(History()):
        time.sleep(0.1)


def test_the_blocks_own_error_is_not_hidden_by_a_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(_message: OutgoingMessage) -> SendOutcome:
        raise ZeroDivisionError("a bug")

    answer_with(monkeypatch, bug)

    def block() -> None:
        with traffic(History()) as running:
            while not running._errors:
                time.sleep(0.001)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        block()


def test_too_few_acknowledgements_say_how_many_came_and_where_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_with(monkeypatch, refused)
    with (
        traffic(History()) as running,
        pytest.raises(WaitTimeoutError, match="5 more sends are acknowledged; last seen: 0 of 5") as caught,
    ):
        running.wait_acknowledged(5, timeout_s=0.1)
    assert "rmqkit status" in str(caught.value)


def test_without_any_cluster_every_send_is_refused_and_none_raises() -> None:
    """Over the real client, to a port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    history = History()
    with SteadyTraffic([address], topic="T", history=history, rate=200):
        time.sleep(0.2)
    assert history.send_count > 0
    assert {send.outcome for send in history.sends()} == {Outcome.REFUSED}


@pytest.mark.parametrize("changes", [{"rate": 0}, {"rate": -1.0}, {"rate": float("nan")}, {"threads": 0}])
def test_no_traffic_at_all_is_an_error_of_use(changes: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="no traffic"):
        traffic(History(), **changes)
