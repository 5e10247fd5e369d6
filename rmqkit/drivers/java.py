"""The official Java client as a driver: a producer and a consumer in a container of the cluster's own image.

What belongs here: the adapter to the drivers' interface, and what only this client can (batches, transactions, load).
What does not: the process (``java_process``), the meaning of its answers (``java_outcomes``).
"""

from __future__ import annotations

import base64
import queue
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Any, Literal, Self

from rmqkit.client.outcomes import SendOutcome
from rmqkit.client.send import OutgoingMessage
from rmqkit.drivers.interface import (
    BINARY_RECEIVE,
    DELAY,
    HIDDEN_RETRIES,
    JAVA,
    LARGE_BODIES,
    LATER,
    ONEWAY,
    ORDERLY,
    OWN_MESSAGE_ID,
    RECEIPT_NAMES_QUEUE,
    SHARED_GROUP,
    TAG_FILTER,
    Received,
    Target,
    message_id_of,
)
from rmqkit.drivers.java_outcomes import batch_outcomes, no_answer, outcome_of
from rmqkit.drivers.java_process import JavaProcess, NotGivenError, place_for
from rmqkit.errors import DriverError, UsageError
from rmqkit.waiting import Deadline

DEFAULT_TIMEOUT_S = 3.0
"""DefaultMQProducer.sendMsgTimeout."""
DEFAULT_RETRIES = 2
"""DefaultMQProducer.retryTimesWhenSendFailed: up to three attempts a send."""
QUEUE_MEGABYTES = 4
"""What the consumer holds of each queue beforehand (its default, 100 MiB, is more than a small heap has for eight)."""
HEARTBEAT_S = 5.0
"""A consumer's heartbeats to its brokers (its default: 30 s). When its queues change it gives its subscription a new
version and tells the brokers at once (RebalancePushImpl.messageQueueChanged), unless another heartbeat is on its way
just then: that one is skipped (MQClientInstance: "lock heartBeat, but failed"), and every pull is answered with 25
SUBSCRIPTION_NOT_LATEST until the next. Some starts meet that, and it would cost a test 30 s."""
OPEN_S = 30.0
SLACK_S = 4.0
"""The client's time-out does not cover its questions to a NameServer (3 s each, MQClientAPIImpl)."""

PRODUCER_CAPABILITIES = frozenset({ONEWAY, ORDERLY, DELAY, RECEIPT_NAMES_QUEUE, OWN_MESSAGE_ID, LARGE_BODIES})
CONSUMER_CAPABILITIES = frozenset({LATER, SHARED_GROUP, TAG_FILTER, LARGE_BODIES, BINARY_RECEIVE})

Local = Literal["commit", "rollback", "unknown", "throw"]
Check = Literal["commit", "rollback", "unknown"]


@dataclass(frozen=True, slots=True)
class CheckBack:
    """A broker asked what had become of a half message; ``answer`` is what the Java client said."""

    message_id: str
    answer: str
    at_ns: int
    known: bool


class _Client:
    """One end of a process: its own, or one that the caller shares among several."""

    name = JAVA

    def __init__(
        self, target: Target, process: JavaProcess | None, *, image: str | None, network: str | None, heap: str
    ) -> None:
        self._own = process is None
        self.process = process or JavaProcess(place_for(target.cluster, image=image, network=network), heap=heap)
        self.handle = f"{type(self).__name__}-{secrets.token_hex(4)}"
        self._namesrv = ";".join(target.nameservers)
        self._open = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def client(self) -> str:
        """The Java client and its version."""
        return self.process.client

    def _start(self, verb: str, **fields: Any) -> None:
        try:
            self.process.ask(verb, timeout_s=OPEN_S, name=self.handle, namesrv=self._namesrv, **fields)
        except BaseException:
            self.process.unlisten(self.handle)
            if self._own:
                self.process.close()
            raise
        self._open = True

    def close(self) -> None:
        """End the client; its process too, unless it is shared. What is still in flight ends as unknown."""
        opened, self._open = self._open, False
        if self._own:
            self.process.close()
        elif opened and self.process.alive:
            with suppress(DriverError):  # the process ended in the meantime
                self.process.ask("close", timeout_s=OPEN_S, name=self.handle)
        self.process.unlisten(self.handle)


