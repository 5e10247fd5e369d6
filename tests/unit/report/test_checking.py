"""Promises of judging a folder again: the same verdict from the folder alone, and no success from what was changed."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from report_runs import small

from rmqkit.checks import Thresholds, judge
from rmqkit.errors import UsageError
from rmqkit.history import History
from rmqkit.report import check, load_report, write_evidence
from rmqkit.report import evidence as on_disk

SAVED = Path(__file__).parents[2] / "histories"
RECORDED = SAVED / "passed-drill-4.5.1-leader-killed.jsonl"
"""A run as a real 4.5.1 cluster gave it."""
SUMMARY = {"format": 1, "command": "drill"}
NEEDS = Thresholds(min_acked_before=5, min_acked_after=5, min_replicas=3, max_outage_s=60.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The evidence of the recorded run, with a log beside it."""
    beside = tmp_path / "beside"
    (beside / "logs" / "n0").mkdir(parents=True)
    (beside / "logs" / "n0" / "console.log").write_text("leader elected\n")
    directory = tmp_path / "run"
    history = History.import_jsonl(RECORDED)
    write_evidence(directory, history=history, summary=SUMMARY, thresholds=NEEDS, title="A drill", beside=beside)
    return directory


def without(history: Path, message_id: str, *, replica: str, out: Path) -> History:
    """The same history, but that replica never showed the message in its read-back."""
    lines = [json.loads(line) for line in history.read_text().splitlines()[:-1]]
    kept = [each for each in lines if (each.get("replica"), each.get("message_id")) != (replica, message_id)]
    assert len(kept) == len(lines) - 1
    kept.append({"type": "end", "lines": len(kept)})
    out.write_text("".join(json.dumps(each) + "\n" for each in kept))
    return History.import_jsonl(out)


def replace_history(folder: Path, history: History) -> None:
    shutil.rmtree(folder / "history")
    history.save(folder / "history")


def sign_again(folder: Path) -> None:
    """Make the manifest say that the files are as they were written: damage by somebody who knows how."""
    manifest = json.loads((folder / "report.json").read_text())
    for name in manifest["files"]:
        manifest["files"][name] = asdict(on_disk._fact(folder / name))
    (folder / "report.json").write_text(json.dumps(manifest))


# ---- the same verdict


def test_a_run_that_was_really_recorded_is_judged_the_same_from_its_folder_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = judge(History.import_jsonl(RECORDED), NEEDS)
    for name in ("matplotlib", "jinja2", "docker"):
        monkeypatch.setitem(sys.modules, name, None)  # none of them is needed
    checked = check(folder)
    assert checked.verdict == expected
    assert (checked.verdict.exit_code, checked.recorded, checked.remarks) == (0, "PASSED", [])
    assert json.loads((folder / "verdict.json").read_text()) == json.loads(json.dumps(expected.as_dict()))
    assert (folder / "verdict.md").read_text().startswith("## PASSED: A drill\n")


@pytest.mark.parametrize("path", sorted(SAVED.glob("[!u]*.jsonl")), ids=lambda path: path.stem)
def test_a_history_by_itself_is_judged_by_what_any_run_needs(path: Path, tmp_path: Path) -> None:
    checked = check(path)
    assert checked.verdict == judge(History.import_jsonl(path))
    assert checked.remarks == ["nothing says what this run was to prove: it is judged by what any run needs"]
    History.import_jsonl(path).save(tmp_path / "history")
    assert check(tmp_path / "history").verdict.status == checked.verdict.status


def test_the_longest_outage_that_is_allowed_can_be_another(folder: Path) -> None:
    assert check(folder, max_outage_s=30.0).verdict.exit_code == 0
    checked = check(folder, max_outage_s=2.0)
    assert checked.verdict.exit_code == 1
    assert {each.kind for each in checked.verdict.violations} == {"outage"}
    assert checked.remarks == ["it was PASSED when it was recorded, and is judged FAILED now"]


def test_a_run_that_was_only_measured_passes_only_with_what_any_run_needs(tmp_path: Path) -> None:
    write_evidence(tmp_path / "run", history=History(), summary=SUMMARY)
    assert not (tmp_path / "run" / "verdict.json").exists()
    checked = check(tmp_path / "run")
    assert checked.verdict.exit_code == 3
    assert checked.remarks[0].startswith("nothing says what this run was to prove")


# ---- a test that failed


