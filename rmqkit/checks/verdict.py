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
  **redelivered-elsewhere**: the same, and not all to one member, as a rebalance does it.
* **out-of-order**: a group was first handed a message after one of a higher offset of its queue, or before one of its
  sharding key that had been acknowledged when it was sent. A violation where an order was promised (``ordered``), else
  a note.
* **trimmed**: acknowledged, and deleted by a replica's own retention or disk rules: that replica's first offset is
  beyond where the receipt says that it was. Not lost. See ``trimmed``.
* **delayed-early**, **delayed-lost**: a delayed message was handed out before it was due, or is missing long after. See
  ``delayed``.
* **offset-moved-back**: a master named a committed offset of a group below an earlier one. See ``offsets``.
* **half-unsettled**: a transactional message was to be committed and is not there long after. See ``halves``.
* **outage**: nothing was acknowledged for longer than was allowed (``max_outage_s``), to a client or by a group of
  brokers, while somebody tried. Every such window counts, not only the first. See ``availability``.
* **assumptions**: enough acknowledged sends before the first fault and after the last one's end, without those that a
  replica has trimmed; a fault really happened, and each one ended; every replica was read to the end; no send ended
  before it began, and nothing was received before it was sent. Where one fails the verdict is INCONCLUSIVE, unless a
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

from rmqkit.checks.availability import Window, lasting_over, windows
from rmqkit.checks.findings import Finding
from rmqkit.history import History

if TYPE_CHECKING:
    from rmqkit.checks.replicas import Seen
    from rmqkit.checks.sends import Sends

_SHOWN = 10
ADVICE = {
    "acknowledged-lost": "see what that replica's log was cut back to around the fault; is flushDiskType ASYNC_FLUSH?",
    "misplaced": "the receipt and the log disagree: see whether the broker answered before a quorum had it",
    "phantom": "see which attempt of the id was told as refused, and what the broker at that address logged",
    "duplicated": "see the retries of that id; a replica that dispatched its log twice shows other messages twice, too",
    "divergent": "compare the DLedger logs of the replicas at that place; do not let the odd one lead",
    "corrupt": "read the message from another replica, and look at that one's disk",
    "consumer-lost": "see the group's committed offset when the queue changed hands: was it ahead of what came?",
    "out-of-order": "see whether two members had the queue at once, or a retry overtook",
    "delayed-early": "compare the brokers' clocks",
    "delayed-lost": "see delayOffset.json of the leader of that time: a follower of 4.5 does not read it when it leads",
    "offset-moved-back": "followers copy offsets every 10 s; what was handed out since comes again",
    "half-unsettled": "is a producer of its group up, for the broker to ask back?",
    "outage": "compare with the timeline of the fault; what is longer is the client's own: its time-outs, its route",
    "no-fault": "break something while the traffic goes on, or ask for no fault (fault_required=False)",
    "fault-unfelt": "hold it longer, or cut traffic that there is: followers copy, and brokers register, every 10 s",
    "fault-not-ended": "let the traffic go on until the fault is healed",
    "too-little-traffic": "send more, or for longer, on that side of the fault",
    "replicas-unread": "read back every replica once all have caught up",
    "reader-incomplete": "read that replica again once it serves, or mend it",
    "consumers-undrained": "let more groups receive until their lag is 0, and say so with History.consumer_done",
    "consumer-undrained": "let the group receive until its lag is 0, and say so with History.consumer_done",
    "times-run-back": "record every operation with the monotonic clock of one machine",
    "clocks-differ": "record every operation with the monotonic clock of one machine",
    "delayed-pending": "wait for the longest delay before the replicas are read",
    "half-pending": "wait until the broker has asked back before the replicas are read",
    "empty": "see why no send was acknowledged: the route, the topic, the reasons that the history records",
    "incomplete": "let the run come to its end, and judge what that one recorded",
    "all-trimmed": "read back sooner, or let the brokers keep more: fileReservedTime, a larger disk",
    "much-trimmed": "read back sooner, or let the brokers keep more: fileReservedTime, a larger disk",
    "trimmed-untold": "use a driver whose receipts name queue and offset, or read back before anything is deleted",
    "trimmed-unreceived": "let the group consume sooner, or let the brokers keep more: fileReservedTime, a larger disk",
}
"""What to do about a finding, by its kind."""


class VerdictStatus(StrEnum):
    """The three answers."""

    PASSED = "PASSED"
    FAILED = "FAILED"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What a verdict needs: acknowledged sends before the fault and after it, replicas read, groups drained.

    A send counts as evidence where every replica that was read still had to show it: not where one deleted it itself.
    ``min_replicas``: so many must be read to their ends; 0: as many as the history names addresses of brokers
    (``History.add_peer``), and at least one.
    ``ordered``: consumers must be handed the messages of a queue, and of a sharding key, in their order.
    ``offsets_may_move_back``: a committed offset below an earlier one is a note and no violation.
    ``max_outage_s``: the longest time without an acknowledgement that is allowed (0: any); windows of
    ``min_window_s`` or more, or of that bound where it is shorter, are told.
    ``delay_grace_s``: so long after it was due a delayed message must be there; ``settle_s``: so
    long after its half a transactional message must be settled.
    """

    min_acked_before: int = 20
    min_acked_after: int = 20
    min_replicas: int = 0
    fault_required: bool = True
    min_consumers: int = 0
    ordered: bool = False
    offsets_may_move_back: bool = False
    max_outage_s: float = 0.0
    min_window_s: float = 1.0
    delay_grace_s: float = 10.0
    settle_s: float = 180.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer with its reasons and numbers; ``windows`` in which nothing was acknowledged."""

    status: VerdictStatus
    violations: tuple[Finding, ...]
    doubts: tuple[Finding, ...]
    notes: tuple[Finding, ...]
    numbers: dict[str, int]
    windows: tuple[Window, ...] = ()

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
                lines += [f"      → {ADVICE[finding.kind]}"] if mark != "·" and finding.kind in ADVICE else []
        lines += [f"  · {window}" for window in self.windows[:_SHOWN]]
        if len(self.windows) > _SHOWN:
            lines.append(f"  · and {len(self.windows) - _SHOWN} windows more without an acknowledgement")
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
            "windows": [window.as_dict() for window in self.windows],
        }


