"""Promises of ``rmqkit report`` and of ``--report``: exit codes, what is printed, and what a failed drill leaves."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rmqkit import cli
from rmqkit.checks import Thresholds, judge
from rmqkit.cli.drill import result_lines as drill_text
from rmqkit.cli.drill_report import DrillReport
from rmqkit.cluster.peers import Peer
from rmqkit.errors import ClusterError, EngineError, MachineError
from rmqkit.faults import Failover
from rmqkit.faults.timeline import Phase
from rmqkit.forensics import Places, ReplicaView, Told, classify
from rmqkit.history import History, Outcome, ReadRecord, SendRecord
from rmqkit.report import check, load_report, page, write_report
from rmqkit.scenario import DrillResult

SUMMARY = {"format": 1, "command": "drill"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw next to nothing: what the page holds is tested beside the page."""
    monkeypatch.setattr("rmqkit.witness.status.ask", lambda *_: SimpleNamespace(as_dict=lambda: {"healthy": True}))
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


ATTACHED: Any = SimpleNamespace(spec=None, engine=None, members=None, nameservers=())
"""A cluster that is only attached to."""


@pytest.mark.parametrize("reported", [True, False])
def test_an_interrupted_run_leaves_what_it_recorded_and_that_it_is_not_all(tmp_path: Path, reported: bool) -> None:
    record = history()
    with (
        pytest.raises(KeyboardInterrupt),
        DrillReport(tmp_path / "new" if reported else None, history=record, options={}, command="chaos") as told,
        told.watching(ATTACHED),
    ):
        raise KeyboardInterrupt
    assert record.incomplete == "the chaos did not come to its end: interrupted"
    record.export_jsonl(tmp_path / "history.jsonl")
    assert check(tmp_path / "history.jsonl").verdict.doubts[0].kind == "incomplete"
    if reported:
        found = check(tmp_path / "new")
        assert (found.verdict.exit_code, found.verdict.numbers["sent"]) == (3, 3)
        assert found.summary["notes"] == ["The chaos did not come to its end: interrupted"]
        assert json.loads((tmp_path / "new" / "status.jsonl").read_text().splitlines()[0])["healthy"]


def test_a_run_that_has_its_verdict_is_whole_whatever_ends_it_afterwards(tmp_path: Path) -> None:
    record = history()

    def judged_and_then(told: DrillReport) -> None:
        with told.watching(ATTACHED):
            told.ended(judge(record))
            raise ClusterError("it would not go down")

    with pytest.raises(ClusterError), DrillReport(tmp_path / "new", history=record, options={}) as told:
        judged_and_then(told)
    assert record.incomplete == ""
    assert check(tmp_path / "new").summary["notes"] == ["The drill did not come to its end: it would not go down"]


def test_what_the_witness_could_not_have_stands_in_the_notes(tmp_path: Path) -> None:
    gone: Any = SimpleNamespace(**{**vars(ATTACHED), "services": ("n0",), "container_of": str})
    gone.engine = SimpleNamespace(logs=_gone, client=SimpleNamespace(api=SimpleNamespace(get_archive=_gone)))
    record = history()
    with DrillReport(tmp_path / "new", history=record, options={}) as told, told.watching(gone):
        told.ended(judge(record))
    assert check(tmp_path / "new").summary["notes"] == [
        "The console of n0 could not be read: the engine is gone",
        "The log files of n0 could not be read: the engine is gone",
    ]


def test_a_folder_that_was_taken_meanwhile_costs_no_evidence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = history()
    with DrillReport(tmp_path / "new", history=record, options={}) as told:
        write_report(tmp_path / "new", history=history(5), summary=SUMMARY)
        told.ended(judge(record))
    assert check(tmp_path / "new").verdict.numbers["sent"] == 5
    assert check(tmp_path / "new-2").verdict.numbers["sent"] == 3
    assert f"the report is {tmp_path / 'new-2' / 'index.html'}" in capsys.readouterr().err


def test_the_folder_that_one_is_in_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    record = history()
    with DrillReport(Path("."), history=record, options={}) as told:  # noqa: PTH201 - as typed
        told.ended(judge(record))
    assert check(tmp_path).verdict.numbers["sent"] == 3


def _gone(*_: object, **__: object) -> None:
    raise EngineError("the engine is gone")


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


def lossy_result() -> DrillResult:
    """A drill whose verdict calls one message lost, which no replica has."""
    record = history()
    for name in ("n0", "n1", "n2"):
        for number in (0, 2):
            record.add_read(ReadRecord(name, f"r-{number}", "T", 0, number))
        record.reader_done(name, reached_end=True)
    peers = [Peer("g", f"n{number}", f"a:{number}", f"b:{number}") for number in range(3)]
    views = [ReplicaView(peer.id, served=False, keyed=False, extent="entries 0 to 1 of term 1") for peer in peers]
    places = Places((classify("r-1", views, told=Told("acknowledged", "T", 0, 1, "a:1")),))
    failover = Failover("kill-leader", "g", peers[0], peers[1], (Phase("injected", 0.0), Phase("acked", 6.0)))
    verdict = judge(record)
    assert [violation.ids for violation in verdict.violations] == [("r-1",)] * 3
    return DrillResult(failover, verdict, record, {}, places)


def test_a_drill_that_lost_messages_says_where_they_went(tmp_path: Path) -> None:
    result = lossy_result()
    with DrillReport(tmp_path / "new", history=result.history, options={}) as told:
        told.ended(result.verdict, lost=result.as_dict()["lost"])
    summary = load_report(tmp_path / "new").evidence.summary
    assert summary["lost"] == json.loads(json.dumps(result.as_dict()["lost"]))
    assert summary["lost"]["kinds"] == {"data loss": 1}
    assert summary["notes"] == ["Lost: 1 data loss"]
    text = drill_text(result, "a build")
    assert "data loss: 1 of 1 messages that were looked for" in text
    assert text.index("data loss: 1 of 1 messages that were looked for") > text.index(str(result.verdict))


def test_a_drill_that_lost_nothing_says_nothing_of_lost_messages(tmp_path: Path) -> None:
    result = replace(lossy_result(), places=None)
    with DrillReport(tmp_path / "new", history=result.history, options={}) as told:
        told.ended(result.verdict, lost=result.as_dict()["lost"])
    summary = load_report(tmp_path / "new").evidence.summary
    assert "lost" not in summary
    assert summary["notes"] == []
    assert drill_text(result, "a build")[-1] == str(result.verdict)
