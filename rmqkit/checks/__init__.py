"""The verdict over a run, from its history alone."""

from __future__ import annotations

from rmqkit.checks.findings import Finding
from rmqkit.checks.verdict import Thresholds, Verdict, VerdictStatus, judge

__all__ = ["Finding", "Thresholds", "Verdict", "VerdictStatus", "judge"]
