"""Half messages are settled: committed or rolled back, and not left where nobody sees them.

A half message that was acknowledged is settled once an end of it was acknowledged, once its message is seen, or once
its rollback was decided, whatever came of telling it. Where the commit was decided and nothing of it was seen
``settle_s`` after the half, by the time of the read-back, the broker should have asked back and did not, or lost it: a
violation. Before that, or where nobody has decided, it is a doubt. What was rolled back and is seen all the same is a
phantom; what was committed and is not seen is lost: other checks say so.
"""

from __future__ import annotations

import numpy as np

from rmqkit.checks.findings import Finding
from rmqkit.checks.sends import NEVER, Sends
from rmqkit.checks.slots import Flags, Ints
from rmqkit.history import History, Outcome

_S = 1_000_000_000


def unsettled(history: History, sends: Sends, found: Flags, *, settle_s: float) -> tuple[list[Finding], list[Finding]]:
    """Violations and doubts about halves that nobody has settled; ``found`` are the ids that somebody has seen."""
    steps, index = sends.steps, sends.index
    if not steps.any:
        return [], []
    size = index.ids.size
    half_ns: Ints = np.full(size, NEVER)
    settled: Flags = found.copy()
    decided: Flags = np.zeros(size, np.bool_)
    names = ("id_stem", "id_number", "outcome", "end_ns", "transaction")
    for stem, number, outcome, end, step in index.sends.batches(*names):
        slot = index.ids.of(stem, number)
        acknowledged = outcome == Outcome.ACKNOWLEDGED
        half, commit = step == steps.half, step == steps.commit
        np.minimum.at(half_ns, slot[half & acknowledged], end[half & acknowledged])
        settled[slot[(commit & acknowledged) | (step == steps.rollback)]] = True
        decided[slot[commit]] = True
    left = np.flatnonzero((half_ns != NEVER) & ~settled)
    read_ns = min((held.at_ns for held in history.ranges), default=0)
    overdue = decided[left] & (half_ns[left] + int(settle_s * _S) <= read_ns)
    if any(held.first > 0 for held in history.ranges):
        overdue[:] = False  # it may have been there, and deleted since
    violations, doubts = [], []
    if overdue.any():
        ids = left[overdue]
        text = f"half-unsettled: {len(ids)} half messages whose commit was decided are not there {settle_s:g} s later"
        violations.append(Finding("half-unsettled", len(ids), text, index.some_ids(ids)))
    if not overdue.all():
        ids = left[~overdue]
        text = f"{len(ids)} half messages were neither committed nor rolled back when the replicas were read"
        doubts.append(Finding("half-pending", len(ids), text, index.some_ids(ids)))
    return violations, doubts
