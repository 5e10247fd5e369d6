"""Histories that were saved once and must be judged the same for ever: see tests/histories/README.md."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rmqkit.checks import Thresholds, judge
from rmqkit.errors import UsageError
from rmqkit.history import History

FOLDER = Path(__file__).parents[2] / "histories"
ENOUGH = Thresholds(min_acked_before=5, min_acked_after=5, min_replicas=3)
LITTLE = {
    "passed-trimmed-on-one-replica": replace(ENOUGH, min_acked_before=2),
    "passed-recorded-4.5.1-retention-and-redelivery": replace(ENOUGH, min_acked_before=0),
}
"""Of these a replica deleted so much itself that they pass only where less is asked for."""


def saved(verdict: str) -> list[object]:
    return [pytest.param(path, id=path.stem) for path in sorted(FOLDER.glob(f"{verdict}-*.jsonl"))]


@pytest.mark.parametrize("path", saved("passed"))
def test_a_good_history_passes(path: Path) -> None:
    verdict = judge(History.import_jsonl(path), LITTLE.get(path.stem, ENOUGH))
    assert str(verdict.status) == "PASSED", verdict


@pytest.mark.parametrize("name", LITTLE)
def test_where_replicas_deleted_most_of_it_the_usual_evidence_is_not_there(name: str) -> None:
    verdict = judge(History.import_jsonl(FOLDER / f"{name}.jsonl"), ENOUGH)
    assert str(verdict.status) == "INCONCLUSIVE", verdict
    assert {doubt.kind for doubt in verdict.doubts} == {"much-trimmed"}


@pytest.mark.parametrize("path", saved("failed"))
def test_a_bad_history_fails_for_the_reason_in_its_name(path: Path) -> None:
    verdict = judge(History.import_jsonl(path), ENOUGH)
    assert str(verdict.status) == "FAILED", verdict
    (kind,) = {finding.kind for finding in verdict.violations}
    assert path.stem.removeprefix("failed-").startswith(kind)


@pytest.mark.parametrize("path", saved("inconclusive"))
def test_a_history_that_proves_nothing_is_inconclusive_for_the_reason_in_its_name(path: Path) -> None:
    verdict = judge(History.import_jsonl(path), ENOUGH)
    assert str(verdict.status) == "INCONCLUSIVE", verdict
    assert any(path.stem.removeprefix("inconclusive-").startswith(doubt.kind) for doubt in verdict.doubts), verdict


@pytest.mark.parametrize("path", saved("unreadable"))
def test_a_file_that_is_no_whole_history_is_refused_and_its_line_named(path: Path) -> None:
    with pytest.raises(UsageError, match=r"line \d+"):
        History.import_jsonl(path)


def test_there_are_saved_histories_of_every_kind() -> None:
    """A folder that was moved would make all the tests above pass by being empty."""
    assert {path.stem.partition("-")[0] for path in FOLDER.glob("*.jsonl")} == {
        "passed",
        "failed",
        "inconclusive",
        "unreadable",
    }
