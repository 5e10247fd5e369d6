"""More of the same: what consumers were handed, and what became of delayed and transactional messages."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

from mutants import DOUBTS, WAYS, firsts, pick, plain_acked, way, whole_replicas, without_read
from stories import ACKED, MS, REFUSED, UNKNOWN, S, Story

from rmqkit.history import COMMIT, HALF, ROLLBACK, OffsetRecord, SendRecord

__all__ = ["DOUBTS", "WAYS"]


# ---- consumers


@way("consumer-lost")
def a_drained_group_never_got_one(story: Story, random: Random) -> Story | None:
    if any(held.first for held in story.ranges):
        return None
    got = {(receive.consumer.partition("/")[0], receive.message_id) for receive in story.receives}
    groups = [end.group for end in story.consumers if end.drained]
    choices = [(g, s) for g in groups for s in plain_acked(story) if (g, s.message_id) in got]
    if not (chosen := pick(choices, random)):
        return None
    group, lost = chosen[0], chosen[1].message_id
    story.receives = [r for r in story.receives if (r.consumer.partition("/")[0], r.message_id) != (group, lost)]
    return story


@way("out-of-order")
def two_messages_of_a_queue_come_the_wrong_way_round(story: Story, random: Random) -> Story | None:
    first: dict[tuple[str, int, int], int] = {}
    for number, each in sorted(enumerate(story.receives), key=lambda pair: pair[1].at_ns):
        if each.offset >= 0:
            first.setdefault((each.consumer.partition("/")[0], each.queue, each.offset), number)
    pairs = [(at, first[g, q, o + 1]) for (g, q, o), at in first.items() if (g, q, o + 1) in first]
    if not (chosen := pick(pairs, random)):
        return None
    one, other = (story.receives[number] for number in chosen)
    # Everything that is handed out of the first place comes after all of the other's.
    late_ns = max(each.at_ns for each in story.receives) + S
    place = (one.consumer.partition("/")[0], one.queue, one.offset)
    story.receives = [
        each for each in story.receives if (each.consumer.partition("/")[0], each.queue, each.offset) != place
    ]
    story.receives.append(replace(one, at_ns=late_ns))
    return story if other.at_ns < late_ns else None


@way("out-of-order")
def two_messages_of_a_key_come_the_wrong_way_round(story: Story, random: Random) -> Story | None:
    times = Counter(send.message_id for send in story.sends)
    keyed = [s for s in plain_acked(story) if s.sharding_key and times[s.message_id] == 1]
    groups = {receive.consumer.partition("/")[0] for receive in story.receives}
    got = {(receive.consumer.partition("/")[0], receive.message_id) for receive in story.receives}
    pairs = [
        (group, one, other)
        for group in sorted(groups)
        for one in keyed
        for other in keyed
        if one.sharding_key == other.sharding_key
        and one.end_ns <= other.start_ns
        and {(group, one.message_id), (group, other.message_id)} <= got
    ]
    if not (chosen := pick(pairs, random)):
        return None
    group, one, _ = chosen
    mine = [r for r in story.receives if r.consumer.partition("/")[0] == group and r.message_id == one.message_id]
    story.receives = [each for each in story.receives if each not in mine]
    late_ns = max(each.at_ns for each in [*story.receives, *mine]) + S
    # By a client that does not tell places.
    story.receives.append(replace(mine[0], at_ns=late_ns, queue=-1, offset=-1))
    return story


@way("offset-moved-back")
def a_committed_offset_moves_back(story: Story, random: Random) -> Story | None:
    latest: dict[tuple[str, int], OffsetRecord] = {}
    for each in sorted(story.offsets, key=lambda offset: (offset.end_ns, offset.offset)):
        latest[each.group, each.queue] = each
    choices = [each for each in latest.values() if each.offset > 0]
    if (chosen := pick(choices, random)) is None:
        return None
    back = random.randrange(chosen.offset)
    story.offsets.append(replace(chosen, offset=back, start_ns=chosen.end_ns + MS, end_ns=chosen.end_ns + 2 * MS))
    return story


# ---- delayed and transactional messages


def delayed(story: Story) -> list[SendRecord]:
    return [send for send in story.sends if send.delay_ms and send.outcome is not REFUSED]


@way("delayed-early")
def a_delayed_message_is_handed_out_early(story: Story, random: Random) -> Story | None:
    started: dict[str, SendRecord] = {}
    for send in delayed(story):
        started.setdefault(send.message_id, send)
    choices = [n for n, receive in enumerate(story.receives) if receive.message_id in started]
    if (chosen := pick(choices, random)) is None:
        return None
    send = started[story.receives[chosen].message_id]
    share = random.uniform(0.0, 0.98)
    story.receives[chosen] = replace(
        story.receives[chosen], at_ns=send.start_ns + int(send.delay_ms * MS * share), queue=-1, offset=-1
    )
    return story


@way("delayed-lost")
def a_delayed_message_is_missing_on_one_replica(story: Story, random: Random) -> Story | None:
    read_ns = min(held.at_ns for held in story.ranges) if story.ranges else 0
    due = [s for s in delayed(story) if s.outcome is ACKED and s.start_ns + (s.delay_ms + 11_000) * MS < read_ns]
    choices = [(r, s) for r in whole_replicas(story) for s in due if not any(firsts(story, r).values())]
    if not (chosen := pick(choices, random)):
        return None
    without_read(story, chosen[0], chosen[1].message_id)
    return story


@way("delayed-lost")
def a_drained_group_never_got_a_delayed_one(story: Story, random: Random) -> Story | None:
    if any(held.first for held in story.ranges):
        return None
    choices = [
        (end.group, send)
        for end in story.consumers
        for send in delayed(story)
        if end.drained and send.outcome is ACKED and send.start_ns + (send.delay_ms + 11_000) * MS < end.at_ns
    ]
    if not (chosen := pick(choices, random)):
        return None
    group, lost = chosen[0], chosen[1].message_id
    story.receives = [r for r in story.receives if (r.consumer.partition("/")[0], r.message_id) != (group, lost)]
    return story


@way("half-unsettled")
def a_half_is_never_settled(story: Story, random: Random) -> Story | None:
    halves = {s.message_id: s for s in story.sends if s.transaction == HALF and s.outcome is ACKED}
    read_ns = min((held.at_ns for held in story.ranges), default=0)
    if any(held.first for held in story.ranges):
        return None
    committed = {s.message_id for s in story.sends if s.transaction == COMMIT}
    rolled_back = {s.message_id for s in story.sends if s.transaction == ROLLBACK}
    choices = [mid for mid, s in halves.items() if mid in committed - rolled_back and s.end_ns + 181 * S < read_ns]
    if (chosen := pick(choices, random)) is None:
        return None
    story.sends = [
        replace(s, outcome=UNKNOWN) if (s.message_id, s.transaction) == (chosen, COMMIT) else s for s in story.sends
    ]
    story.reads = [read for read in story.reads if read.message_id != chosen]
    story.receives = [receive for receive in story.receives if receive.message_id != chosen]
    return story
