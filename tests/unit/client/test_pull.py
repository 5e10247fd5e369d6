"""Promises of rmqkit.client.pull."""

from __future__ import annotations

import pytest
from captured_answers import VERSIONS, play, request, say
from memory_broker import MemoryBroker, stored

from rmqkit.client.pull import Gap, PullStatus, pull_once, read_queue, read_topic_from
from rmqkit.errors import ClusterError, RemoteError, UsageError, WaitTimeoutError
from rmqkit.transport.scripted import ScriptedPool
from rmqkit.wire.codes import RequestCode
from rmqkit.wire.frames import Command, encode
from rmqkit.wire.messages import encode_stored

ADDRESS = "127.0.0.1:30911"


@pytest.fixture
def pool() -> ScriptedPool:
    return ScriptedPool()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("peer", ["leader", "follower"])
def test_any_replica_serves_a_pull(pool: ScriptedPool, version: str, peer: str) -> None:
    pool.on(ADDRESS, RequestCode.PULL_MESSAGE, play(version, f"pull_found_{peer}"))
    result = pull_once(pool, ADDRESS, topic="VectorTopic", queue_id=0, offset=0)
    assert (result.status, result.next_offset, result.min_offset, result.max_offset) == (
        PullStatus.FOUND,
        4,
        0,
        4,
    )
    assert [message.queue_offset for message in result.messages] == [0, 1, 2, 3]
    assert encode(pool.asked[0].command, opaque=7) == request(version, f"pull_found_{peer}")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("name", "status", "remark"),
    [
        ("pull_at_end_leader", PullStatus.NOT_FOUND, "OFFSET_OVERFLOW_ONE"),
        ("pull_at_end_follower", PullStatus.NOT_FOUND, "OFFSET_OVERFLOW_ONE"),
        ("pull_out_of_range_leader", PullStatus.OFFSET_MOVED, "OFFSET_OVERFLOW_BADLY"),
        ("pull_out_of_range_follower", PullStatus.RETRY, "OFFSET_OVERFLOW_BADLY"),
    ],
)
def test_a_pull_without_messages_says_why(
    pool: ScriptedPool, version: str, name: str, status: PullStatus, remark: str
) -> None:
    pool.on(ADDRESS, RequestCode.PULL_MESSAGE, play(version, name))
    result = pull_once(pool, ADDRESS, topic="VectorTopic", queue_id=0, offset=4)
    assert (result.status, result.remark, result.messages) == (status, remark, ())
    assert result.max_offset == 4


def test_a_long_poll_is_asked_for_by_a_flag_and_must_end_before_the_time_does(pool: ScriptedPool) -> None:
    pool.on(ADDRESS, RequestCode.PULL_MESSAGE, play("4.9.8", "pull_at_end_leader"))
    pull_once(pool, ADDRESS, topic="T", queue_id=0, offset=4, suspend_ms=500)
    ext = pool.asked[0].command.ext
    assert (ext["sysFlag"], ext["suspendTimeoutMillis"]) == ("6", "500")
    with pytest.raises(UsageError, match="not below timeout_s"):
        pull_once(pool, ADDRESS, topic="T", queue_id=0, offset=4, suspend_ms=5000, timeout_s=5)


def test_another_code_is_a_refusal(pool: ScriptedPool) -> None:
    pool.on(ADDRESS, RequestCode.PULL_MESSAGE, say(code=24, remark="the consumer's group info not exist"))
    with pytest.raises(RemoteError, match="24 SUBSCRIPTION_NOT_EXIST"):
        pull_once(pool, ADDRESS, topic="T", queue_id=0, offset=0)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_follower_that_has_not_heard_of_the_topic_is_told_from_a_wrong_name(pool: ScriptedPool, version: str) -> None:
    pool.on(ADDRESS, RequestCode.GET_TOPIC_STATS_INFO, play(version, "topic_stats_unknown"))
    with pytest.raises(RemoteError, match=r"topic\[NoSuchTopic\] not exist") as caught:
        read_topic_from(pool, ADDRESS, "NoSuchTopic")
    assert "a follower copies topics from its leader every 10 s" in str(caught.value)


