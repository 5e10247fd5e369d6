"""Send one message to one broker, once, and know what came of it.

What belongs here: the message to be sent, the request, its outcome. What does not: choosing a broker and
trying again (``producer``), the meaning of answers (``outcomes``).
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from rmqkit.client.broker import DEFAULT_TOPIC
from rmqkit.client.outcomes import Attempt, OutcomeUnknown, Receipt, Refused, SendOutcome, Verdict, classify
from rmqkit.errors import TransportError, UsageError, WireError
from rmqkit.transport.pool import Requester
from rmqkit.wire.codes import RequestCode, response_name
from rmqkit.wire.frames import MAX_FRAME_BYTES, Command
from rmqkit.wire.messages import KEYS, TAGS, UNIQUE_KEY, encode_properties

_TOPIC = re.compile(r"[%|a-zA-Z0-9_-]{1,127}")
_RESERVED = (KEYS, TAGS, UNIQUE_KEY)
_HEADER_ROOM = 262_144


def new_message_id() -> str:
    """A fresh id of the kit's own: 32 hex characters, as brokers' tools expect of UNIQ_KEY."""
    return secrets.token_hex(16).upper()


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """A message to be sent. ``message_id`` is the kit's own id: it travels as UNIQ_KEY and first of KEYS.

    Raises :class:`UsageError` for what could not be sent or would come back changed.
    """

    topic: str
    body: bytes
    tags: str = field(default="", kw_only=True)
    keys: Sequence[str] = field(default=(), kw_only=True)
    properties: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), kw_only=True)
    message_id: str = field(default_factory=new_message_id, kw_only=True)
    encoded_properties: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not _TOPIC.fullmatch(self.topic):
            raise UsageError(
                f"not a topic name: {self.topic!r}", hint="1 to 127 of a-z A-Z 0-9 _ - % | (TopicValidator)"
            )
        if not self.body:
            raise UsageError("the message has no body", hint="RocketMQ's own clients refuse an empty body too")
        if len(self.body) > MAX_FRAME_BYTES - _HEADER_ROOM:
            raise UsageError(
                f"a body of {len(self.body)} bytes does not fit into a frame of {MAX_FRAME_BYTES}",
                hint="brokers take 4 MiB by default (maxMessageSize)",
            )
        if isinstance(self.keys, str):
            raise UsageError(f"keys is the text {self.keys!r}", hint="give a sequence of texts")
        object.__setattr__(self, "keys", tuple(self.keys))
        for key in (self.message_id, *self.keys):
            if not key or key != "".join(key.split()):
                raise UsageError(f"not a message key: {key!r}", hint="KEYS are separated by white space")
        taken = [name for name in _RESERVED if name in self.properties]
        if taken:
            raise UsageError(f"properties may not contain {', '.join(taken)}", hint="use keys, tags, message_id")
        object.__setattr__(self, "properties", MappingProxyType(dict(self.properties)))
        object.__setattr__(self, "encoded_properties", self._encode_properties())

    def _encode_properties(self) -> str:
        all_of_them = dict(self.properties)
        all_of_them[KEYS] = " ".join(dict.fromkeys((self.message_id, *self.keys)))
        all_of_them[UNIQUE_KEY] = self.message_id
        if self.tags:
            all_of_them[TAGS] = self.tags
        return encode_properties(all_of_them)


def send_once(
    pool: Requester,
    address: str,
    message: OutgoingMessage,
    *,
    queue_id: int,
    timeout_s: float = 3.0,
    group: str = "rmqkit",
    broker_name: str = "",
) -> SendOutcome:
    """Send ``message`` to the broker at ``address``, into queue ``queue_id``, with one request.

    Never raises for trouble of the cluster or the network: that is an outcome. Raises :class:`UsageError`
    for a mistake of the caller.
    """
    if queue_id < 0:
        raise UsageError(
            f"queue_id is {queue_id}",
            hint="a broker would pick a random queue; name one, so that it is known",
        )
    command = Command.request(
        RequestCode.SEND_MESSAGE_V2,
        ext={
            "a": group,
            "b": message.topic,
            "c": DEFAULT_TOPIC,
            "d": 4,
            "e": queue_id,
            "f": 0,
            "g": time.time_ns() // 1_000_000,
            "h": 0,
            "i": message.encoded_properties,
            "j": 0,
            "k": False,
            "m": False,
            "n": broker_name or None,
        },
        body=message.body,
    )
    started = time.perf_counter()
    answer: Command | None = None
    code: int | None = None
    remark = ""
    try:
        answer = pool.request(address, command, timeout_s=timeout_s)
    except TransportError as error:
        verdict = Verdict.UNKNOWN if error.request_sent else Verdict.REFUSED
        reason = error.what
    except WireError as error:
        verdict, reason = Verdict.UNKNOWN, error.what
    else:
        code, remark = answer.code, answer.remark
        rule = classify(code, remark)
        verdict, reason = rule.verdict, f"{response_name(code)}: {rule.reason}"
    latency_ms = (time.perf_counter() - started) * 1000

    stored = _stored_at(answer) if answer is not None and verdict is Verdict.STORED else None
    if verdict is Verdict.STORED and stored is None:
        verdict = Verdict.UNKNOWN
        reason = "the broker answered success without msgId, queueId and queueOffset"
    attempt = Attempt(
        address=address,
        queue_id=queue_id,
        verdict=verdict,
        code=code,
        remark=remark,
        reason=reason,
        latency_ms=latency_ms,
    )
    if stored is not None:
        msg_id, stored_queue_id, queue_offset = stored
        return Receipt(
            message_id=message.message_id,
            address=address,
            latency_ms=latency_ms,
            msg_id=msg_id,
            queue_id=stored_queue_id,
            queue_offset=queue_offset,
            broker_name=broker_name,
            attempts=(attempt,),
        )
    kind = Refused if verdict is Verdict.REFUSED else OutcomeUnknown
    return kind(
        message_id=message.message_id,
        address=address,
        latency_ms=latency_ms,
        code=code,
        remark=remark,
        reason=reason,
        attempts=(attempt,),
    )


def _stored_at(answer: Command) -> tuple[str, int, int] | None:
    """Offset id, queue id and queue offset, if the answer has them."""
    try:
        return answer.ext["msgId"], int(answer.ext["queueId"]), int(answer.ext["queueOffset"])
    except (KeyError, ValueError):
        return None
