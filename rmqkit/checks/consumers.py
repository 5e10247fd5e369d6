"""What consumer groups were handed, compared with what was sent: each acknowledged message at least once, in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rmqkit.checks.delayed import early
from rmqkit.checks.findings import Finding
from rmqkit.checks.index import Index
from rmqkit.checks.replicas import Seen, phantoms
from rmqkit.checks.sends import Sends
from rmqkit.checks.slots import Flags, Ints, highest_until
from rmqkit.history import ConsumerEnd, History, Outcome, group_of


@dataclass(frozen=True, slots=True)
class _Received:
    """All deliveries to one group, the earliest first."""

    group: str
    message: Ints
    topic: Ints
    queue: Ints
    offset: Ints
    consumer: Ints
    at_ns: Ints


def compare_consumers(
    history: History, sends: Sends, seen: Seen, *, ordered: bool
) -> tuple[list[Finding], list[Finding], list[Finding]]:
    """Violations, doubts and notes of every group that received something, or whose end was recorded.

    ``seen``: what the replicas showed; what any group was handed is added to what was ``found``, and what was lost to
    it to what is ``lost``. ``ordered``: the caller promised an order, so that a message out of order is a violation and
    not a note.
    """
    violations: list[Finding] = []
    doubts: list[Finding] = []
    notes: list[Finding] = []
    ends = history.consumers
    for received in _by_group(history, sends.index):
        end = ends.get(received.group)
        counts = np.bincount(received.message, minlength=sends.index.ids.size)
        doubts += _undrained(received.group, end)
        if end is not None and end.drained:
            lost, open_ = _lost(end, counts, sends, seen)
            violations += lost
            doubts += open_
        violations += _phantoms(received, counts, sends)
        too_soon, odd = early(received.message, received.at_ns, sends, group=received.group)
        violations += too_soon
        doubts += odd
        notes += _redelivered(received, counts, sends)
        seen.found |= counts > 0
        (violations if ordered else notes).extend(
            [*_out_of_order(received, sends), *_out_of_key_order(received, sends)]
        )
    return violations, doubts, notes


def _by_group(history: History, index: Index) -> Iterator[_Received]:
    columns = index.receives
    groups: dict[str, list[int]] = {group: [] for group in history.consumers}
    consumer, at_ns = columns["consumer"], columns["at_ns"]
    for number in np.unique(consumer).tolist():
        groups.setdefault(group_of(index.texts[number]), []).append(number)
    for group, members in sorted(groups.items()):
        rows = np.flatnonzero(np.isin(consumer, members))
        rows = rows[np.argsort(at_ns[rows], kind="stable")]
        message = index.ids.of(columns["id_stem"][rows], columns["id_number"][rows])
        names = ("topic", "queue", "offset", "consumer", "at_ns")
        yield _Received(group, message, *(columns[name][rows] for name in names))


def _undrained(group: str, end: ConsumerEnd | None) -> Iterator[Finding]:
    if end is None:
        yield Finding("consumer-undrained", 1, f"whether {group} was drained was not recorded")
    elif not end.drained:
        text = f"{group} was not drained"
        yield Finding("consumer-undrained", 1, ": ".join(filter(None, (text, end.reason))))


def _wanted(end: ConsumerEnd, sends: Sends) -> Flags:
    return sends.acknowledged if not end.topics else _acknowledged_on(end.topics, sends)


def _lost(end: ConsumerEnd, counts: Ints, sends: Sends, seen: Seen) -> tuple[list[Finding], list[Finding]]:
    """Violations and doubts about what the group should have been handed and was not."""
    wanted = _wanted(end, sends)
    missing = wanted & (counts == 0)
    trimmed = np.flatnonzero(missing & seen.trims.ids)
    missing &= ~seen.trims.ids
    late = seen.awaited.missing(missing, end.at_ns, where=f"never received by {end.group}")
    lost = np.flatnonzero(missing & ~sends.delayed)
    seen.lost[lost] = seen.lost[late.lost] = True
    if len(lost):
        text = f"consumer-lost: {len(lost)} of {int(wanted.sum())} acknowledged never received by {end.group}"
        late.violations.insert(0, Finding("consumer-lost", len(lost), text, sends.index.some_ids(lost)))
    if len(trimmed):
        text = f"{len(trimmed)} never received by {end.group} were deleted by a replica: perhaps before it came to them"
        late.doubts.append(Finding("trimmed-unreceived", len(trimmed), text, sends.index.some_ids(trimmed)))
    return late.violations, late.doubts


def _acknowledged_on(topics: tuple[str, ...], sends: Sends) -> Flags:
    index = sends.index
    numbers = [number for number, text in enumerate(index.texts) if text in topics]
    wanted: Flags = np.zeros(index.ids.size, np.bool_)
    names = ("id_stem", "id_number", "topic", "outcome", "transaction")
    for stem, number, topic, outcome, step in index.sends.batches(*names):
        rows = sends.steps.sorted(outcome, step)[0] & np.isin(topic, numbers)
        wanted[index.ids.of(stem[rows], number[rows])] = True
    return wanted


def _phantoms(received: _Received, counts: Ints, sends: Sends) -> Iterator[Finding]:
    found = counts > 0
    if sends.index.no_id is not None:
        found[sends.index.no_id] = False
    yield from phantoms(sends.ours(found), sends, where=f"received by {received.group}")


def _redelivered(received: _Received, counts: Ints, sends: Sends) -> Iterator[Finding]:
    again = counts > np.maximum(1, sends.attempts)
    if sends.index.no_id is not None:
        again[sends.index.no_id] = False
    mine = sends.ours(again)
    moved = mine & _by_several(received, len(counts))
    for kind, found, how in (
        ("redelivered", mine & ~moved, "by one member"),
        ("redelivered-elsewhere", moved, "by several members, as after a rebalance"),
    ):
        ids = np.flatnonzero(found)
        if len(ids):
            text = f"{kind}: {len(ids)} received more often than sent by {received.group}, each {how}"
            yield Finding(kind, len(ids), text, sends.index.some_ids(ids))


def _by_several(received: _Received, size: int) -> Flags:
    """Which ids came to more than one member of the group."""
    first: Ints = np.full(size, -1, np.int64)
    first[received.message[::-1]] = received.consumer[::-1]
    several: Flags = np.zeros(size, np.bool_)
    several[received.message[first[received.message] != received.consumer]] = True
    return several


def _out_of_order(received: _Received, sends: Sends) -> Iterator[Finding]:
    """First deliveries that came after one of a higher offset of their queue; a second delivery proves nothing."""
    index = sends.index
    rows = np.flatnonzero(received.offset >= 0)
    place = index.place(received.topic[rows], received.queue[rows], received.offset[rows])
    rows = rows[_first_of_each(place, index.places.size)]
    lane = index.lanes.of(received.topic[rows], received.queue[rows])
    by_lane = np.argsort(lane, kind="stable")
    rows, lane = rows[by_lane], lane[by_lane]
    highest = highest_until(lane, received.offset[rows])
    late = np.flatnonzero(received.offset[rows] < highest)
    rows, lane, highest = rows[late], lane[late], highest[late]
    if not len(rows):
        return
    place = index.place(received.topic[rows], received.queue[rows], received.offset[rows])

    def texts(some: Ints) -> list[str]:
        parts = (index.where(place[some]), index.who(received.message[rows[some]]), highest[some].tolist())
        return [f"{where}: {who} came after offset {offset}" for where, who, offset in zip(*parts, strict=True)]

    text = f"out-of-order: {len(rows)} received by {received.group} after a later one of their queue"
    yield Finding("out-of-order", len(rows), text, index.some_by_place(place, texts))


def _out_of_key_order(received: _Received, sends: Sends) -> Iterator[Finding]:
    """Messages first received after one of their sharding key that was sent only when they were acknowledged."""
    index = sends.index
    message, key, start, end = _keyed(index)
    if not len(message):
        return
    received_at: Ints = np.full(index.ids.size, -1, np.int64)
    received_at[received.message[::-1]] = np.arange(len(received.message))[::-1]
    came = received_at[message]
    there = np.flatnonzero(came >= 0)
    message, key, start, end, came = (column[there] for column in (message, key, start, end, came))
    by_end = np.lexsort((end, key))
    latest = highest_until(key[by_end], came[by_end])
    times = np.unique(np.concatenate([start, end]))
    ends = key[by_end] * len(times) + np.searchsorted(times, end[by_end])
    # The last one of the same key that had been acknowledged when a message was sent: all before it had been, too.
    before = np.searchsorted(ends, key * len(times) + np.searchsorted(times, start), side="right") - 1
    known = np.flatnonzero((before >= 0) & (key[by_end][before] == key))
    late = known[came[known] < latest[before[known]]]
    if not len(late):
        return
    earlier = received.message[latest[before[late]]]

    def texts(some: Ints) -> list[str]:
        keys = (index.texts[number] for number in key[late[some]].tolist())
        parts = (index.id_texts(message[late[some]]), index.id_texts(earlier[some]), keys)
        return [
            f"{mid}: came before {other} of its sharding key {name}" for mid, other, name in zip(*parts, strict=True)
        ]

    text = f"out-of-order: {len(late)} received by {received.group} before an earlier one of their sharding key"
    yield Finding("out-of-order", len(late), text, index.some_by_id(message[late], texts))


def _keyed(index: Index) -> tuple[Ints, Ints, Ints, Ints]:
    """Id, sharding key, start and end of each acknowledged send that has a key and whose id was sent once."""
    parts: list[tuple[Ints, ...]] = [(np.empty(0, np.int64),) * 4]
    times_sent: Ints = np.zeros(index.ids.size, np.int64)
    names = ("id_stem", "id_number", "sharding_key", "outcome", "start_ns", "end_ns", "delay_ms", "transaction")
    plain = index.number_of("")
    for stem, number, key, outcome, start, end, delay, step in index.sends.batches(*names):
        # A delay or a transaction puts a message where it may be overtaken.
        keyed = np.flatnonzero((key != plain) & (delay <= 0) & (step == plain))
        if not len(keyed):
            continue
        message = index.ids.of(stem[keyed], number[keyed])
        np.add.at(times_sent, message, 1)
        stored = outcome[keyed] == Outcome.ACKNOWLEDGED
        parts.append((message[stored], *(column[keyed][stored] for column in (key, start, end))))
    message, key, start, end = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    once = times_sent[message] == 1
    return message[once], key[once], start[once], end[once]


def _first_of_each(slots: Ints, size: int) -> Ints:
    """The rows that are the first of their slot, in order."""
    first: Ints = np.full(size, -1, np.int64)
    first[slots[::-1]] = np.arange(len(slots))[::-1]
    return np.flatnonzero(first[slots] == np.arange(len(slots)))