def test_a_queue_is_read_from_its_first_message_to_its_last(pool: ScriptedPool) -> None:
    MemoryBroker(pool, ADDRESS, queues={0: [stored(0, offset) for offset in range(5, 12)]})
    read = read_queue(pool, ADDRESS, topic="T", queue_id=0)
    assert [message.queue_offset for message in read] == list(range(5, 12))


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [(7, 9, [7, 8]), (None, 7, [5, 6]), (0, 6, [5]), (10, 99, [10, 11]), (11, 11, []), (20, None, [])],
)
def test_a_part_of_a_queue_is_read_whatever_the_batches(
    pool: ScriptedPool, start: int | None, end: int | None, expected: list[int]
) -> None:
    broker = MemoryBroker(pool, ADDRESS, queues={0: [stored(0, offset) for offset in range(5, 12)]})
    broker.batch = 3
    read = read_queue(pool, ADDRESS, topic="T", queue_id=0, start=start, end=end)
    assert [message.queue_offset for message in read] == expected
    pulls = [asked.command for asked in pool.asked if asked.command.code == RequestCode.PULL_MESSAGE]
    for command in pulls:  # a leader that is asked beyond its range writes an event message about it
        assert 5 <= int(command.ext["queueOffset"]) < 12


def test_what_comes_after_the_call_is_not_read(pool: ScriptedPool) -> None:
    broker = MemoryBroker(pool, ADDRESS, queues={0: [stored(0, 0)], 1: []})
    queue = read_queue(pool, ADDRESS, topic="T", queue_id=0)
    topic = read_topic_from(pool, ADDRESS, "T")
    broker.queues[0].append(stored(0, 1))
    broker.queues[1].append(stored(1, 0))
    assert [message.queue_offset for message in queue] == [0]
    assert [(message.queue_id, message.queue_offset) for message in topic] == [(0, 0)]


def test_a_topic_is_read_queue_by_queue(pool: ScriptedPool) -> None:
    queues = {0: [stored(0, 3), stored(0, 4)], 1: [], 2: [stored(2, 0)]}
    MemoryBroker(pool, ADDRESS, queues=queues)
    read = read_topic_from(pool, ADDRESS, "T")
    assert [(message.queue_id, message.queue_offset) for message in read] == [(0, 3), (0, 4), (2, 0)]


def test_a_hole_in_the_queue_is_told_of_and_passed(pool: ScriptedPool) -> None:
    """The broker skips slots whose message it cannot read (MESSAGE_WAS_REMOVING)."""
    MemoryBroker(pool, ADDRESS, queues={0: [stored(0, 0), stored(0, 1), stored(0, 50)]})
    gaps: list[Gap] = []
    read = read_queue(pool, ADDRESS, topic="T", queue_id=0, on_gap=gaps.append)
    assert [message.queue_offset for message in read] == [0, 1, 50]
    assert gaps == [Gap(ADDRESS, "T", 0, 2, 50)]


def test_a_hole_within_one_answer_is_told_of(pool: ScriptedPool) -> None:
    MemoryBroker(pool, ADDRESS, queues={0: [stored(0, 0), stored(0, 2), stored(0, 3)]})
    gaps: list[Gap] = []
    assert len(list(read_topic_from(pool, ADDRESS, "T", on_gap=gaps.append))) == 3
    assert [str(gap) for gap in gaps] == [f"{ADDRESS} shows no message of T queue 0 at offset 1"]


def test_a_hole_at_the_end_is_told_of(pool: ScriptedPool) -> None:
    broker = MemoryBroker(pool, ADDRESS, queues={0: [stored(0, 0), stored(0, 1), stored(0, 2), stored(0, 3)]})
    skipped = say(code=20, remark="MESSAGE_WAS_REMOVING", ext={"nextBeginOffset": 4, "minOffset": 0, "maxOffset": 4})
    pool.on(ADDRESS, RequestCode.PULL_MESSAGE, broker.pull, skipped)
    gaps: list[Gap] = []
    read = read_queue(pool, ADDRESS, topic="T", queue_id=0, on_gap=gaps.append)
    assert [message.queue_offset for message in read] == [0, 1]
    assert [(gap.start, gap.end) for gap in gaps] == [(2, 4)]


