"""Promises of a history on disk: it comes back as it was or is refused; what a killed run left is not called whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from records import OFFSET, RANGE, READ, RECEIVE, SEND, content, filled, read_lists, receive_lists, send_lists

from rmqkit.checks import VerdictStatus, judge
from rmqkit.errors import MachineError, UsageError
from rmqkit.history import FaultEvent, History, Outcome, SendRecord, storage

CUT = "was cut short: it has no history.jsonl"


@pytest.fixture
def whole() -> History:
    history = filled(SEND, READ, RECEIVE, FaultEvent("kill", "injected", "n0", 4), readers={"n0": True, "n1": False})
    history.reader_done("n1", reached_end=False, reason="it was silent")
    history.consumer_done("g", drained=False, topics=["T"], reason="it was stopped")
    history.add_run_prefix("m")
    history.add_offset(OFFSET)
    history.add_range(RANGE)
    history.add_peer("127.0.0.1:1", "broker-a")
    return history


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(send_lists, read_lists, receive_lists, st.booleans())
def test_a_history_survives_a_folder(
    tmp_path_factory: pytest.TempPathFactory, sent: list, found: list, handed: list, recorded: bool
) -> None:
    folder = tmp_path_factory.mktemp("history") / "h"
    history = filled(*sent, *found, *handed)
    if recorded:
        with History.recording(folder) as history:
            for send in sent:
                history.add_send(send)
                history.flush()
            filled(*found, *handed, into=history)
        assert content(history) == content(filled(*sent, *found, *handed), like=history)
    else:
        history.save(folder)
    assert content(History.load(folder)) == content(history)


def test_everything_but_the_operations_survives_too(whole: History, tmp_path: Path) -> None:
    whole.save(tmp_path / "h")
    loaded = History.load(tmp_path / "h")
    assert content(loaded) == content(whole)
    assert loaded.incomplete == ""


def test_a_folder_of_format_4_is_read_with_what_it_did_not_know(whole: History, tmp_path: Path) -> None:
    """A folder of the present format may lack none of its columns."""
    whole.save(tmp_path / "h")
    part = tmp_path / "h" / "sends-000000.parquet"
    pq.write_table(pq.read_table(part).drop_columns(["delay_ms", "transaction"]), part)
    with pytest.raises(UsageError, match="is no part of a history that can be read"):
        History.load(tmp_path / "h")
    facts = tmp_path / "h" / "history.jsonl"
    facts.write_text(facts.read_text(encoding="utf-8").replace('"format": 5', '"format": 4'), encoding="utf-8")
    assert list(History.load(tmp_path / "h").sends()) == [replace(SEND, delay_ms=0, transaction="")]


def test_an_exported_file_is_loaded_by_its_name(whole: History, tmp_path: Path) -> None:
    whole.export_jsonl(tmp_path / "h.jsonl")
    assert content(History.load(tmp_path / "h.jsonl")) == content(whole)


def test_texts_are_texts_for_whoever_reads_the_files(whole: History, tmp_path: Path) -> None:
    whole.save(tmp_path / "h")
    (row,) = pq.read_table(tmp_path / "h" / "sends-000000.parquet").to_pylist()
    assert (row["topic"], row["outcome"], row["id_stem"], row["id_number"]) == ("T", "ACKNOWLEDGED", "dm", 1)


def test_operations_that_were_written_are_read_from_their_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "PART_ROWS", 100)
    numbers = np.arange(1000)
    with History.recording(tmp_path / "h") as history:
        for start in range(0, 1000, 70):
            some = numbers[start : start + 70]
            history.add_sends(
                message_id=("m-", some), topic="T", start_ns=some, end_ns=some + 5, outcome=Outcome.UNKNOWN
            )
        assert len(list((tmp_path / "h").glob("sends-*.parquet"))) == 7
        assert [send.start_ns for send in history.sends()] == numbers.tolist()
        assert history.send_columns()["end_ns"].tolist() == (numbers + 5).tolist()
        in_memory = [chunk for chunk in history.tables[0].chunks() if not isinstance(chunk, storage._FileChunk)]
        assert sum(chunk.rows for chunk in in_memory) < 100
    assert [send.message_id for send in History.load(tmp_path / "h").sends()] == [f"m-{number}" for number in numbers]


def test_slow_traffic_is_written_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "PART_S", 0.0)
    monkeypatch.setattr("rmqkit.history.table.ROWS", 1)
    with History.recording(tmp_path / "h") as history:
        history.add_send(SEND)
        assert [each.name for each in (tmp_path / "h").glob("*.parquet")] == ["sends-000000.parquet"]


def test_a_block_that_fails_leaves_a_whole_record_of_what_was_done(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), History.recording(tmp_path / "h") as history:  # noqa: PT012
        history.add_send(SEND)
        raise RuntimeError
    assert list(History.load(tmp_path / "h").sends()) == [SEND]


# ---- what is refused


def test_nothing_is_overwritten(whole: History, tmp_path: Path) -> None:
    (tmp_path / "h").mkdir()
    with pytest.raises(UsageError, match="exists already"):
        whole.save(tmp_path / "h")
    with pytest.raises(UsageError, match="exists already"), History.recording(tmp_path / "h"):
        pass
    assert list((tmp_path / "h").iterdir()) == []


@pytest.mark.parametrize("name", ["no/h", "file/h"])
def test_a_folder_that_cannot_be_made_is_an_error_of_use(whole: History, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be made"):
        whole.save(tmp_path / name)


def test_what_is_no_history_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no history"):
        History.load(tmp_path)
    with pytest.raises(UsageError, match="is no history"):
        History.load(tmp_path / "nothing", incomplete_ok=True)


def test_a_part_that_is_missing_shortened_or_another_is_refused(whole: History, tmp_path: Path) -> None:
    whole.save(tmp_path / "h")
    part = tmp_path / "h" / "sends-000000.parquet"
    good = part.read_bytes()
    for bad in (good[: len(good) // 2], b"", good[:-40] + bytes(40)):
        part.write_bytes(bad)
        with pytest.raises(UsageError, match=r"sends-000000\.parquet is no part of a history"):
            History.load(tmp_path / "h")
    part.write_bytes((tmp_path / "h" / "reads-000001.parquet").read_bytes())
    with pytest.raises(UsageError, match=r"sends-000000\.parquet is no part of a history"):
        History.load(tmp_path / "h")
    part.unlink()
    with pytest.raises(UsageError, match=r"sends-000000\.parquet is no part of a history"):
        History.load(tmp_path / "h")


def test_rows_that_are_gone_are_noticed(whole: History, tmp_path: Path) -> None:
    whole.save(tmp_path / "h")
    part = tmp_path / "h" / "sends-000000.parquet"
    pq.write_table(pq.read_table(part).slice(0, 0), part)
    with pytest.raises(UsageError, match="has 0 rows; 1 were written"):
        History.load(tmp_path / "h")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"type": "part", "table": "sends"}', "missing 2 required"),
        ('{"type": "part", "table": "sents", "file": "x", "rows": 1}', "names a part that cannot be"),
        ('{"type": "part", "table": "sends", "file": "../x", "rows": 1}', "names a part that cannot be"),
        ("garbage", "line 2 is not a line of a history"),
    ],
)
def test_a_bad_line_of_the_last_file_is_refused(tmp_path: Path, line: str, why: str) -> None:
    History().save(tmp_path / "h")
    path = tmp_path / "h" / storage.WHOLE
    first, _ = path.read_text(encoding="utf-8").splitlines()
    path.write_text(f'{first}\n{line}\n{{"type": "end", "lines": 2}}\n', encoding="utf-8")
    with pytest.raises(UsageError, match=why):
        History.load(tmp_path / "h")


def test_an_exported_file_names_no_parts(tmp_path: Path) -> None:
    """They would be looked for beside it."""
    History().save(tmp_path / "h")
    path = tmp_path / "h" / storage.WHOLE
    first, _ = path.read_text(encoding="utf-8").splitlines()
    part = '{"type": "part", "table": "sends", "file": "sends-000000.parquet", "rows": 1}'
    path.write_text(f'{first}\n{part}\n{{"type": "end", "lines": 2}}\n', encoding="utf-8")
    with pytest.raises(UsageError, match="'part' is unknown"):
        History.import_jsonl(path)


def test_a_disk_that_takes_no_more_is_an_error_that_says_so(
    whole: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage.pq, "write_table", full)
    with pytest.raises(MachineError, match="No space left on device"):
        whole.save(tmp_path / "h")
    with pytest.raises(UsageError, match="is no history"):
        History.load(tmp_path / "h")


# ---- a run that was killed

KILLED = """
import os, signal, sys
from pathlib import Path
from rmqkit.history import History, SendRecord, Outcome, ReadRecord
with History.recording(Path(sys.argv[1])) as history:
    history.add_run_prefix("m-")
    history.add_fault("kill", "injected", "n0")
    for number in range(5):
        history.add_send(SendRecord(f"m-{number}", "T", 1, 2, Outcome.REFUSED, -1, -1, "", ""))
    history.add_read(ReadRecord("n0", "m-1", "T", 0, 0))
    history.reader_done("n0", reached_end=True)
    history.flush()
    history.add_send(SendRecord("m-1", "T", 1, 2, Outcome.UNKNOWN, -1, -1, "", ""))  # it would excuse the phantom
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "h")], check=False, env=os.environ.copy())
    assert ended.returncode == -signal.SIGKILL
    return tmp_path / "h"


