"""One thing wrong in a good run: for each kind of finding, ways to make it so.

A way changes a copy of the story, or says by returning None that there is nothing in it to change. It shares no code
with ``rmqkit.checks``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from random import Random

from stories import ACKED, MS, REFUSED, TOPIC, UNKNOWN, S, Story

from rmqkit.history import COMMIT, ROLLBACK, ReadRecord, ReceiveRecord, SendRecord

Way = Callable[[Story, Random], Story | None]
WAYS: dict[str, tuple[str, Way]] = {}
"""By its name: the kind of finding that a way must lead to, and the way."""
DOUBTS: dict[str, tuple[str, Way]] = {}
"""The same for what makes the evidence too thin; of stories that are sure."""


def way(kind: str, *, into: dict[str, tuple[str, Way]] = WAYS) -> Callable[[Way], Way]:
    """Register a way to get a finding of ``kind``."""

    def register(act: Way) -> Way:
        into[act.__name__] = (kind, act)
        return act

    return register


# ---- what a story has that can be changed


def whole_replicas(story: Story) -> list[str]:
    return [name for name, complete in story.readers.items() if complete]


def firsts(story: Story, replica: str) -> dict[int, int]:
    return {held.queue: held.first for held in story.ranges if held.replica == replica}


def kept(story: Story, replica: str, send: SendRecord) -> bool:
    """Whether the replica must still hold what this receipt names."""
    first = firsts(story, replica)
    return first.get(send.queue, 0) <= send.offset if send.offset >= 0 else not any(first.values())


def plain_acked(story: Story) -> list[SendRecord]:
    return [s for s in story.sends if s.outcome is ACKED and not s.delay_ms and not s.transaction]


def fresh(story: Story) -> int:
    return max((read.offset for read in story.reads), default=0) + 100


def pick(some: list, random: Random):  # type: ignore[no-untyped-def,type-arg]
    return random.choice(some) if some else None


def without_read(story: Story, replica: str, message_id: str) -> None:
    story.reads = [read for read in story.reads if (read.replica, read.message_id) != (replica, message_id)]


# ---- replicas


@way("acknowledged-lost")
def one_message_is_missing_on_one_replica(story: Story, random: Random) -> Story | None:
    choices = [(r, s) for r in whole_replicas(story) for s in plain_acked(story) if kept(story, r, s)]
    # Of a message that was stored several times, one place may be deleted and the other not.
    choices = [(r, s) for r, s in choices if s.offset >= 0 or not any(firsts(story, r).values())]
    if not (chosen := pick(choices, random)):
        return None
    without_read(story, chosen[0], chosen[1].message_id)
    return story


@way("acknowledged-lost")
def the_tail_of_a_queue_is_missing_on_one_replica(story: Story, random: Random) -> Story | None:
    choices = [(r, s) for r in whole_replicas(story) for s in plain_acked(story) if s.offset >= 0 and kept(story, r, s)]
    if not (chosen := pick(choices, random)):
        return None
    replica, send = chosen
    ids = {
        read.message_id
        for read in story.reads
        if read.replica == replica and read.queue == send.queue and read.offset >= send.offset
    }
    story.reads = [read for read in story.reads if read.replica != replica or read.message_id not in ids]
    return story


@way("acknowledged-lost")
def a_committed_transaction_is_missing_on_one_replica(story: Story, random: Random) -> Story | None:
    committed = [s for s in story.sends if s.transaction == COMMIT and s.outcome is ACKED]
    choices = [(r, s) for r in whole_replicas(story) for s in committed if not any(firsts(story, r).values())]
    if not (chosen := pick(choices, random)):
        return None
    without_read(story, chosen[0], chosen[1].message_id)
    return story


@way("misplaced")
def a_receipt_names_another_place(story: Story, random: Random) -> Story | None:
    shown = {(read.replica, read.message_id) for read in story.reads}
    choices = [
        number
        for number, send in enumerate(story.sends)
        if send.outcome is ACKED
        and send.offset >= 0
        and not send.delay_ms
        and not send.transaction
        and any((replica, send.message_id) in shown for replica in whole_replicas(story))
    ]
    if (chosen := pick(choices, random)) is None:
        return None
    story.sends[chosen] = replace(story.sends[chosen], offset=fresh(story))
    return story


def also_there(story: Story, random: Random, message_id: str | None) -> Story | None:
    """The message is shown where nothing else is, by some replicas."""
    if message_id is None:
        return None
    offset = fresh(story)
    replicas = sorted(story.readers)
    for replica in random.sample(replicas, random.randint(1, len(replicas))):
        story.reads.append(ReadRecord(replica, message_id, TOPIC, 0, offset))
    return story


@way("phantom")
def a_message_is_there_that_nobody_sent(story: Story, random: Random) -> Story | None:
    return also_there(story, random, f"{story.prefixes[0]}9-{random.randrange(10**6)}")


@way("phantom")
def a_refused_message_is_there(story: Story, random: Random) -> Story | None:
    possible = {send.message_id for send in story.sends if send.outcome is not REFUSED}
    refused = sorted({send.message_id for send in story.sends} - possible)
    return also_there(story, random, pick(refused, random))


@way("phantom")
def a_message_that_was_rolled_back_is_there(story: Story, random: Random) -> Story | None:
    committed = {send.message_id for send in story.sends if send.transaction == COMMIT}
    rolled = {s.message_id for s in story.sends if s.transaction == ROLLBACK and s.outcome is ACKED}
    return also_there(story, random, pick(sorted(rolled - committed), random))


@way("phantom")
def a_group_is_handed_what_nobody_sent(story: Story, random: Random) -> Story | None:
    if (like := pick(story.receives, random)) is None:
        return None
    ghost = replace(like, message_id=f"{story.prefixes[0]}8-{random.randrange(10**6)}", queue=-1, offset=-1)
    story.receives.append(ghost)
    return story


@way("duplicated")
def a_message_is_there_once_more_than_it_was_sent(story: Story, random: Random) -> Story | None:
    wires: Counter[str] = Counter()
    for send in story.sends:
        wires[send.message_id] += 0 if send.outcome is REFUSED else send.attempts
    choices = [read for read in story.reads if read.message_id in wires]
    if (chosen := pick(choices, random)) is None:
        return None
    offset = fresh(story)
    story.reads += [replace(chosen, offset=offset + more) for more in range(max(1, wires[chosen.message_id]))]
    return story


@way("divergent")
def two_replicas_differ_at_one_place(story: Story, random: Random) -> Story | None:
    choices = [
        n
        for n, read in enumerate(story.reads)
        if any(
            other.replica != read.replica and (other.queue, other.offset) == (read.queue, read.offset)
            for other in story.reads
        )
    ]
    if (chosen := pick(choices, random)) is None:
        return None
    story.reads[chosen] = replace(story.reads[chosen], message_id="7F0000010001BBBB0000000000000001")
    return story


@way("divergent")
def a_message_that_need_not_be_there_is_missing_on_one_replica_only(story: Story, random: Random) -> Story | None:
    must = {s.message_id for s in story.sends if s.outcome is ACKED and s.transaction in ("", COMMIT)}
    delayed = {s.message_id for s in story.sends if s.delay_ms}
    whole = whole_replicas(story)
    shown = Counter((read.queue, read.offset) for read in {r for r in story.reads if r.replica in whole})
    choices = [
        read
        for read in story.reads
        if read.replica in whole and read.message_id not in must | delayed and shown[read.queue, read.offset] > 1
    ]
    if (chosen := pick(choices, random)) is None:
        return None
    place = (chosen.replica, chosen.queue, chosen.offset)
    story.reads = [read for read in story.reads if (read.replica, read.queue, read.offset) != place]
    return story


@way("corrupt")
def a_body_is_damaged_on_one_replica(story: Story, random: Random) -> Story | None:
    if (chosen := pick([*range(len(story.reads))], random)) is None:
        return None
    story.reads[chosen] = replace(story.reads[chosen], intact=False)
    return story


# ---- thin evidence


@way("no-fault", into=DOUBTS)
def nothing_was_broken(story: Story, random: Random) -> Story | None:
    story.faults = []
    return story


@way("fault-unfelt", into=DOUBTS)
def no_packet_met_the_rules(story: Story, random: Random) -> Story | None:
    injected = [fault for fault in story.faults if fault.step == "injected"]
    story.faults = [*story.faults, *(replace(fault, step="unfelt", at_ns=fault.at_ns + 1) for fault in injected)]
    return story if injected else None


@way("fault-not-ended", into=DOUBTS)
def a_fault_has_no_end(story: Story, random: Random) -> Story | None:
    story.faults = [fault for fault in story.faults if fault.step == "injected"]
    return story if story.faults else None


@way("reader-incomplete", into=DOUBTS)
def a_reader_did_not_reach_the_end(story: Story, random: Random) -> Story | None:
    story.readers[random.choice(sorted(story.readers))] = False
    return story


@way("replicas-unread", into=DOUBTS)
def nothing_was_read_back(story: Story, random: Random) -> Story | None:
    story.reads, story.readers, story.ranges = [], {}, []
    return story


@way("replicas-unread", into=DOUBTS)
def one_replica_was_not_read_back(story: Story, random: Random) -> Story | None:
    """The history says how many there are."""
    if not story.peers or len(story.readers) < 2:
        return None
    replica = random.choice(sorted(story.readers))
    del story.readers[replica]
    story.reads = [read for read in story.reads if read.replica != replica]
    story.ranges = [held for held in story.ranges if held.replica != replica]
    return story


@way("reader-incomplete", into=DOUBTS)
def nobody_said_whether_a_reader_reached_the_end(story: Story, random: Random) -> Story | None:
    choices = sorted({read.replica for read in story.reads})
    if len(choices) < 2:
        return None
    del story.readers[random.choice(choices)]
    return story


@way("consumer-undrained", into=DOUBTS)
def a_group_was_not_drained(story: Story, random: Random) -> Story | None:
    if (end := pick(story.consumers, random)) is None:
        return None
    story.consumers = [replace(each, drained=False) if each is end else each for each in story.consumers]
    return story


@way("times-run-back", into=DOUBTS)
def a_send_ends_before_it_begins(story: Story, random: Random) -> Story | None:
    number = random.randrange(len(story.sends))
    send = story.sends[number]
    story.sends[number] = replace(send, end_ns=send.start_ns - random.randint(1, S))
    return story


@way("clocks-differ", into=DOUBTS)
def a_message_is_received_before_it_was_sent(story: Story, random: Random) -> Story | None:
    started: dict[str, int] = {}
    for send in story.sends:
        if not send.delay_ms and send.outcome is not REFUSED:
            started[send.message_id] = min(send.start_ns, started.get(send.message_id, send.start_ns))
    choices = [n for n, receive in enumerate(story.receives) if receive.message_id in started]
    if (chosen := pick(choices, random)) is None:
        return None
    early_ns = started[story.receives[chosen].message_id] - random.randint(11 * MS, 100 * S)
    story.receives[chosen] = replace(story.receives[chosen], at_ns=early_ns, queue=-1, offset=-1)
    return story


@way("empty", into=DOUBTS)
def nothing_was_acknowledged(story: Story, random: Random) -> Story | None:
    story.sends = [replace(s, outcome=UNKNOWN) if s.outcome is ACKED else s for s in story.sends]
    return story


def with_silence(story: Story, random: Random) -> tuple[Story, str, float] | None:
    """One client's acknowledgements are taken away between two of them: the story, the client, and for how long."""
    mine: dict[str, list[int]] = {}
    for number in sorted(range(len(story.sends)), key=lambda number: story.sends[number].end_ns):
        mine.setdefault(story.sends[number].sender.partition("/")[0], []).append(number)
    client = random.choice(sorted(mine))
    acked = [at for at, number in enumerate(mine[client]) if story.sends[number].outcome is ACKED]
    if len(acked) < 3:
        return None
    first, last = sorted(random.sample(range(len(acked)), 2))
    if last - first < 2:
        return None
    between = mine[client][acked[first] + 1 : acked[last]]
    for number in between:
        if story.sends[number].outcome is ACKED:
            story.sends[number] = replace(story.sends[number], outcome=UNKNOWN)
    ends = story.sends[mine[client][acked[first]]].end_ns, story.sends[mine[client][acked[last]]].end_ns
    tried = min(story.sends[number].start_ns for number in [*between, mine[client][acked[last]]])
    return story, client, (ends[1] - max(ends[0], tried)) / S


__all__ = ["DOUBTS", "WAYS", "ReceiveRecord", "with_silence"]
