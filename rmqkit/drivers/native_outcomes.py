"""What the native client's words mean: acknowledged, certainly not stored, or unknown.

What belongs here: the one table. What does not: sending.

Sources are apache/rocketmq-client-cpp (1.x; 2.x has the same classes) and the two Python packages. The client tells
little: ``DefaultMQProducer::sendDefaultImpl`` tries up to five times (m_retryTimes), swallows whatever each attempt
ended with (``catch (...)``), tries again also after a status other than SEND_OK, and ends with one text for all. So a
failure is refused only where the source shows that it comes before the first attempt.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rmqkit.client.outcomes import Verdict


@dataclass(frozen=True, slots=True)
class NativeRule:
    """One row: an exception whose text matches means ``verdict``."""

    text: str
    verdict: Verdict
    reason: str
    source: str


RULES: tuple[NativeRule, ...] = (
    NativeRule(
        r"\bthe message body is empty\b",
        Verdict.REFUSED,
        "the client refuses an empty body before it looks for a broker",
        "Validators::checkMessage, first line of DefaultMQProducer::send",
    ),
    NativeRule(
        r"\bthe message body size over max value, MAX: \d+",
        Verdict.REFUSED,
        "the body is above the client's own limit (128 KiB unless max_body_bytes sets another)",
        "Validators::checkMessage; DefaultMQProducer: m_maxMessageSize(1024 * 128)",
    ),
    NativeRule(
        r"\bthe specified topic (is blank|is longer than|\[)|\bthe topic\[.*\] is conflict with default topic",
        Verdict.REFUSED,
        "the client refuses the topic's name before it looks for a broker",
        "Validators::checkTopic",
    ),
    NativeRule(
        r"\bNo route info for this topic\b",
        Verdict.REFUSED,
        "no NameServer gave a route; nothing was sent",
        "DefaultMQProducer::sendSelectImpl, which tries once and throws this before it has a queue",
    ),
    NativeRule(
        r"\bNo route info of this topic\b",
        Verdict.UNKNOWN,
        "what the client says after its last attempt, whatever the attempts ended with",
        "DefaultMQProducer::sendDefaultImpl and sendAutoRetrySelectImpl: catch (...) and continue",
    ),
    NativeRule(
        r"\bresponse is null\b",
        Verdict.UNKNOWN,
        "no answer in time, no connection, or an error answer: the client says all of them with one text",
        "MQClientAPIImpl::sendMessageSync: catch (...) around processSendResponse",
    ),
)

_OTHERWISE = NativeRule("", Verdict.UNKNOWN, "the client failed with words that the kit does not know", "no row")

_NOTHING_GIVEN = NativeRule(
    "", Verdict.REFUSED, "the library was given nothing to send", "CProducer.cpp: NULL_POINTER, the first check"
)

STATUS_OK = 0
STATUSES = {
    1: ("FLUSH_DISK_TIMEOUT", "stored, its flush was not confirmed"),
    2: ("FLUSH_SLAVE_TIMEOUT", "stored, no slave confirmed it in time"),
    3: ("SLAVE_NOT_AVAILABLE", "stored, no slave was there to copy it"),
}
"""SendStatus of the Python packages (CSendStatus) other than OK; a DLedger leader never answers these."""


def classify_failure(kind: str, text: str) -> NativeRule:
    """What an exception of class ``kind`` with this text means: the first row that fits; without one it is unknown."""
    if kind == "NullPointerException":
        return _NOTHING_GIVEN
    return next((rule for rule in RULES if re.search(rule.text, text)), _OTHERWISE)


def classify_status(status: int) -> tuple[Verdict, str]:
    """What a result's status means. Anything but OK may be stored on one broker only: unknown."""
    if status == STATUS_OK:
        return Verdict.STORED, "the client says SEND_OK: a broker answered SUCCESS"
    name, reason = STATUSES.get(status, ("", "a status that the kit does not know"))
    return Verdict.UNKNOWN, f"status {status} {name}: {reason}".replace("  ", " ")
