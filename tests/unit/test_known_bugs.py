"""The known bugs' own frame, without Docker: an answer that was not expected fails, and what was found is shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "known_bugs"

SCENARIO = """
from known_bug import BugFinding, Seen, red_and_green

@red_and_green("1.0.0", "2.0.0")
def test_it(edition, check):
    seen = {answers}[edition]
    check(BugFinding("rocketmq #0", "it breaks", seen, {evidence!r}))
"""


@pytest.fixture
def frame(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    for name in ("conftest.py", "known_bug.py"):
        (pytester.path / name).write_text((FOLDER / name).read_text(encoding="utf-8"), encoding="utf-8")
    return pytester


@pytest.mark.parametrize(
    ("answers", "evidence", "outcomes", "words"),
    [
        ('{"1.0.0": Seen.REPRODUCED, "2.0.0": Seen.NOT_SEEN}', ("n0 said so",), {"passed": 2}, "*2.0.0: *: NOT SEEN"),
        (
            '{"1.0.0": Seen.NOT_SEEN, "2.0.0": Seen.NOT_SEEN}',
            ("n0 said so",),
            {"passed": 1, "failed": 1},
            "*on 1.0.0, REPRODUCED was expected of rocketmq #0, it breaks: NOT SEEN*",
        ),
        (
            '{"1.0.0": Seen.REPRODUCED, "2.0.0": Seen.REPRODUCED}',
            ("n0 said so",),
            {"passed": 1, "failed": 1},
            "*on 2.0.0, NOT SEEN was expected of rocketmq #0, it breaks: REPRODUCED*",
        ),
        ('{"1.0.0": Seen.REPRODUCED, "2.0.0": Seen.NOT_SEEN}', (), {"failed": 2}, "*without evidence*"),
    ],
    ids=["as known", "not reproduced", "not mended", "without evidence"],
)
def test_another_answer_than_the_known_one_fails(
    frame: pytest.Pytester, answers: str, evidence: tuple[str, ...], outcomes: dict[str, int], words: str
) -> None:
    frame.makepyfile(SCENARIO.format(answers=answers, evidence=evidence))
    result = frame.runpytest("-p", "no:cacheprovider")
    result.assert_outcomes(**outcomes)
    result.stdout.fnmatch_lines([words])
    if evidence:
        result.stdout.fnmatch_lines(["*known bugs*", "1.0.0: rocketmq #0, it breaks: *", "  n0 said so"])


def test_the_page_lists_every_scenario_and_each_has_both_answers() -> None:
    page = (ROOT / "docs" / "known-bugs.md").read_text(encoding="utf-8")
    scenarios = sorted(FOLDER.glob("test_*.py"))
    assert len(scenarios) >= 5
    for path in scenarios:
        text = path.read_text(encoding="utf-8")
        assert path.name in page, f"{path.name} is not in docs/known-bugs.md"
        assert "red_and_green(" in text or {"Seen.REPRODUCED", "Seen.NOT_SEEN"} <= set(re.findall(r"Seen\.\w+", text))
        assert "pytest.mark.long" in text, f"{path.name} would run by default"
