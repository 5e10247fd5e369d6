"""What the official Java client's answers mean: stored, certainly not stored, or unknown.

What belongs here: the table from its exceptions to verdicts, with the place in its source that each row rests on.
What does not: brokers' codes (``rmqkit.client.outcomes``), the process that the answers come from (``java_process``).

The client tries a send again by itself and tells of its last attempt only, so its exception alone proves little: an
earlier attempt may have been stored. The driver therefore reports every attempt that reached the network, from the
client's own hook (SendMessageHook, called by DefaultMQProducerImpl.sendKernelImpl around each request). A send is
*refused* only if all of its attempts are; one whose hook was never called wrote nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rmqkit.client.outcomes import Attempt, OutcomeUnknown, Receipt, Refused, SendOutcome, Verdict, classify
from rmqkit.errors import DriverError
from rmqkit.wire.codes import ResponseCode, response_name

STORED = "SEND_OK"
STATUS_CODES = {
    "FLUSH_DISK_TIMEOUT": ResponseCode.FLUSH_DISK_TIMEOUT,
    "FLUSH_SLAVE_TIMEOUT": ResponseCode.FLUSH_SLAVE_TIMEOUT,
    "SLAVE_NOT_AVAILABLE": ResponseCode.SLAVE_NOT_AVAILABLE,
}
"""SendStatus to the code that MQClientAPIImpl.processSendResponse makes it from."""


@dataclass(frozen=True, slots=True)
class ExceptionRule:
    """One row: an attempt that ended with the exception ``name`` whose message matches ``message``."""

    name: str
    message: str
    verdict: Verdict
    reason: str
    source: str


_R, _U = Verdict.REFUSED, Verdict.UNKNOWN

RULES: tuple[ExceptionRule, ...] = (
    ExceptionRule(
        "RemotingConnectException",
        "",
        _R,
        "no connection to the broker: nothing was written",
        "NettyRemotingClient.invokeSync throws it where there is no active channel, before the write",
    ),
    ExceptionRule(
        "RemotingTooMuchRequestException",
        "",
        _R,
        "the time was over before the request was written",
        "sendKernelImpl and MQClientAPIImpl.sendMessage: 'call timeout' before invokeSync; invokeOneway: too fast",
    ),
    ExceptionRule(
        "RemotingTimeoutException",
        r"^(invokeSync call|invokeAsyncImpl|invokeOnewayImpl)\b",
        _R,
        "the time was over before the request was written",
        "NettyRemotingClient.invokeSync: the connection took it all; NettyRemotingAbstract: no permit in time",
    ),
    ExceptionRule(
        "RemotingTimeoutException",
        "",
        _U,
        "no answer in time",
        "NettyRemotingAbstract.invokeSyncImpl: 'wait response on the channel', after the write",
    ),
    ExceptionRule(
        "RemotingSendRequestException",
        "",
        _U,
        "the write failed, or the connection broke while the answer was awaited: the client says both with one name",
        "NettyRemotingAbstract.failFast and requestFail: a channel that closes fails every request that is under way",
    ),
    ExceptionRule(
        "InterruptedException",
        "",
        _U,
        "the client was closed while the answer was awaited",
        "NettyRemotingAbstract.invokeSyncImpl waits interruptibly, after the write",
    ),
)

_OTHERWISE = ExceptionRule("", "", _U, "an exception that the kit does not know", "no row")


def classify_exception(name: str, message: str) -> ExceptionRule:
    """The first row for this exception; one without a row is unknown."""
    for rule in RULES:
        if rule.name == name and re.search(rule.message, message):
            return rule
    return _OTHERWISE


def attempt_of(said: Mapping[str, Any]) -> Attempt:
    """One attempt as the driver's hook reported it."""
    code: int | None = None
    remark = ""
    verdict, reason = _U, "the client did not say what came of it"
    error = said.get("error")
    if error is not None:
        name, remark = str(error.get("class", "")), str(error.get("message") or "")
        if name == "MQBrokerException":
            code = int(error["code"])
            row = classify(code, remark)
            verdict, reason = row.verdict, f"{response_name(code)}: {row.reason}"
        else:
            found = classify_exception(name, remark)
            verdict, reason = found.verdict, f"{name}: {found.reason}"
    elif said.get("status") == STORED:
        verdict, code, reason = Verdict.STORED, 0, "a majority of the group has it"
    elif "status" in said:
        code, reason = _of_status(str(said["status"]))
    elif "endNanos" in said:
        reason = "one-way: written, and never answered"
    return Attempt(
        address=str(said.get("broker") or ""),
        queue_id=int(said.get("queueId", -1)),
        verdict=verdict,
        code=code,
        remark=remark,
        reason=reason,
        latency_ms=_ms(said),
    )