def kept(folder: Path, **needs: float) -> Path:
    """What a failed test leaves that recorded a run without fault or loss."""
    thresholds = replace(NEEDS, **needs)
    summary = {"format": 1, "command": "pytest", "test": "test_m.py::test_it", "failure": "AssertionError: no"}
    history = History.import_jsonl(RECORDED)
    write_evidence(folder, history=history, summary=summary, thresholds=thresholds, title="failed test test_it")
    return folder


def test_what_a_failed_test_recorded_never_passes(tmp_path: Path) -> None:
    assert judge(History.import_jsonl(RECORDED), NEEDS).exit_code == 0
    checked = check(kept(tmp_path / "run"))
    assert (checked.verdict.exit_code, checked.recorded, checked.remarks) == (3, "INCONCLUSIVE", [])
    assert [each.text for each in checked.verdict.doubts] == ["the test itself failed: test_m.py::test_it"]
    text = (tmp_path / "run" / "verdict.md").read_text()
    assert text.startswith("## INCONCLUSIVE: failed test test\\_it\n")
    assert "- the test itself failed: test\\_m.py::test\\_it\n" in text
    assert json.loads((tmp_path / "run" / "verdict.json").read_text())["status"] == "INCONCLUSIVE"
    report = load_report(tmp_path / "run")
    assert (report.verdict, report.judged_otherwise) == (checked.verdict, "")


def test_what_a_failed_test_saw_lost_stays_failed(tmp_path: Path) -> None:
    checked = check(kept(tmp_path / "run", max_outage_s=2.0))
    assert (checked.verdict.exit_code, checked.recorded) == (1, "FAILED")
    assert {each.kind for each in checked.verdict.doubts} == {"test-failed"}


# ---- tampered


@pytest.mark.parametrize("signed", [False, True], ids=["as it is", "with a manifest that agrees"])
def test_an_acknowledged_message_taken_out_of_the_read_back_turns_passed_into_failed(
    folder: Path, tmp_path: Path, signed: bool
) -> None:
    victim = next(each for each in History.import_jsonl(RECORDED).sends() if each.outcome == 0).message_id
    replace_history(folder, without(RECORDED, victim, replica="n1", out=tmp_path / "tampered.jsonl"))
    if signed:
        sign_again(folder)
    checked = check(folder)
    assert checked.verdict.exit_code == 1
    # One of two replicas that show it lacks it: that is told as such, too.
    (lost,) = (each for each in checked.verdict.violations if each.kind == "acknowledged-lost")
    assert lost.ids == (victim,)
    assert bool(checked.changed) is not signed
    assert checked.remarks[-1] == "it was PASSED when it was recorded, and is judged FAILED now"


def test_evidence_that_is_not_as_it_was_written_proves_no_success(folder: Path) -> None:
    log = folder / "logs" / "n0" / "console.log"
    log.write_text("nothing happened\n")
    checked = check(folder)
    assert checked.verdict.exit_code == 3
    assert [each.kind for each in checked.verdict.doubts] == ["changed"]
    assert f"{log} is damaged, or of another run: 17 bytes instead of 15" in str(checked.verdict)
    log.unlink()
    assert f"{log} is missing" in str(check(folder).verdict)


def test_thresholds_that_were_lowered_are_taken_as_they_are_but_the_numbers_tell(folder: Path) -> None:
    """The manifest has no checksum of itself: whoever edits it decides what the run was to prove."""
    manifest = folder / "report.json"
    manifest.write_text(manifest.read_text().replace('"min_acked_before": 5', '"min_acked_before": 100000'))
    assert check(folder).verdict.exit_code == 3


# ---- what is no evidence, or not whole


def cut_in_mid_line(folder: Path) -> None:
    path = folder / "history" / "history.jsonl"
    path.write_text(path.read_text()[:-20])


def older_history(folder: Path) -> None:
    path = folder / "history" / "history.jsonl"
    path.write_text(path.read_text().replace('"format": 5', '"format": 2', 1))


def other_manifest(folder: Path) -> None:
    path = folder / "report.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 7', 1))


def garbage(folder: Path) -> None:
    (folder / "report.json").write_text("{")


def empty_manifest(folder: Path) -> None:
    (folder / "report.json").write_text("")


def two_runs_in_one(folder: Path) -> None:
    small().save(folder / "another")
    for path in (folder / "another").glob("sends-*"):
        path.rename(folder / "history" / "sends-000009.parquet")


def no_history(folder: Path) -> None:
    shutil.rmtree(folder / "history")


