"""What brokers say of themselves: the offsets that a queue still has, those that groups committed, whose they are.

What belongs here: appending these facts to a history, and giving them back. What does not: what clients saw
(``recorder.py``), judgement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rmqkit.errors import UsageError
from rmqkit.history.records import OffsetRecord, RangeRecord
from rmqkit.history.table import OFFSETS, Columns, Shared, Table

if TYPE_CHECKING:
    from rmqkit.history.chunks import Ints

    Numbers = Sequence[int] | Ints
    Texts = str | Sequence[str]


class BrokerSide:
    """A part of :class:`~rmqkit.history.History`."""

    on_fact: Callable[[str, dict[str, Any]], None]

    def __init__(self, shared: Shared) -> None:
        self._lock = shared.lock
        self._of_all = shared
        self._offsets = Table(OFFSETS, shared)
        self._ranges: list[RangeRecord] = []
        self._peers: dict[str, str] = {}

    # ---- writing ----------------------------------------------------------------------------------------

    def add_offset(self, record: OffsetRecord) -> None:
        """Record one answer about a group's committed offset."""
        self._offsets.append(record)

    def add_offsets(
        self,
        *,
        group: Texts,
        topic: Texts,
        queue: Numbers | int,
        offset: Numbers | int,
        start_ns: Numbers | int,
        end_ns: Numbers | int,
        deliberate: Sequence[bool] | Numbers | bool = False,
    ) -> None:
        """Record many of them; columns as in ``add_sends``."""
        columns = {name: value for name, value in locals().items() if name != "self"}
        self._offsets.append_columns(columns)

    def add_range(self, record: RangeRecord) -> None:
        """Record what a replica holds of one queue, as it said before the queue was read."""
        with self._lock:
            self._ranges.append(record)
            self.on_fact("range", asdict(record))

    def add_peer(self, address: str, group: str) -> None:
        """Record that the broker at ``address`` is of the DLedger group ``group`` (its broker name).

        Sends name addresses; so availability is told for each group. Raises UsageError where it was of another one.
        """
        with self._lock:
            before = self._peers.setdefault(address, group)
            if before != group:
                raise UsageError(f"{address} is of the groups {before} and {group}", hint="an address is of one group")
            self.on_fact("peer", {"address": address, "group": group})

    # ---- reading ----------------------------------------------------------------------------------------

    @property
    def ranges(self) -> tuple[RangeRecord, ...]:
        """What replicas said that they hold, in the order in which they were asked."""
        return tuple(self._ranges)

    @property
    def peers(self) -> Mapping[str, str]:
        """The group of each broker's address, where that was recorded."""
        return dict(self._peers)

    @property
    def offset_count(self) -> int:
        """How many answers about committed offsets were recorded."""
        return len(self._offsets)

    def offsets(self) -> Iterator[OffsetRecord]:
        """Every answer about a committed offset."""
        return self._offsets.records()

    def offset_columns(self) -> Columns:
        """The same as numpy arrays."""
        return Columns(self._offsets, self._of_all)
