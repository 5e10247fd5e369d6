"""When a message is due, and how long to hold back when a broker asks for it. Pure: the clock is the caller's.

Times are seconds of the monotonic clock, so that setting the machine's clock changes nothing.
"""

from __future__ import annotations

import math
import random

FIRST_BACKOFF_S = 0.01
LONGEST_BACKOFF_S = 1.0
ROUNDING_S = 1e-6
"""What is due so shortly before an end is due at it: a sum of intervals is not exact."""


class Pace:
    """When each of one thread's messages is due.

    With ``catch_up`` the schedule is fixed (open loop): after a long answer the messages behind it are late, are sent
    at once, and their lateness counts as latency (no coordinated omission). Without it the schedule starts anew: no
    burst is owed. Without an interval a message is due when the one before it has ended (closed loop).
    """

    def __init__(self, first_due_s: float, *, interval_s: float = 0.0, catch_up: bool = False) -> None:
        self._first_s = self._due_s = first_due_s
        self._interval_s = interval_s
        self._catch_up = catch_up
        self._number = 0

    def left_s(self, now_s: float) -> float:
        """How long to wait for the next message; 0 when it is due."""
        return max(0.0, self._due_s - now_s)

    def sends(self, now_s: float) -> float:
        """The message that was due is sent now. Returns when it was due: ``now_s`` itself in a closed loop."""
        due_s = self._due_s if self._catch_up and self._interval_s else now_s
        self._number += 1
        if self._catch_up:
            # Counted from the first, so that an hour of small roundings does not move the schedule.
            self._due_s = self._first_s + self._number * self._interval_s
        else:
            self._due_s = max(self._due_s + self._interval_s, now_s)
        return due_s

    def owed(self, end_s: float) -> int:
        """How many messages were due before ``end_s`` and not sent, by a fixed schedule; 0 without one."""
        if not self._catch_up or not self._interval_s:
            return 0
        return max(0, math.ceil((end_s - self._due_s - ROUNDING_S) / self._interval_s))


class Backoff:
    """How long to wait after a broker shed load: doubled each time up to a limit, with a jitter from the seed.

    The jitter keeps threads that were refused together from coming back together.
    """

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)
        self._next_s = FIRST_BACKOFF_S
        self.total_s = 0.0

    def refused(self) -> float:
        """One more was refused: seconds to wait, half to whole of the present step."""
        wait_s = self._next_s * (0.5 + self._random.random() / 2)
        self._next_s = min(self._next_s * 2, LONGEST_BACKOFF_S)
        self.total_s += wait_s
        return wait_s

    def served(self) -> None:
        """Something else came of a send: the next refusal starts with the shortest wait."""
        self._next_s = FIRST_BACKOFF_S
