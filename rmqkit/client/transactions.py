"""Transactional messages: stored unseen, then committed or rolled back by what a local transaction decides.

What belongs here: the half message, its end, and answering a broker that asks back. What does not: what the local
transaction does, the meaning of answers (``outcomes``).

A half message lies in the broker's own topic RMQ_SYS_TRANS_HALF_TOPIC until END_TRANSACTION copies it into its topic,
or marks it as done. A broker that hears of neither asks a producer of the same group (CHECK_TRANSACTION_STATE, over the
connection of a heartbeat): first when the message is transactionTimeOut old by the *producer's* clock (6 s), then every
transactionCheckInterval (60 s), 15 times at most; then it drops the message (TransactionalMessageServiceImpl.check).
Only the leader asks; after a failover the new one does.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from types import TracebackType
from typing import Self

from rmqkit.client.calls import number
from rmqkit.client.heartbeat import HEARTBEAT_EVERY_S, heartbeat, new_client_id, unregister
from rmqkit.client.message import PRODUCER_GROUP, TRANSACTION_PREPARED, OutgoingMessage
from rmqkit.client.outcomes import Asked, Attempt, OutcomeUnknown, Receipt, Refused, SendOutcome, Verdict, classify
from rmqkit.client.producer import Planner, nowhere
from rmqkit.client.send import Target, answered, failed, request_for
from rmqkit.errors import RmqkitError, TransportError, UsageError, WireError
from rmqkit.transport.pool import ChannelPool
from rmqkit.wire.codes import RequestCode, response_name
from rmqkit.wire.frames import Command
from rmqkit.wire.messages import StoredMessage, decode_messages, encode_properties, parse_offset_id

_PREPARED = 4  # MessageSysFlag.TRANSACTION_PREPARED_TYPE
_LISTEN_S = 0.5
_AGAIN_S = 0.5
_KEPT_CHECKS = 10_000


class Decision(Enum):
    """What became of the local transaction (MessageSysFlag's numbers)."""

    COMMIT = 8
    ROLLBACK = 12
    UNKNOWN = 0
    """Not decided yet: the broker asks back later."""


@dataclass(frozen=True, slots=True)
class TransactionOutcome:
    """What came of one transactional message.

    ``outcome`` is the message's own: a receipt once the commit was carried out (its queue offset is not told: -1),
    refused when no consumer will ever see it, unknown when that is left to the broker's asking back. ``decision`` is
    None where the half message was not acknowledged, and the local transaction therefore not begun.
    """

    half: SendOutcome
    decision: Decision | None
    outcome: SendOutcome


@dataclass(frozen=True, slots=True)
class CheckBack:
    """One time that a broker asked back: about which message, what was decided, and whether the broker took it."""

    address: str
    message_id: str
    decision: Decision
    verdict: Verdict | None = field(default=None)
    reason: str = ""


class TransactionProducer:
    """Sends transactional messages and answers brokers that ask back; a context manager.

    ``check(message)`` is called when a broker asks what became of the local transaction of ``message``, in a thread of
    this object: also for messages of another producer of the same group, and of one that died. In the block a thread
    for each broker keeps up heartbeats and listens, and one calls ``check``. ``send`` may be used by several threads.
    """

    def __init__(
        self,
        nameservers: Sequence[str],
        *,
        group: str,
        check: Callable[[StoredMessage], Decision],
        topics: Sequence[str] = (),
        timeout_s: float = 3.0,
        heartbeat_every_s: float = HEARTBEAT_EVERY_S,
        compress_over: int | None = None,
    ) -> None:
        """``topics`` are those whose brokers may ask back before anything was sent: after a restart of the producer.

        Bodies are not compressed unless ``compress_over`` says so: a 4.5 broker that asks back about a compressed one
        stores it anew, decompressed and still marked as compressed, and nobody can read it once it is committed
        (TransactionalMessageBridge.decodeMsgList calls MessageDecoder.decode with decompression; not so in 4.9.8).
        """
        self.group = group
        self.client_id = new_client_id()
        self._check = check
        self._timeout_s = timeout_s
        self._heartbeat_every_s = heartbeat_every_s
        self._compress_over = compress_over
        self._pool = ChannelPool()
        self._listening = ChannelPool(on_request=self._asked)  # heartbeats and what comes of them, and nothing else
        self._planner = Planner(self._pool, nameservers, group=group, timeout_s=timeout_s)
        self._topics = dict.fromkeys(topics)
        self._asks: queue.SimpleQueue[tuple[str, Command]] = queue.SimpleQueue()
        self._checks: deque[CheckBack] = deque(maxlen=_KEPT_CHECKS)
        self._lock = threading.Lock()
        self._keepers: dict[str, threading.Thread] = {}
        self._stopping = threading.Event()
        self._open = False
        self._worker = threading.Thread(target=self._work, name=f"rmqkit-transactions-{group}", daemon=True)

    def __enter__(self) -> Self:
        if self._open or self._stopping.is_set():
            raise UsageError("a transaction producer is opened once", hint="make another one")
        self._open = True
        self._worker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as undo:
            undo.callback(self._pool.close)
            undo.callback(self._listening.close)
            self._open = False
            self._stopping.set()
            with self._lock:
                threads = [self._worker, *self._keepers.values()]
            for thread in threads:
                thread.join(timeout=self._timeout_s * 2 + 1)

    @property
    def checks(self) -> tuple[CheckBack, ...]:
        """The times that a broker asked back, the last ten thousand of them."""
        return tuple(self._checks)

    def send(
        self,
        message: OutgoingMessage,
        local: Callable[[OutgoingMessage], Decision],
        *,
        queue_id: int | None = None,
    ) -> TransactionOutcome:
        """Store ``message`` unseen, call ``local`` once that is acknowledged, and tell the broker what it decided.

        What ``local`` raises is raised here, with the broker left to ask back. Trouble of the cluster never raises.
        Raises :class:`UsageError` for a delayed message: brokers give the delay up.
        """
        if not self._open:
            raise UsageError("the transaction producer is not open", hint="use it inside its `with` block")
        if message.delay_level:
            raise UsageError(
                f"message {message.message_id} is transactional and has delay level {message.delay_level}",
                hint="give one of the two up: RocketMQ drops the delay",
            )
        target, why = self._planner.choose(message, queue_id)
        if target is None:
            refused = nowhere(message, why)
            self._planner.learn(message.topic, refused)
            return TransactionOutcome(half=refused, decision=None, outcome=refused)
        self._keep(target.address, message.topic)
        half = self._send_half(target, message)
        if not isinstance(half, Receipt):
            self._planner.learn(message.topic, half)
            return TransactionOutcome(half=half, decision=None, outcome=half)
        decision = local(message)
        if not isinstance(decision, Decision):
            raise UsageError(f"the local transaction decided {decision!r}", hint="return a Decision")
        return TransactionOutcome(
            half=half, decision=decision, outcome=self._end(message.topic, target, half, decision)
        )

    # -- the message

    def _send_half(self, target: Target, message: OutgoingMessage) -> SendOutcome:
        request = request_for(
            target,
            message,
            compress_over=self._compress_over,
            more_properties=encode_properties({TRANSACTION_PREPARED: "true", PRODUCER_GROUP: self.group}),
            flags=_PREPARED,
        )
        started = time.perf_counter()
        try:
            answer = self._pool.request(target.address, request, timeout_s=self._timeout_s)
        except UsageError:
            raise
        except RmqkitError as error:
            return failed(target, message.message_id, error, (time.perf_counter() - started) * 1000)
        return answered(target, message.message_id, answer, (time.perf_counter() - started) * 1000)

    def _end(self, topic: str, target: Target, half: Receipt, decision: Decision) -> SendOutcome:
        if decision is Decision.UNKNOWN:
            return _left_open(half, "not decided: left to the broker's asking back")
        _, position = parse_offset_id(half.msg_id)
        attempt = self._tell(
            target.address,
            decision,
            {
                "tranStateTableOffset": half.queue_offset,
                "commitLogOffset": position,
                "msgId": half.message_id,
                "transactionId": half.message_id,
                "bname": target.broker_name or None,
            },
            queue_id=target.queue_id,
        )
        attempts = (*half.attempts, attempt)
        if attempt.verdict is not Verdict.STORED:
            reason = f"{decision.name.lower()} not confirmed, so the broker asks back: {attempt.reason}"
            left = replace(_left_open(half, reason), attempts=attempts, code=attempt.code, remark=attempt.remark)
            self._planner.learn(topic, left)
            return left
        if decision is Decision.COMMIT:
            return replace(half, queue_offset=-1, attempts=attempts, latency_ms=half.latency_ms + attempt.latency_ms)
        return Refused(
            message_id=half.message_id,
            address=half.address,
            latency_ms=half.latency_ms + attempt.latency_ms,
            code=None,
            remark="",
            reason="rolled back by the local transaction",
            attempts=attempts,
        )

    def _tell(
        self, address: str, decision: Decision, ext: dict[str, object], *, queue_id: int, checked: bool = False
    ) -> Attempt:
        """Tell a broker the decision, and have it answered: Java's clients send this one-way and never know."""
        command = Command.request(
            RequestCode.END_TRANSACTION,
            ext={
                "producerGroup": self.group,
                "commitOrRollback": decision.value,
                "fromTransactionCheck": checked,
                **ext,
            },
        )
        code: int | None = None
        remark = ""
        started = time.perf_counter()
        try:
            answer = self._pool.request(address, command, timeout_s=self._timeout_s)
        except (TransportError, WireError) as error:
            sent = not isinstance(error, TransportError) or error.request_sent
            verdict, reason = Verdict.UNKNOWN if sent else Verdict.REFUSED, error.what
        else:
            code, remark = answer.code, answer.remark
            rule = classify(code, remark, Asked.END_TRANSACTION)
            verdict, reason = rule.verdict, f"{response_name(code)}: {rule.reason}"
        return Attempt(
            address=address,
            queue_id=queue_id,
            verdict=verdict,
            code=code,
            remark=remark,
            reason=reason,
            latency_ms=(time.perf_counter() - started) * 1000,
        )

    # -- asking back

    def _asked(self, address: str, command: Command) -> Command | None:
        if command.code != RequestCode.CHECK_TRANSACTION_STATE:
            return None
        self._asks.put((address, command))
        return Command.answer(command)

    def _work(self) -> None:
        """Answer what brokers ask, and look for brokers that may ask: as long as the block lasts."""
        refresh_at = 0.0
        while not self._stopping.is_set():
            if time.monotonic() >= refresh_at:
                self._find_brokers()
                refresh_at = time.monotonic() + min(self._heartbeat_every_s, 5.0)
            try:
                address, command = self._asks.get(timeout=_LISTEN_S)
            except queue.Empty:
                continue
            try:
                self._answer(address, command)
            except Exception as error:  # noqa: BLE001 - `check` is the user's; the broker asks again
                error.add_note(f"while {address} asked back for a transaction of group {self.group}")
                trace = error.__traceback__
                threading.excepthook(threading.ExceptHookArgs((type(error), error, trace, threading.current_thread())))

    def _answer(self, address: str, command: Command) -> None:
        messages = decode_messages(command.body)
        if len(messages) != 1:
            raise WireError(f"{address} asked back about {len(messages)} messages at once")
        message = messages[0]
        decision = self._check(message)
        if not isinstance(decision, Decision):
            raise UsageError(
                f"the check of message {message.unique_key} decided {decision!r}", hint="return a Decision"
            )
        if decision is Decision.UNKNOWN:  # a broker answers that with silence, and asks again anyway
            self._checks.append(CheckBack(address, message.unique_key, decision))
            return
        attempt = self._tell(
            address,
            decision,
            {
                "tranStateTableOffset": number(command, "tranStateTableOffset", address=address),
                "commitLogOffset": number(command, "commitLogOffset", address=address),
                "msgId": message.unique_key or command.ext.get("msgId", ""),
                "transactionId": command.ext.get("transactionId"),
                "bname": command.ext.get("bname"),
            },
            queue_id=message.queue_id,
            checked=True,
        )
        self._checks.append(CheckBack(address, message.unique_key, decision, attempt.verdict, attempt.reason))

    # -- heartbeats

    def _find_brokers(self) -> None:
        for topic in tuple(self._topics):
            try:
                route = self._planner.routes.refresh(topic)
            except RmqkitError:
                continue  # the next round asks again
            for broker in route.brokers:
                if broker.master is not None:
                    self._keep(broker.master, topic)

    def _keep(self, address: str, topic: str) -> None:
        """Make sure that the broker knows this client before it gets a half message to ask about."""
        if address in self._keepers and topic in self._topics:
            return
        with self._lock:
            self._topics[topic] = None
            if address in self._keepers or self._stopping.is_set():
                return
            known = threading.Event()
            thread = threading.Thread(
                target=self._keep_up, args=(address, known), name=f"rmqkit-heartbeat-{address}", daemon=True
            )
            self._keepers[address] = thread
            thread.start()
        known.wait(self._timeout_s)  # where it fails the send will tell, and the heartbeat is tried again

    def _keep_up(self, address: str, known: threading.Event) -> None:
        """Heartbeats to one broker, and ears for what it asks, as long as the block lasts."""
        beat = heartbeat(self.client_id, producer_groups=[self.group])
        beat_at = 0.0
        while not self._stopping.is_set():
            try:
                if time.monotonic() >= beat_at:
                    self._listening.request(address, beat, timeout_s=self._timeout_s)
                    beat_at = time.monotonic() + self._heartbeat_every_s
                    known.set()
                self._listening.listen(address, timeout_s=_LISTEN_S)
            except (TransportError, WireError):
                beat_at = 0.0  # it forgot us with the connection
                self._stopping.wait(_AGAIN_S)
        with suppress(TransportError, WireError):  # a broker that is gone needs no farewell
            self._listening.oneway(address, unregister(self.client_id, producer_group=self.group), timeout_s=_LISTEN_S)


def _left_open(half: Receipt, reason: str) -> OutcomeUnknown:
    return OutcomeUnknown(
        message_id=half.message_id,
        address=half.address,
        latency_ms=half.latency_ms,
        code=None,
        remark="",
        reason=reason,
        attempts=half.attempts,
    )
