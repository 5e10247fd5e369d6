"""Good runs of every kind, from a seed: what a correct cluster, its clients and its own retention may do.

This shares no code with ``rmqkit.checks``. A story is told from the inside: what each send put into which queue and
when, what each replica still holds when it is read, and what each group was handed. The records follow from that.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random

from rmqkit.history import (
    COMMIT,
    HALF,
    ROLLBACK,
    ConsumerEnd,
    FaultEvent,
    History,
    OffsetRecord,
    Outcome,
    RangeRecord,
    ReadRecord,
    ReceiveRecord,
    SendRecord,
)

TOPIC = "T"
MS, S = 1_000_000, 1_000_000_000
LONG_AFTER_S = 400
ACKED, REFUSED, UNKNOWN = Outcome.ACKNOWLEDGED, Outcome.REFUSED, Outcome.UNKNOWN
DRIVERS = ("built-in", "java", "native")
PEERS = tuple(f"127.0.0.1:309{number}1" for number in range(1, 6))
ADDRESSES = PEERS[:2]
"""Those that answer senders."""


@dataclass
class Story:
    """Everything that one history holds, in plain lists. ``sure``: the evidence is enough, so that it must pass."""

    sends: list[SendRecord] = field(default_factory=list)
    reads: list[ReadRecord] = field(default_factory=list)
    receives: list[ReceiveRecord] = field(default_factory=list)
    offsets: list[OffsetRecord] = field(default_factory=list)
    ranges: list[RangeRecord] = field(default_factory=list)
    readers: dict[str, bool] = field(default_factory=dict)
    consumers: list[ConsumerEnd] = field(default_factory=list)
    faults: list[FaultEvent] = field(default_factory=list)
    peers: dict[str, str] = field(default_factory=dict)
    prefixes: list[str] = field(default_factory=list)
    sure: bool = False

    def history(self) -> History:
        """The story, recorded."""
        history = History()
        for prefix in self.prefixes:
            history.add_run_prefix(prefix)
        history.faults += self.faults
        for address, group in self.peers.items():
            history.add_peer(address, group)
        for send in self.sends:
            history.add_send(send)
        for read in self.reads:
            history.add_read(read)
        for receive in self.receives:
            history.add_receive(receive)
        for offset in self.offsets:
            history.add_offset(offset)
        for held in self.ranges:
            history.add_range(held)
        for replica, whole in self.readers.items():
            history.reader_done(replica, reached_end=whole, reason="" if whole else "it was silent")
        for end in self.consumers:
            history.consumer_done(end.group, drained=end.drained, topics=end.topics, reason=end.reason, at_ns=end.at_ns)
        return history

    @classmethod
    def of(cls, history: History) -> Story:
        """A recorded history as a story."""
        return cls(
            [*history.sends()],
            [*history.reads()],
            [*history.receives()],
            [*history.offsets()],
            [*history.ranges],
            history.readers,
            [*history.consumers.values()],
            [*history.faults],
            dict(history.peers),
            [*history.run_prefixes],
        )

    def copy(self) -> Story:
        """One whose lists may be changed."""
        lists = ("sends", "reads", "receives", "offsets", "ranges", "consumers", "faults", "prefixes")
        changed = {name: list(getattr(self, name)) for name in lists}
        return replace(self, **changed, readers=dict(self.readers), peers=dict(self.peers))


@dataclass
class Copy:
    """One message in one queue's log, seen from ``at_ns`` on; ``send`` is the record whose receipt names it."""

    message_id: str
    queue: int
    at_ns: int
    send: int | None = None