def part_is_garbage(folder: Path) -> None:
    next((folder / "history").glob("reads-*")).write_bytes(b"PAR1 no")


def part_is_missing(folder: Path) -> None:
    next((folder / "history").glob("sends-*")).unlink()


def nothing_at_all(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def not_there(folder: Path) -> None:
    shutil.rmtree(folder)


def killed_while_it_was_written(folder: Path) -> None:
    (folder / "report.json").unlink()


BAD: list[tuple[Callable[[Path], None], str]] = [
    (cut_in_mid_line, "was cut short in the middle of line"),
    (older_history, "format 2, and this version reads formats 3 to 5"),
    (other_manifest, "is of format 7; this version reads format 1"),
    (garbage, "is damaged, or not rmqkit's"),
    (empty_manifest, "is damaged, or not rmqkit's"),
    (two_runs_in_one, "sends-000009.parquet is no file of this report"),
    (no_history, "is no history"),
    (part_is_garbage, "is no part of a history that can be read"),
    (part_is_missing, "is no part of a history that can be read"),
    (nothing_at_all, "is no evidence of a run: it has no report.json"),
    (not_there, "does not exist"),
    (killed_while_it_was_written, "has a history and no report.json"),
]


@pytest.mark.parametrize(("damage", "said"), BAD, ids=[damage.__name__ for damage, _ in BAD])
def test_what_cannot_be_judged_is_refused_by_name(folder: Path, damage: Callable[[Path], None], said: str) -> None:
    damage(folder)
    with pytest.raises(UsageError) as caught:
        check(folder)
    assert said in str(caught.value)
    assert "What to do" in str(caught.value)


def test_a_folder_of_several_runs_names_them(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"it holds several: run") as caught:
        check(folder.parent)
    assert caught.value.hint == f"name one: {folder}"


def test_a_history_that_a_killed_run_left_is_inconclusive_whatever_it_shows(folder: Path, tmp_path: Path) -> None:
    (folder / "history" / "history.jsonl").unlink()
    checked = check(folder)
    assert checked.verdict.exit_code == 3
    assert {"changed", "incomplete"} <= {each.kind for each in checked.verdict.doubts}
    with History.recording(tmp_path / "growing") as history:
        for each in small().sends():
            history.add_send(each)
        history.flush()
        shutil.copytree(tmp_path / "growing", tmp_path / "killed")
    assert check(tmp_path / "killed").verdict.doubts[0].kind == "incomplete"


def test_an_empty_run_never_passes(tmp_path: Path) -> None:
    nothing = Thresholds(min_acked_before=0, min_acked_after=0, fault_required=False)
    write_evidence(tmp_path / "run", history=History(), summary=SUMMARY, thresholds=nothing)
    assert check(tmp_path / "run").verdict.exit_code == 3


# ---- what is written


def test_nothing_is_overwritten(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match="is not empty"):
        write_evidence(folder, history=small(), summary=SUMMARY)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "name", ["report.json", "summary.json", "history/x", "verdict.md", "index.html", "plots/x.svg"]
)
def test_what_is_kept_beside_takes_no_name_of_the_report(tmp_path: Path, name: str) -> None:
    (tmp_path / "beside" / name).parent.mkdir(parents=True)
    (tmp_path / "beside" / name).write_text("mine")
    with pytest.raises(UsageError, match="has the name of a part of the report"):
        write_evidence(tmp_path / "run", history=small(), summary=SUMMARY, beside=tmp_path / "beside")
    assert not (tmp_path / "run").exists()


def test_markdown_holds_the_findings_and_nothing_that_a_broker_said_is_markup(folder: Path) -> None:
    summary = {**SUMMARY, "notes": ["<b>|`x`\n# no heading"], "cluster": {"build": "4.9.8 | [x](y)"}}
    bare = Thresholds(min_replicas=9)
    write_evidence(folder.parent / "two", history=small(), summary=summary, thresholds=bare, title="T", command=["a b"])
    text = (folder.parent / "two" / "verdict.md").read_text()
    assert text.startswith(
        "## INCONCLUSIVE: T\n\n| | |\n|---|---|\n| sends | 300: 240 acknowledged, 59 refused, 1 unknown |"
    )
    assert (
        "### What the verdict lacks\n\n- only 3 replicas were read back; 9 needed\n  - read back every replica" in text
    )
    assert "- &lt;b&gt;\\|\\`x\\` \\# no heading\n" in text
    assert "| cluster | 4.9.8 \\| \\[x](y) |" in text
    assert "| command | 'a b' |" in text