def judge(history: History, thresholds: Thresholds = Thresholds()) -> Verdict:
    """Judge a run from its history alone. Linear in the number of operations: some seconds for ten million."""
    from rmqkit.checks.consumers import compare_consumers  # noqa: PLC0415 - these import numpy; what starts up need not
    from rmqkit.checks.halves import unsettled  # noqa: PLC0415
    from rmqkit.checks.index import Index  # noqa: PLC0415
    from rmqkit.checks.offsets import moved_back  # noqa: PLC0415
    from rmqkit.checks.replicas import compare_replicas  # noqa: PLC0415
    from rmqkit.checks.sends import Sends  # noqa: PLC0415

    bound_s = thresholds.max_outage_s
    # What is over a bound is told, however short a window need not be told else.
    away = windows(history, min_s=min(thresholds.min_window_s, bound_s) if bound_s > 0 else thresholds.min_window_s)
    sends = Sends(history, Index(history))
    seen = compare_replicas(history, sends, delay_grace_s=thresholds.delay_grace_s)
    received = compare_consumers(history, sends, seen, ordered=thresholds.ordered)
    halves = unsettled(history, sends, seen.found, settle_s=thresholds.settle_s)
    violations = [*seen.violations, *received[0], *halves[0], *lasting_over(away, bound_s)]
    doubts = [*_assumptions(history, sends, seen, thresholds), *seen.doubts, *received[1], *halves[1]]
    notes = [*seen.notes, *received[2]]
    if not any(each.kind == "fault-unfelt" for each in doubts):
        notes += [Finding("fault-unfelt", 1, f"no packet met the rules of {each}") for each in _unfelt(history)]
    (notes if thresholds.offsets_may_move_back else violations).extend(moved_back(history))
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
    return Verdict(status, tuple(violations), tuple(doubts), tuple(notes), numbers, away)


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
    if history.offset_count:
        numbers |= {"committed_offsets": history.offset_count}
    return numbers


def _assumptions(history: History, sends: Sends, seen: Seen, thresholds: Thresholds) -> list[Finding]:
    doubts: list[Finding] = []

    def doubt(kind: str, text: str) -> None:
        doubts.append(Finding(kind, 1, text))

    if thresholds.fault_required:
        doubts += _without_a_fault(history, sends)
    for fault in sends.lasting:
        what = f"{fault.kind} of {fault.target}"
        doubt("fault-not-ended", f"{what} has no recorded end: no send after it can be told from one during it")
    if not sends.acknowledged_ids:
        doubt("empty", "nothing was acknowledged: there is nothing that could have been lost")
    trimmed_before, trimmed_after = sends.acknowledged_of(seen.trims.ids)
    sides = [("before", sends.acked_before, trimmed_before, thresholds.min_acked_before)]
    if thresholds.fault_required:
        sides.append(("after", sends.acked_after, trimmed_after, thresholds.min_acked_after))
    for side, acked, trimmed, needed in sides:
        if acked < needed:
            doubt("too-little-traffic", f"only {acked} sends acknowledged {side} the fault; {needed} needed")
        elif acked - trimmed < needed:
            what = f"of {acked} sends acknowledged {side} the fault replicas deleted {trimmed} themselves, or may have"
            doubt("much-trimmed", f"{what}: {acked - trimmed} are left as evidence; {needed} needed")
    if sends.backwards:
        doubt("times-run-back", f"{sends.backwards} sends ended before they began: the times are not of one clock")
    return [*doubts, *_unread(history, seen, thresholds)]


def _without_a_fault(history: History, sends: Sends) -> Iterator[Finding]:
    if sends.first_fault is None:
        yield Finding("no-fault", 1, "no fault was recorded: nothing was tested")
    unfelt = _unfelt(history)
    if unfelt and len(unfelt) == sum(event.step == "injected" for event in history.faults):
        yield Finding("fault-unfelt", 1, f"no packet met the rules of {', '.join(unfelt)}: nothing was tested")


def _unfelt(history: History) -> list[str]:
    """Faults whose rules took no packet; what such a one did is nothing."""
    return [f"{event.kind} of {event.target}" for event in history.faults if event.step == "unfelt"]


def _unread(history: History, seen: Seen, thresholds: Thresholds) -> Iterator[Finding]:
    complete = [replica for replica, reached_end in history.readers.items() if reached_end]
    needed = thresholds.min_replicas if thresholds.min_replicas > 0 else max(1, len(history.peers))
    if len(complete) < needed:
        yield Finding("replicas-unread", 1, f"only {len(complete)} replicas were read back; {needed} needed")
    for replica, reached_end in sorted(history.readers.items()):
        if not reached_end:
            text = f"the reader of {replica} did not reach the end"
            yield Finding("reader-incomplete", 1, ": ".join(filter(None, (text, history.unread.get(replica)))))
    for replica in seen.unended:
        text = f"whether the reader of {replica} reached the end was not recorded"
        yield Finding("reader-incomplete", 1, text)
    drained = sum(end.drained for end in history.consumers.values())
    if drained < thresholds.min_consumers:
        text = f"only {drained} consumer groups were drained; {thresholds.min_consumers} needed"
        yield Finding("consumers-undrained", 1, text)
