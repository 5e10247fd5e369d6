"""Heartbeats: how a broker learns which clients there are, and may ask them something.

What belongs here: the requests HEART_BEAT (34) and UNREGISTER_CLIENT (35) and their bodies. What does not: when they
are sent (``transactions``, ``groupconsumer``), what a broker then asks (those too).

Source: HeartbeatData, ConsumerData, ProducerData, SubscriptionData, FilterAPI.buildSubscriptionData;
ClientManageProcessor. A broker forgets a client whose heartbeat it has not seen for 120 s
(ConsumerManager.CHANNEL_EXPIRED_TIMEOUT, ProducerManager the same), or whose connection closed.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from rmqkit.errors import UsageError
from rmqkit.wire.codes import RequestCode
from rmqkit.wire.frames import Command
from rmqkit.wire.javatext import java_hash

HEARTBEAT_EVERY_S = 30.0
"""ClientConfig.heartbeatBrokerInterval."""

SUBSCRIBE_ALL = "*"
TAG = "TAG"
SQL92 = "SQL92"

_GROUP = re.compile(r"[%|a-zA-Z0-9_-]{1,255}")
_numbers = itertools.count()


def check_group(group: str) -> str:
    """The name of a group, as it is. Raises :class:`UsageError` for one that Java's clients refuse too."""
    if not isinstance(group, str) or not _GROUP.fullmatch(group):
        raise UsageError(f"not a group name: {group!r}", hint="1 to 255 of a-z A-Z 0-9 _ - % | (Validators.checkGroup)")
    return group


def new_client_id() -> str:
    """A client id that no other client has: ``host@pid#time#number``, ordered as a text like Java's ``ip@pid#time``.

    Java's clients sort the ids of a group's members to share its queues out.
    """
    return f"{socket.gethostname()}@{os.getpid()}#{time.time_ns()}#{next(_numbers)}"


class ConsumeType(Enum):
    """How a group consumes, as brokers show it."""

    PULL = "CONSUME_ACTIVELY"
    PUSH = "CONSUME_PASSIVELY"


class MessageModel(Enum):
    """Whether the members of a group share its queues, or each reads all of them."""

    CLUSTERING = "CLUSTERING"
    BROADCASTING = "BROADCASTING"


class ConsumeFromWhere(Enum):
    """Where a group without a committed offset begins; the client decides by it, the broker only shows it."""

    LAST_OFFSET = "CONSUME_FROM_LAST_OFFSET"
    FIRST_OFFSET = "CONSUME_FROM_FIRST_OFFSET"
    TIMESTAMP = "CONSUME_FROM_TIMESTAMP"


@dataclass(frozen=True, slots=True)
class Subscription:
    """One topic of a consumer: ``expression`` is ``*``, or tags joined by ``||``; of the ``kind`` SQL92, a condition.

    ``version`` decides which of two subscriptions of a group a broker keeps: the newer one
    (ConsumerGroupInfo.updateSubscription); milliseconds since the epoch in Java's clients.
    """

    topic: str
    expression: str = SUBSCRIBE_ALL
    version: int = field(default_factory=lambda: time.time_ns() // 1_000_000, kw_only=True)
    kind: str = field(default=TAG, kw_only=True)

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags by name, each once; empty for all."""
        if self.kind != TAG or self.expression in ("", SUBSCRIBE_ALL):
            return ()
        return tuple(dict.fromkeys(tag.strip() for tag in self.expression.split("||") if tag.strip()))

    @property
    def is_all(self) -> bool:
        """Whether nothing is filtered."""
        return self.kind == TAG and not self.tags

    def data(self) -> Mapping[str, object]:
        """SubscriptionData as JSON."""
        return {
            "classFilterMode": False,
            "topic": self.topic,
            "subString": self.expression or SUBSCRIBE_ALL,
            "tagsSet": list(self.tags),
            "codeSet": [java_hash(tag) for tag in self.tags],
            "subVersion": self.version,
            "expressionType": self.kind,
        }


@dataclass(frozen=True, slots=True)
class ConsumerMember:
    """What a member of a consumer group says about itself. All members must say the same, or brokers keep the last."""

    group: str
    subscriptions: Sequence[Subscription]
    consume_type: ConsumeType = field(default=ConsumeType.PUSH, kw_only=True)
    model: MessageModel = field(default=MessageModel.CLUSTERING, kw_only=True)
    from_where: ConsumeFromWhere = field(default=ConsumeFromWhere.LAST_OFFSET, kw_only=True)

    def __post_init__(self) -> None:
        check_group(self.group)
        object.__setattr__(self, "subscriptions", tuple(self.subscriptions))

    def data(self) -> Mapping[str, object]:
        """ConsumerData as JSON."""
        return {
            "groupName": self.group,
            "consumeType": self.consume_type.value,
            "messageModel": self.model.value,
            "consumeFromWhere": self.from_where.value,
            "subscriptionDataSet": [subscription.data() for subscription in self.subscriptions],
            "unitMode": False,
        }


def heartbeat(
    client_id: str, *, producer_groups: Sequence[str] = (), consumers: Sequence[ConsumerMember] = ()
) -> Command:
    """HEART_BEAT of a client that is in ``producer_groups`` and is the ``consumers``; a broker answers success.

    A broker creates the consumer group if it may, and the group's retry topic (createTopicInSendMessageBackMethod).
    Raises :class:`UsageError` when it is in no group at all: brokers would take it and know nobody.
    """
    if isinstance(producer_groups, str):
        raise UsageError(f"producer_groups is the text {producer_groups!r}", hint="give a sequence of group names")
    if not client_id or not (producer_groups or consumers):
        raise UsageError(
            f"a heartbeat of client {client_id!r} with no group", hint="name a client id and a group or more"
        )
    data = {
        "clientID": client_id,
        "producerDataSet": [{"groupName": check_group(group)} for group in producer_groups],
        "consumerDataSet": [consumer.data() for consumer in consumers],
    }
    return Command.request(RequestCode.HEART_BEAT, body=json.dumps(data, separators=(",", ":")).encode())


def unregister(client_id: str, *, producer_group: str = "", consumer_group: str = "") -> Command:
    """UNREGISTER_CLIENT: the client leaves one group of each kind at once, instead of after 120 s of silence."""
    if not client_id or not (producer_group or consumer_group):
        raise UsageError(f"client {client_id!r} leaves no group", hint="name producer_group or consumer_group")
    return Command.request(
        RequestCode.UNREGISTER_CLIENT,
        ext={
            "clientID": client_id,
            "producerGroup": check_group(producer_group) if producer_group else None,
            "consumerGroup": check_group(consumer_group) if consumer_group else None,
        },
    )
