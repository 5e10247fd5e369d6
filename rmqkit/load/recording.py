"""From what workers ship into the history: every send and every message received, many at a time.

What belongs here: the translation of rows. What does not: counting (``statistics``).
"""

from __future__ import annotations

from collections.abc import Collection

from rmqkit.history import History
from rmqkit.load.batches import Ending, ReceivedRow, SendBatch
from rmqkit.load.plan import ReceivePlan, SendPlan

HIDDEN_ATTEMPTS = 5
"""As often a client that tries again by itself, and tells nothing of it, may have stored a message (librocketmq)."""


def record_sends(
    history: History, run: str, plan: SendPlan, batch: SendBatch, *, hidden_retries: Collection[str] = ()
) -> None:
    """Append finished sends. ``start_ns`` is of the request: when it was due is the statistics' matter.

    ``hidden_retries`` are the drivers whose clients try again by themselves.
    """
    import numpy as np  # noqa: PLC0415 - not needed by who only asks for a sender's name

    sends = batch.columns()
    outcomes = np.where(sends.ending == Ending.FLOW_CONTROL, int(Ending.REFUSED), sends.ending)
    names = np.array(batch.names, dtype=object)
    for worker in np.unique(sends.worker).tolist():
        mine = sends.worker == worker
        untold = HIDDEN_ATTEMPTS if plan.driver_of(worker) in hidden_retries else 1
        history.add_sends(
            message_id=(f"{run}-{worker}-", sends.sequence[mine]),
            topic=plan.topic,
            start_ns=sends.start_ns[mine],
            end_ns=sends.end_ns[mine],
            outcome=outcomes[mine],
            queue=sends.queue[mine],
            offset=sends.offset[mine],
            address=names[sends.address[mine]].tolist(),
            reason=names[sends.reason[mine]].tolist(),
            sender=sender_name(plan, worker),
            attempts=np.where(sends.attempts[mine] > 0, sends.attempts[mine], untold),
        )


def record_received(history: History, plan: ReceivePlan, rows: list[ReceivedRow]) -> None:
    """Append what consumers were handed."""
    if not rows:
        return
    history.add_receives(
        consumer=[f"{plan.group}/{row.member}" for row in rows],
        message_id=[row.message_id for row in rows],
        topic=plan.topic,
        # A message that comes again from the retry topic lies elsewhere than where it was sent to.
        queue=[-1 if row.retried else row.queue for row in rows],
        offset=[-1 if row.retried else row.offset for row in rows],
        at_ns=[row.at_ns for row in rows],
    )


def sender_name(plan: SendPlan, worker: int) -> str:
    """``built-in/0``: the driver, and the worker's number among the driver's own."""
    return f"{plan.driver_of(worker)}/{worker % plan.threads}"
