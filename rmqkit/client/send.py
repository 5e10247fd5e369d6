"""Send one message to one broker, once, and know what came of it.

What belongs here: the request, its outcome. What does not: the message itself (``message``), choosing a broker and
trying again (``producer``), the meaning of answers (``outcomes``).
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from rmqkit.client.message import COMPRESS_OVER_BYTES, OutgoingMessage, pack_body
from rmqkit.client.outcomes import Asked, Attempt, OutcomeUnknown, Receipt, Refused, SendOutcome, Verdict, classify
from rmqkit.client.uniqkey import new_message_id
from rmqkit.errors import RmqkitError, TransportError, UsageError
from rmqkit.transport.pool import Sender
from rmqkit.wire.codes import response_name
from rmqkit.wire.frames import Command
from rmqkit.wire.sendframe import SendHeader, SendRequest

__all__ = ["OutgoingMessage", "Target", "new_message_id", "send_once", "send_to"]


@dataclass(frozen=True, slots=True)
class Target:
    """One queue of one broker, and what the requests to it have in common."""

    address: str
    broker_name: str
    queue_id: int
    header: SendHeader

    @classmethod
    def of(cls, address: str, *, topic: str, queue_id: int, group: str, broker_name: str = "") -> Target:
        """The queue ``queue_id`` of ``topic`` at ``address``. Raises :class:`UsageError` for a negative one."""
        if queue_id < 0:
            raise UsageError(
                f"queue_id is {queue_id}",
                hint="a broker would pick a random queue; name one, so that it is known",
            )
        header = SendHeader.of(group=group, topic=topic, queue_id=queue_id, broker_name=broker_name)
        return cls(address, broker_name, queue_id, header)


def send_once(
    pool: Sender,
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
    target = Target.of(address, topic=message.topic, queue_id=queue_id, group=group, broker_name=broker_name)
    return send_to(pool, target, message, timeout_s=timeout_s)


def send_to(
    pool: Sender,
    target: Target,
    message: OutgoingMessage,
    *,
    timeout_s: float,
    compress_over: int | None = COMPRESS_OVER_BYTES,
) -> SendOutcome:
    """Send ``message`` to the queue ``target``, with one request; as :func:`send_once`."""
    request = request_for(target, message, compress_over=compress_over)
    started = time.perf_counter()
    try:
        answer = pool.request(target.address, request, timeout_s=timeout_s)
    except UsageError:
        raise
    except RmqkitError as error:
        return failed(target, message.message_id, error, (time.perf_counter() - started) * 1000)
    return answered(target, message.message_id, answer, (time.perf_counter() - started) * 1000)


def oneway_to(
    pool: Sender,
    target: Target,
    message: OutgoingMessage,
    *,
    timeout_s: float,
    compress_over: int | None = COMPRESS_OVER_BYTES,
) -> SendOutcome:
    """Write ``message`` to the broker and ask for no answer: unknown once it is written, refused when it was not."""
    request = request_for(target, message, compress_over=compress_over)
    started = time.perf_counter()
    try:
        pool.oneway(target.address, request, timeout_s=timeout_s)
    except UsageError:
        raise
    except RmqkitError as error:
        return failed(target, message.message_id, error, (time.perf_counter() - started) * 1000)
    return undecided(
        target,
        message.message_id,
        verdict=Verdict.UNKNOWN,
        reason="sent one-way: written to the connection, and a broker never answers that",
        latency_ms=(time.perf_counter() - started) * 1000,
    )


def request_for(
    target: Target, message: OutgoingMessage, *, compress_over: int | None, more_properties: str = "", flags: int = 0
) -> SendRequest:
    """The request that sends ``message``; ``more_properties`` and ``flags`` are what a transaction adds."""
    body, sys_flag = pack_body(message.body, over=compress_over)
    return SendRequest(
        target.header,
        properties=message.encoded_properties + more_properties,
        body=body,
        sys_flag=sys_flag | flags,
        born_ms=time.time_ns() // 1_000_000,
    )


def answered(target: Target, message_id: str, answer: Command, latency_ms: float) -> SendOutcome:
    """The outcome of a request that was answered."""
    rule = classify(answer.code, answer.remark)
    if rule.verdict is Verdict.STORED:
        ext = answer.ext
        try:
            place = int(ext["queueId"]), int(ext["queueOffset"])
            return receipt(target, message_id, ext["msgId"], place=place, latency_ms=latency_ms)
        except (KeyError, ValueError):
            verdict, reason = Verdict.UNKNOWN, "the broker answered success without msgId, queueId and queueOffset"
    else:
        verdict, reason = rule.verdict, f"{response_name(answer.code)}: {rule.reason}"
    return undecided(
        target,
        message_id,
        verdict=verdict,
        reason=reason,
        latency_ms=latency_ms,
        code=answer.code,
        remark=answer.remark,
    )


def failed(target: Target, message_id: str, error: RmqkitError, latency_ms: float) -> SendOutcome:
    """The outcome of a request that met ``error`` of the transport or of the wire on its way."""
    certain = isinstance(error, TransportError) and not error.request_sent
    verdict = Verdict.REFUSED if certain else Verdict.UNKNOWN
    return undecided(target, message_id, verdict=verdict, reason=error.what, latency_ms=latency_ms)


def receipt(target: Target, message_id: str, msg_id: str, *, place: tuple[int, int], latency_ms: float) -> Receipt:
    """The receipt of a message that one attempt got stored, at ``place``: queue id and queue offset."""
    queue_id, queue_offset = place
    return Receipt(
        message_id=message_id,
        address=target.address,
        latency_ms=latency_ms,
        msg_id=msg_id,
        queue_id=queue_id,
        queue_offset=queue_offset,
        broker_name=target.broker_name,
        attempts=(
            Attempt(
                address=target.address,
                queue_id=queue_id,
                verdict=Verdict.STORED,
                code=0,
                remark="",
                reason=_STORED_REASON,
                latency_ms=latency_ms,
            ),
        ),
    )


def undecided(
    target: Target,
    message_id: str,
    *,
    verdict: Verdict,
    reason: str,
    latency_ms: float,
    code: int | None = None,
    remark: str = "",
) -> Refused | OutcomeUnknown:
    """The outcome of one attempt that stored nothing for sure."""
    attempt = Attempt(
        address=target.address,
        queue_id=target.queue_id,
        verdict=verdict,
        code=code,
        remark=remark,
        reason=reason,
        latency_ms=latency_ms,
    )
    kind = Refused if verdict is Verdict.REFUSED else OutcomeUnknown
    return kind(
        message_id=message_id,
        address=target.address,
        latency_ms=latency_ms,
        code=code,
        remark=remark,
        reason=reason,
        attempts=(attempt,),
    )


_STORED_REASON = f"{response_name(0)}: {classify(0, '', Asked.SEND).reason}"
