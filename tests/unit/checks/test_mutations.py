"""Every kind of violation that is seeded into a good run is found, and no good run is condemned.

The runs come from ``stories``, what is wrong in them from ``mutants``; neither shares code with the checks. Each
failure names its seed: ``good(seed)`` is that run. Real recorded runs are among the good ones.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import pytest
from mutants import with_silence
from mutants_delivered import DOUBTS, WAYS
from stories import Story, good

from rmqkit.checks import Thresholds, Verdict, VerdictStatus, judge
from rmqkit.history import History

ENOUGH = Thresholds(min_acked_before=0, min_acked_after=0, fault_required=False, ordered=True)
ANY_ORDER = Thresholds(min_acked_before=0, min_acked_after=0, fault_required=False)
FAULTS = Thresholds(min_acked_before=0, min_acked_after=0, ordered=True)
RECORDED = sorted((Path(__file__).parents[2] / "histories").glob("passed-*.jsonl"))
GOOD, GOOD_LONG = 150, 10_000
MUTANTS, MUTANTS_LONG = 4, 100
FIRST_SEED = 20_000
"""Mutants are made of other runs than those that are judged as they are."""


def findings(verdict: Verdict) -> set[str]:
    return {finding.kind for finding in verdict.violations}


def assert_good(seeds: range) -> None:
    unfair, sure = [], 0
    for seed in seeds:
        story = good(seed)
        verdict = judge(story.history(), ENOUGH)
        sure += story.sure
        if verdict.violations or (story.sure and verdict.status is not VerdictStatus.PASSED):
            unfair.append(f"seed {seed} (sure: {story.sure}): {verdict}")
    assert not unfair, f"{len(unfair)} of {len(seeds)} good runs are not judged so:\n" + "\n".join(unfair[:3])
    assert sure > len(seeds) / 4, f"only {sure} of {len(seeds)} runs had to pass"


def mutants(name: str, count: int) -> dict[int, Story]:
    """``count`` stories in which ``name`` went wrong, by their seeds."""
    ways = {**WAYS, **DOUBTS}
    made: dict[int, Story] = {}
    for seed in range(FIRST_SEED, FIRST_SEED + 400 * count):
        story = good(seed)
        changed = ways[name][1](story.copy(), Random(seed)) if story.sure or name in WAYS else None
        if changed is not None:
            made[seed] = changed
            if len(made) == count:
                return made
    raise AssertionError(f"of {400 * count} runs only {len(made)} could be changed so that {name}")


def overlooked(name: str, count: int) -> list[str]:
    """The seeds of the mutants in which nothing, or not the right thing, was found."""
    kind = (WAYS.get(name) or DOUBTS[name])[0]
    missed = []
    for seed, story in mutants(name, count).items():
        verdict = judge(story.history(), ENOUGH if name in WAYS else FAULTS)
        seen = findings(verdict) if name in WAYS else {doubt.kind for doubt in verdict.doubts}
        expected = verdict.status is VerdictStatus.FAILED if name in WAYS else verdict.status != VerdictStatus.PASSED
        if kind not in seen or not expected:
            missed.append(f"seed {seed}: {kind} was not found\n{verdict}")
    return missed


def test_no_good_run_is_condemned() -> None:
    assert_good(range(GOOD))


@pytest.mark.parametrize("name", [*WAYS, *DOUBTS])
def test_what_is_seeded_is_found(name: str) -> None:
    missed = overlooked(name, MUTANTS)
    assert not missed, f"{len(missed)} of {MUTANTS}: " + "\n".join(missed[:3])


def assert_silence_is_found(count: int) -> None:
    found = 0
    for seed in range(FIRST_SEED, FIRST_SEED + 400 * count):
        changed = with_silence(good(seed).copy(), Random(seed))
        if changed is None or changed[2] < 0.05:
            continue
        story, client, lasted_s = changed
        at_most = Thresholds(
            min_acked_before=0, min_acked_after=0, fault_required=False, max_outage_s=0.99 * lasted_s, min_window_s=0.01
        )
        verdict = judge(story.history(), at_most)
        texts = [each.text for each in verdict.violations if each.kind == "outage"]
        assert any(f"to client {client} " in text for text in texts), f"seed {seed}: {lasted_s} s\n{verdict}"
        found += 1
        if found == count:
            return
    raise AssertionError(f"only {found} runs could be silenced")


def test_a_time_without_acknowledgements_is_found() -> None:
    assert_silence_is_found(10)


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in RECORDED])
def test_what_is_seeded_into_a_recorded_run_is_found(path: Path) -> None:
    """Every way that can be gone with it: real runs have no delays, and few have consumers."""
    recorded = Story.of(History.import_jsonl(path))
    assert judge(recorded.history(), ANY_ORDER).violations == ()
    tried = Counter()
    for name, (kind, act) in WAYS.items():
        changed = act(recorded.copy(), Random(7))
        if changed is not None:
            verdict = judge(changed.history(), ENOUGH)
            assert kind in findings(verdict), f"{name}: {kind} was not found\n{verdict}"
            tried[kind] += 1
    assert {"acknowledged-lost", "phantom", "duplicated", "corrupt", "misplaced"} <= tried.keys()


def test_there_are_recorded_runs_with_unknown_sends_redelivery_and_trimming() -> None:
    real = [path for path in RECORDED if path.stem.startswith(("passed-drill-", "passed-recorded-"))]
    notes = {note.kind for path in real for note in judge(History.import_jsonl(path), ENOUGH).notes}
    assert {"recovered", "trimmed"} <= notes
    assert notes & {"redelivered", "redelivered-elsewhere"}


# ---- the whole of it


@pytest.mark.long
def test_of_ten_thousand_good_runs_none_is_condemned() -> None:
    assert_good(range(GOOD_LONG))


@pytest.mark.long
def test_of_all_mutants_every_one_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    """Prints the score: kinds, ways, and how many of each were found."""
    score: dict[str, tuple[int, int]] = {}
    missed: list[str] = []
    for name in [*WAYS, *DOUBTS]:
        lost = overlooked(name, MUTANTS_LONG)
        score[name] = (MUTANTS_LONG - len(lost), MUTANTS_LONG)
        missed += lost
    assert_silence_is_found(MUTANTS_LONG)
    with capsys.disabled():
        for name, (found, made) in score.items():
            print(f"{found}/{made} {(WAYS.get(name) or DOUBTS[name])[0]}: {name.replace('_', ' ')}")
        print(f"{MUTANTS_LONG}/{MUTANTS_LONG} outage: acknowledgements are taken away")
    assert not missed, f"{len(missed)} were overlooked: " + "\n".join(missed[:3])
