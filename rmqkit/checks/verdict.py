"""The verdict, defined in prose first.

* **acknowledged-lost**: a send was acknowledged, and a replica whose reader reached the end does not show the message.
  An acknowledged message must be on *every* replica once all have caught up.
* **recovered**: a send of unknown outcome whose message is there. Allowed, and never a duplicate.
* **phantom**: a message with an id of this run that was never sent, or whose only sends were refused ("certainly not
  stored"). The first is a bug of the run or the store; the second means that a refusal was not one.
* **duplicated**: the same id at two places of one replica, though it was sent once.
* **divergent**: two replicas show different messages at the same queue and offset.
* **assumptions**: enough acknowledged sends before the fault and after it; the fault really happened; every
  replica was read to the end. Where one fails the verdict is INCONCLUSIVE, unless a violation was found as well:
  what was seen lost stays lost, however little was tested.

Verdicts are PASSED, FAILED and INCONCLUSIVE. An empty run never passes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rmqkit.history import History, Outcome


class VerdictStatus(StrEnum):
    """The three answers."""

    PASSED = "PASSED"
    FAILED = "FAILED"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """How much evidence a verdict needs: acknowledged sends before the fault and after it, and replicas read."""

    min_acked_before: int = 20
    min_acked_after: int = 20
    min_replicas: int = 1
    fault_required: bool = True


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found: ``kind`` as in this module's prose, ``ids`` at most ``shown`` examples of ``count``."""

    kind: str
    count: int
    text: str
    ids: tuple[str, ...] = ()


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


_SHOWN = 10


def judge(history: History, thresholds: Thresholds = Thresholds()) -> Verdict:
    """Judge a run from its history alone. Linear in the number of operations."""
    sends = _Sends(history)
    violations, notes = _compare_replicas(history, sends)
    doubts = _assumptions(history, sends, thresholds)
    if violations:
        status = VerdictStatus.FAILED
    elif doubts:
        status = VerdictStatus.INCONCLUSIVE
    else:
        status = VerdictStatus.PASSED
    numbers = {
        "sent": history.send_count,
        "acknowledged": len(sends.acknowledged),
        "refused": sends.refused_sends,
        "unknown": sends.unknown_sends,
        "acknowledged_before_fault": sends.acked_before,
        "acknowledged_during_fault": sends.acked_during,
        "acknowledged_after_fault": sends.acked_after,
        "replicas": len(history.readers),
        "read": history.read_count,
    }
    return Verdict(status, tuple(violations), tuple(doubts), tuple(notes), numbers)


class _Sends:
    """The sends of a run, sorted by what may be expected of them."""

    def __init__(self, history: History) -> None:
        # A fault lasts until the service is back: a successor's first acknowledged send, or else its healing.
        injected = [fault.at_ns for fault in history.faults if fault.step == "injected"]
        ended = [fault.at_ns for fault in history.faults if fault.step == "acked"] or [
            fault.at_ns for fault in history.faults if fault.step == "healed"
        ]
        self.first_fault = min(injected) if injected else None
        self.last_end = max(ended) if ended else None
        self.acknowledged: dict[str, int] = {}
        self.possible: set[str] = set()
        self.refused_only: set[str] = set()
        self.attempts: Counter[str] = Counter()
        self.refused_sends = self.unknown_sends = 0
        self.acked_before = self.acked_during = self.acked_after = 0
        refused: set[str] = set()
        for send in history.sends():
            if send.outcome is Outcome.ACKNOWLEDGED:
                self.acknowledged[send.message_id] = self.acknowledged.get(send.message_id, 0) + 1
                self.attempts[send.message_id] += 1
                self._count_phase(send.end_ns)
            elif send.outcome is Outcome.UNKNOWN:
                self.unknown_sends += 1
                self.possible.add(send.message_id)
                self.attempts[send.message_id] += 1
            else:
                self.refused_sends += 1
                refused.add(send.message_id)
        self.refused_only = refused - self.acknowledged.keys() - self.possible

    def _count_phase(self, end_ns: int) -> None:
        if self.first_fault is None or end_ns < self.first_fault:
            self.acked_before += 1
        elif self.last_end is not None and end_ns >= self.last_end:
            self.acked_after += 1
        else:
            self.acked_during += 1


