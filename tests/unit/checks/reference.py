"""The verdict in plain dictionaries, one record at a time: slow, and meant to be read. The real one must say the same.

It knows what histories of formats 3 and 4 hold; what brokers say, delays and transactions are held by ``mutants`` and
``test_brokerside``. It repeats the definitions of ``rmqkit.checks.verdict``'s prose and takes nothing from the code
that it is compared with, except how a finding looks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rmqkit.checks import Finding
from rmqkit.history import History, Outcome, ReceiveRecord, SendRecord, group_of

Place = tuple[str, int, int]


def some(texts: list[str]) -> tuple[str, ...]:
    return tuple(sorted(texts)[:10])


def where(place: Place) -> str:
    return "{} queue {} offset {}".format(*place)


def who(message_id: str | None) -> str:
    return "nothing" if message_id is None else message_id or "a message without an id"


class Reference:
    """Violations and notes of one history."""

    def __init__(self, history: History, *, ordered: bool) -> None:
        self.history = history
        self.acknowledged: dict[str, list[Place]] = {}
        self.possible: set[str] = set()
        self.sent: set[str] = set()
        self.attempts: Counter[str] = Counter()
        self.unknown = 0
        for send in history.sends():
            self.sent.add(send.message_id)
            if send.outcome is Outcome.ACKNOWLEDGED:
                places = self.acknowledged.setdefault(send.message_id, [])
                if send.offset >= 0:
                    places.append((send.topic, send.queue, send.offset))
            if send.outcome is Outcome.UNKNOWN:
                self.possible.add(send.message_id)
                self.unknown += 1
            if send.outcome is not Outcome.REFUSED:
                self.attempts[send.message_id] += send.attempts
        self.notes: list[Finding] = []
        self.violations = [*self.replicas()]
        for group, received in self.groups():
            end = history.consumers.get(group)
            if end is not None and end.drained:
                self.violations += self.consumer_lost(group, received, end.topics)
            self.violations += self.phantoms({each.message_id for each in received}, f"received by {group}")
            self.notes += self.redelivered(group, received)
            late = [*self.out_of_order(group, received), *self.out_of_key_order(group, received)]
            (self.violations if ordered else self.notes).extend(late)

    def ours(self, message_id: str) -> bool:
        return bool(message_id) and (message_id in self.sent or message_id.startswith(self.history.run_prefixes))

    # ---- replicas

    def replicas(self) -> Iterator[Finding]:
        self.at: dict[str, dict[Place, str]] = {name: {} for name in self.history.readers}
        met: dict[str, set[tuple[Place, str]]] = {name: set() for name in self.history.readers}
        first: dict[Place, str] = {}
        differing: dict[Place, str] = {}
        corrupt: set[str] = set()
        for read in self.history.reads():
            place = (read.topic, read.queue, read.offset)
            if first.setdefault(place, read.message_id) != read.message_id:
                differing.setdefault(place, f"{where(place)}: {who(first[place])} / {who(read.message_id)}")
            if not read.intact:
                corrupt.add(f"{who(read.message_id)} at {where(place)} on {read.replica}")
            self.at.setdefault(read.replica, {}).setdefault(place, read.message_id)
            met.setdefault(read.replica, set()).add((place, read.message_id))
        self.copies = {name: Counter(mid for _, mid in pairs if self.ours(mid)) for name, pairs in met.items()}
        for name in sorted(self.at):
            yield from self.on_replica(name)
        found = {mid for copies in self.copies.values() for mid in copies}
        yield from self.phantoms(found, "found")
        for place, text in self.absent():
            differing.setdefault(place, text)
        if differing:
            text = f"divergent: replicas differ at {len(differing)} places"
            yield Finding("divergent", len(differing), text, some([*differing.values()]))
        if corrupt:
            text = f"corrupt: {len(corrupt)} bodies do not match the checksum stored with them"
            yield Finding("corrupt", len(corrupt), text, some([*corrupt]))
        if self.unknown:
            recovered = len([mid for mid in self.possible if mid in found and mid not in self.acknowledged])
            text = f"{self.unknown} sends of unknown outcome; {recovered} of them are there (recovered)"
            self.notes.append(Finding("recovered", recovered, text))

    def on_replica(self, name: str) -> Iterator[Finding]:
        at, copies = self.at[name], self.copies[name]
        if self.history.readers.get(name):
            lost = [mid for mid in self.acknowledged if mid not in copies]
            if lost:
                text = f"acknowledged-lost: {len(lost)} of {len(self.acknowledged)} acknowledged not on {name}"
                yield Finding("acknowledged-lost", len(lost), text, some(lost))
            elsewhere = [
                f"{mid}: {where(place)} holds {who(at.get(place))}"
                for mid, places in self.acknowledged.items()
                for place in places
                if mid in copies and at.get(place) != mid
            ]
            if elsewhere:
                text = f"misplaced: {len(elsewhere)} not where their receipt says on {name}"
                yield Finding("misplaced", len(elsewhere), text, some(elsewhere))
        twice = [mid for mid, count in copies.items() if count > max(1, self.attempts[mid])]
        if twice:
            text = f"duplicated: {len(twice)} stored more often than sent on {name}"
            yield Finding("duplicated", len(twice), text, some(twice))

    def absent(self) -> Iterator[tuple[Place, str]]:
        complete = [name for name in sorted(self.at) if self.history.readers.get(name)]
        shown: dict[Place, str] = {}
        for name in complete:
            shown |= self.at[name]
        for name in complete:
            for place, mid in shown.items():
                lost = mid in self.acknowledged and mid not in self.copies[name]
                if place not in self.at[name] and not lost:
                    yield place, f"{where(place)}: {who(mid)} / nothing on {name}"

    def phantoms(self, found: set[str], how: str) -> Iterator[Finding]:
        possible = self.acknowledged.keys() | self.possible
        phantom = [mid for mid in found if self.ours(mid) and mid not in possible]
        if phantom:
            refused = len([mid for mid in phantom if mid in self.sent])
            text = f"phantom: {len(phantom)} {how} that no send can have stored ({refused} of them were refused)"
            yield Finding("phantom", len(phantom), text, some(phantom))

    # ---- consumers

    def groups(self) -> Iterator[tuple[str, list[ReceiveRecord]]]:
        received: dict[str, list[ReceiveRecord]] = {group: [] for group in self.history.consumers}
        for each in self.history.receives():
            received.setdefault(group_of(each.consumer), []).append(each)
        for group in sorted(received):
            yield group, sorted(received[group], key=lambda each: each.at_ns)

    def consumer_lost(self, group: str, received: list[ReceiveRecord], topics: tuple[str, ...]) -> Iterator[Finding]:
        acknowledged = [send for send in self.history.sends() if send.outcome is Outcome.ACKNOWLEDGED]
        wanted = {send.message_id for send in acknowledged if not topics or send.topic in topics}
        lost = [*(wanted - {each.message_id for each in received})]
        if lost:
            text = f"consumer-lost: {len(lost)} of {len(wanted)} acknowledged never received by {group}"
            yield Finding("consumer-lost", len(lost), text, some(lost))

    def redelivered(self, group: str, received: list[ReceiveRecord]) -> Iterator[Finding]:
        counts = Counter(each.message_id for each in received)
        again = [mid for mid, count in counts.items() if self.ours(mid) and count > max(1, self.attempts[mid])]
        members: dict[str, set[str]] = {}
        for each in received:
            members.setdefault(each.message_id, set()).add(each.consumer)
        alone = [mid for mid in again if len(members[mid]) == 1]
        moved = [mid for mid in again if len(members[mid]) > 1]
        if alone:
            text = f"redelivered: {len(alone)} received more often than sent by {group}, each by one member"
            yield Finding("redelivered", len(alone), text, some(alone))
        if moved:
            how = "each by several members, as after a rebalance"
            text = f"redelivered-elsewhere: {len(moved)} received more often than sent by {group}, {how}"
            yield Finding("redelivered-elsewhere", len(moved), text, some(moved))

    def out_of_order(self, group: str, received: list[ReceiveRecord]) -> Iterator[Finding]:
        highest: dict[tuple[str, int], int] = {}
        seen: set[Place] = set()
        late: list[str] = []
        for each in received:
            place = (each.topic, each.queue, each.offset)
            if each.offset < 0 or place in seen:
                continue
            seen.add(place)
            before = highest.setdefault((each.topic, each.queue), each.offset)
            if each.offset < before:
                late.append(f"{where(place)}: {who(each.message_id)} came after offset {before}")
            highest[(each.topic, each.queue)] = max(before, each.offset)
        if late:
            text = f"out-of-order: {len(late)} received by {group} after a later one of their queue"
            yield Finding("out-of-order", len(late), text, some(late))

    def out_of_key_order(self, group: str, received: list[ReceiveRecord]) -> Iterator[Finding]:
        came: dict[str, int] = {}
        for number, each in enumerate(received):
            came.setdefault(each.message_id, number)
        keyed = [send for send in self.history.sends() if send.sharding_key]
        sent = Counter(send.message_id for send in keyed)
        judged = [
            send
            for send in keyed
            if send.outcome is Outcome.ACKNOWLEDGED and sent[send.message_id] == 1 and send.message_id in came
        ]
        late: list[str] = []
        for send in judged:
            last = max(self.earlier(send, judged), key=lambda other: came[other.message_id], default=send)
            if came[last.message_id] > came[send.message_id]:
                key = send.sharding_key
                late.append(f"{send.message_id}: came before {last.message_id} of its sharding key {key}")
        if late:
            text = f"out-of-order: {len(late)} received by {group} before an earlier one of their sharding key"
            yield Finding("out-of-order", len(late), text, some(late))

    def earlier(self, send: SendRecord, judged: list[SendRecord]) -> Iterator[SendRecord]:
        for other in judged:
            if other.sharding_key == send.sharding_key and other.end_ns <= send.start_ns and other is not send:
                yield other
