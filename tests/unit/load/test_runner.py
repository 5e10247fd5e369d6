"""Promises of a load as a whole: it ends when it should, orderly, and its summary is what happened."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import pytest
from fake_group import QUEUES, FakeGroup
from loopback_cluster import LoopbackCluster
from test_statistics import receipt
from test_worker import FakeSender

import rmqkit.load.consumption
import rmqkit.load.runner
from rmqkit.errors import ConnectionLostError, UsageError, WaitTimeoutError
from rmqkit.history import History, Outcome
from rmqkit.load.ended import LoadParts
from rmqkit.load.plan import ReceivePlan, SendPlan
from rmqkit.load.runner import Load, Progress


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rmqkit.load.runner, "TICK_S", 0.01)
    monkeypatch.setattr(rmqkit.load.consumption, "LAG_EVERY_S", 0.02)
    monkeypatch.setattr(rmqkit.load.consumption, "_PAUSE_S", 0.02)


def parts(cluster: LoopbackCluster | None = None, **changes: Any) -> LoadParts:
    given = {"command": "run", "run": "ab12", "seed": 7}
    return LoadParts(nameservers=(cluster.address if cluster else "127.0.0.1:1",), **(given | changes))


def delivering(group: FakeGroup, **changes: Any) -> FakeSender:
    """A sender whose every message is acknowledged and in the group's queues at once."""
    sender = FakeSender(lambda _number: receipt())
    give = sender._answer

    def answer(number: int) -> Any:
        group.put(sender.ids[number], queue=number % QUEUES)
        return give(number)

    sender._answer = answer
    return sender


def test_a_count_is_sent_over_real_clients_and_told_message_by_message(loopback_cluster: LoopbackCluster) -> None:
    history = History()
    plan = SendPlan(threads=4, count=200, seed=7)
    load = Load(parts(loopback_cluster, command="produce", send=plan), history=history)
    summary = load.run()
    assert load.failure is None
    assert (summary.command, summary.run, summary.seed, summary.ended_by) == ("produce", "ab12", 7, "count")
    assert summary.produced is not None
    assert summary.consumed is None
    traffic = summary.produced.traffic
    assert (traffic.sent, traffic.acknowledged, traffic.refused, traffic.unknown) == (200, 200, 0, 0)
    assert sum(window.acknowledged for window in summary.windows) == 200
    assert traffic.latency.count == traffic.service.count == 200
    records = list(history.sends())
    assert sorted(record.message_id for record in records) == sorted(loopback_cluster.ids)
    assert {record.outcome for record in records} == {Outcome.ACKNOWLEDGED}
    assert {record.sender for record in records} == {f"built-in/{number}" for number in range(4)}
    assert all(record.start_ns >= summary.start_ns for record in records)
    assert history.run_prefixes == ("ab12-",)


def test_without_a_history_no_operation_is_kept(loopback_cluster: LoopbackCluster) -> None:
    load = Load(parts(loopback_cluster, send=SendPlan(threads=2, count=20)))
    load.run()
    assert load.history.send_count == 0


def test_flow_control_is_counted_backed_off_from_and_told(loopback_cluster: LoopbackCluster) -> None:
    loopback_cluster.busy = 5
    summary = Load(parts(loopback_cluster, send=SendPlan(threads=1, count=20))).run()
    assert summary.produced is not None
    assert summary.produced.traffic.flow_control == summary.produced.traffic.refused == 5
    assert summary.produced.traffic.acknowledged == 15
    assert summary.produced.backed_off_s > 0.05
    assert [(error.kind, error.count) for error in summary.produced.errors] == [("flow control", 5)]


def test_a_duration_ends_the_traffic() -> None:
    sender = FakeSender(lambda _number: receipt())
    plan = SendPlan(threads=1, rate=100, duration_s=0.2)
    summary = Load(parts(send=plan, drivers={"built-in": sender.opener})).run()
    assert summary.ended_by == "duration"
    assert len(sender.ids) <= 20
    assert 0.2 <= summary.duration_s < 5


def test_both_sides_end_when_everything_acknowledged_has_come() -> None:
    group = FakeGroup(members=2)
    sender = delivering(group)
    history = History()
    given = parts(
        send=SendPlan(threads=1, count=50),
        receive=ReceivePlan(threads=2),
        receivers=group.open,
        queues=QUEUES,
        drivers={"built-in": sender.opener},
    )
    summary = Load(given, history=history).run()
    assert summary.consumed is not None
    assert (summary.consumed.own, summary.consumed.again, summary.consumed.missing) == (50, 0, 0)
    assert summary.consumed.drained
    assert summary.consumed.lag == {f"b/{queue}": 0 for queue in range(QUEUES)}
    assert history.receive_count == 50
    assert {record.consumer for record in history.receives()} == {"test_consumer_group/0", "test_consumer_group/1"}
    assert history.consumers["test_consumer_group"].drained
    assert group.opened == group.closed == 2


def test_a_message_that_never_comes_ends_the_drain_and_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rmqkit.load.runner, "QUIET_S", 0.2)
    group = FakeGroup()
    group.hold_back.add("ab12-0-3")
    history = History()
    given = parts(
        send=SendPlan(threads=1, count=10),
        receive=ReceivePlan(),
        receivers=group.open,
        queues=QUEUES,
        drivers={"built-in": delivering(group).opener},
    )
    summary = Load(given, history=history).run()
    assert summary.consumed is not None
    assert (summary.consumed.own, summary.consumed.missing, summary.consumed.drained) == (9, 1, False)
    assert not history.consumers["test_consumer_group"].drained


