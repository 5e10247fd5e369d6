"""Delayed messages: none is delivered early, and none is lost.

A message that was sent with a delay is due that long after its first send began: the broker counts from when it stored
it, which was not before. It is early if a group was handed it before that, by more than 10 ms and a thousandth of the
delay (brokers count in milliseconds, and their clock may be slewed). It is lost if it was acknowledged and is missing
on a replica, or at a drained group, though it was due ``grace_s`` before that replica was read, or that group ended.
Where it was not due by then, or the time is not known, nothing can be said: a doubt.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from rmqkit.checks.findings import Finding
from rmqkit.checks.sends import NEVER, Sends
from rmqkit.checks.slots import Flags, Ints

_S = 1_000_000_000


@dataclass(slots=True)
class Told:
    """What is said of delayed messages that are missing somewhere; ``lost`` are the slots of those that are lost."""

    lost: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    violations: list[Finding] = field(default_factory=list)
    doubts: list[Finding] = field(default_factory=list)


class Awaited:
    """Delayed messages and when they must have been delivered."""

    def __init__(self, sends: Sends, *, grace_s: float) -> None:
        self._sends = sends
        self._grace_ns = int(grace_s * _S)
        self.any: bool = bool(sends.delayed.any())

    def pending(self, ids: Ints, at_ns: int) -> Flags:
        """Which of ``ids`` are delayed messages that need not have been delivered at ``at_ns`` (0: not known)."""
        if not self.any:
            return np.zeros(len(ids), np.bool_)
        late: Flags = self._sends.delayed[ids]
        if at_ns:
            late = late & (self._sends.due_ns[ids] > at_ns - self._grace_ns)
        return late

    def missing(self, missing: Flags, at_ns: int, *, where: str) -> Told:
        """What to say of those acknowledged messages that are ``missing`` at ``at_ns`` and were delayed."""
        told = Told()
        ids = np.flatnonzero(missing & self._sends.delayed) if self.any else np.empty(0, np.int64)
        if not len(ids):
            return told
        open_ = self.pending(ids, at_ns)
        lost, waiting = ids[~open_], ids[open_]
        told.lost = lost
        some = self._sends.index.some_ids
        if len(lost):
            text = f"delayed-lost: {len(lost)} delayed messages acknowledged and due are {where}"
            told.violations.append(Finding("delayed-lost", len(lost), text, some(lost)))
        if len(waiting):
            why = "were not due yet" if at_ns else "may not have been due: when it was looked at is not known"
            text = f"{len(waiting)} delayed messages are {where}, and {why}"
            told.doubts.append(Finding("delayed-pending", len(waiting), text, some(waiting)))
        return told


def early(message: Ints, at_ns: Ints, sends: Sends, *, group: str) -> tuple[list[Finding], list[Finding]]:
    """Violations: delayed messages that ``group`` was handed early. Doubts: others that came before they were sent."""
    soonest = sends.soonest_ns[message]
    delayed = sends.delayed[message]
    too_soon = (soonest != NEVER) & (at_ns < soonest)
    violations, doubts = [], []
    wrong = np.unique(message[too_soon & delayed])
    if len(wrong):
        text = f"delayed-early: {len(wrong)} received by {group} before they were due"
        violations.append(Finding("delayed-early", len(wrong), text, sends.index.some_ids(wrong)))
    odd = np.unique(message[too_soon & ~delayed])
    if len(odd):
        text = f"{len(odd)} received by {group} before they were sent: the times are not of one clock"
        doubts.append(Finding("clocks-differ", len(odd), text, sends.index.some_ids(odd)))
    return violations, doubts
