"""A history as columns of numbers: what the arithmetic of a report works on.

What belongs here: which columns of a history a report reads. What does not: what is counted from them (``series``,
``outages``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rmqkit.history import Columns, History, Outcome, driver_of, group_of

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

UNNAMED = "unnamed"
"""The driver of sends, or the group of a consumer, to which the history gives no name."""


@dataclass(frozen=True, slots=True)
class SendColumns:
    """Every send, a place in each column. ``driver`` and ``reason`` number the names beside them."""

    start_ns: Ints
    end_ns: Ints
    outcome: Ints
    driver: Ints
    drivers: tuple[str, ...]
    reason: Ints
    reasons: tuple[str, ...]
    message: Ints
    """The same number for the same message id, also among what was received."""

    def __len__(self) -> int:
        return len(self.start_ns)

    @property
    def acknowledged(self) -> Bools:
        """Which sends were acknowledged."""
        return np.asarray(self.outcome == int(Outcome.ACKNOWLEDGED), dtype=np.bool_)

    def of(self, driver: int) -> Bools:
        """Which sends are that driver's."""
        return np.asarray(self.driver == driver, dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class ReceiveColumns:
    """Every delivery to a consumer."""

    at_ns: Ints
    group: Ints
    groups: tuple[str, ...]
    message: Ints

    def __len__(self) -> int:
        return len(self.at_ns)


def columns(history: History) -> tuple[SendColumns, ReceiveColumns]:
    """The sends of a history, and what its consumers were handed."""
    sent, received = history.send_columns(), history.receive_columns()
    sent_messages, received_messages = _messages(sent, received)
    driver, drivers = _merged(sent, "sender", driver_of)
    group, groups = _merged(received, "consumer", group_of)
    reason, reasons = _merged(sent, "reason", str)
    return (
        SendColumns(sent["start_ns"], sent["end_ns"], sent["outcome"], driver, drivers, reason, reasons, sent_messages),
        ReceiveColumns(received["at_ns"], group, groups, received_messages),
    )


def _messages(*tables: Columns) -> list[Ints]:
    """Ids, which a history keeps as a stem and a number each, as one number: equal where the ids are."""
    if not any(len(table) for table in tables):
        return [np.empty(0, dtype=np.int64) for _ in tables]
    numbers = [table["id_number"] for table in tables]
    highest = max(int(each.max(initial=0)) for each in numbers)
    stems = max(int(table["id_stem"].max(initial=0)) for table in tables)
    if (stems + 1) * (highest + 2) < 2**62:
        return [table["id_stem"] * (highest + 2) + number + 1 for table, number in zip(tables, numbers, strict=True)]
    # Huge numbers in somebody's ids: they are counted through first.
    known, places = np.unique(np.concatenate(numbers), return_inverse=True)
    parts = np.split(places, np.cumsum([len(each) for each in numbers])[:-1])
    return [table["id_stem"] * len(known) + part for table, part in zip(tables, parts, strict=True)]


def _merged(table: Columns, name: str, kind: Callable[[str], str]) -> tuple[Ints, tuple[str, ...]]:
    """A column of texts by what ``kind`` makes of each text, numbered in the order of their names."""
    numbers = table[name]
    texts = table.texts(name)
    used = np.unique(numbers).tolist()
    names = {number: str(kind(texts[number])) or UNNAMED * (name != "reason") for number in used}
    known = sorted(set(names.values()))
    place_of = {text: place for place, text in enumerate(known)}
    places = np.zeros(max(used, default=-1) + 1, dtype=np.int64)
    for number, text in names.items():
        places[number] = place_of[text]
    return places[numbers], tuple(known)
