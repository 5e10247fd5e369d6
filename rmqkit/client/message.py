"""A message to be sent, checked when it is made.

What belongs here: the value, its properties, how its body is packed. What does not: requests (``send``, ``batch``).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from rmqkit.client.uniqkey import new_message_id
from rmqkit.errors import UsageError
from rmqkit.wire.frames import MAX_FRAME_BYTES
from rmqkit.wire.messages import FLAG_COMPRESSED, KEYS, TAGS, UNIQUE_KEY, encode_properties

DELAY = "DELAY"
SHARDING_KEY = "__SHARDINGKEY"
TRANSACTION_PREPARED = "TRAN_MSG"
PRODUCER_GROUP = "PGROUP"

COMPRESS_OVER_BYTES = 4096
"""DefaultMQProducer.compressMsgBodyOverHowmuch: bodies that are longer are compressed."""

_COMPRESS_LEVEL = 5  # MixAll.MESSAGE_COMPRESS_LEVEL's default

_TOPIC = re.compile(r"[%|a-zA-Z0-9_-]{1,127}")
_OF_THE_PROTOCOL = {
    KEYS: "keys",
    TAGS: "tags",
    UNIQUE_KEY: "message_id",
    DELAY: "delay_level",
    SHARDING_KEY: "sharding_key",
    TRANSACTION_PREPARED: "a TransactionProducer",
    PRODUCER_GROUP: "a TransactionProducer",
    "REAL_TOPIC": "topic",
    "REAL_QID": "queue_id",
}
_JSON_GROWTH = 12  # the most that one character becomes in a JSON header: a pair of escaped surrogates
_HEADER_ROOM = 1_048_576
_MOST_PROPERTIES = (_HEADER_ROOM - 16_384) // _JSON_GROWTH  # the rest is for names of group, topic and broker
_NO_PROPERTIES: Mapping[str, str] = MappingProxyType({})
_good_topics: set[str] = set()  # names that were looked at: the same few, over and over


def check_topic(topic: str) -> str:
    """The name of a topic, as it is. Raises :class:`UsageError` for one that brokers refuse."""
    if topic not in _good_topics:
        if not isinstance(topic, str) or not _TOPIC.fullmatch(topic):
            raise UsageError(f"not a topic name: {topic!r}", hint="1 to 127 of a-z A-Z 0-9 _ - % | (TopicValidator)")
        if len(_good_topics) > 10_000:
            _good_topics.clear()
        _good_topics.add(topic)
    return topic


def check_fits(size: int, *, what: str) -> None:
    """Raise :class:`UsageError` where a body of ``size`` bytes leaves no room for a header in the largest frame."""
    if size > MAX_FRAME_BYTES - _HEADER_ROOM:
        raise UsageError(
            f"{what} of {size} bytes does not fit into a frame of {MAX_FRAME_BYTES}",
            hint="brokers take 4 MiB by default (maxMessageSize)",
        )


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """A message to be sent. ``message_id`` is the kit's own id: it travels as UNIQ_KEY and first of KEYS.

    ``delay_level`` is the broker's delay level, from 1 up (messageDelayLevel: 1 is 1 s, 2 is 5 s, … 18 is 2 h); 0 is no
    delay. Messages with the same ``sharding_key`` go to the same queue: see :class:`~rmqkit.client.producer.Producer`.
    Raises :class:`UsageError` for what could not be sent or would come back changed.
    """

    topic: str
    body: bytes
    tags: str = field(default="", kw_only=True)
    keys: Sequence[str] = field(default=(), kw_only=True)
    properties: Mapping[str, str] = field(default_factory=lambda: _NO_PROPERTIES, kw_only=True)
    message_id: str = field(default_factory=new_message_id, kw_only=True)
    delay_level: int = field(default=0, kw_only=True)
    sharding_key: str = field(default="", kw_only=True)
    encoded_properties: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_topic(self.topic)
        if not self.body:
            raise UsageError("the message has no body", hint="RocketMQ's own clients refuse an empty body too")
        check_fits(len(self.body), what="a body")
        if self.delay_level.__class__ is not int or self.delay_level < 0:
            raise UsageError(f"delay_level is {self.delay_level!r}", hint="0 for no delay, or a level from 1 up")
        if self.keys != ():
            if isinstance(self.keys, str):
                raise UsageError(f"keys is the text {self.keys!r}", hint="give a sequence of texts")
            object.__setattr__(self, "keys", tuple(self.keys))
        for key in (self.message_id, *self.keys):
            if not key or len(key.split()) != 1 or key != key.strip():
                raise UsageError(f"not a message key: {key!r}", hint="KEYS are separated by white space")
        if self.properties is not _NO_PROPERTIES:
            object.__setattr__(self, "properties", _checked(self.properties))
        encoded = self._encode_properties()
        if len(encoded) > _MOST_PROPERTIES:
            raise UsageError(
                f"properties of {len(encoded)} characters", hint="brokers take 32767 bytes: put it into the body"
            )
        object.__setattr__(self, "encoded_properties", encoded)

    def _encode_properties(self) -> str:
        all_of_them = dict(self.properties)
        own = self.message_id
        all_of_them[KEYS] = own if not self.keys else " ".join(dict.fromkeys((own, *self.keys)))
        all_of_them[UNIQUE_KEY] = own
        if self.tags:
            all_of_them[TAGS] = self.tags
        if self.delay_level:
            all_of_them[DELAY] = str(self.delay_level)
        if self.sharding_key:
            all_of_them[SHARDING_KEY] = self.sharding_key
        return encode_properties(all_of_them)


def _checked(properties: Mapping[str, str]) -> Mapping[str, str]:
    """A copy that nobody changes. Raises :class:`UsageError` for what would come back changed."""
    taken = [name for name in _OF_THE_PROTOCOL if name in properties]
    if taken:
        instead = ", ".join(dict.fromkeys(_OF_THE_PROTOCOL[name] for name in taken))
        raise UsageError(f"properties may not contain {', '.join(taken)}", hint=f"use {instead}")
    blank = next((name for name, value in properties.items() if not value), None)
    if blank is not None:
        raise UsageError(
            f"property {blank!r} is empty",
            hint="brokers from 4.9 and Java's readers drop it (MessageDecoder.string2messageProperties)",
        )
    return MappingProxyType(dict(properties))


def pack_body(body: bytes, *, over: int | None) -> tuple[bytes, int]:
    """The body as it travels, and its sysFlag: compressed with zlib if longer than ``over`` bytes and gaining by it.

    None never compresses. Every client reads it: bit 0 without a type in bits 8 to 10 means zlib, from 3.x to 5.x
    (MessageSysFlag, CompressionType).
    """
    if over is None or len(body) <= over:
        return body, 0
    packed = zlib.compress(body, _COMPRESS_LEVEL)
    return (packed, FLAG_COMPRESSED) if len(packed) < len(body) else (body, 0)
