"""Promises of rmqkit.history: what went in comes out, in memory and by way of a file, or the file is refused."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records import RANGE, READ, RECEIVE, SEND, content, faults, filled, read_lists, receive_lists, send_lists

from rmqkit.errors import UsageError
from rmqkit.history import FaultEvent, History, OffsetRecord, Outcome, ReadRecord, ReceiveRecord, SendRecord


def exported(history: History, tmp_path: Path) -> list[str]:
    path = tmp_path / "h.jsonl"
    history.export_jsonl(path)
    return path.read_text(encoding="utf-8").splitlines(keepends=True)


@settings(deadline=None, max_examples=40)
@given(send_lists, read_lists, receive_lists)
def test_columns_give_back_every_record_in_order(
    some: list[SendRecord], found: list[ReadRecord], handed: list[ReceiveRecord]
) -> None:
    history = filled(*some, *found, *handed)
    assert list(history.sends()) == some
    assert list(history.reads()) == found
    assert list(history.receives()) == [each for each in handed if isinstance(each, ReceiveRecord)]
    assert list(history.offsets()) == [each for each in handed if isinstance(each, OffsetRecord)]
    assert (history.send_count, history.read_count) == (len(some), len(found))
    assert history.receive_count + history.offset_count == len(handed)


@settings(deadline=None, max_examples=40)
@given(send_lists, read_lists, receive_lists, st.lists(faults), st.dictionaries(st.text(), st.booleans()))
def test_a_history_survives_a_file(
    tmp_path_factory: pytest.TempPathFactory,
    some: list[SendRecord],
    found: list[ReadRecord],
    handed: list[ReceiveRecord],
    steps: list[FaultEvent],
    readers: dict[str, bool],
) -> None:
    path = tmp_path_factory.mktemp("history") / "h.jsonl"
    history = filled(*some, *found, *handed, *steps, readers=readers)
    history.add_run_prefix("run-")
    history.reader_done("n9", reached_end=False, reason="it was silent")
    history.consumer_done("g", drained=False, topics=["T"], reason="it was stopped")
    history.add_range(RANGE)
    history.add_peer("127.0.0.1:1", "broker-a")
    history.export_jsonl(path)
    assert content(History.import_jsonl(path)) == content(history)


def test_writers_in_several_threads_lose_nothing() -> None:
    history = History()

    def write(name: str) -> None:
        for number in range(10_000):
            history.add_send(SendRecord(f"{name}-{number}", name, number, number, Outcome.UNKNOWN, 0, 0, name, name))

    seen: list[int] = []
    threads = [threading.Thread(target=write, args=(str(i),)) for i in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        seen += [history.send_count, len(history.send_columns()), sum(1 for _ in history.sends()), history.send_count]
    for thread in threads:
        thread.join()
    records = list(history.sends())
    assert len(records) == history.send_count == 40_000
    assert seen == sorted(seen), "what was seen once is seen ever after"
    assert all(each.message_id == f"{each.topic}-{each.start_ns}" for each in records), "columns have slipped"


def test_a_fault_is_recorded_at_its_time() -> None:
    history = History()
    before = time.monotonic_ns()
    event = history.add_fault("kill", "injected", "n0")
    assert before <= event.at_ns <= time.monotonic_ns()
    assert history.faults == [event]


def test_a_replica_is_complete_only_if_each_of_its_readers_was() -> None:
    history = History()
    history.reader_done("n0", reached_end=True)
    history.reader_done("n0", reached_end=False)
    history.reader_done("n0", reached_end=True)
    assert history.readers == {"n0": False}


def test_a_group_is_drained_only_if_it_always_was_and_its_topics_add_up() -> None:
    history = History()
    history.consumer_done("g", drained=True, topics=["T"])
    history.consumer_done("g", drained=False, topics=["U"], reason="it was stopped")
    history.consumer_done("g", drained=True, topics=["U"])
    (end,) = history.consumers.values()
    assert (end.group, end.drained, end.topics, end.reason) == ("g", False, ("T", "U"), "it was stopped")
    with pytest.raises(UsageError, match="'g/0' is a member, not a group"):
        history.consumer_done("g/0", drained=True)


def test_a_record_that_fits_no_column_is_refused_and_not_forgotten() -> None:
    history = filled(SendRecord("m", "T", 1 << 63, 2, Outcome.UNKNOWN, 0, 0, "", ""))
    for _ in range(2):
        with pytest.raises(UsageError, match="a record of the history's sends holds what does not fit its column"):
            list(history.sends())
    assert history.send_count == 1


def test_an_empty_prefix_would_claim_everybodys_messages_and_is_refused() -> None:
    with pytest.raises(UsageError, match="an empty id prefix"):
        History().add_run_prefix("")


def test_what_only_starts_up_does_not_pay_for_numpy_and_pyarrow() -> None:
    """`rmqkit status` and the plugin's start; a history that was only begun."""
    code = """
import sys
import rmqkit.cli.app, rmqkit.cli.status, rmqkit.cli.drill, rmqkit.fixtures, rmqkit.scenario
from rmqkit.history import History, Outcome, SendRecord
history = History()
history.add_fault("kill", "injected", "n0")
history.add_send(SendRecord("m", "T", 1, 2, Outcome.UNKNOWN, -1, -1, "", ""))
assert history.send_count == 1
assert not {"numpy", "pyarrow"} & sys.modules.keys()
list(history.sends())
assert "numpy" in sys.modules
assert "pyarrow" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# ---- the file


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    path.write_text("precious", encoding="utf-8")
    with pytest.raises(UsageError, match="exists already"):
        History().export_jsonl(path)
    assert path.read_text(encoding="utf-8") == "precious"


def test_a_folder_that_does_not_exist_is_an_error_of_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written: No such file or directory"):
        History().export_jsonl(tmp_path / "no" / "h.jsonl")


def test_a_missing_history_is_an_error_not_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        History.import_jsonl(tmp_path / "h.jsonl")


def test_a_history_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    """Also between two lines: half a history must not be judged as if it were whole."""
    lines = exported(filled(SEND, READ, RECEIVE, readers={"n0": True}), tmp_path)
    whole = "".join(lines)
    boundaries = {len("".join(lines[:count])) for count in range(len(lines))}
    for end in sorted(boundaries | set(range(0, len(whole), 17))):
        path = tmp_path / f"{end}.jsonl"
        path.write_text(whole[:end], encoding="utf-8")
        with pytest.raises(UsageError, match=r"was cut short (after|in the middle of) line") as caught:
            History.import_jsonl(path)
        assert path.name in str(caught.value)


def test_a_line_missing_in_the_middle_is_noticed(tmp_path: Path) -> None:
    lines = exported(filled(SEND, READ, RECEIVE, readers={"n0": True}), tmp_path)
    path = tmp_path / "less.jsonl"
    path.write_text("".join(lines[:1] + lines[2:]), encoding="utf-8")
    with pytest.raises(UsageError, match="line 5 is not a line of a history: 5 lines were written, 4 are here"):
        History.import_jsonl(path)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("garbage", "Expecting value"),
        ("[1, 2]", "it is no JSON object"),
        ("{}", "'type' is unknown or missing"),
        ('{"type": "sned"}', "'sned' is unknown or missing"),
        ('{"type": "read", "replica": "n0"}', "missing 4 required positional arguments"),
        (
            '{"type": "read", "replica": "", "message_id": null, "topic": "", "queue": 0, "offset": 0, "intact": true}',
            "message_id is None, which is no str",
        ),
        (
            '{"type": "read", "replica": "n0", "message_id": "m", "topic": "T", "queue": "0", "offset": 0}',
            "queue is '0', which is no int",
        ),
        (
            '{"type": "read", "replica": "n", "message_id": "m", "topic": "T", "queue": 0, "offset": 1e3}',
            "offset is 1000.0, which is no int",
        ),
        (
            '{"type": "read", "replica": "n", "message_id": "m", "topic": "T", "queue": 0, "offset": 0, "x": 1}',
            "unexpected keyword argument 'x'",
        ),
        (
            '{"type": "read", "replica": "n", "message_id": "m", "topic": "T", "queue": 0, "offset": 0}',
            "'intact' is unknown or missing",
        ),
        (
            '{"type": "fault", "kind": "k", "step": "s", "target": "t", "at_ns": 9223372036854775808}',
            "at_ns is 9223372036854775808, which has more than 64 bits",
        ),
        ('{"type": "receive", "consumer": "g"}', "missing 5 required positional arguments"),
        ('{"type": "consumer", "group": "g", "drained": 1, "topics": [], "reason": ""}', "neither true nor false"),
        ('{"type": "offset", "group": "g"}', "missing 5 required positional arguments"),
        ('{"type": "range", "replica": "n0"}', "missing 5 required positional arguments"),
        ('{"type": "peer", "address": "a", "group": 1}', "group is 1, which is no text"),
        ('{"type": "consumer", "group": "g", "drained": true, "topics": [], "reason": ""}', "'at_ns' is unknown"),
        ('{"type": "part", "table": "sends"}', "'part' is unknown or missing"),
        ('{"type": "reader", "replica": "n0", "reached_end": true}', "'reason' is unknown or missing"),
        ('{"type": "send", "outcome": "LOST"}', "'LOST' is unknown or missing"),
        ('{"type": "reader", "replica": "n0", "reached_end": "no"}', "neither true nor false"),
        ('{"type": "run", "format": 3, "wall_start": 1, "start_ns": 1}', "one run line, its first"),
        ("[" * 20_000, "recursion"),
    ],
)
def test_a_line_that_is_none_is_named_by_its_number_and_shown(tmp_path: Path, line: str, why: str) -> None:
    lines = exported(filled(SEND), tmp_path)
    path = tmp_path / "bad.jsonl"
    path.write_text("".join([lines[0], line + "\n", *lines[1:]]), encoding="utf-8")
    with pytest.raises(UsageError, match=r"bad\.jsonl line 2 is not a line of a history") as caught:
        History.import_jsonl(path)
    assert why in caught.value.what
    assert caught.value.details == (line[:120],)
    assert len(str(caught.value).splitlines()) == 3


def test_a_history_of_an_older_format_is_refused_in_its_first_line(tmp_path: Path) -> None:
    path = tmp_path / "old.jsonl"
    path.write_text(json.dumps({"type": "run", "format": 1, "wall_start": 1.0, "start_ns": 1}) + "\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"line 1 .*: format 1, and this version reads formats 3 to 5"):
        History.import_jsonl(path)


def test_a_history_of_format_3_is_read_with_what_it_did_not_know(tmp_path: Path) -> None:
    path = tmp_path / "old.jsonl"
    since_5 = ("delay_ms", "transaction")
    since_4 = ("sender", "attempts", "sharding_key", *since_5)
    old = {name: value for name, value in asdict(SEND).items() if name not in since_4}
    plain = replace(SEND, sender="", attempts=1, sharding_key="", delay_ms=0, transaction="")
    lines = [
        {"type": "run", "format": 3, "wall_start": 1.0, "start_ns": 1, "id_prefixes": []},
        {"type": "send", **old, "outcome": "ACKNOWLEDGED"},
        {"type": "end", "lines": 2},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert list(History.import_jsonl(path).sends()) == [plain]
    path.write_text(path.read_text(encoding="utf-8").replace('"format": 3', '"format": 4'), encoding="utf-8")
    with pytest.raises(UsageError, match=r"line 2 .*: 'sender' is unknown or missing"):
        History.import_jsonl(path)


def test_a_history_of_format_4_knows_no_delays_and_not_when_a_group_ended(tmp_path: Path) -> None:
    path = tmp_path / "old.jsonl"
    old = {name: value for name, value in asdict(SEND).items() if name not in ("delay_ms", "transaction")}
    lines = [
        {"type": "run", "format": 4, "wall_start": 1.0, "start_ns": 1, "id_prefixes": []},
        {"type": "send", **old, "outcome": "ACKNOWLEDGED"},
        {"type": "consumer", "group": "g", "drained": True, "topics": [], "reason": ""},
        {"type": "end", "lines": 3},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    history = History.import_jsonl(path)
    assert list(history.sends()) == [replace(SEND, delay_ms=0, transaction="")]
    assert history.consumers["g"].at_ns == 0
    path.write_text(path.read_text(encoding="utf-8").replace('"format": 4', '"format": 5'), encoding="utf-8")
    with pytest.raises(UsageError, match=r"line 2 .*: 'delay_ms' is unknown or missing"):
        History.import_jsonl(path)


def test_an_address_is_of_one_group() -> None:
    history = History()
    history.add_peer("127.0.0.1:1", "broker-a")
    history.add_peer("127.0.0.1:1", "broker-a")
    with pytest.raises(UsageError, match="is of the groups broker-a and broker-b"):
        history.add_peer("127.0.0.1:1", "broker-b")
    assert history.peers == {"127.0.0.1:1": "broker-a"}


def test_a_file_that_does_not_begin_as_a_history_is_none(tmp_path: Path) -> None:
    path = tmp_path / "other.jsonl"
    path.write_text('{"type": "read"}\n', encoding="utf-8")
    with pytest.raises(UsageError, match=r"line 1 .*: a history has one run line, its first"):
        History.import_jsonl(path)


def test_what_follows_the_end_is_refused(tmp_path: Path) -> None:
    lines = exported(filled(SEND), tmp_path)
    path = tmp_path / "two.jsonl"
    path.write_text("".join(lines * 2), encoding="utf-8")
    with pytest.raises(UsageError, match=r"line 4 .*: it follows the end"):
        History.import_jsonl(path)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "binary"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="cannot be read"):
        History.import_jsonl(path)
