"""Promises of ``rmqkit check`` and ``rmqkit replay``: exit codes, what is printed, what is asked."""

from __future__ import annotations

import json
import shlex
import socket
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rmqkit import cli
from rmqkit.checks import Thresholds, judge
from rmqkit.cli import replay
from rmqkit.cli.proof import Wanted
from rmqkit.errors import ImageError
from rmqkit.faults import Kill, Pause, Schedule, Step
from rmqkit.history import History
from rmqkit.report import evidence as on_disk
from rmqkit.report import write_evidence
from rmqkit.topology.spec import ClusterSpec

SAVED = Path(__file__).parents[2] / "histories"
ENOUGH = Thresholds(min_acked_before=5, min_acked_after=5, min_replicas=3)
SPEC = ClusterSpec.pod(base_port=20000, name="recorded", edition="4.9.8", peers=5)
SCHEDULE = Schedule((Step(Kill(), gap_s=1.0, hold_s=2.0), Step(Pause("follower"))), seed=7)


def evidence(folder: Path, saved: str, *, thresholds: Thresholds = ENOUGH, **summary: Any) -> Path:
    beside = folder.parent / f"{folder.name}-beside"
    beside.mkdir()
    (beside / "spec.json").write_text(SPEC.to_json())
    (beside / "schedule.json").write_text(SCHEDULE.to_json())
    write_evidence(
        folder,
        history=History.import_jsonl(SAVED / f"{saved}.jsonl"),
        summary={"format": 1, "command": "drill", **summary},
        thresholds=thresholds,
        title="A title",
        command=["rmqkit", "drill"],
        beside=beside,
    )
    return folder


@pytest.mark.parametrize(
    ("saved", "code"),
    [
        ("passed-drill-4.5.1-leader-killed", cli.EXIT_OK),
        ("failed-acknowledged-lost-whole-tail", cli.EXIT_FAILED),
        ("inconclusive-reader-incomplete", cli.EXIT_INCONCLUSIVE),
    ],
)
def test_the_exit_code_and_the_text_are_the_verdicts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], saved: str, code: int
) -> None:
    folder = evidence(tmp_path / "run", saved)
    verdict = judge(History.import_jsonl(SAVED / f"{saved}.jsonl"), ENOUGH)
    assert cli.main(["check", str(folder)]) == code
    out, err = capsys.readouterr()
    assert out.startswith("A title\n")
    assert str(verdict) in out
    assert err == ""
    assert cli.main(["check", str(folder), "--json"]) == code
    answer = json.loads(capsys.readouterr().out)
    assert answer["verdict"] == json.loads(json.dumps(verdict.as_dict()))
    assert answer["recorded"] == str(verdict.status)


def test_another_bound_makes_another_verdict_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = evidence(tmp_path / "run", "passed-drill-4.5.1-leader-killed")
    assert cli.main(["check", str(folder), "--max-outage", "2"]) == cli.EXIT_FAILED
    assert "it was PASSED when it was recorded, and is judged FAILED now" in capsys.readouterr().err
    assert cli.main(["check", str(folder), "--max-outage", "0"]) == cli.EXIT_USAGE


def test_markdown_is_added_to_the_summary_that_others_add_to(tmp_path: Path) -> None:
    folder = evidence(tmp_path / "run", "failed-acknowledged-lost-whole-tail")
    summary = tmp_path / "summary.md"
    summary.write_text("# A job\n\n")
    assert cli.main(["check", str(folder), "--markdown", str(summary)]) == cli.EXIT_FAILED
    assert summary.read_text() == "# A job\n\n" + (folder / "verdict.md").read_text()
    assert cli.main(["check", str(folder), "--markdown", str(tmp_path)]) == cli.EXIT_USAGE
    assert cli.main(["check", str(folder), "--markdown", str(tmp_path / "no" / "x")]) == cli.EXIT_MACHINE


def test_a_folder_that_is_no_evidence_is_wrong_use_on_one_screen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("check", "replay"):
        assert cli.main([command, str(tmp_path)]) == cli.EXIT_USAGE
        err = capsys.readouterr().err
        assert "report.json" in err
        assert "Traceback" not in err


# ---- replay