def test_trouble_of_the_cluster_does_not_end_a_consumer() -> None:
    group = FakeGroup()
    group.trouble = [ConnectionLostError("lost", address="a:1", request_sent=True)] * 3
    sender = delivering(group)
    given = parts(
        send=SendPlan(threads=1, count=10),
        receive=ReceivePlan(),
        receivers=group.open,
        queues=QUEUES,
        drivers={"built-in": sender.opener},
    )
    summary = Load(given).run()
    assert summary.consumed is not None
    assert summary.consumed.missing == 0
    assert group.opened == 4


def test_a_mistake_in_a_consumer_ends_the_load_with_it() -> None:
    group = FakeGroup()
    group.trouble = [UsageError("another subscription")]
    given = parts(
        send=SendPlan(threads=1),
        receive=ReceivePlan(),
        receivers=group.open,
        drivers={"built-in": delivering(group).opener},
    )
    load = Load(given)
    summary = load.run()
    assert summary.ended_by == "error"
    assert isinstance(load.failure, UsageError)
    assert any("another subscription" in note for note in summary.notes)


def test_traffic_does_not_begin_before_every_queue_has_its_consumer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rmqkit.load.runner, "ASSIGNED_WITHIN_S", 0.2)
    group = FakeGroup()
    sender = delivering(group)
    given = parts(
        send=SendPlan(threads=1, count=10),
        receive=ReceivePlan(),
        receivers=group.open,
        queues=QUEUES + 1,
        drivers={"built-in": sender.opener},
    )
    with pytest.raises(WaitTimeoutError, match="4 of 5 queues"):
        Load(given).run()
    assert sender.ids == []


@pytest.mark.parametrize(("plan", "why"), [({"count": 6}, "count"), ({"duration_s": 0.2}, "duration")])
def test_a_consumer_alone_ends_after_its_count_or_its_time(plan: dict[str, Any], why: str) -> None:
    group = FakeGroup()
    for number in range(8):
        group.put(f"other-{number}", queue=number % QUEUES)
    summary = Load(parts(command="consume", receive=ReceivePlan(**plan), receivers=group.open)).run()
    assert summary.ended_by == why
    assert summary.consumed is not None
    assert (summary.consumed.received, summary.consumed.own, summary.consumed.missing) == (8, 0, None)
    assert summary.produced is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_orderly(loopback_cluster: LoopbackCluster, number: int) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    history = History()
    seen: list[Progress] = []
    load = Load(parts(loopback_cluster, send=SendPlan(threads=4)), history=history, on_progress=seen.append)

    def soon() -> None:
        while not loopback_cluster.ids:
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    threading.Thread(target=soon, daemon=True).start()  # should the run fail, it must not wait for ever
    summary = load.run()
    assert summary.ended_by == "interrupt"
    assert history.send_count == len(loopback_cluster.ids)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("rmqkit-load")]


def test_asked_three_times_it_is_interrupted() -> None:
    group = FakeGroup()
    load = Load(parts(command="consume", receive=ReceivePlan(), receivers=group.open))
    for _ in range(3):
        load.stop()
    with pytest.raises(KeyboardInterrupt):
        load.run()
    assert group.opened == group.closed


def test_what_is_done_alongside_happens_in_time_and_its_failure_is_the_loads(
    loopback_cluster: LoopbackCluster,
) -> None:
    happened: list[float] = []

    def act(load: Load) -> None:
        assert load.wait_for(0.1)
        happened.append((time.monotonic_ns() - load.start_ns) / 1e9)
        load.history.add_fault("kill-leader", "injected", "n0")
        raise ZeroDivisionError("the act failed")

    load = Load(parts(loopback_cluster, send=SendPlan(threads=1)), alongside=act)
    summary = load.run()
    assert 0.1 <= happened[0] < 5
    assert isinstance(load.failure, ZeroDivisionError)
    assert summary.ended_by == "error"
    assert [(step.kind, step.step, step.target) for step in summary.faults] == [("kill-leader", "injected", "n0")]
    assert 0.1 <= summary.faults[0].at_s < 5


def test_an_act_that_is_too_late_is_told_so(loopback_cluster: LoopbackCluster) -> None:
    told: list[bool] = []
    plan = SendPlan(threads=1, count=5)
    Load(parts(loopback_cluster, send=plan), alongside=lambda load: told.append(load.wait_for(60))).run()
    assert told == [False]


def test_the_screen_is_fed_every_second(loopback_cluster: LoopbackCluster) -> None:
    seen: list[Progress] = []
    plan = SendPlan(threads=1, rate=50, duration_s=2.3)
    Load(parts(loopback_cluster, send=plan), on_progress=seen.append).run()
    assert 1 <= len(seen) <= 4
    assert seen[-1].phase == "sending"
    assert seen[-1].acknowledged > 0
    assert seen[-1].window.latency.count > 0


def test_a_load_without_a_side_cannot_be() -> None:
    with pytest.raises(UsageError, match="neither sends nor receives"):
        Load(parts())
