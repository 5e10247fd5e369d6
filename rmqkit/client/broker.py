"""Questions and orders to one broker process, whatever its role.

What belongs here: administrative requests, as methods. What does not: which broker leads (``raft``),
sending and pulling (``send``, ``pull``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from rmqkit.client.calls import ask, number, refusal
from rmqkit.client.runtime import RuntimeInfo
from rmqkit.errors import WireError
from rmqkit.transport.pool import Requester
from rmqkit.waiting import Deadline, Pending, wait_until
from rmqkit.wire.bodies import (
    ConsumeProgress,
    ConsumerConnections,
    QueueRange,
    SubscriptionGroup,
    TopicConfig,
    parse_consume_stats,
    parse_consumer_connections,
    parse_consumer_ids,
    parse_consumer_offsets,
    parse_kv_table,
    parse_subscription_groups,
    parse_topic_configs,
    parse_topic_stats,
)
from rmqkit.wire.codes import RequestCode, ResponseCode
from rmqkit.wire.frames import Command
from rmqkit.wire.messages import StoredMessage, decode_messages
from rmqkit.wire.properties import parse_properties, render_properties
from rmqkit.wire.sendframe import TEMPLATE_TOPIC


class BrokerClient:
    """One broker at ``address`` (its listenPort; the port two below does not serve pulls).

    Methods raise :class:`~rmqkit.errors.RemoteError` when it refuses and
    :class:`~rmqkit.errors.TransportError` when it does not answer.
    """

    def __init__(self, pool: Requester, address: str, *, timeout_s: float = 3.0) -> None:
        self.address = address
        self._pool = pool
        self._timeout_s = timeout_s

    # -- the process

    def runtime_info(self) -> RuntimeInfo:
        """Version, positions and rates (request 28)."""
        return RuntimeInfo(parse_kv_table(self._ask(RequestCode.GET_BROKER_RUNTIME_INFO).body))

    def config(self) -> Mapping[str, str]:
        """Its live configuration (request 26): brokerId and brokerRole are what it believes to be now."""
        body = self._ask(RequestCode.GET_BROKER_CONFIG).body
        return parse_properties(_text(body, self.address))

    def update_config(self, values: Mapping[str, str]) -> None:
        """Change live values and persist them (request 25). Not every key takes effect before a restart."""
        self._ask(RequestCode.UPDATE_BROKER_CONFIG, body=render_properties(values).encode())

    # -- topics

    def create_topic(self, name: str, *, queues: int = 8, perm: int = 6) -> TopicConfig:
        """Create or change a topic on this broker and wait until the broker shows it.

        4.5.1 answers success before it applies the change, so only its topic table (request 21) is believed.
        Raises :class:`~rmqkit.errors.WaitTimeoutError` when it does not show up in the time-out.
        """
        deadline = Deadline.after(self._timeout_s)
        self._ask(
            RequestCode.UPDATE_AND_CREATE_TOPIC,
            topic=name,
            defaultTopic=TEMPLATE_TOPIC,
            readQueueNums=queues,
            writeQueueNums=queues,
            perm=perm,
            topicFilterType="SINGLE_TAG",
            topicSysFlag=0,
            order=False,
        )

        def shown() -> TopicConfig | Pending:
            seen = self.topic_configs().get(name)
            if seen is None:
                return Pending("the topic is not in the broker's table")
            if (seen.read_queues, seen.write_queues, seen.perm) != (queues, queues, perm):
                return Pending(f"{seen}")
            return seen

        return wait_until(
            shown,
            label=f"topic {name!r} with {queues} queues, perm {perm}, on {self.address}",
            timeout_s=max(deadline.left_s, 0.05),
            every_s=0.02,
        )

    def delete_topic(self, name: str) -> None:
        """Delete a topic on this broker only: each replica keeps its own queues."""
        self._ask(RequestCode.DELETE_TOPIC_IN_BROKER, topic=name)

    def topic_configs(self) -> Mapping[str, TopicConfig]:
        """All topics of this broker by name."""
        return parse_topic_configs(self._ask(RequestCode.GET_ALL_TOPIC_CONFIG).body)

    def topic_stats(self, topic: str) -> Mapping[int, QueueRange]:
        """Offsets of each queue of ``topic`` on this broker."""
        return parse_topic_stats(self._ask(RequestCode.GET_TOPIC_STATS_INFO, topic=topic).body)

    def max_offset(self, topic: str, queue_id: int) -> int:
        """The offset that the next message of the queue will get; counts committed messages only."""
        return self._offset(RequestCode.GET_MAX_OFFSET, topic, queue_id)

    def min_offset(self, topic: str, queue_id: int) -> int:
        """The first offset that the queue still has."""
        return self._offset(RequestCode.GET_MIN_OFFSET, topic, queue_id)

    # -- consumers

    def subscription_groups(self) -> Mapping[str, SubscriptionGroup]:
        """All consumer groups of this broker by name."""
        return parse_subscription_groups(self._ask(RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG).body)

    def consumer_offsets(self) -> Mapping[tuple[str, str], Mapping[int, int]]:
        """All committed offsets of this broker: (topic, group) to queue id to offset."""
        return parse_consumer_offsets(self._ask(RequestCode.GET_ALL_CONSUMER_OFFSET).body)

    def query_consumer_offset(self, topic: str, queue_id: int, *, group: str) -> int | None:
        """The committed offset, or None where the broker says that it has none.

        A broker that has none answers 0 instead while the queue was never trimmed: use
        :meth:`consumer_offsets` to tell the two apart.
        """
        answer = self._ask(
            RequestCode.QUERY_CONSUMER_OFFSET,
            accept=(ResponseCode.QUERY_NOT_FOUND,),
            consumerGroup=group,
            topic=topic,
            queueId=queue_id,
        )
        if answer.code == ResponseCode.QUERY_NOT_FOUND:
            return None
        return number(answer, "offset", address=self.address)

    def update_consumer_offset(self, topic: str, queue_id: int, offset: int, *, group: str) -> None:
        """Commit an offset. A follower accepts it too, and loses it when it next copies from its leader."""
        self._ask(
            RequestCode.UPDATE_CONSUMER_OFFSET,
            consumerGroup=group,
            topic=topic,
            queueId=queue_id,
            commitOffset=offset,
        )

    def consumer_ids(self, group: str) -> tuple[str, ...]:
        """Client ids of the online members of ``group``, each as often as it has connections; empty for nobody."""
        answer = self._ask(
            RequestCode.GET_CONSUMER_LIST_BY_GROUP, accept=(ResponseCode.SYSTEM_ERROR,), consumerGroup=group
        )
        if answer.code == ResponseCode.SUCCESS:
            return parse_consumer_ids(answer.body)
        if "no consumer for this group" in answer.remark:  # ConsumerManageProcessor, all versions
            return ()
        raise refusal(self.address, RequestCode.GET_CONSUMER_LIST_BY_GROUP, answer)

    def consumer_connections(self, group: str) -> ConsumerConnections | None:
        """Members and subscription of ``group`` as this broker knows them; None while none is online."""
        answer = self._ask(
            RequestCode.GET_CONSUMER_CONNECTION_LIST, accept=(ResponseCode.CONSUMER_NOT_ONLINE,), consumerGroup=group
        )
        return None if answer.code == ResponseCode.CONSUMER_NOT_ONLINE else parse_consumer_connections(answer.body)

    def consume_stats(self, group: str, *, topic: str = "") -> tuple[ConsumeProgress, ...]:
        """How far ``group`` is in each queue here, of one topic or of all that it has offsets of.

        A broker leaves out topics that the online members do not subscribe to.
        """
        return parse_consume_stats(self._ask(RequestCode.GET_CONSUME_STATS, consumerGroup=group, topic=topic).body)

    def check_subscription(self, client_id: str, group: str, subscription: Mapping[str, object]) -> None:
        """Ask whether it would serve this SubscriptionData (request 46): SQL92 may be off, or the expression bad."""
        body = {"clientId": client_id, "group": group, "subscriptionData": subscription}
        self._ask(RequestCode.CHECK_CLIENT_CONFIG, body=json.dumps(body).encode())

    def search_offset(self, topic: str, queue_id: int, timestamp_ms: int) -> int:
        """The offset whose message was stored nearest to ``timestamp_ms`` (since the epoch), before or after it.

        4.x answers the last message for a later time (ConsumeQueue.getOffsetInQueueByTime): see
        :func:`~rmqkit.client.offsets.offset_at` for the first at that time or later.
        """
        answer = self._ask(
            RequestCode.SEARCH_OFFSET_BY_TIMESTAMP, topic=topic, queueId=queue_id, timestamp=timestamp_ms
        )
        return number(answer, "offset", address=self.address)

    def send_back(self, message: StoredMessage, *, group: str, delay_level: int = 0, max_times: int = 16) -> None:
        """Have ``group`` get the message again, or put it among its dead letters after ``max_times``.

        ``delay_level`` 0 lets the broker choose (3, which is 10 s, plus the times before); -1 is a dead letter at once.
        The broker finds the message by its place in the log, which is the same on every replica.
        """
        self._ask(
            RequestCode.CONSUMER_SEND_MSG_BACK,
            offset=message.physical_offset,
            group=group,
            delayLevel=delay_level,
            originMsgId=message.msg_id,
            originTopic=message.topic,
            unitMode=False,
            maxReconsumeTimes=max_times,
        )

    # -- messages

    def view_message(self, physical_offset: int) -> StoredMessage:
        """The message at a byte position of the log (request 33); keep below the committed position.

        Raises :class:`~rmqkit.errors.RemoteError` when there is none.
        """
        answer = self._ask(RequestCode.VIEW_MESSAGE_BY_ID, offset=physical_offset)
        messages = decode_messages(answer.body)
        if len(messages) != 1:
            raise WireError(f"{self.address} answered {len(messages)} messages for position {physical_offset}")
        return messages[0]

    def query_messages(
        self,
        topic: str,
        key: str,
        *,
        unique: bool = False,
        limit: int = 32,
        since_ms: int = 0,
        until_ms: int = 0x7FFF_FFFF_FFFF_FFFF,
    ) -> tuple[StoredMessage, ...]:
        """Messages of ``topic`` with ``key`` among their KEYS, or with it as UNIQ_KEY (request 12), oldest first.

        The times are the broker's when it stored them, in milliseconds since the epoch. What the index's hash confuses
        with the key is left out. The index is written a moment after the message, and may miss messages after a restart
        (rocketmq #7477).
        """
        answer = self._ask(
            RequestCode.QUERY_MESSAGE,
            accept=(ResponseCode.QUERY_NOT_FOUND,),
            topic=topic,
            key=key,
            maxNum=limit,
            beginTimestamp=since_ms,
            endTimestamp=until_ms,
            _UNIQUE_KEY_QUERY="true" if unique else None,
        )
        found = decode_messages(answer.body) if answer.code == ResponseCode.SUCCESS else ()
        wanted = (m for m in found if m.topic == topic and (m.unique_key == key if unique else key in m.keys))
        # A message comes twice where its UNIQ_KEY is among its KEYS too: IndexService.buildIndex enters both.
        once = {message.physical_offset: message for message in wanted}
        return tuple(sorted(once.values(), key=lambda message: (message.store_ms, message.physical_offset)))

    # -- helpers

    def _offset(self, code: RequestCode, topic: str, queue_id: int) -> int:
        answer = self._ask(code, topic=topic, queueId=queue_id)
        return number(answer, "offset", address=self.address)

    def _ask(self, code: RequestCode, *, body: bytes = b"", accept: tuple[int, ...] = (), **ext: object) -> Command:
        return ask(self._pool, self.address, code, ext=ext, body=body, accept=accept, timeout_s=self._timeout_s)


def _text(body: bytes, address: str) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise WireError(f"{address} answered a configuration that is not UTF-8: {error}") from error
