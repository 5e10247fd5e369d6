"""Send several messages of one topic in one request, and know what came of each.

What belongs here: what may be in a batch, its request, its outcomes. What does not: choosing a queue (``producer``).

A broker in DLedger mode writes one entry for each message, with queue offsets in a row, and answers with the first
offset and all the ids (DLedgerCommitLog.asyncPutMessages of 4.9.8 and 5.3.2: msgIdBuilder joins them with commas; the
answer waits for the last entry's quorum). The entries are no unit: when a leader dies, a part may survive. So a batch
that is not acknowledged has the same outcome for each of its messages, and its messages may fare differently later.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from rmqkit.client.message import OutgoingMessage, check_fits
from rmqkit.client.outcomes import Asked, SendOutcome, Verdict, classify
from rmqkit.client.send import Target, failed, receipt, undecided
from rmqkit.errors import RmqkitError, UsageError
from rmqkit.transport.pool import Sender
from rmqkit.wire.codes import response_name
from rmqkit.wire.frames import Command
from rmqkit.wire.sendframe import SendHeader, SendRequest, encode_batch

_RETRY_PREFIX = "%RETRY%"


def check_batch(messages: Sequence[OutgoingMessage]) -> str:
    """The one topic of a batch. Raises :class:`UsageError` for what Java's MessageBatch refuses too.

    One sharding key at most: all messages of a batch go to the same queue.
    """
    if not messages:
        raise UsageError("a batch without a message", hint="give one message or more")
    topics = dict.fromkeys(message.topic for message in messages)
    if len(topics) > 1:
        raise UsageError(f"a batch of {len(topics)} topics: {', '.join(topics)}", hint="send one batch for each topic")
    delayed = next((message for message in messages if message.delay_level), None)
    if delayed is not None:
        raise UsageError(
            f"message {delayed.message_id} of a batch has delay level {delayed.delay_level}",
            hint="brokers take no delayed messages in batches: send it alone",
        )
    keys = {message.sharding_key for message in messages}
    if len(keys) > 1:
        raise UsageError(
            f"a batch of {len(keys)} sharding keys, none being one: {', '.join(map(repr, sorted(keys)))}",
            hint="a batch goes to one queue: send one batch for each key",
        )
    ids = {message.message_id for message in messages}
    if len(ids) < len(messages):
        raise UsageError("a batch with the same message twice", hint="make a new OutgoingMessage for each")
    topic = messages[0].topic
    if topic.startswith(_RETRY_PREFIX):
        raise UsageError(f"a batch for the retry topic {topic}", hint="brokers take none: send the messages alone")
    return topic


def batch_to(
    pool: Sender, target: Target, messages: Sequence[OutgoingMessage], *, group: str, timeout_s: float
) -> tuple[SendOutcome, ...]:
    """Send ``messages`` to the queue ``target``, with one request; one outcome for each message, in their order.

    Bodies are never compressed: the flag would be the whole batch's. Raises as
    :func:`~rmqkit.client.send.send_once` does, and for what :func:`check_batch` finds.
    """
    topic = check_batch(messages)
    body = encode_batch((message.body, message.encoded_properties) for message in messages)
    check_fits(len(body), what=f"a batch of {len(messages)} messages")
    request = SendRequest(
        SendHeader.of(group=group, topic=topic, queue_id=target.queue_id, broker_name=target.broker_name, batch=True),
        properties="",
        body=body,
        sys_flag=0,
        born_ms=time.time_ns() // 1_000_000,
    )
    started = time.perf_counter()
    try:
        answer = pool.request(target.address, request, timeout_s=timeout_s)
    except UsageError:
        raise
    except RmqkitError as error:
        latency_ms = (time.perf_counter() - started) * 1000
        return tuple(failed(target, message.message_id, error, latency_ms) for message in messages)
    return _answered(target, messages, answer, (time.perf_counter() - started) * 1000)


def _answered(
    target: Target, messages: Sequence[OutgoingMessage], answer: Command, latency_ms: float
) -> tuple[SendOutcome, ...]:
    rule = classify(answer.code, answer.remark, Asked.BATCH)
    verdict, reason = rule.verdict, f"{response_name(answer.code)}: {rule.reason}"
    if verdict is Verdict.STORED:
        try:
            ids = answer.ext["msgId"].split(",")
            queue_id, first = int(answer.ext["queueId"]), int(answer.ext["queueOffset"])
        except (KeyError, ValueError):
            ids = []
        if len(ids) == len(messages):
            return tuple(
                receipt(target, message.message_id, msg_id, place=(queue_id, first + i), latency_ms=latency_ms)
                for i, (message, msg_id) in enumerate(zip(messages, ids, strict=True))
            )
        verdict = Verdict.UNKNOWN
        reason = f"the broker answered success with {len(ids)} message ids for a batch of {len(messages)}"
    return tuple(
        undecided(
            target,
            message.message_id,
            verdict=verdict,
            reason=reason,
            latency_ms=latency_ms,
            code=answer.code,
            remark=answer.remark,
        )
        for message in messages
    )
