"""Write a report, read one back, draw what is missing of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmqkit.checks import Thresholds, Verdict
from rmqkit.errors import MachineError, UsageError
from rmqkit.history import History
from rmqkit.report import evidence as on_disk
from rmqkit.report.evidence import Evidence, gathered
from rmqkit.report.judging import judged
from rmqkit.report.needs import check_target, ensure_available, prepare_report
from rmqkit.report.placing import placed

PAGE = "index.html"


@dataclass(frozen=True, slots=True)
class Report:
    """The evidence of a run, and the verdict that it gives now; None where the run was measured and not judged."""

    directory: Path
    evidence: Evidence
    verdict: Verdict | None

    @property
    def page(self) -> Path:
        """Where the page is, or will be."""
        return self.directory / PAGE

    @property
    def title(self) -> str:
        """What the page is headed."""
        return self.evidence.title

    @property
    def judged_otherwise(self) -> str:
        """Says so where the evidence now gives another verdict than the one recorded with it; else empty."""
        recorded, now = self.evidence.recorded, str(self.verdict.status) if self.verdict else None
        if recorded == now:
            return ""
        return f"it was {recorded or 'not judged'} when the report was written: this version of rmqkit judges otherwise"


def write_report(
    directory: Path,
    *,
    history: History,
    summary: Mapping[str, Any],
    thresholds: Thresholds | None = None,
    verdict: Verdict | None = None,
    title: str = "",
    command: Sequence[str] = (),
    beside: Path | None = None,
) -> Path:
    """Write evidence, figures and page of a run into a new or empty folder; gives the page's path.

    ``summary`` says what was run (``format`` 1; see docs/report.md). ``thresholds`` are what the verdict needs, and
    None means that the run was measured and not judged; ``verdict`` is their verdict over ``history`` where that is
    known already. ``command`` is the command line as it was typed. ``beside`` is a folder whose files (logs, samples
    of status) become part of the evidence.

    The evidence gets its names before the page is drawn: if drawing fails, ``rmqkit report DIR`` draws it later.
    Nothing is overwritten, and nothing is left half: raises UsageError for a folder that is not empty or a summary that
    is none, MachineError for a missing library (see :func:`~rmqkit.report.prepare_report`) or a disk that refuses.
    """
    prepare_report(directory)
    if verdict is None and thresholds is not None:
        verdict = judged(history, thresholds, summary)
    written = write_evidence(
        directory,
        history=history,
        summary=summary,
        thresholds=thresholds,
        verdict=verdict,
        title=title,
        command=command,
        beside=beside,
    )
    render_report(Report(directory, written, verdict))
    return directory / PAGE


def write_evidence(
    directory: Path,
    *,
    history: History,
    summary: Mapping[str, Any],
    thresholds: Thresholds | None = None,
    verdict: Verdict | None = None,
    title: str = "",
    command: Sequence[str] = (),
    beside: Path | None = None,
) -> Evidence:
    """Write what a page is made from, and no page: no library is needed, and ``rmqkit report DIR`` draws it later.

    Arguments and errors are those of :func:`write_report`.
    """
    check_target(directory)
    if verdict is not None and thresholds is None:
        raise UsageError("a verdict without the thresholds that it was judged with", hint="give write_report both")
    if thresholds is not None and verdict is None:
        verdict = judged(history, thresholds, summary)
    found = gathered(history, summary, thresholds=thresholds, verdict=verdict, title=title, command=command)
    with placed(directory, last=on_disk.MANIFEST) as folder:
        on_disk.save(found, folder, verdict=verdict, beside=beside)
    # Read from its manifest again, so that what follows has what is on disk; the history need not be read twice.
    return on_disk.load(directory, history=history)


def load_report(directory: Path) -> Report:
    """Read a report's evidence back and judge it again.

    Raises UsageError naming the file that is missing, damaged or of something else; MachineError where the disk
    refuses.
    """
    found = on_disk.load(directory)
    verdict = judged(found.history, found.thresholds, found.summary) if found.thresholds else None
    return Report(directory, found, verdict)


def render_report(report: Report) -> list[Path]:
    """Draw the figures and the page from the evidence; gives what was written.

    What is there already must be the same to the byte: raises UsageError naming the file that is not, and writes
    nothing.
    """
    ensure_available()
    from rmqkit.report.page import drawn  # noqa: PLC0415 - matplotlib and jinja2 take a second

    files = drawn(report.evidence, report.verdict, report.judged_otherwise)
    missing = {name: content for name, content in files.items() if not _is_there(report.directory / name, content)}
    if missing:
        with placed(report.directory, last=PAGE) as folder:
            for name, content in missing.items():
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_bytes(content)
    return [report.directory / name for name in missing]


def _is_there(path: Path, content: bytes) -> bool:
    """Whether the file is there as it should be. Raises UsageError where it is another."""
    try:
        if path.read_bytes() == content:
            return True
    except FileNotFoundError:
        return False
    except OSError as error:
        raise MachineError(f"{path} cannot be read: {error.strerror}", hint="is it yours?") from error
    raise UsageError(
        f"{path} is not what the evidence gives: damaged, edited, or drawn by another version of rmqkit or matplotlib",
        hint="the evidence is whole: remove plots and index.html of that folder to have them drawn again",
    )
