"""Bodies of administrative answers, parsed into frozen values.

What belongs here: one value and one ``parse_…`` function per body, over bytes. What does not: who asked whom
(``rmqkit.client``), joins of several answers (``rmqkit.cluster.status``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

from rmqkit.errors import WireError
from rmqkit.wire import fastjson

T = TypeVar("T")

READ_PERMISSION = 4
WRITE_PERMISSION = 2


@dataclass(frozen=True, slots=True)
class BrokerData:
    """A broker group as a NameServer knows it: ``addresses`` maps broker id to address; 0 is the master."""

    name: str
    cluster: str
    addresses: Mapping[int, str]

    @property
    def master(self) -> str | None:
        """The address under broker id 0, or None while the NameServer knows none."""
        return self.addresses.get(0)


@dataclass(frozen=True, slots=True)
class ClusterInfo:
    """Everything that registered with one NameServer (ClusterInfo.java)."""

    brokers: Mapping[str, BrokerData]
    clusters: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class QueueData:
    """The queues that one broker group has of a topic."""

    broker_name: str
    read_queues: int
    write_queues: int
    perm: int

    @property
    def is_readable(self) -> bool:
        """Whether consumers may pull."""
        return bool(self.perm & READ_PERMISSION)

    @property
    def is_writable(self) -> bool:
        """Whether producers may send."""
        return bool(self.perm & WRITE_PERMISSION)


@dataclass(frozen=True, slots=True)
class TopicRoute:
    """Where a topic lives (TopicRouteData.java)."""

    queues: tuple[QueueData, ...]
    brokers: tuple[BrokerData, ...]

    def broker(self, name: str) -> BrokerData | None:
        """The broker group of that name, if the route has it."""
        return next((broker for broker in self.brokers if broker.name == name), None)


@dataclass(frozen=True, slots=True)
class TopicConfig:
    """A topic on one broker (TopicConfig.java)."""

    name: str
    read_queues: int
    write_queues: int
    perm: int
    sys_flag: int = 0
    order: bool = False


@dataclass(frozen=True, slots=True)
class QueueRange:
    """The offsets that one queue holds: ``max_offset`` is the next to be written (TopicOffset.java)."""

    min_offset: int
    max_offset: int
    last_update_ms: int


@dataclass(frozen=True, slots=True)
class SubscriptionGroup:
    """A consumer group as one broker knows it (SubscriptionGroupConfig.java)."""

    name: str
    consume_enable: bool
    retry_queues: int
    retry_max_times: int


@dataclass(frozen=True, slots=True)
class GroupSubscription:
    """What a group wants of a topic, as one broker knows it (SubscriptionData.java)."""

    topic: str
    expression: str
    kind: str
    tags: tuple[str, ...]
    version: int


@dataclass(frozen=True, slots=True)
class ConsumerConnections:
    """The online members of a group, as one broker knows them (ConsumerConnection.java): client id to address."""

    members: Mapping[str, str]
    subscriptions: Mapping[str, GroupSubscription]
    consume_type: str
    message_model: str
    from_where: str


@dataclass(frozen=True, slots=True)
class ConsumeProgress:
    """How far a group is in one queue (OffsetWrapper.java); ``committed`` is 0 where nothing was committed."""

    topic: str
    broker_name: str
    queue_id: int
    end: int
    committed: int
    last_consumed_ms: int


@dataclass(frozen=True, slots=True)
class RaftAnswer:
    """The JSON body of any DLedger answer (RequestOrResponse.java); ``code`` is not the frame's."""

    code: int
    group: str
    leader_id: str | None
    term: int
    peers: Mapping[str, str]


def parse_cluster_info(body: bytes) -> ClusterInfo:
    """Body of 106 GET_BROKER_CLUSTER_INFO; empty tables where nothing is registered."""

    def build(value: Any) -> ClusterInfo:
        table = value.get("brokerAddrTable") or {}
        clusters = value.get("clusterAddrTable") or {}
        return ClusterInfo(
            brokers=MappingProxyType({name: _broker_data(table[name]) for name in sorted(table)}),
            clusters=MappingProxyType({name: tuple(sorted(clusters[name])) for name in sorted(clusters)}),
        )

    return _parsed(body, "cluster info", build)


