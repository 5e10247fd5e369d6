"""The sends of a run, sorted by what may be expected of them."""

from __future__ import annotations

from collections import Counter

from rmqkit.checks.intervals import intervals
from rmqkit.history import History, Outcome

Place = tuple[str, int, int]
"""Topic, queue, offset."""


class Sends:
    """One pass over a history's sends.

    ``acknowledged``: each id, with the places that its receipts name; ``possible``: ids whose message may be there;
    ``refused_only``: ids that cannot be; ``attempts``: how often an id may be there.
    """

    def __init__(self, history: History) -> None:
        faults = intervals(history.faults)
        ends = [fault.end_ns for fault in faults if fault.end_ns is not None]
        self.lasting = [fault for fault in faults if fault.end_ns is None]
        self.first_fault = faults[0].start_ns if faults else None
        self.last_end = max(ends) if ends and not self.lasting else None
        self.acknowledged: dict[str, list[Place]] = {}
        self.possible: set[str] = set()
        self.refused_only: set[str] = set()
        self.attempts: Counter[str] = Counter()
        self.refused_sends = self.unknown_sends = 0
        self.acked_before = self.acked_during = self.acked_after = 0
        self._prefixes = history.run_prefixes
        refused: set[str] = set()
        for send in history.sends():
            if send.outcome is Outcome.ACKNOWLEDGED:
                places = self.acknowledged.setdefault(send.message_id, [])
                if send.offset >= 0:
                    places.append((send.topic, send.queue, send.offset))
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

    def is_ours(self, message_id: str) -> bool:
        """Whether this run sent it, or its id begins as this run's do: others' producers give ids as well."""
        return (
            message_id in self.acknowledged
            or message_id.startswith(self._prefixes)
            or message_id in self.possible
            or message_id in self.refused_only
        )

    def _count_phase(self, end_ns: int) -> None:
        if self.first_fault is None or end_ns < self.first_fault:
            self.acked_before += 1
        elif self.last_end is not None and end_ns >= self.last_end:
            self.acked_after += 1
        else:
            self.acked_during += 1
