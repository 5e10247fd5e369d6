"""What to do is said of every kind of finding, and of nothing that is no kind."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from model_runs import Run, plain_run

from rmqkit import checks
from rmqkit.checks import judge
from rmqkit.checks.verdict import ADVICE

NOTES = {"recovered", "trimmed", "redelivered", "redelivered-elsewhere"}
"""Nothing need be done about what is only counted."""


def kinds() -> set[str]:
    """The kinds that the checks give to findings: the literals that ``Finding`` and ``doubt`` are called with."""
    found: set[str] = set()
    for path in sorted(Path(checks.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("Finding", "doubt"):
                first = node.args[0]
                found |= {first.value} if isinstance(first, ast.Constant) and isinstance(first.value, str) else set()
    return found


def test_every_kind_of_violation_and_doubt_has_advice() -> None:
    found = kinds()
    assert {"acknowledged-lost", "outage", "empty", "no-fault", "consumers-undrained", "trimmed-untold"} <= found
    assert found - NOTES == ADVICE.keys()


@pytest.mark.parametrize("run", [Run(), plain_run(before=1, replicas=("n0",))])
def test_advice_is_shown_beside_every_doubt(run: Run) -> None:
    verdict = judge(run.history())
    assert verdict.doubts
    lines = str(verdict).splitlines()
    for doubt in verdict.doubts:
        assert lines[lines.index(f"  ? {doubt.text}") + 1] == f"      → {ADVICE[doubt.kind]}"
