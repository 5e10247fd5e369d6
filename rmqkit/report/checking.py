"""Judging a folder again, whatever became of it: from what is in it alone.

What belongs here: finding the evidence in a folder, and saying what of it is not as it was written. What does not: the
verdict (``checks``), drawing (``report``), which both take nothing but whole evidence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rmqkit.checks import Outage, Thresholds, Timeline, Verdict, judge, outages, timelines
from rmqkit.checks.findings import Finding
from rmqkit.errors import UsageError
from rmqkit.history import History
from rmqkit.report import evidence as on_disk
from rmqkit.report.judging import doubted, judged
from rmqkit.report.markdown import markdown

_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a folder gives when it is judged now.

    ``recorded`` is what the run's own verdict was; None where it was not judged, or where that is not known: of a
    history alone. ``changed`` names files that are not as they were written.
    """

    path: Path
    title: str
    verdict: Verdict
    thresholds: Thresholds
    history: History = field(repr=False, compare=False)
    recorded: str | None
    judged_then: bool
    outages: tuple[Outage, ...] = ()
    timelines: tuple[Timeline, ...] = ()
    changed: tuple[str, ...] = ()
    summary: Mapping[str, Any] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    written_at: str = ""

    @property
    def remarks(self) -> list[str]:
        """What a reader must know beside the verdict."""
        lines = [f"not as it was written: {each}" for each in self.changed]
        if not self.judged_then:
            lines.append("nothing says what this run was to prove: it is judged by what any run needs")
        elif self.recorded != str(self.verdict.status):
            lines.append(f"it was {self.recorded} when it was recorded, and is judged {self.verdict.status} now")
        return lines

    def as_dict(self) -> dict[str, Any]:
        """Plain values for ``--json``."""
        return {
            "path": str(self.path),
            "title": self.title,
            "verdict": self.verdict.as_dict(),
            "recorded": self.recorded,
            "outages": [asdict(each) for each in self.outages],
            "timelines": [each.as_dict() for each in self.timelines],
            "changed": list(self.changed),
            "remarks": self.remarks,
            "command": list(self.command),
            "written_at": self.written_at or None,
            "notes": [str(note) for note in self.summary.get("notes") or ()],
        }

    def markdown(self) -> str:
        """The same for the summary that a CI system shows."""
        notes = [*(self.summary.get("notes") or ()), *self.remarks]
        return markdown(
            self.verdict,
            title=self.title,
            summary={**self.summary, "notes": notes},
            command=self.command,
            at=self.written_at,
        )


def check(path: Path, *, max_outage_s: float | None = None) -> Checked:
    """Judge what a run left in a folder, or a history by itself (a file or a folder), again.

    The thresholds are those that were kept with the evidence; ``max_outage_s`` takes the place of theirs. Evidence that
    is not as it was written proves no success: what would be PASSED is INCONCLUSIVE then, and what is seen lost is
    FAILED; so it is with that of a test that failed. A history that a killed run left is INCONCLUSIVE. Raises
    UsageError for what is no evidence, is of a format that this version does not read, or cannot be read.
    """
    if not path.exists():
        raise UsageError(f"{path} does not exist", hint="name a folder that --report wrote, or a history")
    if path.is_file() or _is_history(path):
        history = History.load(path, incomplete_ok=True)
        wanted = _bounded(Thresholds(), max_outage_s)
        return Checked(
            path=path,
            title=path.name,
            verdict=judge(history, wanted),
            thresholds=wanted,
            history=history,
            recorded=None,
            judged_then=False,
            outages=outages(history),
            timelines=timelines(history),
        )
    _check_is_evidence(path)
    changed: list[str] = []
    found = on_disk.load(path, changed=changed, incomplete_ok=True)
    wanted = _bounded(found.thresholds or Thresholds(), max_outage_s)
    return Checked(
        path=path,
        title=found.title,
        verdict=_doubted(judged(found.history, wanted, found.summary), changed),
        thresholds=wanted,
        history=found.history,
        recorded=found.recorded,
        judged_then=found.thresholds is not None,
        outages=outages(found.history),
        timelines=timelines(found.history),
        changed=tuple(changed),
        summary=found.summary,
        command=found.command,
        written_at=found.written_at,
    )


def _bounded(thresholds: Thresholds, max_outage_s: float | None) -> Thresholds:
    return thresholds if max_outage_s is None else replace(thresholds, max_outage_s=max_outage_s)


def _is_history(path: Path) -> bool:
    """Whether a folder is what History writes, by itself."""
    if (path / on_disk.MANIFEST).exists():
        return False
    return any((path / name).exists() for name in ("history.jsonl", "facts.jsonl")) or any(path.glob("*.parquet"))


def _check_is_evidence(path: Path) -> None:
    """Raises UsageError that says what there is instead, for a folder without a manifest."""
    if (path / on_disk.MANIFEST).is_file():
        return
    inside = sorted(each.parent.relative_to(path).as_posix() for each in path.glob(f"*/{on_disk.MANIFEST}"))
    if inside:
        shown = ", ".join(inside[:_SHOWN]) + (", …" if len(inside) > _SHOWN else "")
        raise UsageError(
            f"{path} is no evidence of one run: it holds several: {shown}", hint=f"name one: {path / inside[0]}"
        )
    if _is_history(path / on_disk.HISTORY):
        raise UsageError(
            f"{path} has a history and no {on_disk.MANIFEST}: its run was killed while it was written",
            hint=f"judge the history by itself: rmqkit check {path / on_disk.HISTORY}",
        )
    raise UsageError(
        f"{path} is no evidence of a run: it has no {on_disk.MANIFEST}",
        hint="name a folder that --report or a failed test wrote, or a history",
    )


def _doubted(verdict: Verdict, changed: list[str]) -> Verdict:
    """The verdict of evidence that is not as it was written: no success."""
    if not changed:
        return verdict
    what = "; ".join(changed[:_SHOWN]) + (f"; and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else "")
    return doubted(verdict, Finding("changed", len(changed), f"the evidence is not as it was written: {what}"))