class JavaProducer(_Client):
    """DefaultMQProducer, or TransactionMQProducer with ``transactional``. Safe for use by several threads.

    ``retries`` are the client's own (its default: 2); every attempt is on record in the outcome. ``compress_over`` is a
    body's length from which it is compressed (its default: 4096). ``threads`` sends may be under way at a time.
    ``route_refresh_s`` is how often it asks for routes by itself (its default: every 30 s, which is what most of its
    outage after a failover is made of). ``process`` shares one JVM among several; ``image`` and ``network`` say where
    to run for a cluster that the kit did not start. Raises as :class:`~rmqkit.drivers.java_process.JavaProcess` does.
    """

    def __init__(
        self,
        target: Target,
        *,
        group: str = "rmqkit_producer",
        retries: int = DEFAULT_RETRIES,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        compress_over: int = 4096,
        threads: int = 32,
        transactional: bool = False,
        route_refresh_s: float | None = None,
        process: JavaProcess | None = None,
        image: str | None = None,
        network: str | None = None,
        heap: str = "128m",
    ) -> None:
        super().__init__(target, process, image=image, network=network, heap=heap)
        self.capabilities = PRODUCER_CAPABILITIES | ({HIDDEN_RETRIES} if retries else frozenset())
        self._timeout_s = timeout_s
        self._checks: list[CheckBack] = []
        self._lock = threading.Lock()
        self.process.listen(self.handle, self._note_check)
        self._start(
            "producer",
            group=group,
            retries=retries,
            timeoutMs=_ms(timeout_s),
            compressOver=compress_over,
            threads=threads,
            transactional=transactional,
            **({} if route_refresh_s is None else {"routeRefreshMs": _ms(route_refresh_s)}),
        )

    def send(
        self, message: OutgoingMessage, *, timeout_s: float | None = None, queue_id: int | None = None
    ) -> SendOutcome:
        """Send, with the client's own retries. A message for a named queue, or with a sharding key, is not tried again
        (DefaultMQProducerImpl.sendSelectImpl)."""
        timeout = self._timeout_s if timeout_s is None else timeout_s
        fields = {**_fields(message), "timeoutMs": _ms(timeout)}
        if queue_id is not None:
            fields["queueId"] = queue_id
        return self._outcome("send", fields, message, timeout_s=timeout)

    def send_oneway(self, message: OutgoingMessage, *, timeout_s: float | None = None) -> SendOutcome:
        """Send without an answer: OutcomeUnknown when it was written, Refused when certainly not."""
        timeout = self._timeout_s if timeout_s is None else timeout_s
        return self._outcome("oneway", _fields(message), message, timeout_s=timeout)

    def send_batch(
        self, messages: Sequence[OutgoingMessage], *, timeout_s: float | None = None
    ) -> tuple[SendOutcome, ...]:
        """One request for several messages of one topic: one outcome each. 4.5.1 refuses every one in DLedger mode."""
        if not messages:
            raise UsageError("a batch of no messages", hint="give at least one")
        timeout = self._timeout_s if timeout_s is None else timeout_s
        fields = {"messages": [_fields(each) for each in messages], "timeoutMs": _ms(timeout)}
        ids = [message.message_id for message in messages]
        answer = self._answer("batch", fields, timeout_s=timeout)
        if isinstance(answer, str):
            return tuple(no_answer(each, latency_ms=timeout * 1000, reason=answer) for each in ids)
        return batch_outcomes(answer, message_ids=ids)

    def send_transaction(
        self,
        message: OutgoingMessage,
        *,
        local: Local,
        checks: Sequence[Check] = (),
        timeout_s: float | None = None,
    ) -> SendOutcome:
        """A half message, then ``local``: what the local transaction ends with. The outcome is of the half message.

        The broker's check-backs get ``checks``, one each, the last one from then on. A commit is sent one-way: that it
        arrived is known from the message being delivered, or from a check-back.
        """
        timeout = self._timeout_s if timeout_s is None else timeout_s
        fields = {**_fields(message), "local": local, "checks": list(checks)}
        return self._outcome("transaction", fields, message, timeout_s=timeout)

    def check_backs(self) -> tuple[CheckBack, ...]:
        """The check-backs of brokers so far, in the order in which they came."""
        with self._lock:
            return tuple(self._checks)

    def search(self, topic: str, *, key: str | None = None, unique_key: str | None = None) -> tuple[Received, ...]:
        """Messages by one of their KEYS, or the one of a UNIQ_KEY, as the client's own query finds them.

        Raises DriverError with the client's words when nothing is found.
        """
        if (key is None) == (unique_key is None):
            raise UsageError("search wants one of key and unique_key")
        wanted = {"key": key} if key is not None else {"uniqueKey": unique_key}
        answer = self.process.ask("search", timeout_s=OPEN_S, producer=self.handle, topic=topic, **wanted)
        return tuple(received_of(each) for each in answer["messages"])

    def _outcome(self, verb: str, fields: dict[str, Any], message: OutgoingMessage, *, timeout_s: float) -> SendOutcome:
        began = time.perf_counter()
        answer = self._answer(verb, fields, timeout_s=timeout_s)
        if isinstance(answer, str):
            return no_answer(message.message_id, latency_ms=(time.perf_counter() - began) * 1000, reason=answer)
        return outcome_of(answer, message_id=message.message_id)

    def _answer(self, verb: str, fields: dict[str, Any], *, timeout_s: float) -> dict[str, Any] | str:
        """The program's answer; or why there is none to a command that it may have carried out."""
        if not self._open:
            raise DriverError("the Java producer was closed")
        try:
            future = self.process.submit(verb, producer=self.handle, **fields)
            return self.process.answer(future, timeout_s=timeout_s + SLACK_S, what=verb)
        except NotGivenError as error:
            return {"ok": False, "attempts": [], "error": {"class": "DriverError", "message": error.what}}
        except DriverError as error:
            return error.what

    def _note_check(self, event: dict[str, Any]) -> None:
        if event.get("event") == "check":
            check = CheckBack(
                message_id=str(event.get("messageId", "")),
                answer=str(event["answer"]),
                at_ns=int(event["nanos"]),
                known=bool(event["known"]),
            )
            with self._lock:
                self._checks.append(check)


