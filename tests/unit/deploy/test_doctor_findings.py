"""Every finding of the doctor, on files that have it and on files that do not."""

from __future__ import annotations

from pathlib import Path

import pytest
from doctor_cases import FILES, NAMES, DoctorCase

from rmqkit.topology.doctor.findings import REGISTER
from rmqkit.topology.doctor.registry import Severity

ROOT = Path(__file__).resolve().parents[3]


def test_every_finding_has_a_bad_and_a_good_set_of_files() -> None:
    assert sorted(REGISTER) == NAMES
    assert not [name for name in NAMES for kind in ("bad", "good") if not any((FILES / name / kind).iterdir())]
    assert len(NAMES) >= 25


@pytest.mark.parametrize("name", NAMES)
def test_a_finding_is_found_where_it_is(name: str, tmp_path: Path) -> None:
    case = DoctorCase.prepared(name, "bad", tmp_path)
    seen = case.examine()
    assert {finding.about.name for finding in seen.findings} == {name, *case.said.get("also", [])}
    places = [case.place(finding.where) for finding in seen.findings if finding.about.name == name]
    assert places == case.said["at"]
    assert seen.healthy == all(finding.about.severity is Severity.WARNING for finding in seen.findings)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_found_in_files_that_are_right(name: str, tmp_path: Path) -> None:
    seen = DoctorCase.prepared(name, "good", tmp_path).examine()
    assert [f"{finding.about.name} {finding.where} {finding.seen}" for finding in seen.findings] == []
    assert seen.files


def test_every_finding_is_described_in_the_documents() -> None:
    text = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    wanted = [
        f"| `{about.name}` | {about.severity} | {about.what} | {about.why} | {about.mend} |"
        for about, _ in REGISTER.values()
    ]
    assert rows == wanted