def outcome_of(answer: Mapping[str, Any], *, message_id: str) -> SendOutcome:
    """What the driver's answer to a send means. Latency is what the Java process measured.

    Raises DriverError for an answer that tells of no attempts: the driver did not try (it knows no such producer).
    """
    if "attempts" not in answer:
        raise DriverError(
            f"the Java driver did not send {message_id}: {said(answer.get('error'))}",
            hint="was the producer closed?",
        )
    attempts = tuple(attempt_of(each) for each in answer["attempts"])
    if not answer["ok"]:
        return _failed(answer, attempts, message_id=message_id)
    address = attempts[-1].address if attempts else ""
    status = answer.get("status")
    # TransactionSendResult has no offsetMsgId (DefaultMQProducerImpl.sendMessageInTransaction); its attempt does.
    offset_id = answer.get("offsetMsgId") or (answer["attempts"][-1].get("offsetMsgId") if attempts else None)
    if status == STORED and offset_id and "queueOffset" in answer:
        return Receipt(
            message_id=message_id,
            address=address,
            latency_ms=_ms(answer),
            msg_id=str(offset_id),
            queue_id=int(answer.get("queueId", -1)),
            queue_offset=int(answer["queueOffset"]),
            broker_name=str(answer.get("brokerName", "")),
            attempts=attempts,
        )
    if status is None:
        code, reason = None, attempts[-1].reason if attempts else "one-way: written, and never answered"
    elif status == STORED:
        code, reason = 0, "the client said SEND_OK without offsetMsgId and queueOffset"
    else:
        code, reason = _of_status(str(status))
    return OutcomeUnknown(
        message_id=message_id,
        address=address,
        latency_ms=_ms(answer),
        code=code,
        remark="",
        reason=reason,
        attempts=attempts,
    )


def _failed(answer: Mapping[str, Any], attempts: Sequence[Attempt], *, message_id: str) -> SendOutcome:
    """Of a send that ended with an exception: unknown if any attempt is, refused if none is."""
    telling = next((each for each in reversed(attempts) if each.verdict is not Verdict.REFUSED), None)
    kind = Refused if telling is None else OutcomeUnknown
    last = telling or (attempts[-1] if attempts else None)
    return kind(
        message_id=message_id,
        address=last.address if last else "",
        latency_ms=_ms(answer),
        code=last.code if last else None,
        remark=last.remark if last else str((answer.get("error") or {}).get("message") or ""),
        reason=last.reason if last else f"the client wrote nothing: {said(answer.get('error'))}",
        attempts=tuple(attempts),
    )


def batch_outcomes(answer: Mapping[str, Any], *, message_ids: Sequence[str]) -> tuple[SendOutcome, ...]:
    """One outcome for each message of a batch: they share their attempts, and are stored together or not at all.

    The broker's answer has one offset id each, joined by commas, and the queue offset of the first.
    """
    whole = outcome_of(answer, message_id=message_ids[0])
    outcomes: list[SendOutcome] = []
    ids = whole.msg_id.split(",") if isinstance(whole, Receipt) else []
    for number, message_id in enumerate(message_ids):
        if isinstance(whole, Receipt) and len(ids) == len(message_ids):
            outcomes.append(
                Receipt(
                    message_id=message_id,
                    address=whole.address,
                    latency_ms=whole.latency_ms,
                    msg_id=ids[number],
                    queue_id=whole.queue_id,
                    queue_offset=whole.queue_offset + number,
                    broker_name=whole.broker_name,
                    attempts=whole.attempts,
                )
            )
            continue
        refused = isinstance(whole, Refused)
        reason = f"{len(ids)} ids for a batch of {len(message_ids)}" if isinstance(whole, Receipt) else whole.reason
        outcomes.append(
            (Refused if refused else OutcomeUnknown)(
                message_id=message_id,
                address=whole.address,
                latency_ms=whole.latency_ms,
                code=0 if isinstance(whole, Receipt) else whole.code,
                remark="" if isinstance(whole, Receipt) else whole.remark,
                reason=reason,
                attempts=whole.attempts,
            )
        )
    return tuple(outcomes)


def no_answer(message_id: str, *, latency_ms: float, reason: str) -> OutcomeUnknown:
    """Of a send that the driver's process gave no answer to."""
    return OutcomeUnknown(message_id=message_id, address="", latency_ms=latency_ms, code=None, remark="", reason=reason)


def said(error: Mapping[str, Any] | None) -> str:
    """An exception and its causes in one line, without RocketMQ's advice to look at its web pages."""
    parts = []
    while error:
        message = " ".join(
            re.sub(r"\s*(See|For more information).*", "", str(error.get("message") or ""), flags=re.S).split()
        )
        parts.append(f"{error.get('class', '?')}: {message}" if message else str(error.get("class", "?")))
        error = error.get("cause")
    return "; caused by ".join(parts) or "no reason given"


def _of_status(status: str) -> tuple[int | None, str]:
    code = STATUS_CODES.get(status)
    return code, f"{status}: {classify(code, '').reason}" if code is not None else f"unknown status {status}"


def _ms(timed: Mapping[str, Any]) -> float:
    if "startNanos" not in timed or "endNanos" not in timed:
        return 0.0
    return float((timed["endNanos"] - timed["startNanos"]) / 1e6)
