"""The verdict over a run, from its history alone."""

from __future__ import annotations

from rmqkit.checks.verdict import Finding, Thresholds, Verdict, VerdictStatus, judge

__all__ = ["Finding", "Thresholds", "Verdict", "VerdictStatus", "judge"]
