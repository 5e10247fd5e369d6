"""``rmqkit doctor``: what is wrong with a specification, a rendered folder, or hand-written files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rmqkit.cli import EXIT_FAILED, EXIT_OK
from rmqkit.cli.common import say, show
from rmqkit.deploy.doctor import Diagnosis, LocalMachine, ReachedNetwork, examine_paths
from rmqkit.topology.doctor.registry import About, Finding, Severity


def run(
    *,
    paths: Sequence[Path],
    edition: str | None,
    machine: bool,
    network: bool,
    host: str | None,
    as_json: bool,
) -> int:
    """Look, print, and say by the exit code whether there is an error."""
    seen = examine_paths(
        paths,
        edition=edition,
        machine=LocalMachine() if machine or host is not None else None,
        network=ReachedNetwork() if network else None,
        host=host,
    )
    if as_json:
        show([json.dumps(_plain(seen), indent=2, ensure_ascii=False)])
    else:
        lines = [line for about, places in _grouped(seen) for line in _lines(about, places)]
        if lines:
            show(lines)
        say(_summary(seen))
    return EXIT_OK if seen.healthy else EXIT_FAILED


def _grouped(seen: Diagnosis) -> list[tuple[About, list[Finding]]]:
    """Findings of one name together: why it hurts is said once."""
    found: dict[str, list[Finding]] = {}
    for finding in seen.findings:
        found.setdefault(finding.about.name, []).append(finding)
    return [(findings[0].about, findings) for findings in found.values()]


def _lines(about: About, places: Sequence[Finding]) -> list[str]:
    return [
        f"{about.severity}: {about.name}: {about.what}",
        *(f"    {finding.where}: {finding.seen}" for finding in places),
        f"    why:  {about.why}",
        f"    mend: {about.mend}",
        "",
    ]


def _summary(seen: Diagnosis) -> str:
    errors = sum(finding.about.severity is Severity.ERROR for finding in seen.findings)
    looked = f"{len(seen.files)} files, {seen.brokers} brokers, {seen.nameservers} NameServers looked at"
    return f"{looked}: {errors} errors, {len(seen.findings) - errors} warnings"


def _plain(seen: Diagnosis) -> dict[str, object]:
    return {
        "healthy": seen.healthy,
        "files": list(seen.files),
        "brokers": seen.brokers,
        "nameservers": seen.nameservers,
        "findings": [
            {
                "name": finding.about.name,
                "severity": finding.about.severity.value,
                "where": finding.where,
                "what": finding.about.what,
                "seen": finding.seen,
                "why": finding.about.why,
                "mend": finding.about.mend,
            }
            for finding in seen.findings
        ],
    }