def test_a_hole_that_nobody_listens_for_is_an_error(pool: ScriptedPool) -> None:
    MemoryBroker(pool, ADDRESS, queues={0: [stored(0, 0), stored(0, 1), stored(0, 50)]})
    with pytest.raises(ClusterError, match="shows no message of T queue 0 at offsets 2 to 49"):
        list(read_queue(pool, ADDRESS, topic="T", queue_id=0))


def test_messages_whose_own_offsets_run_ahead_of_their_places_are_all_read(pool: ScriptedPool) -> None:
    """ConsumeQueue logs "[BUG]logic queue order maybe wrong" and puts the message into the next place all the same."""
    shifted = [stored(0, 0), stored(0, 5), stored(0, 6)]
    MemoryBroker(pool, ADDRESS, queues={0: shifted})

    def by_place(command: Command) -> Command:
        at = int(command.ext["queueOffset"])
        return Command.answer(
            command,
            code=0,
            ext={"nextBeginOffset": at + 1, "minOffset": 0, "maxOffset": 3},
            body=encode_stored(shifted[at]),
        )

    pool.on(ADDRESS, RequestCode.PULL_MESSAGE, by_place)
    gaps: list[Gap] = []
    read = read_queue(pool, ADDRESS, topic="T", queue_id=0, end=3, on_gap=gaps.append)
    assert [message.queue_offset for message in read] == [0, 5, 6]
    assert [(gap.start, gap.end) for gap in gaps] == [(1, 5)]


def test_an_advice_to_go_on_elsewhere_is_followed(pool: ScriptedPool) -> None:
    broker = MemoryBroker(pool, ADDRESS, queues={0: [stored(0, 3)]})
    moved = say(code=21, ext={"nextBeginOffset": 3, "minOffset": 3, "maxOffset": 4})
    pool.on(ADDRESS, RequestCode.GET_MIN_OFFSET, say(ext={"offset": 0}))
    pool.on(ADDRESS, RequestCode.PULL_MESSAGE, moved, broker.pull)
    assert [message.queue_offset for message in read_queue(pool, ADDRESS, topic="T", queue_id=0)] == [3]


@pytest.mark.parametrize("code", [19, 20, 21])
def test_a_peer_that_gets_no_further_ends_in_an_error_that_says_where(pool: ScriptedPool, code: int) -> None:
    MemoryBroker(pool, ADDRESS, queues={0: [stored(0, 0), stored(0, 1)]})
    stuck = say(code=code, remark="OFFSET_FOUND_NULL", ext={"nextBeginOffset": 0, "minOffset": 0, "maxOffset": 2})
    pool.on(ADDRESS, RequestCode.PULL_MESSAGE, stuck)
    with pytest.raises(WaitTimeoutError) as caught:
        list(read_queue(pool, ADDRESS, topic="T", queue_id=0, timeout_s=0.2))
    assert "T queue 0 from offset 0 of 2" in str(caught.value)
    assert "OFFSET_FOUND_NULL" in str(caught.value)


def test_a_short_standstill_is_waited_out(pool: ScriptedPool) -> None:
    broker = MemoryBroker(pool, ADDRESS, queues={0: [stored(0, 0)]})

    def not_yet(command: Command) -> Command:
        return Command.answer(command, code=20, ext={"nextBeginOffset": 0, "minOffset": 0, "maxOffset": 1})

    pool.on(ADDRESS, RequestCode.PULL_MESSAGE, not_yet, not_yet, broker.pull)
    assert [message.queue_offset for message in read_queue(pool, ADDRESS, topic="T", queue_id=0)] == [0]
