"""Promises of a sending thread: one send for each message, and no pause but one that a broker asks for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import pytest
from test_statistics import receipt, refused, unknown

from rmqkit.client.message import OutgoingMessage
from rmqkit.client.outcomes import SendOutcome
from rmqkit.load.batches import Times
from rmqkit.load.clients import Done, OpenSender, Sender
from rmqkit.load.pace import FIRST_BACKOFF_S
from rmqkit.load.plan import SendPlan
from rmqkit.load.worker import PROBE_EVERY_S, Shift, Worker

Rows = list[tuple[int, int, Times, SendOutcome]]


class FakeSender:
    """Answers as ``answer`` says: at once, or, with a ``window``, when it is polled."""

    def __init__(self, answer: Callable[[int], SendOutcome], *, window: bool = False) -> None:
        self.ids: list[str] = []
        self.calls: list[int] = []
        self.open = 0
        self._answer = answer
        self._window = window
        self._waiting: list[Callable[[], None]] = []

    def send(self, messages: Sequence[OutgoingMessage], done: Done) -> None:
        self.calls.append(len(messages))
        for number, message in enumerate(messages):
            self.ids.append(message.message_id)
            outcome = self._answer(len(self.ids) - 1)
            if self._window:
                self._waiting.append(lambda number=number, outcome=outcome: done(number, outcome))
            else:
                done(number, outcome)

    def poll(self, timeout_s: float) -> int:
        for each in self._waiting:
            each()
        self._waiting.clear()
        return 0

    def drain(self) -> None:
        self.poll(0)

    @property
    def opener(self) -> OpenSender:
        @contextmanager
        def opened(_worker: int) -> Iterator[Sender]:
            self.open += 1
            yield self
            self.open -= 1

        return opened


def worked(
    sender: FakeSender, plan: SendPlan, *, number: int = 0, stop_after: int | None = None
) -> tuple[Worker, Rows]:
    rows: Rows = []
    stop = threading.Event()

    def record(worker: int, sequence: int, times: Times, outcome: SendOutcome) -> None:
        rows.append((worker, sequence, times, outcome))
        if stop_after is not None and len(rows) >= stop_after:
            stop.set()

    worker = Worker(Shift("ab12", plan, time.monotonic_ns(), b"x"), number, record=record)
    worker.run(sender.opener, stop)
    assert sender.open == 0
    return worker, rows


def test_ids_are_the_runs_the_workers_and_counted() -> None:
    sender = FakeSender(lambda _number: receipt())
    _, rows = worked(sender, SendPlan(threads=4, count=10), number=1)
    assert sender.ids == ["ab12-1-0", "ab12-1-1", "ab12-1-2"]
    assert [row[:2] for row in rows] == [(1, 0), (1, 1), (1, 2)]


def test_a_count_is_kept_also_in_batches_and_by_its_last_batch() -> None:
    sender = FakeSender(lambda _number: receipt())
    worked(sender, SendPlan(threads=1, count=10, batch=4))
    assert sender.calls == [4, 4, 2]
    assert len(set(sender.ids)) == 10


def test_a_duration_ends_it_whatever_comes() -> None:
    began = time.monotonic()
    _, rows = worked(FakeSender(lambda _number: refused()), SendPlan(threads=1, duration_s=0.1))
    assert time.monotonic() - began >= 0.1
    assert all(times.start_ns < began * 1e9 + 0.2e9 for _, _, times, _ in rows)


def test_a_stop_ends_it_and_what_is_under_way_is_still_recorded() -> None:
    sender = FakeSender(lambda _number: receipt(), window=True)
    stop = threading.Event()
    rows: Rows = []
    worker = Worker(
        Shift("ab12", SendPlan(threads=1, rate=1000, window=4), time.monotonic_ns(), b"x"),
        0,
        record=lambda *row: rows.append(row),
    )
    thread = threading.Thread(target=worker.run, args=(sender.opener, stop))
    thread.start()
    while not rows:
        time.sleep(0.001)
    stop.set()
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert len(rows) == len(sender.ids)


def test_flow_control_is_backed_off_from_and_other_failures_are_not() -> None:
    busy = refused(code=2)
    plan = SendPlan(threads=1, count=4, seed=1)
    worker, rows = worked(FakeSender(lambda number: busy if number < 3 else receipt()), plan)
    waits = [(later[2].start_ns - earlier[2].start_ns) / 1e9 for earlier, later in pairwise(rows)]
    assert all(wait >= FIRST_BACKOFF_S / 2 * 2**step for step, wait in enumerate(waits))
    assert worker.backed_off_s >= sum(FIRST_BACKOFF_S / 2 * 2**step for step in range(3))
    worker, rows = worked(FakeSender(lambda _number: refused()), plan)
    assert worker.backed_off_s == 0
    worker, rows = worked(FakeSender(lambda _number: unknown()), SendPlan(threads=1, count=4, rate=1000))
    assert worker.backed_off_s == 0


def test_a_batch_that_was_refused_is_held_back_for_once() -> None:
    worker, _ = worked(FakeSender(lambda _number: refused(code=2)), SendPlan(threads=1, count=8, batch=8, seed=1))
    assert FIRST_BACKOFF_S / 2 <= worker.backed_off_s <= FIRST_BACKOFF_S


def test_a_port_that_refuses_at_once_is_not_spun_on() -> None:
    """Ten threads that do would take the processors from the election that they time."""
    _, rows = worked(FakeSender(lambda _number: refused(code=None)), SendPlan(threads=1, count=5))
    starts = [times.start_ns / 1e9 for _, _, times, _ in rows]
    assert all(later - earlier >= PROBE_EVERY_S * 0.99 for earlier, later in pairwise(starts))


def test_with_a_rate_lateness_is_latency_and_the_schedule_is_kept() -> None:
    def slow_first(number: int) -> SendOutcome:
        if number == 0:
            time.sleep(0.1)
        return receipt()

    _, rows = worked(FakeSender(slow_first), SendPlan(threads=1, rate=100, count=8))
    due = [times.due_ns for _, _, times, _ in rows]
    assert all(later - earlier == pytest.approx(10_000_000, abs=2) for earlier, later in pairwise(due))
    late_s = [(times.start_ns - times.due_ns) / 1e9 for _, _, times, _ in rows]
    assert late_s[1] >= 0.085
    assert late_s[1] > late_s[4]
    assert all(times.due_ns <= times.start_ns <= times.end_ns for _, _, times, _ in rows)


def test_what_was_due_and_not_sent_is_told() -> None:
    def slow(_number: int) -> SendOutcome:
        time.sleep(0.02)
        return receipt()

    worker, rows = worked(FakeSender(slow), SendPlan(threads=1, rate=1000, duration_s=0.1))
    assert worker.owed(time.monotonic_ns()) == 100 - len(rows)
    worker, rows = worked(FakeSender(slow), SendPlan(threads=1, rate=1000, duration_s=0.1, count=10))
    assert worker.owed(time.monotonic_ns()) == 10 - len(rows)


def test_threads_share_a_rate_in_turn() -> None:
    plan = SendPlan(threads=4, rate=100, count=8)
    began = time.monotonic_ns()
    due = []
    for number in range(4):
        worker = Worker(
            Shift("r", plan, began, b"x"), number, record=lambda _w, _s, times, _o: due.append(times.due_ns)
        )
        worker.run(FakeSender(lambda _number: receipt()).opener, threading.Event())
    assert [round((each - began) / 1e6) for each in sorted(due)] == [0, 10, 20, 30, 40, 50, 60, 70]
