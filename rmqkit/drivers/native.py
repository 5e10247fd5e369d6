"""The native client as a driver: a process of its own for each producer and consumer, its words turned into outcomes.

What belongs here: what is said to the process, and what its answers mean to the caller. What does not: the process
(``native_process``), its program (``native_child``), the table of texts (``native_outcomes``).

A native library may hang, abort or be killed; here that is the outcome of what was in flight (unknown), and the next
call has a new process.
"""

from __future__ import annotations

import base64
import os
import queue
import re
import secrets
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from types import MappingProxyType, TracebackType
from typing import Any, Self

from rmqkit.client.message import SHARDING_KEY, OutgoingMessage
from rmqkit.client.outcomes import OutcomeUnknown, Receipt, Refused, SendOutcome, Verdict
from rmqkit.drivers.interface import (
    DELAY,
    HIDDEN_RETRIES,
    KIT_ID,
    LARGE_BODIES,
    LATER,
    NATIVE,
    ONEWAY,
    ORDERLY,
    SHARED_GROUP,
    TAG_FILTER,
    Received,
    Target,
    message_id_of,
)
from rmqkit.drivers.native_outcomes import classify_failure, classify_status
from rmqkit.drivers.native_process import NativeProcess, NotWrittenError, ProcessEndedError
from rmqkit.errors import DriverError, UsageError
from rmqkit.waiting import Deadline
from rmqkit.wire.javatext import java_hash

ATTEMPTS = 5
"""How often the library tries by itself within one send (DefaultMQProducer: m_retryTimes(5)); it cannot be set."""

LIBRARY_BODY_LIMIT = 131_072
"""DefaultMQProducer: m_maxMessageSize(1024 * 128)."""

STUCK_AFTER_S = 60.0
"""A call that has not come back after this long is stuck in the library, and its process is replaced."""

_CONSUMER_PING_S = 5.0  # longer than a producer's, which has waited for its answer already
_GROUP = re.compile(r"[%|a-zA-Z0-9_-]{1,255}")
_PRODUCER = frozenset({ONEWAY, ORDERLY, DELAY, HIDDEN_RETRIES})
_CONSUMER = frozenset({LATER, SHARED_GROUP, TAG_FILTER, LARGE_BODIES})


class _Client:
    """What producer and consumer share: one process, replaced when it has ended."""

    name = NATIVE

    def __init__(self, job: Mapping[str, Any], *, python: str, start_timeout_s: float, close_timeout_s: float) -> None:
        if not _GROUP.fullmatch(str(job["group"])):
            raise UsageError(f"not a group name: {job['group']!r}", hint="1 to 255 of a-z A-Z 0-9 _ - % |")
        self._job = dict(job)
        self._python = python
        self._start_timeout_s = start_timeout_s
        self._close_timeout_s = close_timeout_s
        self._starting = threading.Lock()
        self._closed = False
        self.processes_started = 0
        self._process = self._started()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def client(self) -> str:
        """The package, its version and its library."""
        hello = self._process.hello
        return f"{hello['package']} {hello['version']} ({hello['library']})"

    @property
    def pid(self) -> int:
        """The process that the client runs in now; another one after it had to be replaced."""
        return self._process.pid

    def close(self) -> None:
        """Shut the client down; its process is killed when that takes more than ``close_timeout_s``."""
        with self._starting:
            self._closed = True
            self._process.close(self._close_timeout_s)

    def _running(self) -> NativeProcess:
        """The process, a new one where it has ended. Raises DriverError where none can be started."""
        with self._starting:
            if self._closed:
                raise UsageError("this driver is closed", hint="use it inside its with block")
            if not self._process.alive:
                self._process.kill()
                self._process = self._started()
            return self._process

    def _started(self) -> NativeProcess:
        # A client's id is its address and this name. Two members of a group with one id would be taken for one.
        instance = f"rmqkit-{os.getpid()}-{secrets.token_hex(4)}"
        job = {**self._job, "instance": instance}
        self.processes_started += 1
        return NativeProcess.start(job, python=self._python, timeout_s=self._start_timeout_s)