class JavaConsumer(_Client):
    """DefaultMQPushConsumer; for one thread. ``threads`` messages are handed out at a time, before an ack.

    ``from_where`` is for a group that is new (its default here: the first message); ``orderly`` consumes each queue in
    order, ``broadcast`` gives every member everything; ``auto_ack`` counts what was handed over as consumed.
    """

    capabilities = CONSUMER_CAPABILITIES

    def __init__(
        self,
        target: Target,
        *,
        topic: str,
        group: str,
        expression: str = "*",
        from_where: Literal["first", "last"] = "first",
        orderly: bool = False,
        broadcast: bool = False,
        auto_ack: bool = False,
        count_only: bool = False,
        threads: int = 64,
        max_reconsume_times: int | None = None,
        heartbeat_s: float = HEARTBEAT_S,
        process: JavaProcess | None = None,
        image: str | None = None,
        network: str | None = None,
        heap: str = "128m",
    ) -> None:
        super().__init__(target, process, image=image, network=network, heap=heap)
        self.topic, self.group = topic, group
        self._came: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.process.listen(self.handle, self._came.put)
        limit = {} if max_reconsume_times is None else {"maxReconsumeTimes": max_reconsume_times}
        fields = {"from": from_where, "countOnly": count_only, "autoAck": auto_ack, **limit}
        if not count_only:
            fields["queueMegabytes"] = QUEUE_MEGABYTES
        self._start(
            "consumer",
            group=group,
            topics=[{"topic": topic, "expression": expression}],
            orderly=orderly,
            broadcast=broadcast,
            threads=threads,
            heartbeatMs=_ms(heartbeat_s),
            **fields,
        )

    def poll(self, timeout_s: float) -> tuple[Received, ...]:
        """What has come, waiting up to ``timeout_s`` for the first. Raises DriverError when the process has ended."""
        received: list[Received] = []
        deadline = Deadline.after(timeout_s)
        while True:
            try:
                event = self._came.get_nowait() if received else self._came.get(timeout=min(deadline.left_s, 0.2))
            except queue.Empty:
                if received or deadline.passed:
                    return tuple(received)
                if not self.process.alive:
                    raise DriverError(
                        f"the consumer of {self.topic} in {self.group} is gone: its process ended"
                    ) from None
                continue
            if event.get("event") == "message":
                received.append(received_of(event))

    def ack(self, messages: Sequence[Received]) -> None:
        """These are consumed; the client commits positions every 5 s, and when it is closed."""
        self._tell(messages, later=False)

    def later(self, messages: Sequence[Received]) -> None:
        """RECONSUME_LATER: the client sends them back to the broker, which gives them again after 10 s and more."""
        self._tell(messages, later=True)

    def assignment(self) -> tuple[tuple[str, int], ...]:
        """The queues that are this member's now, as (broker name, queue id), in order."""
        answer = self.process.ask("assignment", timeout_s=10, consumer=self.handle)
        return tuple((str(each["brokerName"]), int(each["queueId"])) for each in answer["queues"])

    def counted(self) -> tuple[int, int, int]:
        """With ``count_only``: how many have come, and the Java process's nanoseconds of the first and the last."""
        answer = self.process.ask("counted", timeout_s=10, consumer=self.handle)
        return int(answer["count"]), int(answer["firstNanos"]), int(answer["lastNanos"])

    def _tell(self, messages: Sequence[Received], *, later: bool) -> None:
        if messages:
            tokens = [message.token for message in messages]
            self.process.ask("ack", timeout_s=10, consumer=self.handle, tokens=tokens, later=later)


