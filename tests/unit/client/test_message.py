"""Promises of rmqkit.client.message, uniqkey and targets."""

from __future__ import annotations

import os
import time
import zlib

import pytest

from rmqkit.client.message import OutgoingMessage, pack_body
from rmqkit.client.targets import TopicTargets
from rmqkit.client.uniqkey import MessageIds, new_message_id
from rmqkit.errors import UsageError
from rmqkit.wire.bodies import BrokerData, QueueData, TopicRoute
from rmqkit.wire.frames import MAX_FRAME_BYTES
from rmqkit.wire.messages import decode_properties
from rmqkit.wire.sendframe import SendHeader, SendRequest


def test_delay_and_sharding_key_travel_as_properties() -> None:
    message = OutgoingMessage("T", b"x", delay_level=3, sharding_key="k", tags="A", message_id="m")
    assert decode_properties(message.encoded_properties) == {
        "KEYS": "m",
        "UNIQ_KEY": "m",
        "TAGS": "A",
        "DELAY": "3",
        "__SHARDINGKEY": "k",
    }


@pytest.mark.parametrize("level", [-1, 1.5, "1", True])
def test_a_delay_level_is_a_number_from_0_up(level: object) -> None:
    with pytest.raises(UsageError, match="delay_level is"):
        OutgoingMessage("T", b"x", delay_level=level)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["DELAY", "TRAN_MSG", "PGROUP", "__SHARDINGKEY", "REAL_TOPIC", "UNIQ_KEY"])
def test_properties_of_the_protocol_cannot_be_set_as_ones_own(name: str) -> None:
    with pytest.raises(UsageError, match=f"properties may not contain {name}"):
        OutgoingMessage("T", b"x", properties={name: "1"})


def test_a_property_that_brokers_drop_is_refused() -> None:
    with pytest.raises(UsageError, match="property 'p' is empty"):
        OutgoingMessage("T", b"x", properties={"p": ""})


def test_what_fits_into_no_frame_is_refused_when_it_is_made() -> None:
    with pytest.raises(UsageError, match="a body of 16777216 bytes does not fit"):
        OutgoingMessage("T", bytes(16_777_216))
    with pytest.raises(UsageError, match="properties of 2000"):
        OutgoingMessage("T", b"x", properties={"p": "x" * 200_000})


def test_the_largest_message_that_can_be_made_makes_a_frame() -> None:
    message = OutgoingMessage("T", bytes(15_728_640), properties={"p": "\U0001f600" * 85_900})
    header = SendHeader.of(group="g" * 255, topic="T" * 127, queue_id=10**9, broker_name="b" * 255)
    request = SendRequest(header, properties=message.encoded_properties, body=message.body, sys_flag=1, born_ms=10**13)
    assert len(request.frame(2**31 - 1)) <= MAX_FRAME_BYTES + 4


def test_long_bodies_are_compressed_where_it_helps() -> None:
    assert pack_body(b"a" * 4096, over=4096) == (b"a" * 4096, 0)
    packed, flag = pack_body(b"a" * 4097, over=4096)
    assert (zlib.decompress(packed), flag) == (b"a" * 4097, 1)
    noise = os.urandom(5000)
    assert pack_body(noise, over=4096) == (noise, 0)
    assert pack_body(b"a" * 99999, over=None) == (b"a" * 99999, 0)


def test_ids_never_come_twice_whatever_the_clock_does(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_790_000_000_000_000_000]
    monkeypatch.setattr(time, "time_ns", lambda: now[0])
    ids = MessageIds()
    seen = set()
    for number in range(70_000):
        if number % 1000 == 0:
            now[0] += (-1) ** (number // 1000) * 40 * 86_400 * 10**9  # to and fro by more than a month
        seen.add(ids.next())
    assert len(seen) == 70_000
    assert {len(each) for each in seen} == {32}


def test_the_time_of_an_id_is_where_javas_tools_look_for_it() -> None:
    before = time.time_ns() // 1_000_000
    message_id = new_message_id()
    after = time.time_ns() // 1_000_000
    span_ms = int.from_bytes(bytes.fromhex(message_id)[10:14], "big")  # MessageClientIDSetter.getNearlyTimeFromID
    local = time.localtime(before / 1000)
    month = time.mktime((local.tm_year, local.tm_mon, 1, 0, 0, 0, 0, 0, -1)) * 1000
    assert before <= month + span_ms <= after


def test_a_forked_child_makes_ids_of_its_own() -> None:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, new_message_id().encode())
        os._exit(0)
    os.waitpid(pid, 0)
    child = os.read(reader, 32).decode()
    os.close(reader)
    os.close(writer)
    assert child[:10] != new_message_id()[:10]


def targets(*groups: tuple[str, int, str | None]) -> TopicTargets:
    route = TopicRoute(
        queues=tuple(QueueData(name, read_queues=n, write_queues=n, perm=6) for name, n, _ in groups),
        brokers=tuple(BrokerData(name, "c", {0: master} if master else {1: "x:1"}) for name, _, master in groups),
    )
    return TopicTargets("T", route, group="g")


@pytest.mark.parametrize(("key", "queue"), [("TagA", 7), ("hello world", 4), ("polygenelubricants", 0), ("订单", 3)])
def test_a_sharding_key_means_the_queue_that_java_chooses(key: str, queue: int) -> None:
    target, _ = targets(("b", 8, "a:1")).choose(sharding_key=key)
    assert target is not None
    assert target.queue_id == queue


def test_the_order_of_groups_in_the_route_changes_no_choice() -> None:
    one, other = targets(("a", 3, "a:1"), ("b", 4, "b:1")), targets(("b", 4, "b:1"), ("a", 3, "a:1"))
    for number in range(50):
        first, second = one.choose(sharding_key=f"k{number}")[0], other.choose(sharding_key=f"k{number}")[0]
        assert first is not None
        assert second is not None
        assert (first.address, first.queue_id) == (second.address, second.queue_id)


def test_a_key_whose_group_has_no_leader_is_refused_and_not_moved() -> None:
    all_up, one_down = targets(("a", 4, "a:1"), ("b", 4, "b:1")), targets(("a", 4, None), ("b", 4, "b:1"))
    moved = 0
    for number in range(50):
        before, _ = all_up.choose(sharding_key=f"k{number}")
        now, why = one_down.choose(sharding_key=f"k{number}")
        assert before is not None
        if before.broker_name == "a":
            assert now is None
            assert "to which the sharding key belongs" in why
            moved += 1
        else:
            assert now is not None
            assert (now.address, now.queue_id) == (before.address, before.queue_id)
    assert moved


def test_a_queue_and_a_key_cannot_both_be_asked_for() -> None:
    with pytest.raises(UsageError, match="both queue_id=1 and a sharding key"):
        targets(("b", 8, "a:1")).choose(queue_id=1, sharding_key="k")
