"""Promises of the read-back: every message of every replica, or the replica counts as not read to its end."""

from __future__ import annotations

from dataclasses import replace

import pytest
from memory_broker import MemoryBroker, stored

from rmqkit.history import History, Outcome, ReadRecord, SendRecord
from rmqkit.load import read_back
from rmqkit.transport.scripted import ScriptedPool
from rmqkit.wire.codes import RequestCode
from rmqkit.wire.frames import Command

REPLICAS = {"n0": "127.0.0.1:30911", "n1": "127.0.0.1:30921"}


@pytest.fixture
def pool() -> ScriptedPool:
    return ScriptedPool()


def acknowledged(queue: int) -> SendRecord:
    return SendRecord("m", "T", 1, 2, Outcome.ACKNOWLEDGED, queue, 0, "", "")


def test_every_message_of_every_queue_and_replica_is_recorded(pool: ScriptedPool) -> None:
    queues = {0: [stored(0, 0), stored(0, 1), stored(0, 2)], 1: [stored(1, 5)]}
    for address in REPLICAS.values():
        MemoryBroker(pool, address, queues=queues)
    history = History()
    assert read_back(pool, REPLICAS, topic="T", history=history) == {}
    assert history.readers == {"n0": True, "n1": True}
    # What is below the first offset the broker has deleted: the verdict must know.
    held = [(each.replica, each.topic, each.queue, each.first, each.end) for each in history.ranges]
    assert held == [(replica, "T", *each) for replica in REPLICAS for each in ((0, 0, 3), (1, 5, 6))]
    assert history.start_ns <= min(each.at_ns for each in history.ranges)
    places = [(0, 0), (0, 1), (0, 2), (1, 5)]
    assert list(history.reads()) == [
        ReadRecord(replica, f"ID{queue}.{offset}", "T", queue, offset)
        for replica in REPLICAS
        for queue, offset in places
    ]


def test_a_replica_that_does_not_answer_was_not_read_and_the_others_were(pool: ScriptedPool) -> None:
    MemoryBroker(pool, REPLICAS["n1"], queues={0: [stored(0, 0)]})
    history = History()
    failed = read_back(pool, REPLICAS, topic="T", history=history)
    assert failed.keys() == {"n0"}
    assert "cannot connect" in failed["n0"]
    assert history.readers == {"n0": False, "n1": True}


def test_a_replica_without_the_queue_that_messages_went_into_was_not_read_to_its_end(pool: ScriptedPool) -> None:
    """A successor that made the topic anew with fewer queues holds the messages, but nobody can consume them."""
    broker = MemoryBroker(pool, REPLICAS["n0"], queues={0: [stored(0, 0)]})

    def refuse_other_queues(command: Command) -> Command:
        if int(command.ext["queueId"]) not in broker.queues:
            return Command.answer(command, code=1, remark="queueId[7] is illegal")
        return broker._offset(command, broker._start)

    pool.on(REPLICAS["n0"], RequestCode.GET_MIN_OFFSET, refuse_other_queues)
    history = History()
    history.add_send(acknowledged(7))
    failed = read_back(pool, {"n0": REPLICAS["n0"]}, topic="T", history=history)
    assert "queueId[7] is illegal" in failed["n0"]
    assert history.readers == {"n0": False}


def test_sends_to_other_topics_do_not_add_queues(pool: ScriptedPool) -> None:
    MemoryBroker(pool, REPLICAS["n0"], queues={0: []})
    history = History()
    history.add_send(SendRecord("m", "Other", 1, 2, Outcome.ACKNOWLEDGED, 7, 0, "", ""))
    assert read_back(pool, {"n0": REPLICAS["n0"]}, topic="T", history=history) == {}


def test_a_replica_that_fails_halfway_keeps_what_was_read_and_counts_as_unread(pool: ScriptedPool) -> None:
    broker = MemoryBroker(pool, REPLICAS["n0"], queues={0: [stored(0, 0), stored(0, 1), stored(0, 2)]})

    def broken(command: Command) -> Command:
        return Command.answer(command, code=1, remark="disk error")

    pool.on(REPLICAS["n0"], RequestCode.PULL_MESSAGE, broker.pull, broken)
    history = History()
    failed = read_back(pool, {"n0": REPLICAS["n0"]}, topic="T", history=history)
    assert "disk error" in failed["n0"]
    assert history.read_count == 2
    assert history.readers == {"n0": False}


def test_a_replica_that_shows_nothing_at_an_offset_was_not_read_to_its_end(pool: ScriptedPool) -> None:
    MemoryBroker(pool, REPLICAS["n0"], queues={0: [stored(0, 0), stored(0, 1), stored(0, 4)]})
    history = History()
    failed = read_back(pool, {"n0": REPLICAS["n0"]}, topic="T", history=history)
    assert failed == {"n0": f"1 gaps, the first: {REPLICAS['n0']} shows no message of T queue 0 at offsets 2 to 3"}
    assert history.readers == {"n0": False}
    assert history.unread == failed
    assert history.read_count == 3


def test_a_body_that_does_not_match_its_checksum_is_recorded_as_damaged(pool: ScriptedPool) -> None:
    damaged = replace(stored(0, 1), stored_body=b"0/X")
    MemoryBroker(pool, REPLICAS["n0"], queues={0: [stored(0, 0), damaged]})
    history = History()
    assert read_back(pool, {"n0": REPLICAS["n0"]}, topic="T", history=history) == {}
    assert [read.intact for read in history.reads()] == [True, False]
