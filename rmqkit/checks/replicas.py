"""What the replicas show, compared with what was sent and with each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from rmqkit.checks.findings import Finding, some
from rmqkit.checks.sends import Place, Sends
from rmqkit.history import History


@dataclass(slots=True)
class _Replica:
    name: str
    complete: bool
    at: dict[Place, str] = field(default_factory=dict)
    copies: Counter[str] = field(default_factory=Counter)


def compare_replicas(history: History, sends: Sends) -> tuple[list[Finding], list[Finding]]:
    """Every violation that the read-back shows, and what is worth a note."""
    replicas = {name: _Replica(name, complete) for name, complete in history.readers.items()}
    everywhere: dict[Place, str] = {}
    differing: dict[Place, str] = {}
    corrupt: set[str] = set()
    for read in history.reads():
        place = (read.topic, read.queue, read.offset)
        first = everywhere.setdefault(place, read.message_id)
        if first != read.message_id:
            differing.setdefault(place, f"{_where(place)}: {_who(first)} / {_who(read.message_id)}")
        if not read.intact:
            corrupt.add(f"{_who(read.message_id)} at {_where(place)} on {read.replica}")
        replica = replicas.setdefault(read.replica, _Replica(read.replica, complete=False))
        # A message that a reader met twice at one place is there once.
        if replica.at.get(place) != read.message_id:
            replica.at.setdefault(place, read.message_id)
            if read.message_id and sends.is_ours(read.message_id):
                replica.copies[read.message_id] += 1
    violations: list[Finding] = []
    complete = [replica for _, replica in sorted(replicas.items()) if replica.complete]
    for _, replica in sorted(replicas.items()):
        violations += _on_replica(replica, sends)
    found: set[str] = set().union(*(replica.copies for replica in replicas.values()))
    violations += _phantoms(found, sends)
    for place, text in _absent(complete, sends):
        differing.setdefault(place, text)
    if differing:
        text = f"divergent: replicas differ at {len(differing)} places"
        violations.append(Finding("divergent", len(differing), text, some(differing.values())))
    if corrupt:
        text = f"corrupt: {len(corrupt)} bodies do not match the checksum stored with them"
        violations.append(Finding("corrupt", len(corrupt), text, some(corrupt)))
    return violations, _notes(found, sends)


def _on_replica(replica: _Replica, sends: Sends) -> Iterator[Finding]:
    if replica.complete:
        lost = [mid for mid in sends.acknowledged if mid not in replica.copies]
        if lost:
            text = f"acknowledged-lost: {len(lost)} of {len(sends.acknowledged)} acknowledged not on {replica.name}"
            yield Finding("acknowledged-lost", len(lost), text, some(lost))
        elsewhere = [
            f"{mid}: {_where(place)} holds {_who(replica.at[place]) if place in replica.at else 'nothing'}"
            for mid, places in sends.acknowledged.items()
            if mid in replica.copies
            for place in places
            if replica.at.get(place) != mid
        ]
        if elsewhere:
            text = f"misplaced: {len(elsewhere)} not where their receipt says on {replica.name}"
            yield Finding("misplaced", len(elsewhere), text, some(elsewhere))
    twice = [mid for mid, count in replica.copies.items() if count > max(1, sends.attempts[mid])]
    if twice:
        text = f"duplicated: {len(twice)} stored more often than sent on {replica.name}"
        yield Finding("duplicated", len(twice), text, some(twice))


def _absent(complete: list[_Replica], sends: Sends) -> Iterator[tuple[Place, str]]:
    """Places that one whole replica shows and another does not, unless that is told already as acknowledged-lost."""
    shown: dict[Place, str] = {}
    for replica in complete:
        shown |= replica.at
    for replica in complete:
        if len(replica.at) == len(shown):
            continue
        for place, message_id in shown.items():
            lost = message_id in sends.acknowledged and message_id not in replica.copies
            if place not in replica.at and not lost:
                yield place, f"{_where(place)}: {_who(message_id)} / nothing on {replica.name}"


def _phantoms(found: set[str], sends: Sends) -> Iterator[Finding]:
    phantom = [mid for mid in found if mid not in sends.acknowledged and mid not in sends.possible]
    if phantom:
        refused = sum(1 for mid in phantom if mid in sends.refused_only)
        text = f"phantom: {len(phantom)} found that no send can have stored ({refused} of them were refused)"
        yield Finding("phantom", len(phantom), text, some(phantom))


def _notes(found: set[str], sends: Sends) -> list[Finding]:
    if not sends.unknown_sends:
        return []
    recovered = sum(1 for mid in sends.possible if mid in found and mid not in sends.acknowledged)
    text = f"{sends.unknown_sends} sends of unknown outcome; {recovered} of them are there (recovered)"
    return [Finding("recovered", recovered, text)]


def _where(place: Place) -> str:
    topic, queue, offset = place
    return f"{topic} queue {queue} offset {offset}"


def _who(message_id: str) -> str:
    return message_id or "a message without an id"