class Ran:
    """Stands for the command that does the run: remembers how it was called."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.build = "4.9.8: as recorded"

    def of(self, name: str) -> Any:
        def run(wanted: Wanted, **others: Any) -> int:
            given = {each.name: getattr(wanted, each.name) for each in fields(wanted)} | others
            self.calls.append((name, given))
            # The ports of the new cluster are held while it runs.
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", min(given["spec"].ports())))
            return 1

        return run


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Ran:
    found = Ran()

    @contextmanager
    def connected() -> Any:
        yield SimpleNamespace()

    monkeypatch.setattr(replay, "Engine", SimpleNamespace(connect=connected))
    monkeypatch.setattr(replay, "build_info", lambda _engine, _image: found.build)
    monkeypatch.setattr(replay.drill, "run", found.of("drill"))
    monkeypatch.setattr(replay.chaos, "run", found.of("chaos"))
    return found


RECORDED = {
    "options": {"edition": "4.9.8", "rate": 99.5, "threads": 2, "acked": 77, "timeout_s": 33.0},
    "cluster": {"group": "RaftNode00", "build": "4.9.8: as recorded"},
}


def test_a_drill_is_done_again_as_it_was_on_the_same_kind_of_cluster(tmp_path: Path, ran: Ran) -> None:
    bound = Thresholds(max_outage_s=12.5)
    folder = evidence(tmp_path / "run", "passed-drill-4.5.1-leader-killed", thresholds=bound, **RECORDED)
    assert cli.main(["replay", str(folder), "--report", str(tmp_path / "two")]) == 1
    ((command, given),) = ran.calls
    spec = given.pop("spec")
    assert shlex.split(given.pop("replayed")) == ["rmqkit", "replay", str(folder)]
    assert (command, given) == (
        "drill",
        {
            "edition": "4.9.8",
            "run": None,
            "group": "RaftNode00",
            "rate": 99.5,
            "threads": 2,
            "acked": 77,
            "history": None,
            "report": tmp_path / "two",
            "max_outage": 12.5,
            "timeout": 33.0,
            "as_json": False,
        },
    )
    by = min(spec.ports()) - min(SPEC.ports())
    assert spec == SPEC.shifted(by)


def test_a_schedule_is_carried_out_again_with_its_seed(
    tmp_path: Path, ran: Ran, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = evidence(tmp_path / "a run", "passed-drill-4.5.1-leader-killed", **{**RECORDED, "command": "chaos"})
    ran.build = "4.9.8: another commit"
    assert cli.main(["replay", str(folder), "--max-outage", "9", "--timeout", "44", "--json"]) == 1
    ((command, given),) = ran.calls
    assert command == "chaos"
    assert Schedule.parse(given["schedule"].read_text()) == SCHEDULE
    assert (given["seed"], given["duration"], given["faults"]) == (None, None, None)
    assert (given["max_outage"], given["timeout"], given["as_json"]) == (9.0, 44.0, True)
    assert shlex.split(given["replayed"]) == ["rmqkit", "replay", str(folder), "--max-outage", "9", "--timeout", "44"]
    said = "rmqkit: recorded with 4.9.8: as recorded; this image is 4.9.8: another commit"
    assert said in capsys.readouterr().err


def test_an_edition_that_is_not_built_is_said_before_anything_starts(
    tmp_path: Path, ran: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> str:
        raise ImageError("there is no image", hint="rmqkit build 4.9.8")

    monkeypatch.setattr(replay, "build_info", missing)
    folder = evidence(tmp_path / "run", "passed-drill-4.5.1-leader-killed", **RECORDED)
    assert cli.main(["replay", str(folder)]) == cli.EXIT_MACHINE
    assert ran.calls == []


def damaged(folder: Path) -> None:
    (folder / "schedule.json").write_text("{}")


def without_spec(folder: Path) -> None:
    manifest = json.loads((folder / "report.json").read_text())
    del manifest["files"]["spec.json"]
    (folder / "report.json").write_text(json.dumps(manifest))


def spec_of_nobody(folder: Path) -> None:
    (folder / "spec.json").write_text("{}")
    manifest = json.loads((folder / "report.json").read_text())
    manifest["files"]["spec.json"] = asdict(on_disk._fact(folder / "spec.json"))
    (folder / "report.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("damage", "summary", "said"),
    [
        (damaged, {}, "schedule.json is damaged, or of another run"),
        (without_spec, {}, "has no spec.json"),
        (spec_of_nobody, {}, "spec.json is no specification of a cluster"),
        (lambda _folder: None, {"command": "produce"}, "is of `produce`, which cannot be replayed"),
        (
            lambda _folder: None,
            {"options": {}},
            "what its summary says of the options cannot be used: KeyError('rate')",
        ),
        (lambda _folder: None, {"options": 3}, "what its summary says of the options cannot be used"),
    ],
)
def test_what_does_not_say_how_it_was_run_is_refused(
    tmp_path: Path, ran: Ran, capsys: pytest.CaptureFixture[str], damage: Any, summary: dict[str, Any], said: str
) -> None:
    folder = evidence(tmp_path / "run", "passed-drill-4.5.1-leader-killed", **{**RECORDED, **summary})
    damage(folder)
    assert cli.main(["replay", str(folder)]) == cli.EXIT_USAGE
    assert said in capsys.readouterr().err
    assert ran.calls == []
