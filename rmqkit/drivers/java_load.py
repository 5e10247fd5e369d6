"""Traffic made inside the Java process: n threads that send by themselves, every outcome told in lines of many.

What belongs here: starting and stopping it, and turning its records into outcomes. What does not: what outcomes mean
(``java_outcomes``), statistics (``rmqkit.load``). A line for each command and each answer would be the bottleneck.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from rmqkit.client.outcomes import Receipt, SendOutcome
from rmqkit.drivers.interface import Target
from rmqkit.drivers.java import DEFAULT_RETRIES, DEFAULT_TIMEOUT_S
from rmqkit.drivers.java_outcomes import outcome_of
from rmqkit.drivers.java_process import JavaProcess
from rmqkit.errors import DriverError, UsageError

END_S = 30.0
"""After a stop each thread ends the send it is in: three attempts within the client's time-out, and a route."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One send of a load. Times are this process's ``time.monotonic_ns()``; ``intended_ns`` is when the timetable of an
    open loop wanted it to begin (else when it began)."""

    thread: int
    intended_ns: int
    start_ns: int
    end_ns: int
    outcome: SendOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadTotals:
    """A whole load; percentiles are of single sends, in microseconds, from the request."""

    acked: int
    failed: int
    seconds: float
    p50_us: int
    p99_us: int
    max_us: int
    cpu_us_per_message: float

    @property
    def acked_per_s(self) -> float:
        """Acknowledged messages a second."""
        return self.acked / self.seconds if self.seconds else 0.0


class JavaLoad:
    """A load that is running. ``with`` stops it at the end of the block.

    ``seconds`` or ``count`` ends it by itself; ``rate`` (messages a second, all threads together) makes it an open
    loop. ``on_sent`` is called for every send, by the thread that reads the process's lines; without it, only totals
    are told. Message ids are ``id_prefix`` + thread + "-" + number.
    """

    def __init__(
        self,
        process: JavaProcess,
        target: Target,
        *,
        topic: str,
        threads: int = 10,
        body_bytes: int = 128,
        tags: str = "",
        seconds: float | None = None,
        count: int | None = None,
        rate: float | None = None,
        group: str = "rmqkit_java_load",
        id_prefix: str = "",
        retries: int = DEFAULT_RETRIES,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        route_refresh_s: float | None = None,
        on_sent: Callable[[Sent], None] | None = None,
    ) -> None:
        if threads < 1 or body_bytes < 1 or any(limit is not None and limit <= 0 for limit in (seconds, count, rate)):
            raise UsageError(
                f"a load of {threads} threads, {body_bytes} bytes, {seconds} s, {count} messages, rate {rate}",
                hint="all of them must be above zero",
            )
        if on_sent is not None and not id_prefix:
            raise UsageError("on_sent wants an id_prefix", hint="without one, messages have no id of the kit's")
        self._process = process
        self._prefix = id_prefix
        self._on_sent = on_sent
        self._offset = process.clock_offset_ns()
        self._cpu = process.cpu_ns()
        self._trouble: BaseException | None = None
        refresh_ms = None if route_refresh_s is None else round(route_refresh_s * 1000)
        optional = {"seconds": seconds, "count": count, "rate": rate, "routeRefreshMs": refresh_ms}
        # The answer comes at the end of the load; its events carry the command's number.
        self._future: Future[dict[str, Any]] = process.submit(
            "load",
            _listener=self._take,
            namesrv=";".join(target.nameservers),
            group=group,
            topic=topic,
            threads=threads,
            bytes=body_bytes,
            tags=tags,
            idPrefix=id_prefix,
            retries=retries,
            timeoutMs=round(timeout_s * 1000),
            records=on_sent is not None,
            **{name: value for name, value in optional.items() if value is not None},
        )
        self._number: int = self._future.number  # type: ignore[attr-defined]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._future.done() and self._process.alive:
            self.stop()
            self.wait(timeout_s=END_S)

    def stop(self) -> None:
        """Every thread ends after the send that it is in. Does not wait."""
        if not self._future.done():
            self._process.ask("stop", timeout_s=10, load=self._number)

    def wait(self, *, timeout_s: float) -> LoadTotals:
        """The totals, when it has ended. Raises DriverError when it has not in time, or could not go on."""
        answer = self._process.answer(self._future, timeout_s=timeout_s, what="load")
        self._process.unlisten(f"load-{self._number}")
        if self._trouble is not None:
            raise self._trouble
        if not answer["ok"]:
            raise DriverError(f"the Java driver could not start the load: {answer.get('error')}")
        latency = answer["latencyMicros"]
        sent = int(answer["acked"]) + int(answer["failed"])
        return LoadTotals(
            acked=int(answer["acked"]),
            failed=int(answer["failed"]),
            seconds=(answer["endNanos"] - answer["startNanos"]) / 1e9,
            p50_us=int(latency.get("p50", 0)),
            p99_us=int(latency.get("p99", 0)),
            max_us=int(latency.get("max", 0)),
            cpu_us_per_message=(self._process.cpu_ns() - self._cpu) / 1000 / sent if sent else 0.0,
        )

    def _take(self, event: dict[str, Any]) -> None:
        try:
            if event["event"] == "load-trouble":
                self._trouble = DriverError(f"a thread of the load ended: {event.get('error')}")
            elif self._on_sent is not None:
                thread = int(event["thread"])
                for row in event["acked"]:
                    self._on_sent(self._acked(thread, row))
                for line in event["failed"]:
                    self._on_sent(self._failed(thread, line))
        except Exception as error:  # noqa: BLE001 - raised by wait(), in the caller's thread
            self._trouble = self._trouble or error

    def _acked(self, thread: int, row: list[Any]) -> Sent:
        sequence, intended, start, end, queue_id, queue_offset, offset_id, broker_name = row
        receipt = Receipt(
            message_id=f"{self._prefix}{thread}-{sequence}",
            address="",
            latency_ms=(end - start) / 1e6,
            msg_id=offset_id,
            queue_id=queue_id,
            queue_offset=queue_offset,
            broker_name=broker_name,
        )
        return self._sent(thread, receipt, intended, start, end)

    def _failed(self, thread: int, line: Mapping[str, Any]) -> Sent:
        outcome = outcome_of(line, message_id=f"{self._prefix}{thread}-{line['sequence']}")
        return self._sent(thread, outcome, line["intendedNanos"], line["startNanos"], line["endNanos"])

    def _sent(self, thread: int, outcome: SendOutcome, intended: int, start: int, end: int) -> Sent:
        return Sent(
            thread=thread,
            intended_ns=intended + self._offset,
            start_ns=start + self._offset,
            end_ns=end + self._offset,
            outcome=outcome,
        )