class NativeProducer(_Client):
    """Sends through librocketmq.

    The library tries up to five times within one send, ``attempt_timeout_s`` each, and gives each attempt a UNIQ_KEY of
    its own, so that one message may be there several times: the kit's id travels in KEYS and in the property rmqkit-id.
    ``max_body_bytes`` and ``compress_over_bytes`` are the library's own (131,072 and 4,096) unless set. ``python`` is
    the interpreter that has the package, ``path`` goes before its own module path.
    """

    def __init__(
        self,
        target: Target,
        *,
        group: str = "rmqkit_producer",
        attempt_timeout_s: float = 3.0,
        max_body_bytes: int | None = None,
        compress_over_bytes: int | None = None,
        python: str = sys.executable,
        path: Sequence[str] = (),
        start_timeout_s: float = 20.0,
        close_timeout_s: float = 5.0,
        stuck_after_s: float = STUCK_AFTER_S,
    ) -> None:
        self.default_timeout_s = ATTEMPTS * attempt_timeout_s + 5.0
        self._limit = max_body_bytes or LIBRARY_BODY_LIMIT
        self._stuck_after_s = stuck_after_s
        self._late: list[tuple[Future[dict[str, Any]], float]] = []
        self._lock = threading.Lock()
        job = {
            "role": "producer",
            "nameservers": ";".join(target.nameservers),
            "group": group,
            "attempt_ms": int(attempt_timeout_s * 1000),
            "max_body_bytes": max_body_bytes,
            "compress_over_bytes": compress_over_bytes,
            "path": list(path),
        }
        super().__init__(job, python=python, start_timeout_s=start_timeout_s, close_timeout_s=close_timeout_s)

    @property
    def capabilities(self) -> frozenset[str]:
        """What it can do."""
        return _PRODUCER | {LARGE_BODIES} if self._limit > LIBRARY_BODY_LIMIT else _PRODUCER

    def send(self, message: OutgoingMessage, *, timeout_s: float | None = None) -> SendOutcome:
        """Send once, the library's own attempts included. One that has no answer within ``timeout_s`` (None: what five
        attempts take) is unknown; a process that does not even answer a ping then is replaced."""
        return self._call("send", message, timeout_s)

    def send_oneway(self, message: OutgoingMessage, *, timeout_s: float | None = None) -> SendOutcome:
        """Send without an answer: unknown, unless the library refused it."""
        return self._call("oneway", message, timeout_s)

    def _call(self, op: str, message: OutgoingMessage, timeout_s: float | None) -> SendOutcome:
        command = self._command(op, message)
        started = time.perf_counter()
        deadline = Deadline.after(self.default_timeout_s if timeout_s is None else timeout_s)

        def ended(verdict: Verdict, reason: str, *, text: str = "", msg_id: str = "") -> SendOutcome:
            return _outcome(message, verdict, reason, text=text, msg_id=msg_id, started=started)

        process = self._running()
        self._replace_stuck(process)
        try:
            future = process.ask(command)
            answer = future.result(deadline.left_s)
        except NotWrittenError as error:
            return ended(Verdict.REFUSED, f"never reached the native client: {error}")
        except FutureTimeoutError:
            return ended(Verdict.UNKNOWN, self._waited_in_vain(process, future))
        except ProcessEndedError as error:
            return ended(Verdict.UNKNOWN, f"in flight when {error}")
        if "error" in answer:
            rule = classify_failure(answer["error"], answer["text"])
            return ended(rule.verdict, rule.reason, text=f"{answer['error']}: {answer['text']}")
        if "oneway" in answer:
            return ended(Verdict.UNKNOWN, "one-way: nobody answers")
        verdict, reason = classify_status(answer["status"])
        return ended(verdict, reason, msg_id=answer["msg_id"])

    def _command(self, op: str, message: OutgoingMessage) -> dict[str, Any]:
        if message.sharding_key and op == "oneway":
            raise UsageError("the native driver sends no one-way message by a sharding key", hint="use send")
        properties = {**message.properties, KIT_ID: message.message_id}
        if message.sharding_key:
            properties[SHARDING_KEY] = message.sharding_key
        return {
            "op": op,
            "topic": message.topic,
            "body": base64.b64encode(message.body).decode(),
            "tags": message.tags,
            "keys": " ".join(dict.fromkeys((message.message_id, *message.keys))),
            "properties": properties,
            "sharding_key": message.sharding_key,
            "sharding_hash": abs(java_hash(message.sharding_key)),
            "delay_level": message.delay_level,
        }

    def _waited_in_vain(self, process: NativeProcess, future: Future[dict[str, Any]]) -> str:
        if not process.answers():
            process.kill()
            return f"the native client's process {process.pid} hung: no answer in time, nor to a ping; it was killed"
        with self._lock:
            self._late.append((future, time.monotonic()))
        return "no answer in time; the native client still works on it"

    def _replace_stuck(self, process: NativeProcess) -> None:
        """A thread that never comes back holds one of the process's senders for good."""
        with self._lock:
            self._late = [(future, since) for future, since in self._late if not future.done()]
            stuck = any(time.monotonic() - since > self._stuck_after_s for _, since in self._late)
        if stuck:
            process.kill()


