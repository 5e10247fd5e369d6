"""Promises of rmqkit.client.offsets."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from captured_answers import fail, say
from memory_broker import MemoryBroker, stored

from rmqkit.client.broker import BrokerClient
from rmqkit.client.messagequeue import MessageQueue
from rmqkit.client.offsets import FIRST, LAST, Begin, BrokerOffsets, LocalOffsets, first_offset, offset_at, timestamp_ms
from rmqkit.errors import RemoteError, UsageError, WireError
from rmqkit.transport.scripted import ScriptedPool
from rmqkit.wire.codes import RequestCode

ADDRESS, DEAD = "127.0.0.1:30911", "127.0.0.1:1"
QUEUE = MessageQueue("T", "b", 0)


@pytest.fixture
def pool() -> ScriptedPool:
    return ScriptedPool()


def queue_stored_at(pool: ScriptedPool, times: list[int], *, first: int = 10) -> BrokerClient:
    messages = [replace(stored(0, first + at), store_ms=time) for at, time in enumerate(times)]
    broker = MemoryBroker(pool, ADDRESS, queues={0: messages})
    broker.batch = 3
    return BrokerClient(pool, ADDRESS)


@pytest.mark.parametrize("guess", range(8, 20))
@pytest.mark.parametrize(
    ("when", "found"), [(0, 10), (100, 10), (101, 12), (200, 12), (201, 15), (300, 15), (301, 17), (999, 17)]
)
def test_the_first_at_a_time_is_found_whatever_the_broker_guesses(
    pool: ScriptedPool, when: int, found: int, guess: int
) -> None:
    broker = queue_stored_at(pool, [100, 100, 200, 200, 200, 300, 300])
    pool.on(ADDRESS, RequestCode.SEARCH_OFFSET_BY_TIMESTAMP, say(ext={"offset": guess}))
    assert offset_at(broker, pool, QUEUE, when) == found


def test_an_empty_queue_begins_where_it_is(pool: ScriptedPool) -> None:
    broker = queue_stored_at(pool, [])
    assert [first_offset(broker, pool, QUEUE, begin) for begin in (FIRST, LAST, Begin.at(5))] == [0, 0, 0]


def test_a_group_without_an_offset_begins_where_it_was_told(pool: ScriptedPool) -> None:
    broker = queue_stored_at(pool, [100, 200])
    pool.on(ADDRESS, RequestCode.SEARCH_OFFSET_BY_TIMESTAMP, say(ext={"offset": 10}))
    assert [first_offset(broker, pool, QUEUE, begin) for begin in (FIRST, LAST, Begin.at(150))] == [10, 12, 11]


def test_times_are_milliseconds_or_aware() -> None:
    assert timestamp_ms(datetime(1970, 1, 1, 0, 0, 2, tzinfo=UTC)) == 2000
    for bad in (datetime(2020, 1, 1), -1, True, "now"):  # noqa: DTZ001 - a naive one is the bad input
        with pytest.raises(UsageError):
            timestamp_ms(bad)  # type: ignore[arg-type]


def test_an_offset_of_nobody_is_told_from_an_offset_of_zero(pool: ScriptedPool) -> None:
    store = BrokerOffsets(pool, "g", timeout_s=1)
    pool.on(ADDRESS, RequestCode.QUERY_CONSUMER_OFFSET, say(ext={"offset": 7}), say(code=22), say(ext={"offset": 0}))
    tables = (b'{"offsetTable":{}}', b'{"offsetTable":{"T@g":{0:0}}}')
    pool.on(ADDRESS, RequestCode.GET_ALL_CONSUMER_OFFSET, *(say(body=body) for body in tables))
    assert [store.read(QUEUE, ADDRESS) for _ in range(4)] == [7, None, None, 0]


def test_one_offset_that_cannot_be_committed_does_not_hold_up_the_others(pool: ScriptedPool) -> None:
    other, third = MessageQueue("T", "b", 1), MessageQueue("T", "b", 2)
    pool.on(ADDRESS, RequestCode.UPDATE_CONSUMER_OFFSET, say(), say(code=1, remark="no"))
    failed = BrokerOffsets(pool, "g", timeout_s=1).write({QUEUE: (ADDRESS, 5), other: (DEAD, 6), third: (ADDRESS, 7)})
    assert set(failed) == {other, third}
    assert isinstance(failed[third], RemoteError)


def test_local_offsets_are_there_after_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "offsets"
    LocalOffsets(file).write({QUEUE: ("", 5)})
    again = LocalOffsets(file)
    assert again.read(QUEUE, "") == 5
    assert again.read(MessageQueue("T", "b", 1), "") is None
    again.write({MessageQueue("T", "b", 1): ("", 1)})
    assert LocalOffsets(file).read(QUEUE, "") == 5
    assert [path.name for path in tmp_path.iterdir()] == ["offsets"]


@pytest.mark.parametrize("content", ["", "{}x", "[1]", '[["T","b",0]]', '[["T","b","x",1]]'])
def test_a_file_that_holds_no_offsets_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "offsets"
    file.write_text(content)
    with pytest.raises(WireError, match="is not a file of offsets"):
        LocalOffsets(file)


def test_memory_forgets(pool: ScriptedPool) -> None:
    pool.on(ADDRESS, RequestCode.QUERY_CONSUMER_OFFSET, fail(AssertionError("no broker is asked")))
    store = LocalOffsets()
    store.write({QUEUE: (ADDRESS, 5)})
    assert (store.read(QUEUE, ADDRESS), LocalOffsets().read(QUEUE, ADDRESS)) == (5, None)
