"""Requests that send messages, made with little ado.

What belongs here: the frame of SEND_MESSAGE_V2 and SEND_BATCH_MESSAGE, the part of its header that all sends to one
queue share encoded once; the body of a batch. What does not: what is in a message, what the answer means.

A JSON header, as Java's clients send it by default: the binary one is made 0.2 µs faster (of 1.4) and read no faster.
Source: SendMessageRequestHeaderV2, MessageDecoder.encodeMessages.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii as _quoted

from rmqkit.errors import UsageError
from rmqkit.wire.codes import RequestCode
from rmqkit.wire.frames import CLIENT_LANGUAGE, CLIENT_VERSION, FLAG_ONEWAY, join_frame
from rmqkit.wire.messages import MAX_PROPERTIES_BYTES

TEMPLATE_TOPIC = "TBW102"
"""The topic whose queues and permissions a broker copies when it creates topics by itself."""

_TEMPLATE_QUEUES = 4  # DefaultMQProducer.defaultTopicQueueNums
_BATCH_HEAD = struct.Struct(">iiiii")  # size, magic, CRC, flag, length of the body; the broker reads the last two
_SHORT = struct.Struct(">h")


@dataclass(frozen=True, slots=True)
class SendHeader:
    """What the requests to one queue of one broker have in common."""

    code: int
    start: str

    @classmethod
    def of(cls, *, group: str, topic: str, queue_id: int, broker_name: str = "", batch: bool = False) -> SendHeader:
        """The header for single messages, or for batches, from ``group`` to the queue."""
        code = int(RequestCode.SEND_BATCH_MESSAGE if batch else RequestCode.SEND_MESSAGE_V2)
        ext = {
            "a": group,
            "b": topic,
            "c": TEMPLATE_TOPIC,
            "d": str(_TEMPLATE_QUEUES),
            "e": str(queue_id),
            "h": "0",
            "j": "0",
            "k": "false",
            "m": "true" if batch else "false",
        }
        if broker_name:
            ext["n"] = broker_name
        header = {
            "code": code,
            "language": CLIENT_LANGUAGE,
            "version": CLIENT_VERSION,
            "serializeTypeCurrentRPC": "JSON",
            "extFields": ext,
        }
        return cls(code=code, start=json.dumps(header, separators=(",", ":"))[:-2])  # both braces are still open


class SendRequest:
    """One request to send: a header, and what differs from the next one's. Values only; read it, do not change it."""

    __slots__ = ("body", "born_ms", "code", "header", "properties", "sys_flag")

    def __init__(self, header: SendHeader, *, properties: str, body: bytes, sys_flag: int, born_ms: int) -> None:
        self.code = header.code
        self.header = header
        self.properties = properties
        self.body = body
        self.sys_flag = sys_flag
        self.born_ms = born_ms

    def frame(self, opaque: int, *, oneway: bool = False) -> bytes:
        """The whole frame; raises :class:`~rmqkit.errors.FrameTooLargeError` beyond the protocol's limit."""
        text = (
            f'{self.header.start},"f":"{self.sys_flag}","g":"{self.born_ms}","i":{_quoted(self.properties)}}}'
            f',"flag":{FLAG_ONEWAY if oneway else 0},"opaque":{opaque}}}'
        )
        return join_frame(text.encode("ascii"), self.body)


def encode_batch(messages: Iterable[tuple[bytes, str]]) -> bytes:
    """The body of SEND_BATCH_MESSAGE: bodies and encoded properties, one after the other.

    Raises :class:`UsageError` for properties that the 16 bits of their length cannot hold.
    """
    parts: list[bytes] = []
    for body, properties in messages:
        text = properties.encode()
        if len(text) > MAX_PROPERTIES_BYTES:
            raise UsageError(
                f"properties of {len(text)} bytes in a batch; {MAX_PROPERTIES_BYTES} is the most",
                hint="put it into the body",
            )
        size = _BATCH_HEAD.size + len(body) + _SHORT.size + len(text)
        parts += (_BATCH_HEAD.pack(size, 0, 0, 0, len(body)), body, _SHORT.pack(len(text)), text)
    return b"".join(parts)
