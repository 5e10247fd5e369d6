"""Promises of rmqkit.history: what went in comes out, in memory and by way of a file, or the file is refused."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmqkit.errors import UsageError
from rmqkit.history import FaultEvent, History, Outcome, ReadRecord, SendRecord

SEND = SendRecord("m1", "T", 5, 9, Outcome.ACKNOWLEDGED, 3, 7, "127.0.0.1:1", "")
READ = ReadRecord("n0", "m1", "T", 3, 7)

numbers = st.integers(-(2**63), 2**63 - 1)
sends = st.builds(
    SendRecord, st.text(), st.text(), numbers, numbers, st.sampled_from(Outcome), numbers, numbers, st.text(), st.text()
)
reads = st.builds(ReadRecord, st.text(), st.text(), st.text(), numbers, numbers, st.booleans())
faults = st.builds(FaultEvent, st.text(), st.text(), st.text(), numbers)


def filled(*records: SendRecord | ReadRecord | FaultEvent, readers: dict[str, bool] | None = None) -> History:
    history = History()
    for record in records:
        match record:
            case SendRecord():
                history.add_send(record)
            case ReadRecord():
                history.add_read(record)
            case FaultEvent():
                history.faults.append(record)
    for replica, reached_end in (readers or {}).items():
        history.reader_done(replica, reached_end=reached_end)
    return history


def content(history: History) -> tuple[Any, ...]:
    return (
        history.wall_start,
        history.start_ns,
        list(history.sends()),
        list(history.reads()),
        history.faults,
        history.readers,
        history.unread,
        history.run_prefixes,
    )


def exported(history: History, tmp_path: Path) -> list[str]:
    path = tmp_path / "h.jsonl"
    history.export_jsonl(path)
    return path.read_text(encoding="utf-8").splitlines(keepends=True)


@settings(deadline=None)
@given(st.lists(sends), st.lists(reads))
def test_columns_give_back_every_record_in_order(some: list[SendRecord], found: list[ReadRecord]) -> None:
    history = filled(*some, *found)
    assert list(history.sends()) == some
    assert list(history.reads()) == found
    assert (history.send_count, history.read_count) == (len(some), len(found))


@settings(deadline=None)
@given(st.lists(sends), st.lists(reads), st.lists(faults), st.dictionaries(st.text(), st.booleans()))
def test_a_history_survives_a_file(
    tmp_path_factory: pytest.TempPathFactory,
    some: list[SendRecord],
    found: list[ReadRecord],
    steps: list[FaultEvent],
    readers: dict[str, bool],
) -> None:
    path = tmp_path_factory.mktemp("history") / "h.jsonl"
    history = filled(*some, *found, *steps, readers=readers)
    history.add_run_prefix("run-")
    history.reader_done("n9", reached_end=False, reason="it was silent")
    history.export_jsonl(path)
    assert content(History.import_jsonl(path)) == content(history)


def test_writers_in_several_threads_lose_nothing() -> None:
    history = History()

    def write(name: str) -> None:
        for number in range(500):
            history.add_send(SendRecord(f"{name}-{number}", name, number, number, Outcome.UNKNOWN, 0, 0, name, name))

    threads = [threading.Thread(target=write, args=(str(i),)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    records = list(history.sends())
    assert len(records) == 2000
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


def test_an_empty_prefix_would_claim_everybodys_messages_and_is_refused() -> None:
    with pytest.raises(UsageError, match="an empty id prefix"):
        History().add_run_prefix("")


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
    lines = exported(filled(SEND, READ, readers={"n0": True}), tmp_path)
    whole = "".join(lines)
    boundaries = {len("".join(lines[:count])) for count in range(len(lines))}
    for end in sorted(boundaries | set(range(0, len(whole), 17))):
        path = tmp_path / f"{end}.jsonl"
        path.write_text(whole[:end], encoding="utf-8")
        with pytest.raises(UsageError, match=r"was cut short (after|in the middle of) line") as caught:
            History.import_jsonl(path)
        assert path.name in str(caught.value)


def test_a_line_missing_in_the_middle_is_noticed(tmp_path: Path) -> None:
    lines = exported(filled(SEND, READ, readers={"n0": True}), tmp_path)
    path = tmp_path / "less.jsonl"
    path.write_text("".join(lines[:1] + lines[2:]), encoding="utf-8")
    with pytest.raises(UsageError, match="line 4 is not a line of a history: 4 lines were written, 3 are here"):
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
    with pytest.raises(UsageError, match=r"line 1 .*: format 1, and this version reads formats 3 to 4"):
        History.import_jsonl(path)


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