def test_the_folder_of_a_killed_run_is_refused(killed: Path) -> None:
    with pytest.raises(UsageError, match=CUT):
        History.load(killed)


def test_what_a_killed_run_wrote_can_be_read_and_is_never_judged_as_whole(killed: Path) -> None:
    (killed / "sends-000099.parquet.unfinished").write_bytes(b"PAR1 cut in the middle")
    with (killed / storage.FACTS).open("a", encoding="utf-8") as facts:
        facts.write('{"type": "reader", "repl')
    history = History.load(killed, incomplete_ok=True)
    assert (history.send_count, history.read_count) == (5, 1)
    assert history.readers == {"n0": True}
    assert history.run_prefixes == ("m-",)
    assert [fault.step for fault in history.faults] == ["injected"]
    assert CUT in history.incomplete
    verdict = judge(history)
    assert verdict.status is VerdictStatus.INCONCLUSIVE
    assert verdict.doubts[0].kind == "incomplete"
    assert verdict.violations == ()
    assert [(note.kind, note.text.partition(":")[0]) for note in verdict.notes] == [("phantom", "not counted")]


def test_an_incomplete_history_stays_so_wherever_it_is_written(killed: Path, tmp_path: Path) -> None:
    history = History.load(killed, incomplete_ok=True)
    history.save(tmp_path / "again")
    history.export_jsonl(tmp_path / "again.jsonl")
    for path in (tmp_path / "again", tmp_path / "again.jsonl"):
        assert History.load(path).incomplete == history.incomplete


def test_a_killed_run_that_wrote_no_operations_is_one_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "h").mkdir()
    (tmp_path / "h" / storage.FACTS).write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match=CUT):
        History.load(tmp_path / "h")
    assert History.load(tmp_path / "h", incomplete_ok=True).incomplete


def test_an_id_that_is_no_utf8_is_written_as_python_shows_it(tmp_path: Path) -> None:
    history = filled(SendRecord("\ud800", "T", 1, 2, Outcome.UNKNOWN, -1, -1, "", ""))
    history.save(tmp_path / "h")
    assert [send.message_id for send in History.load(tmp_path / "h").sends()] == ["\\ud800"]
