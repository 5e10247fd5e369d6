"""What brokers say that consumer groups have committed, and what became of transactions, into the history.

What belongs here: facts that a run asks for or has in hand beside its sends and deliveries. What does not: judgement.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from rmqkit.client.broker import BrokerClient
from rmqkit.client.outcomes import Receipt, Refused, SendOutcome
from rmqkit.client.routes import Routes
from rmqkit.client.transactions import Decision, TransactionOutcome
from rmqkit.errors import RmqkitError
from rmqkit.history import COMMIT, HALF, ROLLBACK, History, OffsetRecord, Outcome, SendRecord
from rmqkit.load.batches import Times
from rmqkit.transport.pool import ChannelPool, Requester

EVERY_S = 1.0
_ANSWER_S = 2.0


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


class CommittedOffsets:
    """What the masters of a topic name as a group's committed offsets, into the history; use it with ``with``.

    They are asked every ``every_s`` seconds, once when it begins and once when it ends. Who answers must be the master
    by its own configuration: a NameServer may name a broker that is none (rocketmq #1464), and a follower's offsets are
    old. While nobody answers nothing is recorded; ``trouble`` says why where nothing ever was.
    """

    def __init__(
        self, nameservers: Sequence[str], *, group: str, topic: str, history: History, every_s: float = EVERY_S
    ) -> None:
        self._nameservers = nameservers
        self._group = group
        self._topic = topic
        self._history = history
        self._every_s = every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="rmqkit-committed-offsets", daemon=True)
        self._said = ""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(timeout=10)

    @property
    def trouble(self) -> str:
        """Why no committed offset was recorded; empty where some were, or nobody has committed any."""
        return "" if self._history.offset_count else self._said

    def _work(self) -> None:
        with ChannelPool() as pool:
            last = False
            while True:
                try:
                    self._ask(pool)
                except RmqkitError as error:
                    self._said = error.what
                if last:
                    return
                last = self._over.wait(self._every_s)

    def _ask(self, pool: ChannelPool) -> None:
        brokers = Routes(pool, self._nameservers, timeout_s=_ANSWER_S).refresh(self._topic).brokers
        if len(brokers) > 1:
            # A record names queues by number, and every group of brokers has a queue 0.
            self._said = f"{self._topic} is on {len(brokers)} groups of brokers, whose queues have the same numbers"
            return
        for address in filter(None, (broker.master for broker in brokers)):
            config = BrokerClient(pool, address, timeout_s=_ANSWER_S).config()
            if (config.get("brokerRole"), config.get("brokerId")) == ("SYNC_MASTER", "0"):
                sample_offsets(pool, address, group=self._group, topic=self._topic, history=self._history)


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
