"""Promises of rmqkit.client.subscription, and of the exact filter in rmqkit.client.pull."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from memory_broker import stored

from rmqkit.client.heartbeat import Subscription
from rmqkit.client.pull import only_tagged
from rmqkit.client.subscription import Sql92, differences, read_subscription, read_subscriptions
from rmqkit.errors import UsageError
from rmqkit.wire.bodies import ConsumerConnections, GroupSubscription


def test_expressions_are_read_as_java_reads_them() -> None:
    assert read_subscription("T", "*").tags == ()
    assert read_subscription("T", "A").tags == ("A",)
    both = read_subscription("T", " A ||B|| A")
    assert both.tags == ("A", "B")
    assert both.data()["codeSet"] == [65, 66]
    sql = read_subscription("T", Sql92("a > 1"))
    assert (sql.kind, sql.tags, sql.data()["expressionType"], sql.data()["tagsSet"]) == ("SQL92", (), "SQL92", [])


@pytest.mark.parametrize("bad", ["", " ", "||", "A||", "|| A", "A | B", "A || *", None, 3])
def test_an_expression_that_cannot_be_meant_is_refused(bad: str) -> None:
    with pytest.raises(UsageError, match="subscription"):
        read_subscription("T", bad)


@pytest.mark.parametrize("bad", ["", "a b", "ä", "x" * 128, "a*", None])
def test_an_illegal_topic_is_refused(bad: str) -> None:
    with pytest.raises(UsageError, match="not a topic name"):
        read_subscription(bad, "*")


@pytest.mark.parametrize("bad", ["", " ", None])
def test_an_empty_condition_is_refused(bad: str) -> None:
    with pytest.raises(UsageError, match="not an SQL92 expression"):
        Sql92(bad)


@pytest.mark.parametrize("bad", [{}, "T", None, ["T"]])
def test_topics_are_a_mapping(bad: Mapping[str, str]) -> None:
    with pytest.raises(UsageError, match="give a mapping"):
        read_subscriptions(bad)


@pytest.mark.parametrize("topic", ["%RETRY%g", "%DLQ%g"])
def test_retries_and_dead_letters_are_not_subscribed_to(topic: str) -> None:
    with pytest.raises(UsageError, match="cannot subscribe"):
        read_subscription(topic, "*")


def test_the_filter_is_exact_where_hash_codes_are_equal() -> None:
    messages = [
        replace(stored(0, n), properties_bytes=f"TAGS\x01{tag}\x02".encode()) for n, tag in enumerate(("AaAa", "BBBB"))
    ]
    assert [message.tags for message in only_tagged(messages, ("AaAa",))] == ["AaAa"]
    assert len(only_tagged(messages, ())) == 2


def online(
    *, tags: tuple[str, ...] = (), topic: str = "T", model: str = "CLUSTERING", kind: str = "TAG", expression: str = "*"
) -> ConsumerConnections:
    there = GroupSubscription(topic, expression, kind, tags, 1)
    retry = GroupSubscription("%RETRY%g", "*", "TAG", (), 1)
    return ConsumerConnections({"c": "1:1"}, {topic: there, retry.topic: retry}, "CONSUME_PASSIVELY", model, "")


@pytest.mark.parametrize(
    ("ours", "theirs", "line"),
    [
        ("A||B", online(tags=("B", "A")), None),
        ("*", online(), None),
        ("A", online(tags=("A", "B")), "T: they have A || B, this consumer A"),
        ("A", online(), "T: they have *, this consumer A"),
        ("*", online(topic="U"), "T: they have no subscription, this consumer *"),
        ("*", online(topic="U"), "U: they have *, this consumer none"),
        ("*", online(model="BROADCASTING"), "they consume BROADCASTING, this consumer CLUSTERING"),
        (Sql92("a>1"), online(kind="SQL92", expression="a>1 "), None),
        (Sql92("a>1"), online(kind="SQL92", expression="a>2"), "T: they have SQL92 a>2, this consumer SQL92 a>1"),
        (Sql92("a>1"), online(), "T: they have *, this consumer SQL92 a>1"),
    ],
)
def test_what_others_subscribe_to_otherwise_is_named(ours: str, theirs: ConsumerConnections, line: str | None) -> None:
    found = differences((read_subscription("T", ours),), "CLUSTERING", theirs, retry_topic="%RETRY%g")
    assert (line in found) if line else found == ()


def test_a_retry_topic_is_no_difference() -> None:
    assert differences((Subscription("T"),), "CLUSTERING", online(), retry_topic="%RETRY%g") == ()
    assert differences((Subscription("T"),), "CLUSTERING", online(), retry_topic="%RETRY%other") != ()
