"""Promises of ``rmqkit report`` and of ``--report``: exit codes, what is printed, and what a failed drill leaves."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from rmqkit import cli
from rmqkit.checks import Thresholds
from rmqkit.cli.drill_report import DrillReport
from rmqkit.errors import ClusterError, MachineError
from rmqkit.history import History, Outcome, SendRecord
from rmqkit.report import load_report, page, write_report

SUMMARY = {"format": 1, "command": "drill"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw next to nothing: what the page holds is tested beside the page."""
    monkeypatch.setattr(page, "drawn", lambda *_: {"index.html": b"a page", "plots/latency.svg": b"<svg/>"})


def history(sends: int = 3) -> History:
    made = History()
    made.add_run_prefix("r-")
    for number in range(sends):
        start = made.start_ns + number * 1_000_000
        made.add_send(SendRecord(f"r-{number}", "T", start, start + 1000, Outcome.ACKNOWLEDGED, 0, number, "a:1", ""))
    return made


@pytest.mark.parametrize(
    ("thresholds", "code", "said"), [(None, 0, "measured, not judged"), (Thresholds(), 3, "verdict: INCONCLUSIVE")]
)
def test_the_exit_code_is_the_verdicts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], thresholds: Thresholds | None, code: int, said: str
) -> None:
    write_report(tmp_path, history=history(), summary=SUMMARY, thresholds=thresholds, title="A title")
    assert cli.main(["report", str(tmp_path)]) == code
    out = capsys.readouterr().out
    assert "A title" in out
    assert said in out
    assert "there already, and the same" in out
    (tmp_path / "index.html").unlink()
    assert cli.main(["report", str(tmp_path), "--json"]) == code
    answer = json.loads(capsys.readouterr().out)
    assert answer["written"] == [answer["page"]] == [str(tmp_path / "index.html")]


def test_a_damaged_report_is_refused_on_one_screen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_report(tmp_path, history=history(), summary=SUMMARY)
    (tmp_path / "summary.json").write_text("{}")
    assert cli.main(["report", str(tmp_path)]) == cli.EXIT_USAGE
    err = capsys.readouterr().err
    assert f"{tmp_path / 'summary.json'} is damaged, or of another run" in err
    assert "Traceback" not in err


def test_a_drill_that_cannot_be_reported_does_not_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/rmqkit-test.sock")
    assert cli.main(["drill", "--report", str(tmp_path / "new")]) == cli.EXIT_MACHINE
    assert "pip install 'rmqkit[report]'" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_drill_that_failed_half_way_is_reported_with_what_stopped_it(tmp_path: Path) -> None:
    with pytest.raises(ClusterError), DrillReport(tmp_path / "new", history=history(), options={"rate": 200}):
        raise ClusterError("n1 ended by itself")
    report = load_report(tmp_path / "new")
    assert report.evidence.summary["notes"] == ["The drill did not come to its end: n1 ended by itself"]
    assert report.evidence.summary["ended_by"] == "ClusterError"
    assert report.evidence.command[0] == "rmqkit"
    assert str(report.verdict).startswith("verdict: INCONCLUSIVE")


def test_a_report_that_fails_takes_no_other_errors_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise MachineError("the disk is full")

    monkeypatch.setattr("rmqkit.cli.drill_report.write_report", full)
    with (
        pytest.raises(ClusterError) as caught,
        DrillReport(tmp_path / "new", history=history(), options={}),
    ):
        raise ClusterError("n1 ended by itself")
    assert caught.value.__notes__ == ["Besides, the report was not written: the disk is full"]
    with pytest.raises(MachineError), DrillReport(tmp_path / "new", history=history(), options={}):
        pass


def test_a_drill_that_sent_nothing_or_was_not_to_be_reported_leaves_no_folder(tmp_path: Path) -> None:
    with (
        DrillReport(tmp_path / "new", history=history(0), options={}),
        DrillReport(None, history=history(), options={}),
    ):
        pass
    assert list(tmp_path.iterdir()) == []
