"""Stored messages: the records in the body of a pull, and in a broker's commit log.

What belongs here: the record's layout (decode and encode), message properties, message ids. What does not:
which broker they came from (``rmqkit.client``), the log files around them (``rmqkit.store``).

Source: MessageDecoder, MessageSysFlag, MessageVersion and UtilAll of RocketMQ's common module.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any

from rmqkit.errors import UsageError, WireError

MAGIC_V1 = 0xDAA320A7
MAGIC_V2 = 0xDAA320AB  # 5.x: two bytes for the topic's length
MAGIC_FILLER = 0xCBD43194  # end of a commit-log file

FLAG_COMPRESSED = 0x1
FLAG_BORN_HOST_V6 = 0x10
FLAG_STORE_HOST_V6 = 0x20
_V6 = FLAG_BORN_HOST_V6 | FLAG_STORE_HOST_V6
_COMPRESSIONS = {0: "zlib", 1: "LZ4", 2: "ZSTD", 3: "zlib"}

KEYS = "KEYS"
TAGS = "TAGS"
UNIQUE_KEY = "UNIQ_KEY"

_TAGS_MARK = b"\x02TAGS\x01"
_UNIQUE_KEY_MARK = b"\x02UNIQ_KEY\x01"

MAX_PROPERTIES_BYTES = 32_767
MAX_BODY_BYTES = 16_777_216

_HEAD = struct.Struct(">IIIiiqqiq")  # to bornTimestamp
_STORE_TIME = struct.Struct(">q")
_TAIL = struct.Struct(">iqi")  # reconsumeTimes, preparedTransactionOffset, bodyLen
_V4_ALL = struct.Struct(">IIIiiqqiq8sq8siqi")
_SHORT = struct.Struct(">H")
_FORBIDDEN = re.compile("[\x01\x02]")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMessage:
    """One message as a broker holds it. Text and body are decoded when asked for."""

    queue_id: int
    queue_offset: int
    physical_offset: int
    sys_flag: int
    born_ms: int
    store_ms: int
    born_host_bytes: bytes
    store_host_bytes: bytes
    reconsume_times: int
    prepared_offset: int
    stored_body: bytes
    body_crc: int
    topic: str
    properties_bytes: bytes
    flag: int = 0
    magic: int = MAGIC_V1
    stored_bytes: int = 0
    _properties: list[Mapping[str, str]] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def properties(self) -> Mapping[str, str]:
        """The message's properties. A broker may add some and drop WAIT: compare by key, not as a whole."""
        if not self._properties:
            self._properties.append(MappingProxyType(decode_properties(self.properties_bytes)))
        return self._properties[0]

    @property
    def body(self) -> bytes:
        """The body, decompressed. Raises :class:`WireError` for a compression other than zlib."""
        if not self.sys_flag & FLAG_COMPRESSED:
            return self.stored_body
        kind = _COMPRESSIONS.get(self.sys_flag >> 8 & 0x7, "an unknown method")
        if kind != "zlib":
            raise WireError(
                f"the body of {self.msg_id} is compressed with {kind}; the kit reads zlib only",
                hint="set the producer's compression type to ZLIB",
            )
        return _inflate(self.stored_body, self.msg_id)

    @property
    def body_is_intact(self) -> bool:
        """Whether the body matches the CRC that the broker stored beside it (DLedger keeps none of its
        own).
        """
        return zlib.crc32(self.stored_body) & 0x7FFFFFFF == self.body_crc

    @property
    def keys(self) -> tuple[str, ...]:
        """KEYS, split at white space."""
        return tuple(self.properties.get(KEYS, "").split())

    @property
    def tags(self) -> str:
        """TAGS, or an empty text."""
        return self._one_property(_TAGS_MARK)

    @property
    def unique_key(self) -> str:
        """UNIQ_KEY: the id that the producer gave (the kit's own message id), or an empty text."""
        return self._one_property(_UNIQUE_KEY_MARK)

    def _one_property(self, mark: bytes) -> str:
        """One value without parsing them all: these two are asked of every message."""
        data = self.properties_bytes
        at = data.rfind(mark)  # the last one counts, as in decode_properties
        if at < 0:
            if not data.startswith(mark[1:]):
                return ""
            at = -1
        at += len(mark)
        end = data.find(b"\x02", at)
        return (data[at:end] if end >= 0 else data[at:]).decode("utf-8", errors="replace")

    @property
    def msg_id(self) -> str:
        """The offset id: address of the broker that wrote it, and the physical offset, in hex."""
        return offset_id(self.store_host_bytes, self.physical_offset)

    @property
    def born_host(self) -> str:
        """``ip:port`` of the producer as its broker saw it."""
        return _host(self.born_host_bytes)

    @property
    def store_host(self) -> str:
        """``ip:port`` of the broker that wrote it (the leader of that time, on every replica)."""
        return _host(self.store_host_bytes)