class NativeConsumer(_Client):
    """Receives through librocketmq's PushConsumer.

    The library holds each message until it is acknowledged, in ``threads`` threads: no more than that many queues move
    at once. It tells a message's properties only by name: the usual ones, rmqkit-id, and those that ``properties``
    names. A body ends at its first NUL byte (the library hands out a C string).
    """

    capabilities = _CONSUMER

    def __init__(
        self,
        target: Target,
        *,
        topic: str,
        group: str,
        expression: str = "*",
        threads: int = 8,
        properties: Sequence[str] = (),
        python: str = sys.executable,
        path: Sequence[str] = (),
        start_timeout_s: float = 20.0,
        close_timeout_s: float = 5.0,
    ) -> None:
        job = {
            "role": "consumer",
            "nameservers": ";".join(target.nameservers),
            "group": group,
            "topic": topic,
            "expression": expression,
            "threads": threads,
            "properties": list(properties),
            "path": list(path),
        }
        super().__init__(job, python=python, start_timeout_s=start_timeout_s, close_timeout_s=close_timeout_s)

    def poll(self, timeout_s: float) -> tuple[Received, ...]:
        """What has come, waiting up to ``timeout_s`` for the first.

        Raises DriverError when the process ended or does not answer a ping; the next poll has a new one, and what was
        not acknowledged comes again.
        """
        process = self._running()
        deadline = Deadline.after(timeout_s)
        found: list[Received] = []
        while True:
            try:
                message = process.messages.get(timeout=0 if found else max(deadline.left_s, 0.001))
            except queue.Empty:
                break
            if message is None:
                if found:
                    break
                raise DriverError(process.epitaph, hint="poll again: a new process takes its place")
            found.append(_received(message, process.pid))
        if not found and not process.answers(_CONSUMER_PING_S):
            process.kill()
            raise DriverError(
                f"the native client's process {process.pid} hangs: it does not answer a ping; it was killed",
                hint="poll again: a new process takes its place",
            )
        return tuple(found)

    def ack(self, messages: Sequence[Received]) -> None:
        """Consumed. The library commits its positions every 5 s, and when it is closed."""
        self._answer(messages, ok=True)

    def later(self, messages: Sequence[Received]) -> None:
        """Give them again: RECONSUME_LATER, first after 10 s. Messages that came in the same pull from the same queue
        come again too, acknowledged or not: the library takes a pull as one."""
        self._answer(messages, ok=False)

    def _answer(self, messages: Sequence[Received], *, ok: bool) -> None:
        process = self._process
        for message in messages:
            pid, _, token = message.token.partition(":")
            if pid == str(process.pid):  # else its process is gone, and the message comes again
                process.tell({"op": "answer", "token": token, "ok": ok})


def _received(message: Mapping[str, Any], pid: int) -> Received:
    properties: dict[str, str] = message["properties"]
    return Received(
        topic=message["topic"],
        body=base64.b64decode(message["body"]),
        message_id=message_id_of(properties),
        keys=tuple(message["keys"].split()),
        tags=message["tags"],
        properties=MappingProxyType(properties),
        queue_id=message["queue_id"],
        queue_offset=message["queue_offset"],
        reconsume_times=message["reconsume_times"],
        born_ms=message["born_ms"],
        store_ms=message["store_ms"],
        token=f"{pid}:{message['token']}",
    )


def _outcome(
    message: OutgoingMessage, verdict: Verdict, reason: str, *, text: str, msg_id: str, started: float
) -> SendOutcome:
    """The outcome, with no attempts on record: the library does not tell how many it made."""
    latency_ms = (time.perf_counter() - started) * 1000
    if verdict is Verdict.STORED:
        return Receipt(
            message_id=message.message_id,
            address="",
            latency_ms=latency_ms,
            msg_id=msg_id,
            queue_id=-1,
            queue_offset=-1,
        )
    kind = Refused if verdict is Verdict.REFUSED else OutcomeUnknown
    return kind(message_id=message.message_id, address="", latency_ms=latency_ms, code=None, remark=text, reason=reason)
