"""Promises of rmqkit.client.heartbeat."""

from __future__ import annotations

import json

import pytest

from rmqkit.client.heartbeat import (
    ConsumerMember,
    ConsumeType,
    MessageModel,
    Subscription,
    heartbeat,
    new_client_id,
    unregister,
)
from rmqkit.errors import UsageError
from rmqkit.wire.codes import RequestCode


def test_a_heartbeat_names_the_client_and_its_groups() -> None:
    consumer = ConsumerMember("g", [Subscription("T", "TagA || TagB", version=7)])
    command = heartbeat("me@1", producer_groups=["p"], consumers=[consumer])
    assert command.code == RequestCode.HEART_BEAT
    assert json.loads(command.body) == {
        "clientID": "me@1",
        "producerDataSet": [{"groupName": "p"}],
        "consumerDataSet": [
            {
                "groupName": "g",
                "consumeType": "CONSUME_PASSIVELY",
                "messageModel": "CLUSTERING",
                "consumeFromWhere": "CONSUME_FROM_LAST_OFFSET",
                "subscriptionDataSet": [
                    {
                        "classFilterMode": False,
                        "topic": "T",
                        "subString": "TagA || TagB",
                        "tagsSet": ["TagA", "TagB"],
                        "codeSet": [2598919, 2598920],
                        "subVersion": 7,
                        "expressionType": "TAG",
                    }
                ],
                "unitMode": False,
            }
        ],
    }


def test_types_and_models_go_by_their_java_names() -> None:
    member = ConsumerMember("g", (), consume_type=ConsumeType.PULL, model=MessageModel.BROADCASTING)
    assert (member.data()["consumeType"], member.data()["messageModel"]) == ("CONSUME_ACTIVELY", "BROADCASTING")


@pytest.mark.parametrize("expression", ["", "*"])
def test_all_messages_are_subscribed_to_without_tags(expression: str) -> None:
    data = Subscription("T", expression).data()
    assert (data["subString"], data["tagsSet"], data["codeSet"]) == ("*", [], [])


def test_leaving_names_only_the_groups_that_are_left() -> None:
    assert unregister("me", producer_group="p").ext == {"clientID": "me", "producerGroup": "p"}
    assert unregister("me", consumer_group="g").ext == {"clientID": "me", "consumerGroup": "g"}


def test_client_ids_are_never_the_same() -> None:
    assert len({new_client_id() for _ in range(100)}) == 100


@pytest.mark.parametrize("group", ["", "a b", "a" * 256, "gr\u00fcn"])
def test_a_group_that_brokers_do_not_take_is_named(group: str) -> None:
    with pytest.raises(UsageError, match="not a group name"):
        heartbeat("me", producer_groups=[group])
    with pytest.raises(UsageError, match="not a group name"):
        ConsumerMember(group, ())


def test_a_heartbeat_of_nobody_is_refused() -> None:
    with pytest.raises(UsageError, match="no group"):
        heartbeat("me")
    with pytest.raises(UsageError, match="sequence"):
        heartbeat("me", producer_groups="p")
    with pytest.raises(UsageError, match="leaves no group"):
        unregister("me")
