"""Promises of rmqkit.wire.bodies that captured frames do not show (those are in test_captured_frames.py)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmqkit.errors import WireError
from rmqkit.wire import bodies

PARSERS = [
    bodies.parse_cluster_info,
    bodies.parse_route,
    bodies.parse_topic_list,
    bodies.parse_topic_configs,
    bodies.parse_topic_stats,
    bodies.parse_consumer_offsets,
    bodies.parse_subscription_groups,
    bodies.parse_kv_table,
    bodies.parse_raft_answer,
]
SHAPES = (
    b"",
    b"null",
    b"[]",
    b"5",
    b'"x"',
    b'{"brokerAddrTable":5}',
    b'{"brokerAddrTable":{"a":{}}}',
    b'{"clusterAddrTable":{"c":[1,"a"]}}',
    b'{"queueDatas":[{}]}',
    b'{"topicList":5}',
    b'{"topicConfigTable":{"T":{"perm":"x"}}}',
    b'{"offsetTable":{"T@g":5}}',
    b'{"offsetTable":{{"queueId":"x"}:{}}}',
    b'{"subscriptionGroupTable":{"g":[]}}',
    b'{"table":[]}',
    b'{"code":"x"}',
    b'{"code":1,"peers":{"a":1,2:3}}',
)


@pytest.mark.parametrize("parse", PARSERS, ids=lambda parse: parse.__name__)
@pytest.mark.parametrize("body", SHAPES)
def test_an_unexpected_shape_gives_a_value_or_a_wire_error(parse: Callable[[bytes], object], body: bytes) -> None:
    with contextlib.suppress(WireError):
        parse(body)


@given(st.sampled_from(PARSERS), st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists))
def test_any_json_gives_a_value_or_a_wire_error(parse: Callable[[bytes], object], value: object) -> None:
    with contextlib.suppress(WireError):
        parse(repr(value).replace("'", '"').encode("utf-8", "replace"))


def test_a_broker_without_a_role_is_kept_under_its_negative_id() -> None:
    body = b'{"brokerAddrTable":{"b":{"brokerAddrs":{-1:"h:1"},"brokerName":"b","cluster":"c"}}}'
    broker = bodies.parse_cluster_info(body).brokers["b"]
    assert dict(broker.addresses) == {-1: "h:1"}
    assert broker.master is None


def test_an_empty_nameserver_gives_empty_tables() -> None:
    info = bodies.parse_cluster_info(b"{}")
    assert (dict(info.brokers), dict(info.clusters)) == ({}, {})


@pytest.mark.parametrize(("perm", "readable", "writable"), [(6, True, True), (4, True, False), (2, False, True)])
def test_permissions_are_two_bits(perm: int, readable: bool, writable: bool) -> None:
    queue = bodies.QueueData(broker_name="b", read_queues=1, write_queues=1, perm=perm)
    assert (queue.is_readable, queue.is_writable) == (readable, writable)


def test_a_group_name_may_contain_the_separator_of_topic_and_group() -> None:
    offsets = bodies.parse_consumer_offsets(b'{"offsetTable":{"T@g@h":{1:5,0:4}}}')
    assert dict(offsets["T", "g@h"]) == {0: 4, 1: 5}


def test_results_cannot_be_changed_by_their_readers() -> None:
    info = bodies.parse_cluster_info(b'{"clusterAddrTable":{"c":["b"]}}')
    with pytest.raises(TypeError):
        info.clusters["d"] = ()  # type: ignore[index]