def iter_messages(data: bytes) -> Iterator[StoredMessage]:
    """The records in ``data``, one after the other; fillers are skipped. Raises :class:`WireError` at the
    first bad one.
    """
    return _decode_all(data)


def decode_messages(data: bytes) -> tuple[StoredMessage, ...]:
    """All records in ``data`` (the body of PULL, VIEW or QUERY)."""
    return tuple(_decode_all(data))


def encode_stored(message: StoredMessage) -> bytes:
    """The record of ``message``: the inverse of :func:`decode_messages` (``stored_bytes`` is computed)."""
    topic = message.topic.encode()
    topic_length = bytes((len(topic),)) if message.magic == MAGIC_V1 else _SHORT.pack(len(topic))
    rest = b"".join(
        (
            message.born_host_bytes,
            _STORE_TIME.pack(message.store_ms),
            message.store_host_bytes,
            _TAIL.pack(message.reconsume_times, message.prepared_offset, len(message.stored_body)),
            message.stored_body,
            topic_length,
            topic,
            _SHORT.pack(len(message.properties_bytes)),
            message.properties_bytes,
        )
    )
    head = _HEAD.pack(
        _HEAD.size + len(rest),
        message.magic,
        message.body_crc,
        message.queue_id,
        message.flag,
        message.queue_offset,
        message.physical_offset,
        message.sys_flag,
        message.born_ms,
    )
    return head + rest


def encode_properties(properties: Mapping[str, str]) -> str:
    """Properties as a broker wants them: ``name \\x01 value \\x02`` for each.

    Raises :class:`UsageError` where a name is empty or a text holds one of the two separators, which would
    come back as other properties than were sent.
    """
    text = "".join([f"{name}\x01{value}\x02" for name, value in properties.items()])
    if text.count("\x01") == text.count("\x02") == len(properties) and "" not in properties:
        return text
    for name, value in properties.items():
        if not name or _FORBIDDEN.search(name) or _FORBIDDEN.search(value):
            raise UsageError(
                f"message property {name!r}={value!r}: a name must not be empty, and neither may contain"
                " \\x01 or \\x02",
                hint="the protocol separates properties with these two characters and cannot escape them",
            )
    return text


def decode_properties(data: bytes | str) -> dict[str, str]:
    """Properties from a record. Like MessageDecoder, drops an item that has no name and value; keeps empty
    values.
    """
    text = data if isinstance(data, str) else data.decode("utf-8", errors="replace")
    out: dict[str, str] = {}
    for item in text.split("\x02"):
        name, separator, value = item.partition("\x01")
        if separator and name:
            out[name] = value
    return out


def offset_id(store_host_bytes: bytes, physical_offset: int) -> str:
    """The offset message id, as MessageDecoder.createMessageId makes it (32 hex characters, 56 for IPv6)."""
    return (store_host_bytes + _STORE_TIME.pack(physical_offset)).hex().upper()


def parse_offset_id(msg_id: str) -> tuple[str, int]:
    """``(ip:port, physical offset)`` of an offset id. Raises :class:`WireError` when it is none."""
    try:
        raw = bytes.fromhex(msg_id)
    except ValueError:
        raw = b""
    if len(raw) not in (16, 28):
        raise WireError(f"not an offset message id: {msg_id!r}", hint="it has 32 hex characters, or 56 for IPv6")
    return _host(raw[:-8]), int.from_bytes(raw[-8:], "big", signed=True)


def host_bytes(ip: str, port: int) -> bytes:
    """An address as records hold it."""
    return ip_address(ip).packed + port.to_bytes(4, "big")


def _host(raw: bytes) -> str:
    address = ip_address(raw[:-4])
    port = int.from_bytes(raw[-4:], "big")
    return f"{address}:{port}" if len(raw) == 8 else f"[{address}]:{port}"


def _inflate(data: bytes, msg_id: str) -> bytes:
    engine = zlib.decompressobj()
    try:
        body = engine.decompress(data, MAX_BODY_BYTES)
    except zlib.error as error:
        raise WireError(f"the compressed body of {msg_id} does not decompress: {error}") from error
    if not engine.eof:
        raise WireError(f"the compressed body of {msg_id} is cut short or beyond {MAX_BODY_BYTES} bytes")
    return body


class _Draft:
    """A :class:`StoredMessage` while it is being filled: the same slots, without the cost of a frozen constructor (17
    calls of ``object.__setattr__``, three times what all the rest of decoding costs).
    """

    __slots__ = tuple(item.name for item in fields(StoredMessage))


