"""Promises of rmqkit.client.groupconsumer that need no real broker: bounds, errors, threads. See tests/cluster too."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from loopback_group import LoopbackGroup
from memory_broker import stored

from rmqkit.client.groupconsumer import GroupConsumer
from rmqkit.client.handling import Later
from rmqkit.client.messagequeue import MessageQueue
from rmqkit.errors import (
    ClusterError,
    NoLeaderError,
    NotFoundError,
    RemoteError,
    UsageError,
    WaitTimeoutError,
    WireError,
)
from rmqkit.wire.codes import RequestCode
from rmqkit.wire.frames import FLAG_ONEWAY, Command
from rmqkit.wire.messages import StoredMessage, encode_stored


@pytest.fixture
def peer() -> Iterator[LoopbackGroup]:
    peer = LoopbackGroup()
    yield peer
    peer.close()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("rmqkit-g-")]


def consumer(peer: LoopbackGroup, **options: Any) -> GroupConsumer:
    return GroupConsumer([peer.address], **{"group": "g", "topics": {"T": "*"}, "timeout_s": 1, **options})


def until(condition: Callable[[], object], *, within_s: float = 5.0) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.005)


def take(member: GroupConsumer, count: int, *, within_s: float = 5.0) -> list[StoredMessage]:
    got: list[StoredMessage] = []
    until(lambda: got.extend(member.poll(0.05)) or len(got) >= count, within_s=within_s)
    return got


def test_messages_come_once_and_are_committed_when_the_next_poll_took_them(peer: LoopbackGroup) -> None:
    peer.queues.update({0: 40, 1: 3})
    with consumer(peer) as member:
        assert peer.committed == {("T", 0): 0, ("T", 1): 0}, "where the group begins is kept at once"
        got = take(member, 43)
        assert sorted((m.queue_id, m.queue_offset) for m in got) == [(0, n) for n in range(40)] + [
            (1, 0),
            (1, 1),
            (1, 2),
        ]
        peer.queues[1] = 4
        assert [m.queue_offset for m in take(member, 1)] == [3]
        member.commit()
        assert peer.committed == {("T", 0): 40, ("T", 1): 4}
        assert {queue.queue_id: offset for queue, offset in member.positions().items()} == {0: 40, 1: 4}
    assert peer.codes(RequestCode.UNREGISTER_CLIENT)


def test_an_idle_consumer_does_not_ask_in_a_circle(peer: LoopbackGroup) -> None:
    peer.hold_s = 10
    with consumer(peer) as member:
        before = len(peer.asked)
        assert member.poll(1.0) == ()
        assert len(peer.asked) - before <= 6


def test_a_broker_that_answers_nothing_at_once_is_not_asked_in_a_circle(peer: LoopbackGroup) -> None:
    def nothing(command: Command) -> Command:
        return Command.answer(command, code=20, remark="", ext={"nextBeginOffset": 0, "minOffset": 0, "maxOffset": 0})

    peer.override[RequestCode.PULL_MESSAGE] = nothing
    with consumer(peer) as member:
        assert member.poll(1.0) == ()
        assert 2 <= len(peer.codes(RequestCode.PULL_MESSAGE)) <= 24


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"group": "bad group"}, "not a group name"),
        ({"topics": {"bad topic": "*"}}, "not a topic name"),
        ({"topics": {}}, "give a mapping"),
        ({"topics": {"T": "A ||"}}, "has the tag ''"),
        ({"workers": 0}, "workers"),
        ({"buffer_messages": -1}, "buffer_messages"),
        ({"max_reconsume_times": -1}, "max_reconsume_times"),
        ({"give_up_s": 0}, "give_up_s"),
        ({"on_other_subscription": "ignore"}, "on_other_subscription='ignore'"),
        ({"offsets_file": "x"}, "offsets_file without broadcast"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_asked(
    peer: LoopbackGroup, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        consumer(peer, **options)
    assert peer.asked == []


def test_joining_without_a_leader_or_route_ends_in_time_with_its_reason(peer: LoopbackGroup) -> None:
    peer.master = False
    began = time.monotonic()
    with pytest.raises(NoLeaderError, match="names no master"):
        consumer(peer, join_timeout_s=0.5).__enter__()
    with pytest.raises(NotFoundError, match="'U'"):
        consumer(peer, topics={"U": "*"}, join_timeout_s=0.5).__enter__()
    assert time.monotonic() - began < 5


def test_a_refused_heartbeat_keeps_it_from_joining(peer: LoopbackGroup) -> None:
    peer.override[RequestCode.HEART_BEAT] = lambda command: Command.answer(command, code=1, remark="go away")
    with pytest.raises(NoLeaderError, match="go away"):
        consumer(peer, join_timeout_s=0.5).__enter__()


def test_a_broken_connection_is_followed_by_a_heartbeat_and_nothing_is_missed(peer: LoopbackGroup) -> None:
    peer.hold_s = 10
    with consumer(peer) as member:
        for number in range(1, 4):
            beats = len(peer.codes(RequestCode.HEART_BEAT))
            peer.cut()
            until(lambda beats=beats: len(peer.codes(RequestCode.HEART_BEAT)) > beats)
            peer.queues[0] = number
            assert [m.queue_offset for m in take(member, 1)] == [number - 1]


def test_a_notice_of_another_member_is_acted_on_at_once(peer: LoopbackGroup) -> None:
    with consumer(peer) as member:
        assert len(member.assignment) == 2
        with consumer(peer) as second:
            notice = Command(code=RequestCode.NOTIFY_CONSUMER_IDS_CHANGED, flag=FLAG_ONEWAY, ext={"consumerGroup": "g"})
            peer.tell(notice)
            until(lambda: [len(member.assignment), len(second.assignment)] == [1, 1], within_s=3)
        until(lambda: len(peer._clients) == 1)
        peer.tell(notice)
        until(lambda: len(member.assignment) == 2, within_s=3)


def test_an_order_to_reset_moves_the_queues_held(peer: LoopbackGroup) -> None:
    peer.queues[0] = 5
    with consumer(peer) as member:
        take(member, 5)
        body = b'{"offsetTable":{{"brokerName":"b","queueId":0,"topic":"T"}:2}}'
        ext = {"topic": "T", "group": "g", "timestamp": "0"}
        peer.tell(Command(code=RequestCode.RESET_CONSUMER_CLIENT_OFFSET, flag=FLAG_ONEWAY, ext=ext, body=body))
        assert [m.queue_offset for m in take(member, 3)] == [2, 3, 4]


def moved(command: Command, to: int, *, remark: str) -> Command:
    return Command.answer(command, code=21, remark=remark, ext={"nextBeginOffset": to, "minOffset": to, "maxOffset": 9})


def test_what_retention_removed_is_passed_over_and_told(peer: LoopbackGroup) -> None:
    def trimmed(command: Command) -> Command | None:
        if command.ext["queueId"] == "0" and int(command.ext["queueOffset"]) < 4:
            return moved(command, 4, remark="OFFSET_TOO_SMALL")
        return peer._pull(command, next(iter(s for s, name in peer._clients.items() if name)))

    peer.queues[0] = 6
    peer.override[RequestCode.PULL_MESSAGE] = trimmed
    with consumer(peer) as member:
        assert [m.queue_offset for m in take(member, 2)] == [4, 5]
        (jump,) = member.jumps
        assert (jump.start, jump.to, jump.why) == (0, 4, "OFFSET_TOO_SMALL")
        assert "from offset 0 to 4" in str(jump)


def test_a_follower_that_finds_but_does_not_give_skips_nothing(peer: LoopbackGroup) -> None:
    def refuse(command: Command) -> Command:
        return Command.answer(
            command, code=20, remark="FOUND", ext={"nextBeginOffset": 5, "minOffset": 0, "maxOffset": 5}
        )

    peer.queues[0] = 5
    peer.override[RequestCode.PULL_MESSAGE] = refuse
    with consumer(peer) as member:
        assert member.poll(0.5) == ()
        del peer.override[RequestCode.PULL_MESSAGE]
        assert [m.queue_offset for m in take(member, 5)] == [0, 1, 2, 3, 4]


def test_messages_that_a_broker_leaves_out_are_told(peer: LoopbackGroup) -> None:
    def with_hole(command: Command) -> Command | None:
        ext = {"nextBeginOffset": 3, "minOffset": 0, "maxOffset": 3}
        body = b"".join(encode_stored(stored(0, offset)) for offset in (0, 2))
        if command.ext["queueOffset"] == "0" and command.ext["queueId"] == "0":
            return Command.answer(command, code=0, remark="FOUND", ext=ext, body=body)
        return None

    peer.override[RequestCode.PULL_MESSAGE] = with_hole
    with consumer(peer) as member:
        assert [m.queue_offset for m in take(member, 2)] == [0, 2]
        assert [str(jump) for jump in member.jumps] == [
            f"T b/0: from offset 0 to 3, as {peer.address} says (the broker gave 2 messages for these offsets)"
        ]


def test_a_broker_that_knows_less_does_not_send_the_consumer_back(peer: LoopbackGroup) -> None:
    peer.queues[0] = 3
    with consumer(peer, give_up_s=0.5) as member:
        take(member, 3)
        peer.override[RequestCode.PULL_MESSAGE] = lambda command: moved(command, 0, remark="OFFSET_OVERFLOW_BADLY")
        peer.queues[0] = 4  # ends the pull that is held
        take(member, 1)
        until(lambda: member.trouble is not None)
        with pytest.raises(RemoteError, match="only up to before offset 4"):
            until(lambda: member.poll(0.05))
        assert member.jumps == ()
        assert member.positions()[MessageQueue("T", "b", 0)] == 4
        del peer.override[RequestCode.PULL_MESSAGE]
        peer.queues[0] = 5
        until(lambda: member.trouble is None)
        assert [m.queue_offset for m in take(member, 1)] == [4]


def test_flow_control_stops_pulling_until_messages_are_taken(peer: LoopbackGroup) -> None:
    peer.queues.update({0: 10_000, 1: 0})
    with consumer(peer, buffer_messages=64) as member:
        until(lambda: len(peer.codes(RequestCode.PULL_MESSAGE)) >= 3)
        time.sleep(0.3)
        pulls = [c for c in peer.codes(RequestCode.PULL_MESSAGE) if c.ext["queueId"] == "0"]
        assert [int(c.ext["queueOffset"]) for c in pulls] == [0, 32]
        assert len(take(member, 10_000, within_s=20)) == 10_000


def test_a_handler_gets_each_message_of_a_queue_in_order(peer: LoopbackGroup) -> None:
    seen: list[tuple[int, int]] = []
    peer.queues.update({0: 100, 1: 100})
    with consumer(peer, on_message=lambda m: seen.append((m.queue_id, m.queue_offset)), workers=3) as member:
        until(lambda: len(seen) == 200)
        with pytest.raises(UsageError, match="has a handler"):
            member.poll(0)
    assert [offset for queue, offset in seen if queue == 1] == list(range(100))
    assert peer.committed == {("T", 0): 100, ("T", 1): 100}


def test_a_handlers_error_ends_the_consumer_with_the_message_not_consumed(peer: LoopbackGroup) -> None:
    def handle(message: StoredMessage) -> None:
        if message.queue_offset == 2:
            raise ZeroDivisionError("in the handler")

    peer.queues[0] = 5
    with pytest.raises(ZeroDivisionError, match="in the handler"), consumer(peer, on_message=handle) as member:
        until(lambda: member.commit() and False)
    assert peer.committed[("T", 0)] == 2


@pytest.mark.parametrize("answer", [True, "later", 3])
def test_an_answer_that_no_handler_may_give_is_an_error(peer: LoopbackGroup, answer: Any) -> None:
    peer.queues[0] = 1
    with pytest.raises(UsageError, match="the handler answered"), consumer(peer, on_message=lambda _: answer):
        time.sleep(0.5)
    assert peer.committed[("T", 0)] == 0


def test_a_handler_that_hangs_does_not_hang_close(peer: LoopbackGroup) -> None:
    entered, release = threading.Event(), threading.Event()

    def hang(_message: StoredMessage) -> None:
        entered.set()
        release.wait(30)

    peer.queues[0] = 1
    member = consumer(peer, on_message=hang, close_timeout_s=0.3)
    began = time.monotonic()
    member.__enter__()
    until(entered.is_set)
    with pytest.raises(WaitTimeoutError, match="worker-0 still run"):
        member.close()
    assert time.monotonic() - began < 6
    release.set()
    until(lambda: not [t for t in threading.enumerate() if t.name.startswith("rmqkit-g-")])


def test_sending_back_is_tried_until_the_broker_takes_it(peer: LoopbackGroup) -> None:
    answers = iter([14, 1, 0])
    peer.override[RequestCode.CONSUMER_SEND_MSG_BACK] = lambda c: Command.answer(c, code=next(answers))
    peer.queues[0] = 1
    with consumer(peer, on_message=lambda _: Later(2)):
        until(lambda: len(peer.codes(RequestCode.CONSUMER_SEND_MSG_BACK)) == 3)
        assert peer.committed[("T", 0)] == 0 or len(peer.codes(RequestCode.CONSUMER_SEND_MSG_BACK)) == 3
    assert peer.committed[("T", 0)] == 1


def test_offsets_that_could_not_be_committed_at_the_end_are_told(peer: LoopbackGroup) -> None:
    peer.queues[0] = 2
    member = consumer(peer).__enter__()
    take(member, 2)
    peer.override[RequestCode.UPDATE_CONSUMER_OFFSET] = lambda c: Command.answer(c, code=1, remark="disk gone")
    with pytest.raises(RemoteError, match="disk gone"):
        member.commit()
    with pytest.raises(ClusterError, match="could not be committed") as caught:
        member.close()
    assert "disk gone" in str(caught.value)


def test_garbage_in_a_batch_is_raised_and_not_passed_over(peer: LoopbackGroup) -> None:
    def garbage(command: Command) -> Command:
        ext = {"nextBeginOffset": 5, "minOffset": 0, "maxOffset": 5}
        return Command.answer(command, code=0, remark="FOUND", ext=ext, body=b"garbage")

    peer.override[RequestCode.PULL_MESSAGE] = garbage
    with pytest.raises(WireError), consumer(peer) as member:
        member.poll(3)
    assert peer.committed == {("T", 0): 0, ("T", 1): 0}


def test_an_unknown_refusal_is_kept_as_trouble_and_raised_when_it_lasts(peer: LoopbackGroup) -> None:
    peer.override[RequestCode.PULL_MESSAGE] = lambda c: Command.answer(c, code=16, remark="consume disabled")
    with consumer(peer, give_up_s=0.3) as member:
        assert member.poll(0.05) == ()
        with pytest.raises(RemoteError, match="consume disabled"):
            until(lambda: member.poll(0.1))


def test_outside_its_block_it_says_so(peer: LoopbackGroup) -> None:
    member = consumer(peer)
    for call in (lambda: member.poll(0), member.commit, member.lag, lambda: member.seek(MessageQueue("T", "b", 0), 0)):
        with pytest.raises(UsageError, match="is not open"):
            call()
    with member:
        with pytest.raises(UsageError, match="not an offset"):
            member.seek(MessageQueue("T", "b", 0), -1)
        with pytest.raises(UsageError, match="entered once"):
            member.__enter__()
    member.close()
    with pytest.raises(UsageError, match="is not open"):
        member.poll(0)
