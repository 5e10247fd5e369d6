"""The verdict over a run, the outages that its senders saw, and each fault in its phases, from its history alone."""

from __future__ import annotations

from rmqkit.checks.availability import Window, windows
from rmqkit.checks.findings import Finding
from rmqkit.checks.lost import lost_ids
from rmqkit.checks.outages import Outage, longest_gap_s, outages
from rmqkit.checks.timelines import Timeline, timeline_lines, timelines
from rmqkit.checks.verdict import Thresholds, Verdict, VerdictStatus, judge

__all__ = [
    "Finding",
    "Outage",
    "Thresholds",
    "Timeline",
    "Verdict",
    "VerdictStatus",
    "Window",
    "judge",
    "longest_gap_s",
    "lost_ids",
    "outages",
    "timeline_lines",
    "timelines",
    "windows",
]