class Teller:
    """Tells one good run."""

    def __init__(self, seed: int) -> None:
        self.random = r = Random(seed)
        self.story = Story(prefixes=[f"{r.getrandbits(32):08x}-"])
        self.start_ns = r.randrange(10**12, 10**15)
        self.queues = r.randint(1, 4)
        self.copies: list[Copy] = []
        self.whole = r.random() < 0.75
        self.undecided = False
        self.end_ns = self.start_ns

    def tell(self) -> Story:
        """The run, from its first send to the last fact about it."""
        r, story = self.random, self.story
        self.fault_at = [self.start_ns + r.randint(3, 20) * S for _ in range(r.choice([0, 1, 1, 2]))]
        for number, at_ns in enumerate(self.fault_at):
            steps = (("injected", 0), ("elected", 3), ("acked", 4), ("healed", 9))
            story.faults += [FaultEvent("kill-leader", step, f"n{number}", at_ns + s * S) for step, s in steps]
        for worker in range(r.randint(1, 3)):
            self.work(worker, f"{r.choice(DRIVERS)}/{worker}")
        for number in range(r.choice([0, 0, 2, 4])):
            others = r.choice(["", f"7F0000010001AAAA{number:016X}"])
            self.copies.append(Copy(others, r.randrange(self.queues), self.moment()))
        logs = self.logs()
        story.sends.sort(key=lambda send: send.end_ns + r.randint(0, 2 * MS))
        self.read_back(logs)
        for number in range(r.choice([0, 1, 1, 2])):
            self.consume(f"group-{number}", logs)
        if r.random() < 0.5:
            story.peers = dict.fromkeys(PEERS[: len(story.readers)], "broker-a")
        acknowledged = any(each.outcome is ACKED and each.transaction in ("", COMMIT) for each in story.sends)
        drained = all(each.drained for each in story.consumers)
        story.sure = self.whole and acknowledged and drained and not self.trimmed and not self.undecided
        return story

    def moment(self) -> int:
        """Some time during the traffic."""
        return self.random.randint(self.start_ns, max(self.start_ns, self.end_ns))

    # ---- senders

    def work(self, worker: int, sender: str) -> None:
        """Some sends, one after the other."""
        r, at_ns = self.random, self.start_ns
        for number in range(r.randint(2, 14)):
            at_ns += r.randint(1, 2500) * MS
            message_id = f"{self.story.prefixes[0]}{worker}-{number}"
            how = r.choices([self.plain, self.delayed, self.transactional], [8, 1, 1])[0]
            at_ns = how(message_id, sender, at_ns)
        self.end_ns = max(self.end_ns, at_ns)

    def add(self, message_id: str, sender: str, at_ns: int, outcome: Outcome, **more: object) -> SendRecord:
        """A send that began at ``at_ns``."""
        took = self.random.randint(1, 3000 if outcome is UNKNOWN else 40) * MS
        reason = "" if outcome is ACKED else "no answer" if outcome is UNKNOWN else "no leader"
        place = {"queue": -1, "offset": -1, "address": self.random.choice(ADDRESSES), "reason": reason}
        send = SendRecord(message_id, TOPIC, at_ns, at_ns + took, outcome, **{**place, "sender": sender, **more})
        self.story.sends.append(send)
        return send

    def outcome(self, at_ns: int) -> Outcome:
        """What may come of a send at that time."""
        away = any(fault <= at_ns < fault + 4 * S for fault in self.fault_at)
        return self.random.choices([ACKED, REFUSED, UNKNOWN], [1, 4, 4] if away else [20, 1, 1])[0]

    def stored(self, send: SendRecord, queue: int, most: int, *, late_s: int = 0) -> None:
        """One to ``most`` copies in a log, the last of which the receipt names, if there is one."""
        r = self.random
        count = r.randint(1, most) if r.random() < 0.3 else 1
        number = len(self.story.sends) - 1
        named = send.outcome is ACKED and not send.sender.startswith("native")
        last_ns = r.randint(send.start_ns, send.end_ns + late_s * S)
        for left in range(count - 1, -1, -1):
            at_ns = last_ns if left == 0 else r.randint(send.start_ns, last_ns)
            self.copies.append(Copy(send.message_id, queue, at_ns, number if named and left == 0 else None))

    def plain(self, message_id: str, sender: str, at_ns: int) -> int:
        """One message; after a failure perhaps again, with the same id."""
        r = self.random
        attempts = 5 if sender.startswith("native") else r.choice([1, 1, 1, 2])
        key = r.choice(["", "", f"key-{sender}"])
        queue = sum(map(ord, key)) % self.queues if key else r.randrange(self.queues)
        while True:
            send = self.add(message_id, sender, at_ns, self.outcome(at_ns), attempts=attempts, sharding_key=key)
            if send.outcome is ACKED:
                self.stored(send, queue, attempts)
            elif send.outcome is UNKNOWN and r.random() < 0.5:
                self.stored(send, queue, attempts, late_s=20)
            if send.outcome is ACKED or r.random() < 0.6:
                return send.end_ns
            at_ns = send.end_ns + r.randint(0, 200) * MS

    def delayed(self, message_id: str, sender: str, at_ns: int) -> int:
        """One that is due later; its receipt names a place in the queue of its delay."""
        r = self.random
        delay_ms = r.choice([1000, 5000, 30_000])
        place = {"queue": r.randrange(4), "offset": r.randrange(9)}
        send = self.add(message_id, sender, at_ns, self.outcome(at_ns), delay_ms=delay_ms)
        if send.outcome is ACKED:
            self.story.sends[-1] = replace(send, **place)
        if send.outcome is ACKED or (send.outcome is UNKNOWN and r.random() < 0.5):
            due_ns = r.randint(send.start_ns, send.end_ns) + delay_ms * MS + r.randint(0, 2000) * MS
            self.copies.append(Copy(message_id, r.randrange(self.queues), due_ns))
        return send.end_ns

    def transactional(self, message_id: str, sender: str, at_ns: int) -> int:
        """A half, then its end; where that was not heard of, the broker asks back."""
        r = self.random
        half = self.add(message_id, sender, at_ns, self.outcome(at_ns), transaction=HALF)
        if half.outcome is not ACKED:
            return half.end_ns
        self.story.sends[-1] = replace(half, queue=r.randrange(4), offset=r.randrange(9))
        decision = r.choice([COMMIT, COMMIT, ROLLBACK, ""])
        queue, end = r.randrange(self.queues), half
        if decision:
            end = self.add(message_id, sender, half.end_ns, self.outcome(half.end_ns), transaction=decision, attempts=0)
        if not decision or end.outcome is not ACKED:
            later_ns = half.end_ns + r.randint(6, 70) * S
            decision = decision or r.choice([COMMIT, ROLLBACK, ""])
            self.undecided |= not decision
            if not decision:
                return end.end_ns
            asked = self.add(message_id, sender, later_ns, ACKED, transaction=decision, attempts=0)
        else:
            asked = end
        if decision == COMMIT:
            self.copies.append(Copy(message_id, queue, r.randint(asked.start_ns, asked.end_ns)))
        return end.end_ns

    def logs(self) -> list[list[Copy]]:
        """Each queue's log; receipts are given their places."""
        logs = [sorted((c for c in self.copies if c.queue == q), key=lambda c: c.at_ns) for q in range(self.queues)]
        for queue, log in enumerate(logs):
            for offset, each in enumerate(log):
                if each.send is not None:
                    self.story.sends[each.send] = replace(self.story.sends[each.send], queue=queue, offset=offset)
        return logs

    # ---- after the traffic

    def read_back(self, logs: list[list[Copy]]) -> None:
        """Every replica, each with what its retention left, some of them not to their ends."""
        r, story = self.random, self.story
        early = not self.whole and r.random() < 0.5
        last_ns = max(send.end_ns for send in story.sends)  # not before the last acknowledgement, which would be no use
        self.read_ns = last_ns + (1 if early else LONG_AFTER_S) * S
        self.trimmed = r.random() < 0.3
        for replica in range(r.choice([1, 3, 3, 5])):
            name, complete = f"n{replica}", self.whole or r.random() < 0.6
            for queue, log in enumerate(logs):
                shown = [each for each in log if each.at_ns <= self.read_ns]
                first = r.randint(0, len(shown)) if self.trimmed and r.random() < 0.6 else 0
                story.ranges.append(RangeRecord(name, TOPIC, queue, first, len(shown), self.read_ns))
                end = len(shown) if complete else r.randint(first, len(shown))
                found = [ReadRecord(name, shown[at].message_id, TOPIC, queue, at) for at in range(first, end)]
                story.reads += found + (found[:2] if r.random() < 0.2 else [])
            story.readers[name] = complete
        if r.random() < 0.2:
            r.shuffle(story.reads)

    def consume(self, group: str, logs: list[list[Copy]]) -> None:
        """A group is handed every queue in order; members change, and what was in hand comes again."""
        r, story = self.random, self.story
        drained = self.whole or r.random() < 0.5
        members = [f"{group}/{number}" for number in range(r.randint(1, 3))]
        for queue, log in enumerate(logs):
            shown = [each for each in log if each.at_ns <= self.read_ns]
            at_ns, member = self.start_ns, r.choice(members)
            upto = len(shown) if drained else r.randint(0, len(shown))
            position = committed = 0
            asked_ns = self.start_ns
            while position < upto:
                each = shown[position]
                at_ns = max(at_ns, each.at_ns) + r.randint(1, 50) * MS
                story.receives.append(ReceiveRecord(member, each.message_id, TOPIC, queue, position, at_ns))
                position += 1
                if r.random() < 0.06:  # sent back: it comes again from the retry topic
                    again_ns = at_ns + r.randint(1, 9) * S
                    story.receives.append(ReceiveRecord(member, each.message_id, TOPIC, -1, -1, again_ns))
                if r.random() < 0.06:  # a rebalance: the next member begins where the group had committed
                    member, position = r.choice(members), max(committed, position - r.randint(0, 4))
                if r.random() < 0.3 and at_ns > asked_ns:
                    before, committed = committed, max(committed, position - r.randint(0, 2))
                    start_ns = r.randint(asked_ns, at_ns)
                    story.offsets.append(OffsetRecord(group, TOPIC, queue, committed, start_ns, at_ns))
                    asked_ns = at_ns
                    if r.random() < 0.2:  # another question is under way at once, and is answered from before
                        story.offsets.append(OffsetRecord(group, TOPIC, queue, before, start_ns - 1, at_ns + 1))
                        asked_ns = at_ns + 1
            if story.offsets and r.random() < 0.1:
                reset = OffsetRecord(group, TOPIC, queue, 0, at_ns + S, at_ns + 2 * S, deliberate=True)
                story.offsets += [reset, replace(reset, start_ns=at_ns + 3 * S, end_ns=at_ns + 4 * S, deliberate=False)]
        topics = r.choice([(), (TOPIC,)])
        reason = "" if drained else "it was stopped"
        story.consumers.append(ConsumerEnd(group, drained, topics, reason, self.read_ns))
        if r.random() < 0.5:
            story.receives.sort(key=lambda receive: receive.at_ns)


def good(seed: int) -> Story:
    """A good run, always the same of one seed."""
    return Teller(seed).tell()
