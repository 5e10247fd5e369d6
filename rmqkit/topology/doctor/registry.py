"""The register of findings: for each its name, why it hurts, the mend, and the check that looks for it.

What belongs here: the values, the decorator that registers a check, and :func:`examine`. What does not: any check.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from rmqkit.topology.doctor.model import Case


class Severity(StrEnum):
    """``ERROR``: it does not start, loses something, or breaks at a failover. ``WARNING``: it hurts, or may."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class About:
    """What a finding means, wherever it is found. ``why`` names its source: a class of RocketMQ, or an issue."""

    name: str
    severity: Severity
    what: str
    why: str
    mend: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding in one place."""

    about: About
    where: str
    seen: str


Seen = tuple[str, str]
"""Where, and what was seen there."""
Check = Callable[[Case], Iterable[Seen]]


class Register:
    """Findings of one module, in the order in which they are written there."""

    def __init__(self) -> None:
        self.entries: dict[str, tuple[About, Check]] = {}

    def __call__(self, name: str, severity: Severity, *, what: str, why: str, mend: str) -> Callable[[Check], Check]:
        """Register the decorated check under ``name``."""

        def put(check: Check) -> Check:
            assert name not in self.entries, f"{name} is registered twice"
            self.entries[name] = (About(name, severity, what, why, mend), check)
            return check

        return put


def noted(name: str) -> Check:
    """The check of a finding that the reader of a file has already seen."""

    def check(case: Case) -> Iterator[Seen]:
        for note in (*case.notes, *(note for member in case.members for note in member.notes)):
            if note.finding == name:
                yield note.where, note.seen

    return check


def examine(case: Case, entries: Mapping[str, tuple[About, Check]]) -> list[Finding]:
    """Every finding in ``case``: errors first, then in the order of the register; each place once."""
    found = [
        Finding(about, where, seen) for about, check in entries.values() for where, seen in dict.fromkeys(check(case))
    ]
    return sorted(found, key=lambda finding: finding.about.severity is not Severity.ERROR)