def parse_route(body: bytes) -> TopicRoute:
    """Body of 105 GET_ROUTEINTO_BY_TOPIC."""

    def build(value: Any) -> TopicRoute:
        queues = (
            QueueData(
                broker_name=item["brokerName"],
                read_queues=int(item["readQueueNums"]),
                write_queues=int(item["writeQueueNums"]),
                perm=int(item["perm"]),
            )
            for item in value.get("queueDatas") or ()
        )
        return TopicRoute(
            queues=tuple(sorted(queues, key=lambda queue: queue.broker_name)),
            brokers=tuple(
                sorted(
                    (_broker_data(item) for item in value.get("brokerDatas") or ()),
                    key=lambda broker: broker.name,
                )
            ),
        )

    return _parsed(body, "topic route", build)


def parse_topic_list(body: bytes) -> tuple[str, ...]:
    """Body of 206 and 224: topic names, sorted."""
    return _parsed(body, "topic list", lambda value: tuple(sorted(value.get("topicList") or ())))


def parse_topic_configs(body: bytes) -> Mapping[str, TopicConfig]:
    """Body of 21 GET_ALL_TOPIC_CONFIG."""

    def build(value: Any) -> Mapping[str, TopicConfig]:
        table = value.get("topicConfigTable") or {}
        return MappingProxyType(
            {
                name: TopicConfig(
                    name=name,
                    read_queues=int(item["readQueueNums"]),
                    write_queues=int(item["writeQueueNums"]),
                    perm=int(item["perm"]),
                    sys_flag=int(item.get("topicSysFlag", 0)),
                    order=bool(item.get("order", False)),
                )
                for name, item in sorted(table.items())
            }
        )

    return _parsed(body, "topic configs", build)


def parse_topic_stats(body: bytes) -> Mapping[int, QueueRange]:
    """Body of 202 GET_TOPIC_STATS_INFO: queue id to range, of the broker that was asked."""

    def build(value: Any) -> Mapping[int, QueueRange]:
        out: dict[int, QueueRange] = {}
        for queue, item in (value.get("offsetTable") or {}).items():
            out[int(dict(queue)["queueId"])] = QueueRange(
                min_offset=int(item["minOffset"]),
                max_offset=int(item["maxOffset"]),
                last_update_ms=int(item["lastUpdateTimestamp"]),
            )
        return MappingProxyType(dict(sorted(out.items())))

    return _parsed(body, "topic stats", build)


def parse_consumer_offsets(body: bytes) -> Mapping[tuple[str, str], Mapping[int, int]]:
    """Body of 43 GET_ALL_CONSUMER_OFFSET: (topic, group) to queue id to offset."""

    def build(value: Any) -> Mapping[tuple[str, str], Mapping[int, int]]:
        out: dict[tuple[str, str], Mapping[int, int]] = {}
        for name, offsets in sorted((value.get("offsetTable") or {}).items()):
            topic, _, group = name.partition("@")
            numbers = {int(queue): int(offset) for queue, offset in offsets.items()}
            out[topic, group] = MappingProxyType(dict(sorted(numbers.items())))
        return MappingProxyType(out)

    return _parsed(body, "consumer offsets", build)


def parse_subscription_groups(body: bytes) -> Mapping[str, SubscriptionGroup]:
    """Body of 201 GET_ALL_SUBSCRIPTIONGROUP_CONFIG."""

    def build(value: Any) -> Mapping[str, SubscriptionGroup]:
        table = value.get("subscriptionGroupTable") or {}
        return MappingProxyType(
            {
                name: SubscriptionGroup(
                    name=name,
                    consume_enable=bool(item.get("consumeEnable", True)),
                    retry_queues=int(item.get("retryQueueNums", 1)),
                    retry_max_times=int(item.get("retryMaxTimes", 16)),
                )
                for name, item in sorted(table.items())
            }
        )

    return _parsed(body, "subscription groups", build)


def parse_consumer_ids(body: bytes) -> tuple[str, ...]:
    """Body of 38 GET_CONSUMER_LIST_BY_GROUP: an id stands there once for each of its connections."""
    return _parsed(body, "consumer ids", lambda value: tuple(map(str, value.get("consumerIdList") or ())))


