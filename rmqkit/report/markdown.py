"""A verdict as Markdown, for the summary that a CI system shows of a job."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rmqkit.checks import Verdict
from rmqkit.checks.verdict import ADVICE

_MARKS = {"<": "&lt;", ">": "&gt;", **{mark: f"\\{mark}" for mark in "\\|`*_[#"}}
_WINDOWS = 10


def markdown(
    verdict: Verdict, *, title: str, summary: Mapping[str, Any], command: Sequence[str] = (), at: str = ""
) -> str:
    """A heading, a table of what was counted, and every finding with what to do about it."""
    lines = [f"## {verdict.status}: {plain(title)}", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in _facts(verdict, summary, command, at)]
    for heading, findings in (
        ("Violations", verdict.violations),
        ("What the verdict lacks", verdict.doubts),
        ("Notes", verdict.notes),
    ):
        if findings:
            lines += ["", f"### {heading}", ""]
        for finding in findings:
            lines.append(f"- {plain(finding.text)}")
            if finding.ids:
                lines.append(f"  - for example {', '.join(map(plain, finding.ids))}")
            if finding.kind in ADVICE and heading != "Notes":
                lines.append(f"  - {plain(ADVICE[finding.kind])}")
    if notes := summary.get("notes"):
        lines += ["", "### About the run", "", *(f"- {plain(str(note))}" for note in notes)]
    return "\n".join(lines) + "\n"


def _facts(verdict: Verdict, summary: Mapping[str, Any], command: Sequence[str], at: str) -> Iterator[tuple[str, str]]:
    numbers = verdict.numbers
    counted = ", ".join(f"{numbers[outcome]} {outcome}" for outcome in ("acknowledged", "refused", "unknown"))
    yield "sends", f"{numbers['sent']}: {counted}"
    sides = ", ".join(f"{numbers[f'acknowledged_{when}_fault']} {when}" for when in ("before", "during", "after"))
    yield "acknowledged around the faults", sides
    yield "read back", f"{numbers['read']} messages from {numbers['replicas']} replicas"
    if "received" in numbers:
        yield "received", f"{numbers['received']} by {numbers['consumers']} groups"
    for number, window in enumerate(verdict.windows[:_WINDOWS]):
        yield ("windows" if number == 0 else ""), plain(str(window))
    if len(verdict.windows) > _WINDOWS:
        yield "", f"and {len(verdict.windows) - _WINDOWS} windows more"
    cluster = summary.get("cluster")
    if isinstance(cluster, Mapping) and cluster.get("build"):
        yield "cluster", plain(str(cluster["build"]))
    if summary.get("seed") is not None:
        yield "seed", plain(str(summary["seed"]))
    if command:
        yield "command", plain(shlex.join(command))
    if at:
        yield "recorded (UTC)", plain(at)


def plain(text: str) -> str:
    """Text in which nothing is markup, on one line."""
    shown = " ".join(text.split())
    return "".join(_MARKS.get(character, character) for character in shown)
