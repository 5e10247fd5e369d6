"""Promises of rmqkit.client.rebalance and rmqkit.client.messagequeue."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmqkit.client.messagequeue import MessageQueue, java_order
from rmqkit.client.rebalance import allocate_averagely


def queues(count: int, *, brokers: tuple[str, ...] = ("b",)) -> list[MessageQueue]:
    return [MessageQueue("T", broker, number) for broker in brokers for number in range(count)]


def numbers(client_id: str, count: int, members: list[str]) -> list[int]:
    return [queue.queue_id for queue in allocate_averagely(client_id, queues(count), members)]


@pytest.mark.parametrize(
    ("count", "members", "shares"),
    [  # computed by AllocateMessageQueueAveragely of 4.9.8, by hand
        (8, "abc", [[0, 1, 2], [3, 4, 5], [6, 7]]),
        (8, "ab", [[0, 1, 2, 3], [4, 5, 6, 7]]),
        (4, "abc", [[0, 1], [2], [3]]),
        (3, "abc", [[0], [1], [2]]),
        (2, "abc", [[0], [1], []]),
        (1, "abc", [[0], [], []]),
        (10, "abcd", [[0, 1, 2], [3, 4, 5], [6, 7], [8, 9]]),
    ],
)
def test_shares_are_those_of_javas_clients(count: int, members: str, shares: list[list[int]]) -> None:
    for order in (list(members), list(reversed(members))):
        assert [numbers(member, count, order) for member in members] == shares


@given(st.integers(1, 40), st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=9, unique=True))
def test_each_queue_has_exactly_one_owner(count: int, members: list[str]) -> None:
    owned = [queue for member in members for queue in allocate_averagely(member, queues(count), members)]
    assert sorted(owned, key=lambda queue: queue.queue_id) == queues(count)


def test_who_is_not_listed_gets_nothing() -> None:
    assert numbers("x", 8, ["a", "b"]) == []
    assert allocate_averagely("a", [], ["a"]) == ()


def test_an_id_that_is_listed_twice_counts_twice_as_in_java() -> None:
    assert numbers("a", 6, ["a", "b", "a"]) == [0, 1]
    assert numbers("b", 6, ["a", "b", "a"]) == [4, 5]


def test_queues_are_ordered_by_topic_then_broker_then_number() -> None:
    mixed = [MessageQueue("T", "b2", 0), MessageQueue("T", "b10", 1), MessageQueue("T", "b10", 0)]
    assert allocate_averagely("a", mixed, ["a"]) == (mixed[2], mixed[1], mixed[0])


def test_texts_are_ordered_as_java_orders_them() -> None:
    high, private = "\U0001f600", "\ufffd"  # Java compares UTF-16 units: D83D comes before FFFD
    assert sorted([private, high], key=java_order) == [high, private]
    assert sorted([private, high]) == [private, high]