def parse_consumer_connections(body: bytes) -> ConsumerConnections:
    """Body of 203 GET_CONSUMER_CONNECTION_LIST."""

    def build(value: Any) -> ConsumerConnections:
        table = value.get("subscriptionTable") or {}
        return ConsumerConnections(
            members=MappingProxyType(
                {str(item["clientId"]): str(item.get("clientAddr") or "") for item in value.get("connectionSet") or ()}
            ),
            subscriptions=MappingProxyType({name: _group_subscription(table[name]) for name in sorted(table)}),
            consume_type=str(value.get("consumeType") or ""),
            message_model=str(value.get("messageModel") or ""),
            from_where=str(value.get("consumeFromWhere") or ""),
        )

    return _parsed(body, "consumer connections", build)


def parse_consume_stats(body: bytes) -> tuple[ConsumeProgress, ...]:
    """Body of 208 GET_CONSUME_STATS, by topic, broker and queue."""

    def build(value: Any) -> tuple[ConsumeProgress, ...]:
        found = [
            ConsumeProgress(
                topic=str(queue["topic"]),
                broker_name=str(queue["brokerName"]),
                queue_id=int(queue["queueId"]),
                end=int(item["brokerOffset"]),
                committed=int(item["consumerOffset"]),
                last_consumed_ms=int(item.get("lastTimestamp", 0)),
            )
            for queue, item in ((dict(key), item) for key, item in (value.get("offsetTable") or {}).items())
        ]
        return tuple(sorted(found, key=lambda one: (one.topic, one.broker_name, one.queue_id)))

    return _parsed(body, "consume stats", build)


def parse_reset_offsets(body: bytes) -> Mapping[tuple[str, str, int], int]:
    """Body of 220 RESET_CONSUMER_CLIENT_OFFSET: (topic, broker name, queue id) to offset.

    A broker that was asked by a C++ tool sends a list instead of a table (MessageQueueForC).
    """

    def build(value: Any) -> Mapping[tuple[str, str, int], int]:
        table = value.get("offsetTable") or {}
        pairs = (
            ((dict(key), offset) for key, offset in table.items())
            if isinstance(table, dict)
            else ((item, item["offset"]) for item in table)
        )
        return MappingProxyType(
            {(str(q["topic"]), str(q["brokerName"]), int(q["queueId"])): int(offset) for q, offset in pairs}
        )

    return _parsed(body, "offsets to reset", build)


def parse_kv_table(body: bytes) -> Mapping[str, str]:
    """Body of 28 GET_BROKER_RUNTIME_INFO (KVTable.java): text to text."""

    def build(value: Any) -> Mapping[str, str]:
        table = value.get("table") or {}
        return MappingProxyType({str(name): str(item) for name, item in sorted(table.items())})

    return _parsed(body, "runtime info", build)


def parse_raft_answer(body: bytes) -> RaftAnswer:
    """Body of any DLedger answer."""

    def build(value: Any) -> RaftAnswer:
        return RaftAnswer(
            code=int(value["code"]),
            group=str(value.get("group") or ""),
            leader_id=value.get("leaderId") or None,
            term=int(value.get("term", -1)),
            peers=MappingProxyType(dict(sorted((value.get("peers") or {}).items()))),
        )

    return _parsed(body, "DLedger answer", build)


def _group_subscription(item: Any) -> GroupSubscription:
    return GroupSubscription(
        topic=str(item["topic"]),
        expression=str(item.get("subString") or ""),
        kind=str(item.get("expressionType") or "TAG"),
        tags=tuple(sorted(map(str, item.get("tagsSet") or ()))),
        version=int(item.get("subVersion", 0)),
    )


def _broker_data(item: Any) -> BrokerData:
    addresses = {int(number): str(address) for number, address in (item.get("brokerAddrs") or {}).items()}
    return BrokerData(
        name=str(item["brokerName"]),
        cluster=str(item.get("cluster") or ""),
        addresses=MappingProxyType(dict(sorted(addresses.items()))),
    )


def _parsed(body: bytes, what: str, build: Callable[[Any], T]) -> T:
    value = fastjson.loads(body)
    try:
        return build(value)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise WireError(
            f"the body of {what} has an unexpected shape ({type(error).__name__}: {error}): {body[:160]!r}"
        ) from error
