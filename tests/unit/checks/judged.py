"""What the tests of the verdict share: their thresholds, and runs that are changed and judged."""

from __future__ import annotations

from model_runs import REPLICAS, TOPIC, Run

from rmqkit.checks import Thresholds, Verdict, VerdictStatus, judge
from rmqkit.history import ReadRecord

PASSED, FAILED, INCONCLUSIVE = VerdictStatus.PASSED, VerdictStatus.FAILED, VerdictStatus.INCONCLUSIVE
ENOUGH = Thresholds(min_acked_before=5, min_acked_after=5, min_replicas=3)
NOTHING_NEEDED = Thresholds(min_acked_before=0, min_acked_after=0, min_replicas=0, fault_required=False)


def verdict(run: Run, thresholds: Thresholds = ENOUGH) -> Verdict:
    return judge(run.history(), thresholds)


def kinds(found: Verdict) -> set[str]:
    return {finding.kind for finding in found.violations}


def doubts(found: Verdict) -> set[str]:
    return {finding.kind for finding in found.doubts}


def without(run: Run, message_id: str, *, on: str) -> Run:
    return run.with_reads([r for r in run.reads if (r.replica, r.message_id) != (on, message_id)])


def also(
    run: Run, message_id: str, *, on: tuple[str, ...] = REPLICAS, queue: int = 0, offset: int = 99, intact: bool = True
) -> Run:
    return run.with_reads([*run.reads, *(ReadRecord(each, message_id, TOPIC, queue, offset, intact) for each in on)])
