"""What a run's evidence gives when it is judged: the verdict of its history, and what the run itself says against it.

What belongs here: what turns a success into none though no operation shows it. What does not: the checks (``checks``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rmqkit.checks import Thresholds, Verdict, VerdictStatus, judge
from rmqkit.checks.findings import Finding
from rmqkit.history import History


def judged(history: History, thresholds: Thresholds, summary: Mapping[str, Any]) -> Verdict:
    """The verdict of a run: that of its history; of a test that failed it is never PASSED, whatever that recorded."""
    verdict = judge(history, thresholds)
    # A summary that is none is refused where it is written or read.
    if isinstance(summary, Mapping) and summary.get("command") == "pytest" and "failure" in summary:
        return doubted(
            verdict, Finding("test-failed", 1, f"the test itself failed: {summary.get('test') or 'unnamed'}")
        )
    return verdict


def doubted(verdict: Verdict, doubt: Finding) -> Verdict:
    """The same verdict, but no success; what was seen to be wrong stays FAILED."""
    status = VerdictStatus.FAILED if verdict.violations else VerdictStatus.INCONCLUSIVE
    return replace(verdict, status=status, doubts=(doubt, *verdict.doubts))
