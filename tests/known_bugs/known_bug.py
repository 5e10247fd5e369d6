"""What every known bug's file needs: what was found, and the pair of releases that it is shown on.

What belongs here: the words. What does not: how a bug is provoked (one file each), clusters (``conftest.py``).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import StrEnum

import pytest

from rmqkit.cluster import Cluster
from rmqkit.cluster.status import GroupStatus


class Seen(StrEnum):
    """The two answers. A scenario that could not be played to its end raises instead."""

    REPRODUCED = "REPRODUCED"
    NOT_SEEN = "NOT SEEN"


@dataclass(frozen=True, slots=True)
class BugFinding:
    """What one run of a scenario found: ``evidence`` is what the kit's own answers said, a line each."""

    issue: str
    title: str
    seen: Seen
    evidence: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([f"{self.issue}, {self.title}: {self.seen}", *(f"  {line}" for line in self.evidence)])


def red_and_green(affected: str, fixed: str) -> pytest.MarkDecorator:
    """Run the test twice: on the ``affected`` edition it must be reproduced, on the ``fixed`` one it must not be."""
    return pytest.mark.parametrize(
        ("edition", "expected"),
        [
            pytest.param(affected, Seen.REPRODUCED, id=f"{affected}-red"),
            pytest.param(fixed, Seen.NOT_SEEN, id=f"{fixed}-green"),
        ],
    )


@dataclass(slots=True)
class Watch:
    """The group's status, looked at again and again: each disagreement of its views, and from when to when.

    The words are ``GroupStatus.disagreements``, as ``rmqkit status`` shows them.
    """

    cluster: Cluster
    began: float = field(default_factory=time.monotonic)
    spans: dict[str, list[float]] = field(default_factory=dict)

    def look(self) -> GroupStatus:
        """Ask everybody once."""
        group = self.cluster.status(timeout_s=1.0).groups[0]
        at = time.monotonic() - self.began
        for words in group.disagreements:
            self.spans.setdefault(words, [at, at])[1] = at
        return group

    def of(self, words: str) -> tuple[str, ...]:
        """The disagreements that have ``words`` in them, with their times: evidence."""
        return tuple(
            f"{text} (first seen at {first:.1f} s, last at {last:.1f} s)"
            for text, (first, last) in self.spans.items()
            if words in text
        )
