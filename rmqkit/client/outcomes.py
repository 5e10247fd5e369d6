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


class Asked(Enum):
    """What was asked of a broker: the same answer may mean more or less certain things."""

    SEND = "one message"
    BATCH = "a batch"
    END_TRANSACTION = "the end of a transaction"


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

    @property
    def is_flow_control(self) -> bool:
        """Whether the broker sheds load: send less for a moment. See :func:`is_flow_control`."""
        return is_flow_control(self.code, self.remark)


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

    @property
    def is_flow_control(self) -> bool:
        """Whether the broker says that it is busy; on 4.x that leaves open whether it stored the message."""
        return is_flow_control(self.code, self.remark)


SendOutcome: TypeAlias = Receipt | Refused | OutcomeUnknown


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: answers with ``code`` whose remark matches the pattern ``remark`` mean ``verdict``."""

    code: int
    remark: str
    verdict: Verdict
    reason: str
    source: str
    asked: Asked | None = None  # None: a message alone or in a batch


_C = ResponseCode
_R = Verdict.REFUSED
_U = Verdict.UNKNOWN

_APPENDED_IN_PART = (
    "DLedgerServer.handleAppend (dledger 0.3.1.2) appends a batch entry by entry, and answers position -1 for an"
    " exception at any of them; the ones before it stay in the log"
)

RULES: tuple[Rule, ...] = (
    # -- a batch is no unit in the log: what proves for one message that nothing was appended, does not for a batch
    Rule(
        _C.SYSTEM_BUSY,
        r"^\[PC_SYNCHRONIZED\]",
        _U,
        "the store turned the batch away, perhaps after it had appended a part of it",
        _APPENDED_IN_PART,
        Asked.BATCH,
    ),
    Rule(
        _C.SYSTEM_ERROR,
        r"^java\.lang\.RuntimeException: (message( body)? size|Properties size of messageExtBatch) exceeded",
        _R,
        "the batch is longer than the broker's maxMessageSize",
        "DLedgerCommitLog.MessageSerializer.serialize(MessageExtBatch), before the append (4.9.8, 5.3.2)",
        Asked.BATCH,
    ),
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
        r"^(timer message is under flow control|accurate timer message is not enabled)",
        _R,
        "the broker takes no message with a delay in milliseconds now",
        "HookUtils.handleScheduleMessage, before the store (5.x)",
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

END_RULES: tuple[Rule, ...] = (
    # -- the end of a transaction: "stored" means that the broker did what was decided
    Rule(
        _C.SUCCESS,
        "",
        Verdict.STORED,
        "the broker carried the decision out",
        "EndTransactionProcessor: sendFinalMessage answered PUT_OK, or checkPrepareMessage success",
    ),
    Rule(
        _C.SYSTEM_ERROR,
        r"^(Find prepared transaction message failed|The producer group wrong|"
        r"The (transaction state table|commit log) offset wrong)",
        _R,
        "the broker does not find the half message, or it is another one",
        "EndTransactionProcessor.checkPrepareMessage, TransactionalMessageServiceImpl.getHalfMessageByOffset",
    ),
    Rule(_C.SYSTEM_ERROR, "", _U, "the broker failed at an unknown step", "EndTransactionProcessor.sendFinalMessage"),
    Rule(
        _C.SLAVE_NOT_AVAILABLE,
        "",
        _R,
        "this broker is no longer the leader",
        "EndTransactionProcessor.processRequest, first check: in this place 11 means SLAVE",
    ),
    Rule(_C.SYSTEM_BUSY, "", _R, "the broker turned the request away", "NettyRemotingAbstract, BrokerFastFailure"),
    Rule(_C.REQUEST_CODE_NOT_SUPPORTED, "", _R, "this peer takes no sends", "NettyRemotingAbstract: no processor"),
    Rule(_C.MESSAGE_ILLEGAL, "", _R, "the final message is too long", "EndTransactionProcessor.sendFinalMessage"),
    Rule(
        _C.SERVICE_NOT_AVAILABLE,
        "",
        _R,
        "this broker is not the leader, is stopping, or cannot write",
        "DefaultMessageStore.putMessage, as for a send",
    ),
    Rule(
        _C.ILLEGAL_OPERATION,
        "",
        _R,
        "the decision came later than the message's immunity time: the broker asks back instead",
        "EndTransactionProcessor.rejectCommitOrRollback (5.x)",
    ),
)

_OTHERWISE = Rule(-1, "", _U, "an answer that the kit does not know", "no row")
_STORED = next(rule for rule in RULES if rule.verdict is Verdict.STORED)
_BUSY = re.compile(r"(system|broker|page ?cache) busy|flow control", re.IGNORECASE)


def classify(code: int, remark: str, asked: Asked = Asked.SEND) -> Rule:
    """The first row for this answer; an answer without a row is unknown."""
    if asked is Asked.END_TRANSACTION:
        rules = END_RULES
    elif code == _C.SUCCESS:
        return _STORED
    else:
        rules = RULES
    for rule in rules:
        if rule.code == code and rule.asked in (None, asked) and re.search(rule.remark, remark):
            return rule
    return _OTHERWISE


def is_flow_control(code: int | None, remark: str) -> bool:
    """Whether an answer means that the broker sheds load: code 2 or 215, or words to that effect.

    The words: [REJECTREQUEST]system busy, [TIMEOUT_CLEAN_QUEUE]broker busy, [PCBUSY_CLEAN_QUEUE]broker busy (code 2)
    and [PC_SYNCHRONIZED]broker busy (code 1 on 4.x, whatever became of the message).
    """
    return code in (_C.SYSTEM_BUSY, _C.FLOW_CONTROL) or (code is not None and bool(_BUSY.search(remark)))
