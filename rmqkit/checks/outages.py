"""How long the service was away for each driver around each fault, from the history alone.

Nobody sees the moment at which a service goes or comes back; sends bound it:

* ``upper_s``: from the start of the last send acknowledged before, to the end of the first acknowledged after. The
  service took both, so it was not away for longer.
* ``lower_s``: from the end of the first *refused* send between them to the start of the last. Both were certainly not
  taken, so it was away for at least so long (if it was away once). An unknown send proves nothing here: the service
  may have taken it, and only the answer was lost.
* ``gap_s``: without an acknowledgement for so long, as the driver saw it: from the end of the last one before to the
  end of the first one after. It lies between the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rmqkit.checks.intervals import Interval, intervals
from rmqkit.history import History, Outcome, driver_of

if TYPE_CHECKING:
    from rmqkit.checks.slots import Ints

_S = 1e9


@dataclass(frozen=True, slots=True)
class Outage:
    """The longest gap between acknowledgements of one driver (or sender) that touches one fault; the history's clock.

    ``last_ack_ns`` and ``first_ack_ns`` are the ends of the acknowledged sends around the gap; None where there was
    none before, or none came after: then how long it was is not known, ``upper_s`` is None, and ``gap_s`` counts to
    that side's last known moment: the driver's first start or last end.
    """

    sender: str
    fault: str
    target: str
    injected_ns: int
    last_ack_ns: int | None
    first_ack_ns: int | None
    gap_s: float
    lower_s: float
    upper_s: float | None
    refused: int
    unknown: int
    last_ack_took_s: float = 0.0
    """How long the last acknowledged send before took: its acknowledgement was given at most so long before it came."""
    first_ack_took_s: float = 0.0
    """The same of the first one after."""


def outages(history: History, *, each_sender: bool = False) -> tuple[Outage, ...]:
    """For each fault, in order, what each driver saw; ``each_sender``: each of a driver's workers on its own.

    A gap touches a fault if it is not over before the injection and begins before the fault's end. A driver that sent
    nothing has no row.
    """
    faults = intervals(history.faults)
    found: list[Outage] = []
    if not faults:
        return ()
    drivers = list(_by_sender(history, each_sender=each_sender))
    for fault in faults:
        found += [sends.around(fault) for sends in drivers]
    return tuple(found)


def longest_gap_s(history: History) -> float:
    """The longest time without an acknowledgement between the first and the last one, whoever sent, in seconds."""
    import numpy as np  # noqa: PLC0415

    columns = history.send_columns()
    ends = np.sort(columns["end_ns"][columns["outcome"] == Outcome.ACKNOWLEDGED])
    return int(np.diff(ends).max()) / _S if len(ends) > 1 else 0.0


@dataclass(frozen=True, slots=True)
class _Sender:
    """One driver's sends, sorted by their ends."""

    name: str
    start: Ints
    end: Ints
    outcome: Ints

    def around(self, fault: Interval) -> Outage:
        import numpy as np  # noqa: PLC0415

        acked = np.flatnonzero(self.outcome == Outcome.ACKNOWLEDGED)
        first, last = int(self.start.min()), int(self.end[-1])
        # The gaps: before the first acknowledgement, between each two, after the last one.
        begins = np.concatenate([[first], self.end[acked]])
        ends = np.concatenate([self.end[acked], [last]])
        touching = ends >= fault.start_ns
        if fault.end_ns is not None:
            touching &= begins <= fault.end_ns
        chosen = np.flatnonzero(touching) if touching.any() else np.array([len(acked)])
        gap = int(chosen[np.argmax((ends - begins)[chosen])])
        begin, end = int(begins[gap]), int(ends[gap])
        before = int(acked[gap - 1]) if gap > 0 else None
        after = int(acked[gap]) if gap < len(acked) else None
        inside = (self.end >= begin) & (self.end <= end)
        refused = np.flatnonzero(inside & (self.outcome == Outcome.REFUSED))
        lower = int(self.start[refused].max()) - int(self.end[refused[0]]) if len(refused) else 0
        return Outage(
            sender=self.name,
            fault=fault.kind,
            target=fault.target,
            injected_ns=fault.start_ns,
            last_ack_ns=None if before is None else int(self.end[before]),
            first_ack_ns=None if after is None else int(self.end[after]),
            gap_s=(end - begin) / _S,
            lower_s=max(0, lower) / _S,
            upper_s=None if before is None or after is None else (end - self._latest_start(acked, before)) / _S,
            refused=len(refused),
            unknown=int((inside & (self.outcome == Outcome.UNKNOWN)).sum()),
            last_ack_took_s=self._took_s(before),
            first_ack_took_s=self._took_s(after),
        )

    def _took_s(self, send: int | None) -> float:
        return 0.0 if send is None else int(self.end[send] - self.start[send]) / _S

    def _latest_start(self, acked: Ints, before: int) -> int:
        """When the last acknowledged send that had ended by then was begun: another one may have been begun later."""
        return int(self.start[acked[acked <= before]].max())


def _by_sender(history: History, *, each_sender: bool) -> Iterator[_Sender]:
    import numpy as np  # noqa: PLC0415

    columns = history.send_columns()
    texts = columns.texts("sender")
    sender, start, end, outcome = (columns[name] for name in ("sender", "start_ns", "end_ns", "outcome"))
    names: dict[str, list[int]] = {}
    for number in np.unique(sender).tolist():
        names.setdefault(texts[number] if each_sender else driver_of(texts[number]), []).append(number)
    for name, numbers in sorted(names.items()):
        rows = np.flatnonzero(np.isin(sender, numbers))
        rows = rows[np.argsort(end[rows], kind="stable")]
        yield _Sender(name, start[rows], end[rows], outcome[rows])
