"""When nothing was acknowledged: every window, for each client and for each group of brokers, not only the first.

A window lies between two acknowledgements that follow each other (of the same client, or by brokers of the same
group), or between the first or last one and the beginning or end of the traffic. It counts from the earlier
acknowledgement, or from the first send afterwards that ended in it or with it: while nobody tried nothing was missing.
So an idle client has no outage, and one that waits for an answer has.

A client is a driver, as in ``outages``. A group is that of the address that acknowledged, where the history says whose
it is (``History.add_peer``); sends that failed without an address count to every group. If no address is known, all
brokers are one group.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rmqkit.checks.findings import Finding
from rmqkit.history import Columns, History, Outcome, driver_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rmqkit.checks.slots import Ints

_S = 1e9
_MOST = 1_000
_ROWS = 1 << 18
_EVERYBODY = "all brokers"


@dataclass(frozen=True, slots=True)
class Window:
    """One time without an acknowledgement. ``kind`` is ``client`` or ``group``, ``name`` which one.

    ``at_s`` counts from the run's first send. ``open``: it began before the first acknowledgement (``start``), or no
    acknowledgement followed (``end``), or there was none at all (``both``); then it may have lasted longer. ``refused``
    and ``unknown`` sends ended in it.
    """

    kind: str
    name: str
    start_ns: int
    end_ns: int
    at_s: float
    lasted_s: float
    refused: int
    unknown: int
    open: str = ""

    def __str__(self) -> str:
        never = {"": "", "start": ", before the first acknowledgement", "end": ", until the traffic ended"}
        how = never.get(self.open, ", nor ever before or after")
        return (
            f"{self.kind} {self.name}: nothing acknowledged for {self.lasted_s:.2f} s from {self.at_s:.2f} s on"
            f" ({self.refused} refused, {self.unknown} unknown){how}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def windows(history: History, *, min_s: float = 1.0) -> tuple[Window, ...]:
    """Every window of ``min_s`` seconds or more, those of clients first, each in the order of time.

    Of one client or group at most the thousand longest.
    """
    if not history.send_count:
        return ()
    import numpy as np  # noqa: PLC0415 - what starts up need not

    columns = history.send_columns()
    began = min(int(start.min()) for (start,) in columns.batches("start_ns"))
    found: list[Window] = []
    for party, wanted in _parties(history):
        rows = _rows(columns, wanted)
        end, outcome = _of(columns, "end_ns", rows), _of(columns, "outcome", rows).astype(np.int8)
        order = np.argsort(end, kind="stable") if (end[1:] < end[:-1]).any() else None
        if order is not None:
            end, outcome = end[order], outcome[order]
        gaps = _gaps(end, outcome, min_ns=max(1, int(min_s * _S)))
        if not gaps:
            continue
        start = _of(columns, "start_ns", rows)
        sends = _Sends(start if order is None else start[order], end, outcome)
        seen = [sends.window(*party, *gap, began=began) for gap in gaps]
        seen = [each for each in seen if each.lasted_s >= min_s]
        longest = sorted(seen, key=lambda each: -each.lasted_s)[:_MOST]
        found += sorted(longest, key=lambda each: each.start_ns)
    return tuple(found)


def lasting_over(found: Iterable[Window], max_s: float) -> Iterator[Finding]:
    """A violation for each client and group with windows longer than ``max_s``; 0 allows any."""
    if max_s <= 0:
        return
    long: dict[tuple[str, str], list[Window]] = {}
    for window in found:
        if window.lasted_s > max_s:
            long.setdefault((window.kind, window.name), []).append(window)
    for (kind, name), some in long.items():
        longest = max(window.lasted_s for window in some)
        text = f"outage: nothing acknowledged by {kind} {name} for up to {longest:.2f} s; {max_s:g} s are allowed"
        if kind == "client":
            text = text.replace("acknowledged by", "acknowledged to")
        examples = tuple(f"{each.lasted_s:.2f} s from {each.at_s:.2f} s on" for each in some[:10])
        yield Finding("outage", len(some), text, examples)


Wanted = tuple[str, list[int]] | None
"""The numbers that a column must have; None for all sends."""


def _parties(history: History) -> Iterator[tuple[tuple[str, str], Wanted]]:
    """Kind and name of each client and each group, and which sends are its own."""
    columns = history.send_columns()
    texts = columns.texts("sender")
    clients: dict[str, list[int]] = {}
    for number in _distinct(columns, "sender"):
        clients.setdefault(driver_of(texts[number]), []).append(number)
    for name, numbers in sorted(clients.items()):
        yield ("client", name or "(unnamed)"), None if len(clients) == 1 else ("sender", numbers)
    of_address = history.peers
    groups: dict[str, list[int]] = {group: [] for group in of_address.values()}
    if len(groups) < 2:
        yield ("group", next(iter(groups), _EVERYBODY)), None
        return
    nobodys: list[int] = []
    for number in _distinct(columns, "address"):
        group = of_address.get(texts[number])
        (nobodys if group is None else groups[group]).append(number)
    for group, numbers in sorted(groups.items()):
        yield ("group", group), ("address", [*numbers, *nobodys])


def _distinct(columns: Columns, name: str) -> list[int]:
    import numpy as np  # noqa: PLC0415

    found: set[int] = set()
    for (numbers,) in columns.batches(name):
        found |= set(np.unique(numbers).tolist())
    return sorted(found)


def _rows(columns: Columns, wanted: Wanted) -> Ints | None:
    import numpy as np  # noqa: PLC0415

    return None if wanted is None else np.flatnonzero(np.isin(columns[wanted[0]], wanted[1]))


def _of(columns: Columns, name: str, rows: Ints | None) -> Ints:
    return columns[name] if rows is None else columns[name][rows]


def _gaps(end: Ints, outcome: NDArray[np.int8], *, min_ns: int) -> list[tuple[int, int]]:
    """Where nothing was acknowledged for so long, at least: the first row after an acknowledgement, and the one behind
    the next acknowledgement, or behind the last row. Rows are sorted by their ends."""
    import numpy as np  # noqa: PLC0415

    if not len(end):
        return []
    gaps: list[tuple[int, int]] = []
    last = np.empty(0, np.int64)  # the row of the last acknowledgement so far
    for start in range(0, len(end), _ROWS):  # a part at a time: of ten million the whole would be copied thrice
        at = np.flatnonzero(outcome[start : start + _ROWS] == Outcome.ACKNOWLEDGED) + start
        if not len(at):
            continue
        if not len(last):
            gaps.append((0, int(at[0]) + 1))
        at = np.concatenate([last, at])
        long = np.flatnonzero(np.diff(end[at]) >= min_ns)
        gaps += zip((at[long] + 1).tolist(), (at[long + 1] + 1).tolist(), strict=True)
        last = at[-1:]
    if not len(last):
        return [(0, len(end))]
    return gaps if last[0] == len(end) - 1 else [*gaps, (int(last[0]) + 1, len(end))]


@dataclass(frozen=True, slots=True)
class _Sends:
    """Of one client or group, sorted by their ends."""

    start: Ints
    end: Ints
    outcome: NDArray[np.int8]

    def window(self, kind: str, name: str, first: int, after: int, *, began: int) -> Window:
        """The window of the rows ``first`` to before ``after``."""
        since, until = int(self.start[first:after].min()), int(self.end[after - 1])
        if first:
            since = max(since, int(self.end[first - 1]))
        inside = self.outcome[first:after]
        ways = ("" if first else "start", "" if inside[-1] == Outcome.ACKNOWLEDGED else "end")
        return Window(
            kind=kind,
            name=name,
            start_ns=since,
            end_ns=until,
            at_s=(since - began) / _S,
            lasted_s=(until - since) / _S,
            refused=int((inside == Outcome.REFUSED).sum()),
            unknown=int((inside == Outcome.UNKNOWN).sum()),
            open="both" if all(ways) else "".join(ways),
        )
