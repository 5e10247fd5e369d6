"""The evidence of a run on disk, and the figures and the page made from it.

``prepare_report`` before a long run, ``write_report`` after it, ``load_report`` to judge and draw it again. Importing
this loads neither matplotlib nor jinja2 (extra ``report``): they come with the first page.
"""

from __future__ import annotations

from rmqkit.report.evidence import Evidence
from rmqkit.report.needs import check_target, ensure_available, prepare_report
from rmqkit.report.report import Report, load_report, render_report, write_report

__all__ = [
    "Evidence",
    "Report",
    "check_target",
    "ensure_available",
    "load_report",
    "prepare_report",
    "render_report",
    "write_report",
]
