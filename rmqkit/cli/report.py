"""``rmqkit report``: judge a report's evidence again, and draw what is missing of its page."""

from __future__ import annotations

import json
from pathlib import Path

from rmqkit.cli import EXIT_OK
from rmqkit.cli.common import say, show
from rmqkit.report import load_report, render_report


def run(*, directory: Path, as_json: bool) -> int:
    """The exit code is the verdict's; 0 for a run that was measured and not judged."""
    report = load_report(directory)
    if report.judged_otherwise:
        say(f"rmqkit: {report.judged_otherwise}")
    written = render_report(report)
    if as_json:
        verdict = report.verdict.as_dict() if report.verdict else None
        answer = {
            "title": report.title,
            "verdict": verdict,
            "page": str(report.page),
            "written": list(map(str, written)),
        }
        show([json.dumps(answer, indent=2)])
    else:
        judged = str(report.verdict) if report.verdict else "measured, not judged"
        drawn = (
            f"drawn now, with {len(written) - 1} figures" if report.page in written else "there already, and the same"
        )
        show([report.title, "", judged, "", f"page: {report.page} ({drawn})"])
    return report.verdict.exit_code if report.verdict else EXIT_OK