def _some(ids: list[str]) -> tuple[str, ...]:
    return tuple(sorted(ids)[:_SHOWN])


def _compare_replicas(history: History, sends: _Sends) -> tuple[list[Finding], list[Finding]]:
    seen: dict[str, Counter[str]] = {replica: Counter() for replica in history.readers}
    at_place: dict[tuple[str, int, int], str] = {}
    looked_at: dict[str, set[tuple[tuple[str, int, int], str]]] = {}
    divergent: list[str] = []
    for read in history.reads():
        place = (read.topic, read.queue, read.offset)
        first = at_place.setdefault(place, read.message_id)
        if first != read.message_id:
            divergent.append(f"{read.topic} queue {read.queue} offset {read.offset}: {first} / {read.message_id}")
        # A message that a reader met twice at one place is there once.
        met = looked_at.setdefault(read.replica, set())
        if read.message_id and (place, read.message_id) not in met:
            met.add((place, read.message_id))
            seen.setdefault(read.replica, Counter())[read.message_id] += 1
    violations: list[Finding] = []
    for replica, counts in sorted(seen.items()):
        violations += _on_replica(replica, counts, sends, complete=history.readers.get(replica, False))
    found: set[str] = set().union(*seen.values())
    known = sends.acknowledged.keys() | sends.possible
    phantom = [message_id for message_id in found if message_id not in known]
    if phantom:
        refused = sum(1 for message_id in phantom if message_id in sends.refused_only)
        text = f"phantom: {len(phantom)} found that no send can have stored ({refused} of them were refused)"
        violations.append(Finding("phantom", len(phantom), text, _some(phantom)))
    if divergent:
        text = f"divergent: replicas differ at {len(divergent)} places"
        violations.append(Finding("divergent", len(divergent), text, _some(divergent)))
    recovered = [mid for mid in sends.possible if mid in found and mid not in sends.acknowledged]
    notes: list[Finding] = []
    if sends.unknown_sends:
        text = f"{sends.unknown_sends} sends of unknown outcome; {len(recovered)} of them are there (recovered)"
        notes.append(Finding("recovered", len(recovered), text))
    return violations, notes


def _on_replica(replica: str, counts: Counter[str], sends: _Sends, *, complete: bool) -> list[Finding]:
    found: list[Finding] = []
    lost = [message_id for message_id in sends.acknowledged if message_id not in counts] if complete else []
    if lost:
        text = f"acknowledged-lost: {len(lost)} of {len(sends.acknowledged)} acknowledged not on {replica}"
        found.append(Finding("acknowledged-lost", len(lost), text, _some(lost)))
    twice = [mid for mid, count in counts.items() if count > max(1, sends.attempts[mid])]
    if twice:
        text = f"duplicated: {len(twice)} stored more often than sent on {replica}"
        found.append(Finding("duplicated", len(twice), text, _some(twice)))
    return found


def _assumptions(history: History, sends: _Sends, thresholds: Thresholds) -> list[Finding]:
    doubts: list[Finding] = []

    def doubt(kind: str, text: str) -> None:
        doubts.append(Finding(kind, 1, text))

    if thresholds.fault_required and sends.first_fault is None:
        doubt("no-fault", "no fault was recorded: nothing was tested")
    elif thresholds.fault_required and sends.last_end is None:
        doubt("fault-not-ended", "the fault has no recorded end: no send after it can be told from one during it")
    if not sends.acknowledged:
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
    complete = [replica for replica, reached_end in history.readers.items() if reached_end]
    needed = max(1, thresholds.min_replicas)
    if len(complete) < needed:
        doubt("replicas-unread", f"only {len(complete)} replicas were read back; {needed} needed")
    for replica, reached_end in sorted(history.readers.items()):
        if not reached_end:
            doubt("reader-incomplete", f"the reader of {replica} did not reach the end")
    return doubts
