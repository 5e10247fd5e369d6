"""The committed offset of a group never moves back in a queue.

An answer is compared with those that had come before it was asked for: of two that were under way at once neither is
the earlier. What somebody set deliberately is where the comparison starts anew. A group whose offset moved back is
handed messages again: no loss, but what this group relies on. A follower copies offsets every ten seconds, so a killed
leader can set a group back that far (SlaveSynchronize; rocketmq #7790, #3210).
"""

from __future__ import annotations

import numpy as np

from rmqkit.checks.findings import Finding, some
from rmqkit.checks.slots import Ints, highest_until
from rmqkit.history import History

_SHOWN = 50_000


def moved_back(history: History) -> list[Finding]:
    """One finding for each group whose committed offset moved back in some queue."""
    if not history.offset_count:
        return []
    columns = history.offset_columns()
    end = np.argsort(columns["end_ns"], kind="stable")
    lane = _numbered(columns["group"], columns["topic"], columns["queue"])[end]
    by_lane = np.argsort(lane, kind="stable")
    rows, lane = end[by_lane], lane[by_lane]  # by lane, and in each by the time of the answer
    start, answered, offset = (columns[name][rows] for name in ("start_ns", "end_ns", "offset"))
    # Each deliberate setting begins a lane of its own.
    epoch = np.cumsum(columns["deliberate"][rows] != 0)
    lane = _numbered(lane, epoch)
    before = _last_answered_before(lane, start, answered)
    highest = highest_until(lane, offset)
    known = np.flatnonzero(before >= 0)
    back = known[(lane[before[known]] == lane[known]) & (offset[known] < highest[before[known]])]
    group = columns["group"][rows]
    texts, topic, queue = columns.texts("group"), columns["topic"][rows], columns["queue"][rows]
    found = []
    for number in np.unique(group[back]).tolist():
        mine = back[group[back] == number]
        name = texts[number]
        examples = some(
            f"{texts[topic[row]]} queue {queue[row]}: {offset[row]} after {highest[before[row]]}"
            for row in mine[:_SHOWN].tolist()
        )
        text = f"offset-moved-back: {len(mine)} answers name a committed offset of {name} below an earlier one"
        found.append(Finding("offset-moved-back", len(mine), text, examples))
    return found


def _numbered(*columns: Ints) -> Ints:
    """A number for each distinct row of the columns, in their order."""
    number: Ints = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        values, code = np.unique(column, return_inverse=True)
        _, number = np.unique(number * len(values) + code, return_inverse=True)
    return number


def _last_answered_before(lane: Ints, start: Ints, answered: Ints) -> Ints:
    """For rows sorted by lane and answer: the last row of the lane that had been answered when this was asked."""
    times = np.unique(np.concatenate([start, answered]))
    keys = lane * len(times) + np.searchsorted(times, answered)
    wanted = lane * len(times) + np.searchsorted(times, start)
    # One that is answered at the very time of the question was before it, but nothing is before itself.
    return np.minimum(np.searchsorted(keys, wanted, side="right") - 1, np.arange(len(lane)) - 1)
