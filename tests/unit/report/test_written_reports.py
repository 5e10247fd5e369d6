"""Promises of the folder: whole or not there, never overwritten, read back or refused by the name of the file."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
from report_runs import small

from rmqkit.checks import Thresholds, VerdictStatus, judge
from rmqkit.errors import MachineError, UsageError
from rmqkit.report import check_target, ensure_available, load_report, prepare_report, render_report, write_report
from rmqkit.report import evidence as on_disk
from rmqkit.report import report as writing
from rmqkit.report.needs import PARTIAL

SUMMARY = {"format": 1, "command": "drill", "seed": 7, "cluster": {"build": "4.9.8 of a test"}, "options": {"rate": 10}}
HISTORY = ("history/history.jsonl", "history/sends-000000.parquet", "history/reads-000001.parquet")
EVIDENCE = (*HISTORY, "report.json", "summary.json", "verdict.json", "verdict.md")
COMMAND = ("rmqkit", "drill", "--report", "one")
FIGURES = ("errors", "latency", "latency-cdf", "phases-1", "throughput")


def write(directory: Path, **more: Any) -> Path:
    given: dict[str, Any] = {"history": small(), "summary": SUMMARY, "thresholds": Thresholds(), **more}
    return write_report(directory, **given)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report that tests only look at."""
    directory = tmp_path_factory.mktemp("reports") / "one"
    write(directory, command=COMMAND)
    return directory


