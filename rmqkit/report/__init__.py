"""The evidence of a run on disk, and the figures and the page made from it.

``prepare_report`` before a long run, ``write_report`` after it (``write_evidence``: without a page), ``load_report`` to
judge and draw it again, ``check`` to judge it only, whatever became of its files. Importing this loads neither
matplotlib nor jinja2 (extra ``report``): they come with the first page.
"""

from __future__ import annotations

from rmqkit.report.checking import Checked, check
from rmqkit.report.evidence import Evidence
from rmqkit.report.needs import check_target, ensure_available, prepare_report
from rmqkit.report.report import Report, load_report, render_report, write_evidence, write_report

__all__ = [
    "Checked",
    "Evidence",
    "Report",
    "check",
    "check_target",
    "ensure_available",
    "load_report",
    "prepare_report",
    "render_report",
    "write_evidence",
    "write_report",
]