def received_of(line: Mapping[str, Any]) -> Received:
    """A message line of the program as the interface has it."""
    properties = MappingProxyType({str(key): str(text) for key, text in line.get("properties", {}).items()})
    return Received(
        topic=str(line["topic"]),
        body=base64.b64decode(line["body"]),
        message_id=message_id_of(properties),
        keys=tuple(line.get("keys", ())),
        tags=str(line.get("tags", "")),
        properties=properties,
        queue_id=int(line["queueId"]),
        queue_offset=int(line["queueOffset"]),
        reconsume_times=int(line["reconsumeTimes"]),
        born_ms=int(line["bornTimestamp"]),
        store_ms=int(line["storeTimestamp"]),
        broker_name=str(line.get("brokerName", "")),
        token=str(line.get("token", "")),
    )


def _fields(message: OutgoingMessage) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "topic": message.topic,
        "body": base64.b64encode(message.body).decode("ascii"),
        "messageId": message.message_id,
    }
    if message.tags:
        fields["tags"] = message.tags
    if message.keys:
        fields["keys"] = list(message.keys)
    if message.properties:
        fields["properties"] = dict(message.properties)
    if delay_level := getattr(message, "delay_level", 0):
        fields["delayLevel"] = delay_level
    if sharding_key := getattr(message, "sharding_key", ""):
        fields["shardingKey"] = sharding_key
    return fields


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