@pytest.fixture
def copied(written: Path, tmp_path: Path) -> Path:
    """A report that a test may damage."""
    return shutil.copytree(written, tmp_path / "copy")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw next to nothing, where the test is about the folder."""
    from rmqkit.report import page

    files = {"index.html": b"a page", "plots/latency.svg": b"<svg/>", "plots/latency.png": b"PNG"}
    monkeypatch.setattr(page, "drawn", lambda *_: files)


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


# ---- what is written


def test_a_report_is_evidence_page_and_every_figure_twice(written: Path) -> None:
    plots = [f"plots/{name}.{kind}" for name in FIGURES for kind in ("png", "svg")]
    assert sorted(contents(written)) == sorted(["index.html", *EVIDENCE, *plots])


@pytest.mark.usefixtures("quick")
def test_the_page_is_what_comes_back_and_an_empty_folder_will_do(tmp_path: Path) -> None:
    assert write(tmp_path) == tmp_path / "index.html"


@pytest.mark.usefixtures("quick")
def test_folders_above_are_made(tmp_path: Path) -> None:
    assert write(tmp_path / "a" / "b").is_file()


def test_the_same_evidence_gives_the_same_bytes(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = datetime.fromisoformat(json.loads((written / "report.json").read_text())["written_at"])
    monkeypatch.setattr(on_disk.time, "time", at.timestamp)
    write(tmp_path, command=COMMAND)
    assert contents(tmp_path) == contents(written)


def test_what_was_drawn_from_memory_is_what_the_evidence_on_disk_gives(copied: Path) -> None:
    first = contents(copied)
    (copied / "plots" / "latency.svg").unlink()
    (copied / "index.html").unlink()
    with mpl.rc_context({"lines.linewidth": 9.0, "font.size": 30.0, "svg.hashsalt": "mine"}):  # is neither taken over
        assert len(render_report(load_report(copied))) == 2
        assert mpl.rcParams["svg.hashsalt"] == "mine"  # nor left changed
    assert contents(copied) == first
    assert "matplotlib.pyplot" not in sys.modules


def test_evidence_that_is_read_back_is_judged_the_same(written: Path) -> None:
    report = load_report(written)
    expected = judge(small(), Thresholds())
    assert report.verdict == expected
    assert expected.status is VerdictStatus.PASSED
    assert (report.evidence.summary, report.evidence.command) == (SUMMARY, COMMAND)
    assert report.judged_otherwise == ""


@pytest.mark.usefixtures("quick")
def test_a_run_that_was_only_measured_has_no_verdict(tmp_path: Path) -> None:
    write(tmp_path, thresholds=None)
    assert load_report(tmp_path).verdict is None


def test_a_verdict_that_comes_out_otherwise_is_said(copied: Path) -> None:
    path = copied / "report.json"
    path.write_text(path.read_text().replace('"verdict": "PASSED"', '"verdict": "INCONCLUSIVE"'))
    assert "it was INCONCLUSIVE" in load_report(copied).judged_otherwise


# ---- never overwritten, never half


@pytest.mark.parametrize("name", ["report.json", "somebody's notes.txt", PARTIAL])
def test_a_folder_that_holds_anything_is_refused_and_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(UsageError, match=r"is not empty|another report is being written"):
        write(tmp_path)
    assert contents(tmp_path) == {name: b"mine"}


@pytest.mark.parametrize("failing", ["_write_json", "_fact"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_evidence_that_could_not_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str, error: BaseException
) -> None:
    monkeypatch.setattr(on_disk, failing, raising(error))
    expected = MachineError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        write(tmp_path / "new" / "report")
    assert not (tmp_path / "new").exists()
    (tmp_path / "empty").mkdir()
    with pytest.raises(expected):
        write(tmp_path / "empty")
    assert contents(tmp_path) == {}


@pytest.mark.usefixtures("quick")
def test_a_page_that_could_not_be_drawn_leaves_the_evidence_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rmqkit.report import page

    with monkeypatch.context() as broken:
        broken.setattr(page, "drawn", raising(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path)
    assert set(contents(tmp_path)) == {*EVIDENCE}
    assert render_report(load_report(tmp_path))
    assert (tmp_path / "index.html").is_file()


@pytest.mark.usefixtures("quick")
def test_a_page_whose_writing_is_interrupted_leaves_no_part_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def rename_but_the_page(path: Path, target: Path) -> Path:
        if path.name == "index.html":
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", rename_but_the_page)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path)
    assert set(contents(tmp_path)) == {*EVIDENCE}
    assert not (tmp_path / "plots").exists()


def test_two_writers_at_once_do_not_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "prepare_report", lambda _directory: None)
    (tmp_path / PARTIAL).mkdir()
    with pytest.raises(UsageError, match="another report is being written"):
        write(tmp_path)
    assert (tmp_path / PARTIAL).is_dir()


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


# ---- what is missing, damaged or foreign


@pytest.mark.parametrize("name", ["summary.json", *HISTORY])
def test_a_missing_or_damaged_or_foreign_file_is_named(copied: Path, name: str) -> None:
    path = copied / name
    whole = path.read_bytes()
    for bad, words in (
        (whole[:-1], f"{len(whole) - 1} bytes instead of {len(whole)}"),
        (b" " + whole[1:], "SHA-256"),
        (None, "is missing"),
    ):
        path.write_bytes(bad) if bad is not None else path.unlink()
        with pytest.raises(UsageError, match=words) as caught:
            load_report(copied)
        assert str(path) in str(caught.value)


def test_a_file_that_came_into_the_history_is_named(copied: Path) -> None:
    foreign = copied / "history" / "sends-000099.parquet"
    foreign.write_bytes((copied / HISTORY[1]).read_bytes())
    with pytest.raises(UsageError, match="no file of this report") as caught:
        load_report(copied)
    assert str(foreign) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no JSON"),
        ("{", "no JSON"),
        ("[]", "format None"),
        ('{"format": 99}', "format 99"),
        ('{"format": 1}', "'files'"),
    ],
)
def test_a_manifest_that_is_none_is_named(copied: Path, text: str, words: str) -> None:
    (copied / "report.json").write_text(text)
    with pytest.raises(UsageError, match=words) as caught:
        load_report(copied)
    assert str(copied / "report.json") in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("title", 7, "title is 7"),
        ("files", {}, "does not name history"),
        ("files", {"../x": {"size": 1, "sha256": ""}}, "does not name history"),
        ("thresholds", {"min_acked_before": "20"}, "min_acked_before is '20'"),
        ("thresholds", {"min_sleep": 1}, "min_sleep"),
        ("environment", [], "'list' object"),
        ("command", None, "NoneType"),
    ],
)
def test_a_manifest_with_a_wrong_value_is_refused(copied: Path, name: str, value: Any, words: str) -> None:
    path = copied / "report.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
    with pytest.raises(UsageError, match=words):
        load_report(copied)


def test_a_manifest_reaches_no_file_outside_its_folder(copied: Path) -> None:
    path = copied / "report.json"
    facts = json.loads(path.read_text())
    facts["files"]["../../secret"] = {"size": 1, "sha256": ""}
    path.write_text(json.dumps(facts))
    with pytest.raises(UsageError, match="outside its folder"):
        load_report(copied)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", ["index.html", "plots/latency.svg", "plots/latency.png"])
def test_a_page_or_figure_that_the_evidence_does_not_give_is_named_and_not_overwritten(
    tmp_path: Path, name: str
) -> None:
    write(tmp_path)
    (tmp_path / name).write_bytes(b"all is well")
    with pytest.raises(UsageError, match="is not what the evidence gives") as caught:
        render_report(load_report(tmp_path))
    assert str(tmp_path / name) in str(caught.value)
    assert (tmp_path / name).read_bytes() == b"all is well"


def test_a_folder_that_is_no_report_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"report\.json is missing"):
        load_report(tmp_path)
    with pytest.raises(UsageError, match="is no folder"):
        load_report(tmp_path / "nowhere")


# ---- what is asked for before a long run


@pytest.mark.parametrize("name", ["matplotlib", "jinja2"])
def test_a_missing_library_is_named_with_its_remedy_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MachineError, match=name) as caught:
        ensure_available()
    assert "pip install 'rmqkit[report]'" in str(caught.value)
    with pytest.raises(MachineError):
        prepare_report(tmp_path)
    with pytest.raises(MachineError):
        write(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_target_that_cannot_be_is_refused_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_target(tmp_path)
    check_target(tmp_path / "a" / "b" / "c")
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to("nowhere")
    for bad in ("file", "file/below", "dangling", "dangling/below"):
        with pytest.raises(UsageError, match="is no folder"):
            check_target(tmp_path / bad)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(UsageError, match="cannot be written to"):
        check_target(tmp_path / "new")


@pytest.mark.parametrize(
    ("summary", "words"),
    [
        ({}, "format None"),
        ({"format": 2, "command": "drill"}, "format 2"),
        ({"format": 1}, "names no command"),
        ({"format": 1, "command": "x", "odd": object()}, "JSON"),
        ({"format": 1, "command": "x", "odd": float("nan")}, "JSON"),
        ([], "no JSON object"),
    ],
)
def test_a_summary_that_is_none_is_refused_and_nothing_is_written(tmp_path: Path, summary: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        write(tmp_path / "new", summary=summary)
    assert not (tmp_path / "new").exists()


def test_a_verdict_needs_the_thresholds_that_it_was_judged_with(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="thresholds"):
        write(tmp_path / "new", thresholds=None, verdict=judge(small()))
    assert not (tmp_path / "new").exists()
