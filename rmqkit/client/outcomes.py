"""What a send's answer means: stored, certainly not stored, or unknown.

What belongs here: the three outcomes and the one table that decides between them. What does not: sending
(``send``), trying again (``producer``).

The table is about brokers in DLedger mode; sources are the releases 4.5.1, 4.9.8 and 5.3.2. A row says
*refused* only where the source shows that the entry was not appended on the leader, for an entry that is
appended may be committed later whatever the producer was told.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from rmqkit.wire.codes import ResponseCode


class Verdict(Enum):
    """What is known about a message after one attempt to send it."""

    STORED = "stored"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One request of a send: where it went and what came of it."""

    address: str
    queue_id: int
    verdict: Verdict
    code: int | None
    remark: str
    reason: str
    latency_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Stored on a majority of the group: only these messages can be lost."""

    message_id: str
    address: str
    latency_ms: float
    msg_id: str
    queue_id: int
    queue_offset: int
    broker_name: str = ""
    attempts: tuple[Attempt, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Certainly not stored. ``code`` is None when no broker answered."""

    message_id: str
    address: str
    latency_ms: float
    code: int | None
    remark: str
    reason: str
    attempts: tuple[Attempt, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeUnknown:
    """May or may not be stored, now or later. ``code`` is None when no broker answered."""

    message_id: str
    address: str
    latency_ms: float
    code: int | None
    remark: str
    reason: str
    attempts: tuple[Attempt, ...] = field(default=(), compare=False)


SendOutcome: TypeAlias = Receipt | Refused | OutcomeUnknown


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: answers with ``code`` whose remark matches the pattern ``remark`` mean ``verdict``."""

    code: int
    remark: str
    verdict: Verdict
    reason: str
    source: str


_C = ResponseCode
_R = Verdict.REFUSED
_U = Verdict.UNKNOWN

RULES: tuple[Rule, ...] = (
    Rule(
        _C.SUCCESS,
        "",
        Verdict.STORED,
        "a majority of the group has it",
        "DLedgerCommitLog.putMessage SUCCESS",
    ),
    # -- code 1 covers refusals and losses of sight; only the remark tells them apart
    Rule(
        _C.SYSTEM_ERROR,
        r"^broker unable to service, until",
        _R,
        "the broker does not accept sends yet (startAcceptSendRequestTimeStamp)",
        "SendMessageProcessor.sendMessage, first check",
    ),
    Rule(
        _C.SYSTEM_ERROR,
        r"^request queueId\[\d+\] is illegal",
        _R,
        "the topic has no such queue on this broker",
        "AbstractSendMessageProcessor.msgCheck (4.x)",
    ),
    Rule(
        _C.SYSTEM_ERROR,
        r"^the topic\[.*\] is conflict with system reserved words",
        _R,
        "the topic name is reserved",
        "AbstractSendMessageProcessor.msgCheck (4.5.1)",
    ),
    Rule(
        _C.SYSTEM_ERROR,
        r"^The specified topic (is blank|is longer than|contains illegal)",
        _R,
        "the topic name is not valid",
        "TopicValidator.validateTopic (4.9), called by AbstractSendMessageProcessor.msgCheck",
    ),
    Rule(
        _C.SYSTEM_ERROR,
        r"^topic\[.*\] not exist",
        _R,
        "the topic does not exist",
        "SendMessageProcessor.handleRetryAndDLQ: topic[…] not exist",
    ),
    Rule(
        _C.SYSTEM_ERROR,
        r"^\S*AclException\b",
        _R,
        "access control refused the request before it was processed",
        "NettyRemotingAbstract.processRequestCommand: hooks run first",
    ),
    Rule(
        _C.SYSTEM_ERROR,
        r"^\[PC_SYNCHRONIZED\]",
        _U,
        "refused before the append (not leader, too many pending, disk full), or appended without a quorum in"
        " 2.5 s: 4.x says both with one text",
        "DLedgerCommitLog.putMessage: position -1, WAIT_QUORUM_ACK_TIMEOUT, LEADER_PENDING_FULL",
    ),
    Rule(
        _C.SYSTEM_ERROR,
        r"^in-sync replicas not enough",
        _U,
        "appended on the leader, no quorum in 2.5 s",
        "DLedgerCommitLog.asyncPutMessage WAIT_QUORUM_ACK_TIMEOUT (5.x)",
    ),
    Rule(
        _C.SYSTEM_ERROR,
        "",
        _U,
        "the broker failed at an unknown step",
        "SendMessageProcessor: UNKNOWN_ERROR and exceptions (TERM_CHANGED ends here, after the append)",
    ),
    Rule(
        _C.SYSTEM_BUSY,
        "",
        _R,
        "the broker turned the request away before it touched the store",
        "NettyRemotingAbstract [REJECTREQUEST] and [OVERLOAD]; BrokerFastFailure [TIMEOUT_CLEAN_QUEUE] and"
        " [PCBUSY_CLEAN_QUEUE] take the task from its queue first; [PC_SYNCHRONIZED] with this code (5.x)"
        " means position -1 or LEADER_PENDING_FULL",
    ),
    Rule(
        _C.REQUEST_CODE_NOT_SUPPORTED,
        "",
        _R,
        "this peer does not take sends",
        "NettyRemotingAbstract.processRequestCommand: no processor",
    ),
    # -- stored by the master of a classic group, not confirmed further; a DLedger leader never answers these
    Rule(_C.FLUSH_DISK_TIMEOUT, "", _U, "stored, its flush was not confirmed", "CommitLog.handleDiskFlush"),
    Rule(_C.SLAVE_NOT_AVAILABLE, "", _U, "stored, no slave was there to copy it", "CommitLog.handleHA"),
    Rule(_C.FLUSH_SLAVE_TIMEOUT, "", _U, "stored, no slave confirmed it in time", "CommitLog.handleHA"),
    Rule(
        _C.MESSAGE_ILLEGAL,
        "",
        _R,
        "topic, properties or body are too long, or this version has no batches in DLedger mode",
        "DefaultMessageStore.putMessage checks; DLedgerCommitLog.putMessages (4.5.1)",
    ),
    Rule(
        _C.SERVICE_NOT_AVAILABLE,
        "",
        _R,
        "this broker is not the leader, is stopping, or cannot write",
        "DefaultMessageStore.putMessage: SLAVE role, shutdown, not writeable. DLedgerCommitLog could map"
        " NOT_LEADER to it after the append, but no such completion follows a given position in dledger",
    ),
    Rule(
        _C.NO_PERMISSION,
        "",
        _R,
        "broker or topic do not allow sending",
        "AbstractSendMessageProcessor.msgCheck",
    ),
    Rule(
        _C.TOPIC_NOT_EXIST,
        "",
        _R,
        "the topic does not exist and is not created by itself",
        "AbstractSendMessageProcessor.msgCheck",
    ),
    Rule(
        _C.SUBSCRIPTION_GROUP_NOT_EXIST,
        "",
        _R,
        "the retry topic's group does not exist",
        "SendMessageProcessor.handleRetryAndDLQ",
    ),
    Rule(
        _C.INVALID_PARAMETER,
        "",
        _R,
        "topic name or queue are not valid",
        "AbstractSendMessageProcessor.msgCheck (5.x)",
    ),
)

_OTHERWISE = Rule(-1, "", _U, "an answer that the kit does not know", "no row")


def classify(code: int, remark: str) -> Rule:
    """The first row for this answer; an answer without a row is unknown."""
    for rule in RULES:
        if rule.code == code and re.search(rule.remark, remark):
            return rule
    return _OTHERWISE
