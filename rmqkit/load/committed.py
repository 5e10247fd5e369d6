"""What brokers say that consumer groups have committed, and what became of transactions, into the history.

What belongs here: facts that a run asks for or has in hand beside its sends and deliveries. What does not: when to ask.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from rmqkit.client.broker import BrokerClient
from rmqkit.client.outcomes import Receipt, Refused, SendOutcome
from rmqkit.client.transactions import Decision, TransactionOutcome
from rmqkit.history import COMMIT, HALF, ROLLBACK, History, OffsetRecord, Outcome, SendRecord
from rmqkit.load.batches import Times
from rmqkit.transport.pool import Requester


def sample_offsets(pool: Requester, leader: str, *, group: str, topic: str, history: History) -> Mapping[int, int]:
    """Ask ``leader``, the address of the master, what ``group`` has committed of ``topic``; record and return it.

    Ask masters only: a follower's copy may be ten seconds old (SlaveSynchronize). Raises as BrokerClient's methods.
    """
    asked_ns = time.monotonic_ns()
    committed = BrokerClient(pool, leader).consumer_offsets().get((topic, group), {})
    answered_ns = time.monotonic_ns()
    for queue, offset in committed.items():
        history.add_offset(OffsetRecord(group, topic, queue, offset, asked_ns, answered_ns))
    return committed


_DECIDED = {Decision.COMMIT: COMMIT, Decision.ROLLBACK: ROLLBACK}


def record_transaction(
    history: History, message_id: str, topic: str, times: Times, came: TransactionOutcome, *, sender: str = ""
) -> None:
    """Append the steps of one transactional send: its half, and its end where one was decided.

    ``times`` are of the whole call: both steps lie in it. The outcome of a message that was rolled back is "refused";
    that of the step is an acknowledgement. Ends that brokers ask back for are records of their own.
    """

    def step(name: str, outcome: SendOutcome, what: Outcome, attempts: int) -> None:
        reason = "" if isinstance(outcome, Receipt) else outcome.reason
        history.add_send(
            SendRecord(
                message_id,
                topic,
                times.start_ns,
                times.end_ns,
                what,
                -1,
                -1,
                outcome.address or "",
                reason,
                sender,
                attempts,
                transaction=name,
            )
        )

    step(HALF, came.half, _outcome(came.half), max(1, len(came.half.attempts)))
    if came.decision in _DECIDED:
        told = _outcome(came.outcome)
        if came.decision is Decision.ROLLBACK and told is Outcome.REFUSED:
            told = Outcome.ACKNOWLEDGED
        step(_DECIDED[came.decision], came.outcome, told, 0)


def _outcome(outcome: SendOutcome) -> Outcome:
    if isinstance(outcome, Receipt):
        return Outcome.ACKNOWLEDGED
    return Outcome.REFUSED if isinstance(outcome, Refused) else Outcome.UNKNOWN
