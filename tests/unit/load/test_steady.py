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
from rmqkit.load.pace import Pace
from rmqkit.waiting import Pending, wait_until

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
    assert history.send_count == running.acknowledged
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("rmqkit-load-")]


def test_it_goes_on_for_a_time_whatever_becomes_of_the_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_with(monkeypatch, refused)
    history = History()
    began = time.monotonic()
    with traffic(history) as running:
        running.run_for(0.5)
    assert 0.5 <= time.monotonic() - began < 10
    assert history.send_count > 0
    assert running.acknowledged == 0


def test_a_thread_that_failed_ends_the_time_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(message: OutgoingMessage) -> SendOutcome:
        raise ZeroDivisionError(message.topic)

    answer_with(monkeypatch, broken)
    began = time.monotonic()
    with pytest.raises(ZeroDivisionError), traffic(History()) as running:
        running.run_for(120)
    assert time.monotonic() - began < 60


def test_the_rate_is_held_whatever_an_answer_takes() -> None:
    pace = Pace(10.0, interval_s=2.0)
    assert pace.left_s(7.0) == 3.0
    now, due = 10.0, []
    for answer_s in (0.5, 1.5, 0.0, 1.0):
        now += pace.left_s(now)
        due.append(now)
        pace.sends(now)
        now += answer_s
    assert due == [10.0, 12.0, 14.0, 16.0]


def test_a_pause_owes_no_burst() -> None:
    pace = Pace(10.0, interval_s=2.0)
    pace.sends(10.0)  # and the answer takes 9 s, in which four more would have been due
    assert pace.left_s(19.0) == 0.0
    pace.sends(19.0)
    pace.sends(19.5)
    assert pace.left_s(19.5) == 1.5


def test_a_thread_keeps_to_its_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, no message is sent before it is due."""
    answer_with(monkeypatch, receipt)
    history = History()
    began = time.monotonic_ns()
    with traffic(history, threads=1, rate=100.0) as running:
        running.wait_acknowledged(5, timeout_s=20)
    sends = list(history.sends())
    assert all(send.start_ns - began >= number * 10_000_000 for number, send in enumerate(sends))


def test_the_history_knows_what_the_ids_of_the_run_begin_with(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_with(monkeypatch, receipt)
    history = History()
    with traffic(history) as running:
        running.wait_acknowledged(5, timeout_s=20)
    assert history.run_prefixes == (f"{running.run}-",)
    assert all(send.message_id.startswith(history.run_prefixes) for send in history.sends())


def test_the_end_waits_as_long_as_one_send_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may ask each NameServer for the route, for its whole time, then connect to the broker and ask it."""
    answer_with(monkeypatch, receipt)
    waits: list[float | None] = []
    join = threading.Thread.join

    def recorded(thread: threading.Thread, timeout: float | None = None) -> None:
        waits.append(timeout)
        join(thread, timeout)

    monkeypatch.setattr(threading.Thread, "join", recorded)
    nameservers = [f"127.0.0.1:{port}" for port in range(9876, 9881)]
    with SteadyTraffic(nameservers, topic="T", history=History(), threads=1, timeout_s=3.0):
        pass
    assert [wait for wait in waits if wait is not None and wait > (5 + 2) * 3.0] == waits != []


def test_a_bug_in_a_thread_is_raised_and_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    happened = threading.Event()

    def bug(_message: OutgoingMessage) -> SendOutcome:
        happened.set()
        raise ZeroDivisionError("a bug")

    answer_with(monkeypatch, bug)
    with pytest.raises(ZeroDivisionError, match="a bug"), traffic(History()) as running:
        running.wait_acknowledged(1, timeout_s=20)
    happened.clear()
    with pytest.raises(ZeroDivisionError, match="a bug"), traffic(History()):
        assert happened.wait(20)


def test_the_blocks_own_error_is_not_hidden_by_a_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(_message: OutgoingMessage) -> SendOutcome:
        raise ZeroDivisionError("a bug")

    answer_with(monkeypatch, bug)

    def block() -> None:
        with traffic(History()) as running:
            while not running._team.errors:
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
        wait_until(lambda: history.send_count > 0 or Pending("none"), label="a send ended", timeout_s=20, every_s=0.01)
    assert {send.outcome for send in history.sends()} == {Outcome.REFUSED}


@pytest.mark.parametrize("changes", [{"rate": 0}, {"rate": -1.0}, {"rate": float("nan")}, {"threads": 0}])
def test_no_traffic_at_all_is_an_error_of_use(changes: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="no traffic"):
        traffic(History(), **changes)