def _decode_all(data: bytes) -> Iterator[StoredMessage]:
    """The loop that a consumer's throughput hangs on: one ``unpack`` for the fixed part, one copy of each field.

    Whatever is not the plain case (IPv6, 5.x's long topics, fillers, damage) goes through :func:`_decode_at`.
    """
    at, end = 0, len(data)
    topic, topic_bytes = "", b""  # a pull has one topic: it is decoded once
    while at < end:
        parts = _plain_parts(data, at, end)
        if parts is None:
            message, at = _decode_at(data, at, end)
            if message is not None:
                yield message
            continue
        fixed, topic_at, properties_at = parts
        if data[topic_at : properties_at - 2] != topic_bytes:
            topic_bytes = data[topic_at : properties_at - 2]
            topic = topic_bytes.decode()
        draft: Any = _Draft()
        (
            size,
            draft.magic,
            draft.body_crc,
            draft.queue_id,
            draft.flag,
            draft.queue_offset,
            draft.physical_offset,
            draft.sys_flag,
            draft.born_ms,
            draft.born_host_bytes,
            draft.store_ms,
            draft.store_host_bytes,
            draft.reconsume_times,
            draft.prepared_offset,
            body_length,
        ) = fixed
        draft.stored_bytes = size
        draft.stored_body = data[topic_at - 1 - body_length : topic_at - 1]
        draft.topic = topic
        draft.properties_bytes = data[properties_at : at + size]
        draft._properties = []  # noqa: SLF001 - the draft is the message's own other half
        draft.__class__ = StoredMessage
        yield draft
        at += size


def _plain_parts(data: bytes, at: int, end: int) -> tuple[tuple[Any, ...], int, int] | None:
    """The fixed fields of the record at ``at`` and where its topic and properties begin; None if it is not plain."""
    if end - at < _V4_ALL.size:
        return None
    fixed = _V4_ALL.unpack_from(data, at)
    topic_at = at + _V4_ALL.size + fixed[14] + 1
    if fixed[1] != MAGIC_V1 or fixed[7] & _V6 or fixed[14] < 0 or topic_at > end:
        return None
    properties_at = topic_at + data[topic_at - 1] + 2
    record_end = at + fixed[0]
    if properties_at > record_end or record_end > end:
        return None
    if properties_at + (data[properties_at - 2] << 8 | data[properties_at - 1]) != record_end:
        return None
    return (fixed, topic_at, properties_at) if data[topic_at : properties_at - 2].isascii() else None


def _decode_at(data: bytes, at: int, end: int) -> tuple[StoredMessage | None, int]:
    try:
        size = int.from_bytes(data[at : at + 4], "big")
        if size < 8 or at + size > end:
            raise WireError(f"a stored message at byte {at} announces {size} bytes of {end - at} left")
        return _decode_record(data, at, size), at + size
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise WireError(f"a stored message at byte {at} does not decode: {error}") from error


def _decode_record(data: bytes, at: int, size: int) -> StoredMessage | None:
    end = at + size
    magic = int.from_bytes(data[at + 4 : at + 8], "big")
    if magic == MAGIC_FILLER:
        return None
    if magic not in (MAGIC_V1, MAGIC_V2):
        raise WireError(
            f"a stored message at byte {at} has magic 0x{magic:08X}, not 0x{MAGIC_V1:08X} or 0x{MAGIC_V2:08X}"
        )
    _, _, crc, queue_id, flag, queue_offset, physical_offset, sys_flag, born_ms = _HEAD.unpack_from(data, at)
    if sys_flag & _V6:
        position = at + _HEAD.size
        born, position = _slice(data, position, 20 if sys_flag & FLAG_BORN_HOST_V6 else 8)
        (store_ms,) = _STORE_TIME.unpack_from(data, position)
        store, position = _slice(data, position + 8, 20 if sys_flag & FLAG_STORE_HOST_V6 else 8)
        reconsume, prepared, body_length = _TAIL.unpack_from(data, position)
        position += _TAIL.size
    else:
        fields = _V4_ALL.unpack_from(data, at)
        born, store_ms, store, reconsume, prepared, body_length = fields[9:]
        position = at + _V4_ALL.size
    if body_length < 0:
        raise WireError(f"a stored message at byte {at} has a body of {body_length} bytes")
    body, position = _slice(data, position, body_length)
    if magic == MAGIC_V1:
        topic_length = data[position]
        position += 1
    else:
        (topic_length,) = _SHORT.unpack_from(data, position)
        position += 2
    topic, position = _slice(data, position, topic_length)
    (properties_length,) = _SHORT.unpack_from(data, position)
    properties, position = _slice(data, position + 2, properties_length)
    if position != end:
        raise WireError(f"a stored message at byte {at} announces {size} bytes, its parts make {position - at}")
    return StoredMessage(
        queue_id=queue_id,
        queue_offset=queue_offset,
        physical_offset=physical_offset,
        sys_flag=sys_flag,
        born_ms=born_ms,
        store_ms=store_ms,
        born_host_bytes=born,
        store_host_bytes=store,
        reconsume_times=reconsume,
        prepared_offset=prepared,
        stored_body=body,
        body_crc=crc,
        topic=topic.decode(),
        properties_bytes=properties,
        flag=flag,
        magic=magic,
        stored_bytes=size,
    )


def _slice(data: bytes, at: int, length: int) -> tuple[bytes, int]:
    end = at + length
    if end > len(data):
        raise IndexError(f"{length} bytes at {at} of {len(data)}")
    return data[at:end], end
