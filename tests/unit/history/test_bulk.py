"""Promises of bulk appends, of batches from worker processes, and of the arrays that come out."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records import READ, RECEIVE, SEND, content, filled, ids, read_lists, receive_lists, send_lists

from rmqkit.errors import UsageError
from rmqkit.history import Batch, History, Outcome, ReadRecord, ReceiveRecord, SendRecord, join_id, split_id


def sends_of(worker: int) -> Batch:
    """What a worker process ships."""
    history = History()
    history.add_run_prefix(f"r{worker}-")
    for number in range(100):
        name = f"built-in/{worker}"
        history.add_send(SendRecord(f"r{worker}-{number}", "T", number, number, Outcome.UNKNOWN, 0, 0, "", "", name))
    return history.take()


# ---- columns in


def test_columns_and_single_values_become_records() -> None:
    history = History()
    history.add_sends(
        message_id=("r-4-", range(2)),
        topic="T",
        start_ns=[1, 2],
        end_ns=np.array([3, 4], np.int32),
        outcome=Outcome.ACKNOWLEDGED,
        queue=np.array([0, 1], np.uint8),
        offset=[5, 6],
        address="a",
        reason=["", "x"],
        sender="java/0",
        sharding_key=["k", ""],
    )
    history.add_reads(
        replica=["n0", "n1"], message_id=["m", ""], topic="T", queue=0, offset=[0, 1], intact=[True, False]
    )
    history.add_receives(consumer="g", message_id=["m"], topic="T", queue=-1, offset=-1, at_ns=[9])
    assert list(history.sends()) == [
        SendRecord("r-4-0", "T", 1, 3, Outcome.ACKNOWLEDGED, 0, 5, "a", "", "java/0", 1, "k"),
        SendRecord("r-4-1", "T", 2, 4, Outcome.ACKNOWLEDGED, 1, 6, "a", "x", "java/0", 1, ""),
    ]
    assert list(history.reads()) == [ReadRecord("n0", "m", "T", 0, 0), ReadRecord("n1", "", "T", 0, 1, intact=False)]
    assert list(history.receives()) == [ReceiveRecord("g", "m", "T", -1, -1, 9)]


def test_rows_appended_one_by_one_and_in_bulk_keep_their_order() -> None:
    history = filled(SEND)
    history.add_sends(message_id=["b"], topic="T", start_ns=[1], end_ns=[2], outcome=2)
    history.add_send(SEND)
    history.add_sends(message_id=[], topic="T", start_ns=[], end_ns=[], outcome=2)
    assert [send.message_id for send in history.sends()] == ["m1", "b", "m1"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"start_ns": [1]}, "not equally long"),
        ({"start_ns": [1.5, 2.5]}, "start_ns of sends cannot be recorded: it is of 1 dimensions and type float64"),
        ({"start_ns": ["1", "2"]}, "start_ns of sends cannot be recorded"),
        (
            {"start_ns": np.array([1 << 63, 2], np.uint64)},
            "start_ns of sends cannot be recorded: it has a number of more than 63 bits",
        ),
        ({"start_ns": [1 << 70, 2]}, "start_ns of sends cannot be recorded"),
        ({"queue": [[1, 2]]}, "it is of 2 dimensions"),
        ({"outcome": [0, 3]}, "no Outcome"),
        ({"message_id": "m"}, "message_id is one text for all rows"),
        ({"message_id": ("r-", [-1, 2])}, "numbers below 0"),
        ({"message_id": ("r-", [1, 10**18])}, "more than 18 digits"),
        ({"message_id": ("r-1", [1, 2])}, "'r-1' cannot be the beginning of counted ids"),
        ({"message_id": ("abc", [1, 2])}, "'abc' cannot be the beginning of counted ids"),
        ({"message_id": ("", [1, 2])}, "'' cannot be the beginning of counted ids"),
        ({"message_id": ("r-", 5), "start_ns": 1, "end_ns": 2}, "not equally long"),
    ],
)
def test_columns_that_do_not_fit_are_refused_and_nothing_is_added(changes: dict[str, object], why: str) -> None:
    history = History()
    good: dict[str, object] = {
        "message_id": ["a", "b"],
        "topic": "T",
        "start_ns": [1, 2],
        "end_ns": [3, 4],
        "outcome": 0,
    }
    with pytest.raises(UsageError) as caught:
        history.add_sends(**{**good, **changes})
    assert why in str(caught.value)
    assert history.send_count == 0


# ---- batches


@settings(deadline=None, max_examples=20)
@given(send_lists, read_lists, receive_lists, send_lists)
def test_a_batch_carries_everything_into_another_history(
    sent: list[SendRecord], found: list[ReadRecord], handed: list[ReceiveRecord], more: list[SendRecord]
) -> None:
    main, worker = filled(*more), filled(*sent, *found, *handed)
    batch = pickle.loads(pickle.dumps(worker.take()))
    assert batch.rows == len(sent) + len(found) + len(handed)
    main.add(batch)
    assert content(main) == content(filled(*more, *sent, *found, *handed), like=main)
    assert worker.send_count == worker.take().rows == 0
    filled(*more, into=worker)
    main.add(worker.take())
    assert list(main.sends()) == [*more, *sent, *more]


def test_worker_processes_ship_what_they_recorded() -> None:
    history = History()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for batch in pool.map(sends_of, range(2)):
            history.add(batch)
    assert history.run_prefixes == ("r0-", "r1-")
    assert [send.message_id for send in history.sends()] == [f"r{worker}-{n}" for worker in (0, 1) for n in range(100)]
    assert {send.sender for send in history.sends()} == {"built-in/0", "built-in/1"}


def test_a_batch_is_a_few_bytes_an_operation() -> None:
    rows = 10_000
    history = History()
    history.add_sends(
        message_id=("3f2a9c01-4-", range(rows)),
        topic="T",
        start_ns=np.arange(rows) * 100_000,
        end_ns=np.arange(rows) * 100_000 + 500_000,
        outcome=0,
    )
    assert len(pickle.dumps(history.take())) < 12 * rows


# ---- ids


@settings(deadline=None, max_examples=20)
@given(ids)
def test_an_id_is_its_stem_and_number(message_id: str) -> None:
    assert join_id(*split_id(message_id)) == message_id


@pytest.mark.parametrize(
    ("message_id", "stem", "number"),
    [
        ("3f2a9c01-4-1234", "d3f2a9c01-4-", 1234),
        ("m007", "dm00", 7),
        ("m0", "dm", 0),
        ("7F00000105EC18B4AAC29C2A3B5C0001", "X7F00000105EC18B4", 0xAAC29C2A3B5C0001 - (1 << 64)),
        ("7f00000105ec18b42ac29c2a3b5c0001", "x7f00000105ec18b4", 0x2AC29C2A3B5C0001),
        ("9" * 19, "=" + "9" * 19, 0),
        ("", "=", 0),
        ("m٣", "=m٣", 0),  # a digit, but not one of ours
    ],
)
def test_ids_are_split_where_they_begin_to_differ(message_id: str, stem: str, number: int) -> None:
    assert split_id(message_id) == (stem, number)


# ---- arrays out


def test_columns_are_arrays_with_their_texts() -> None:
    history = filled(SEND, SendRecord("x-2", "U", 1, 2, Outcome.REFUSED, -1, -1, "", "no", "java/0"))
    columns = history.send_columns()
    assert len(columns) == columns.rows == 2
    assert columns["start_ns"].tolist() == [5, 1]
    assert columns["outcome"].tolist() == [Outcome.ACKNOWLEDGED, Outcome.REFUSED]
    assert [columns.texts("sender")[number] for number in columns["sender"]] == ["built-in/0", "java/0"]
    assert columns.message_ids(columns["id_stem"], columns["id_number"]) == ["m1", "x-2"]
    assert columns.texts("id_stem")[columns["id_stem"][1]] == "dx-"
    assert set(columns.names) >= {"id_stem", "id_number", "topic", "attempts", "sharding_key"}
    assert history.read_columns()["intact"].tolist() == []


def test_columns_are_as_they_were_when_they_were_asked_for() -> None:
    history = filled(SEND)
    columns = history.send_columns()
    history.add_send(SEND)
    assert len(columns["end_ns"]) == 1
    assert [len(ends) for (ends,) in columns.batches("end_ns")] == [1]


def test_batches_of_columns_together_are_the_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rmqkit.history.table.ROWS", 10)
    history = filled(*([SEND] * 5))
    for number in range(100):
        history.add_send(SendRecord("m", "T", number, number, Outcome.UNKNOWN, -1, -1, "", ""))
    columns = history.send_columns()
    parts = list(columns.batches("start_ns", "end_ns", rows=30))
    assert max(len(start) for start, _ in parts) <= 40
    assert np.concatenate([start for start, _ in parts]).tolist() == columns["start_ns"].tolist()


@pytest.mark.parametrize(
    "act",
    [
        lambda columns: columns["sharding"],
        lambda columns: columns.texts("start_ns"),
        lambda columns: next(columns.batches("sharding")),
    ],
)
def test_a_column_that_is_none_is_refused(act: Callable[[object], object]) -> None:
    with pytest.raises(UsageError, match=r"sends have no column sharding|start_ns of sends is no column of texts"):
        act(filled(SEND, READ, RECEIVE).send_columns())


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_a_packed_column_has_the_same_numbers(values: list[int]) -> None:
    from rmqkit.history.chunks import packed

    assert packed(np.array(values, np.int64)).wide().tolist() == values


def test_columns_are_as_narrow_as_their_numbers() -> None:
    from rmqkit.history.chunks import packed

    base = 10**15
    for top, size in ((0, 0), (255, 1), (256, 2), (65_536, 4), (1 << 32, 8)):
        column = packed(np.array([base, base + top], np.int64))
        assert (0 if column.steps is None else column.steps.itemsize) == size
