"""The verdict, defined in prose first.

* **acknowledged-lost**: a send was acknowledged, and a replica whose reader reached the end does not show the message.
  An acknowledged message must be on *every* replica once all have caught up.
* **recovered**: a send of unknown outcome whose message is there. Allowed, and never a duplicate.
* **misplaced**: it is there, but not at the queue and offset that its receipt names.
* **phantom**: a message with an id of this run that was never sent, or whose only sends were refused ("certainly not
  stored"). The first is a bug of the run or the store; the second means that a refusal was not one.
* **duplicated**: the same id of this run at two places of one replica, though it was sent once.
* **divergent**: two replicas show different messages at the same queue and offset, or one of two that were read to
  their ends shows a message, whosever it is, where the other shows none.
* **corrupt**: a body does not match the checksum that the broker stored beside it.
* **consumer-lost**: an acknowledged message was never handed to a consumer group that was drained. A group that was not
  drained, or of which that is not known, proves nothing.
* **redelivered**: a group was handed a message more often than it was sent. Allowed: delivery is at least once.
* **out-of-order**: a group was first handed a message after one of a higher offset of its queue, or before one of its
  sharding key that had been acknowledged when it was sent. A violation where an order was promised (``ordered``), else
  a note.
* **assumptions**: enough acknowledged sends before the first fault and after the last one's end; a fault really
  happened, and each one ended; every replica was read to the end. Where one fails the verdict is INCONCLUSIVE, unless a
  violation was found as well: what was seen lost stays lost, however little was tested. An incomplete history, as a
  killed run leaves it, is INCONCLUSIVE whatever it shows.

An id is of this run if it was sent, or begins with a prefix that the history names: every producer gives ids, and what
others put into the topic is neither phantom nor duplicate.

Verdicts are PASSED, FAILED and INCONCLUSIVE. An empty run never passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from rmqkit.checks.findings import Finding
from rmqkit.history import History

if TYPE_CHECKING:
    from rmqkit.checks.sends import Sends


class VerdictStatus(StrEnum):
    """The three answers."""

    PASSED = "PASSED"
    FAILED = "FAILED"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What a verdict needs: acknowledged sends before the fault and after it, replicas read, groups drained.

    ``ordered``: consumers must be handed the messages of a queue, and of a sharding key, in their order.
    """

    min_acked_before: int = 20
    min_acked_after: int = 20
    min_replicas: int = 1
    fault_required: bool = True
    min_consumers: int = 0
    ordered: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer with its reasons and numbers."""

    status: VerdictStatus
    violations: tuple[Finding, ...]
    doubts: tuple[Finding, ...]
    notes: tuple[Finding, ...]
    numbers: dict[str, int]

    @property
    def exit_code(self) -> int:
        """0 PASSED, 1 FAILED, 3 INCONCLUSIVE."""
        return {VerdictStatus.PASSED: 0, VerdictStatus.FAILED: 1, VerdictStatus.INCONCLUSIVE: 3}[self.status]

    def __str__(self) -> str:
        lines = [f"verdict: {self.status}"]
        for mark, findings in (("✗", self.violations), ("?", self.doubts), ("·", self.notes)):
            for finding in findings:
                lines.append(f"  {mark} {finding.text}")
                lines += [f"      {message_id}" for message_id in finding.ids]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""

        def plain(findings: tuple[Finding, ...]) -> list[dict[str, Any]]:
            return [{"kind": f.kind, "count": f.count, "text": f.text, "ids": list(f.ids)} for f in findings]

        return {
            "status": str(self.status),
            "violations": plain(self.violations),
            "doubts": plain(self.doubts),
            "notes": plain(self.notes),
            "numbers": dict(self.numbers),
        }


def judge(history: History, thresholds: Thresholds = Thresholds()) -> Verdict:
    """Judge a run from its history alone. Linear in the number of operations: some seconds for ten million."""
    from rmqkit.checks.consumers import compare_consumers  # noqa: PLC0415 - these import numpy; what starts up need not
    from rmqkit.checks.index import Index  # noqa: PLC0415
    from rmqkit.checks.replicas import compare_replicas  # noqa: PLC0415
    from rmqkit.checks.sends import Sends  # noqa: PLC0415

    sends = Sends(history, Index(history))
    violations, notes = compare_replicas(history, sends)
    received = compare_consumers(history, sends, ordered=thresholds.ordered)
    doubts = [*_assumptions(history, sends, thresholds), *received[1]]
    violations += received[0]
    notes += received[2]
    if history.incomplete:
        doubts.insert(0, Finding("incomplete", 1, f"the history is not whole: {history.incomplete}"))
        # What is missing of it may be what would excuse them.
        notes = [*(replace(each, text=f"not counted: {each.text}") for each in violations), *notes]
        violations = []
    if violations:
        status = VerdictStatus.FAILED
    elif doubts:
        status = VerdictStatus.INCONCLUSIVE
    else:
        status = VerdictStatus.PASSED
    numbers = _numbers(history, sends)
    return Verdict(status, tuple(violations), tuple(doubts), tuple(notes), numbers)


def _numbers(history: History, sends: Sends) -> dict[str, int]:
    numbers = {
        "sent": history.send_count,
        "acknowledged": sends.acknowledged_ids,
        "refused": sends.refused_sends,
        "unknown": sends.unknown_sends,
        "acknowledged_before_fault": sends.acked_before,
        "acknowledged_during_fault": sends.acked_during,
        "acknowledged_after_fault": sends.acked_after,
        "replicas": len(history.readers),
        "read": history.read_count,
    }
    if history.consumers or history.receive_count:
        numbers |= {"consumers": len(history.consumers), "received": history.receive_count}
    return numbers


def _assumptions(history: History, sends: Sends, thresholds: Thresholds) -> list[Finding]:
    doubts: list[Finding] = []

    def doubt(kind: str, text: str) -> None:
        doubts.append(Finding(kind, 1, text))

    if thresholds.fault_required and sends.first_fault is None:
        doubt("no-fault", "no fault was recorded: nothing was tested")
    for fault in sends.lasting:
        what = f"{fault.kind} of {fault.target}"
        doubt("fault-not-ended", f"{what} has no recorded end: no send after it can be told from one during it")
    if not sends.acknowledged_ids:
        doubt("empty", "nothing was acknowledged: there is nothing that could have been lost")
    if sends.acked_before < thresholds.min_acked_before:
        doubt(
            "too-little-traffic",
            f"only {sends.acked_before} sends acknowledged before the fault; {thresholds.min_acked_before} needed",
        )
    if thresholds.fault_required and sends.acked_after < thresholds.min_acked_after:
        doubt(
            "too-little-traffic",
            f"only {sends.acked_after} sends acknowledged after the fault; {thresholds.min_acked_after} needed",
        )
    return [*doubts, *_unread(history, thresholds)]


def _unread(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    complete = [replica for replica, reached_end in history.readers.items() if reached_end]
    needed = max(1, thresholds.min_replicas)
    if len(complete) < needed:
        yield Finding("replicas-unread", 1, f"only {len(complete)} replicas were read back; {needed} needed")
    for replica, reached_end in sorted(history.readers.items()):
        if not reached_end:
            text = f"the reader of {replica} did not reach the end"
            yield Finding("reader-incomplete", 1, ": ".join(filter(None, (text, history.unread.get(replica)))))
    drained = sum(end.drained for end in history.consumers.values())
    if drained < thresholds.min_consumers:
        text = f"only {drained} consumer groups were drained; {thresholds.min_consumers} needed"
        yield Finding("consumers-undrained", 1, text)
