"""One load from start to end: senders, receivers, statistics, history, and an orderly end whoever asks for it.

What belongs here: the order of things, and when it is over. What does not: each of those things (the neighbours), what
is asked of the cluster before (``preflight``), what is shown (``rmqkit.cli``).

One thread, the caller's, collects what the workers ship. Ctrl-C and SIGTERM end the traffic and not the program: what
is under way comes to its outcome and is counted. Asked again, the drain ends too; asked a third time it is interrupted.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import FrameType

from rmqkit.drivers.interface import message_id_of
from rmqkit.errors import RmqkitError, UsageError
from rmqkit.history import History
from rmqkit.load.batches import Ending
from rmqkit.load.committed import CommittedOffsets
from rmqkit.load.consumption import Consumers
from rmqkit.load.crew import Crew
from rmqkit.load.ended import Ended, LoadParts, summary_of
from rmqkit.load.plan import LONGEST_S, ReceivePlan
from rmqkit.load.readback import unique_key
from rmqkit.load.recording import record_received, record_sends
from rmqkit.load.squad import Account
from rmqkit.load.statistics import Statistics
from rmqkit.load.summary import Summary, Window
from rmqkit.load.tally import Tally
from rmqkit.waiting import Deadline, Pending, wait_until
from rmqkit.wire.messages import StoredMessage

TICK_S = 0.1
START_DELAY_NS = 20_000_000
FLUSH_EVERY_NS = 10_000_000_000
ASSIGNED_WITHIN_S = 60.0
QUIET_S = 30.0
"""A drain in which nothing has come for so long is given up: longer than a switch of leaders and a route refresh."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How a load stands, for a screen. ``window`` is the last whole second; ``errors`` are in all, by kind."""

    phase: str
    elapsed_s: float
    window: Window
    sent: int
    acknowledged: int
    received: int
    errors: Mapping[str, int]
    lag: Mapping[str, int]
    trouble: str


class Load:
    """One run; :meth:`run` gives its summary. ``history``, if given, gets every operation, and every step of a fault.

    ``alongside`` is called in a thread of its own once the traffic has begun: it may wait for a moment
    (:meth:`wait_for`) and do something to the cluster. The run is over when it has returned.
    """

    def __init__(
        self,
        parts: LoadParts,
        *,
        history: History | None = None,
        on_progress: Callable[[Progress], None] = lambda _progress: None,
        alongside: Callable[[Load], None] | None = None,
    ) -> None:
        if parts.send is None and parts.receive is None:
            raise UsageError("a load that neither sends nor receives", hint="give it a plan of one or both")
        self.parts = parts
        self.history = history if history is not None else History()
        self.failure: BaseException | None = None
        self._records = history is not None
        self._on_progress = on_progress
        self._alongside = alongside
        self._interrupts = 0
        self._obeyed = 0
        self._ending = threading.Event()
        self._phase = "starting"
        self._ended_by = ""
        self._shown_s = 0.0
        self._flush_ns = 0
        self._tally = Tally(parts.run) if parts.receive else None
        self._crew: Crew | None = None
        self._consumers: Consumers | None = None
        self._committed: CommittedOffsets | None = None
        self._stop_by: Deadline | None = None
        self._drained = False
        self.start_ns = 0
        self._end_ns = 0

    def run(self) -> Summary:
        """Run it to its end. Raises what made it impossible to begin; a failure on the way is in ``failure``."""
        parts = self.parts
        cpu_began_s = time.process_time()
        self.history.add_run_prefix(f"{parts.run}-")
        account = Account()
        with self._signals(), ExitStack() as stack:
            if parts.receive is not None:
                assert parts.receivers is not None
                if self._records:
                    # Begun before them, so that it ends after their last commits.
                    self._committed = stack.enter_context(self._committed_offsets(parts.receive))
                self._consumers = stack.enter_context(Consumers(parts.receive, parts.receivers, id_of=_id_of(parts)))
            if parts.send is not None:
                self._wait_assigned()
                crew = Crew(parts.run, parts.send, parts.nameservers, drivers=parts.drivers)
                self._crew = stack.enter_context(crew)
            self.start_ns = time.monotonic_ns() + START_DELAY_NS
            started_at = datetime.now(UTC)
            self._statistics = Statistics(self.start_ns, parts.send)
            if self._crew is not None:
                self._crew.go(self.start_ns)
            beside = self._start_alongside(stack)
            stack.callback(self._ending.set)  # before it is joined: it may be waiting for its moment
            self._phase = "sending" if self._crew else "receiving"
            wait_until(self._traffic_ended, label="the traffic ends", timeout_s=LONGEST_S, every_s=TICK_S)
            self._end_ns = time.monotonic_ns()
            self._ending.set()
            if self._crew is not None:
                account = self._finish_crew(self._crew)
                self._ended_by = self._ended_by or self._natural_end()
                self._drain(beside)
            if self._consumers is not None:
                self._consumers.finish()
                self._collect()
                self._tell_consumed()
        return summary_of(
            Ended(
                parts=parts,
                started_at=started_at,
                start_ns=self.start_ns,
                end_ns=self._end_ns,
                ended_by=self._ended_by,
                statistics=self._statistics,
                account=account,
                cpu_s=time.process_time() - cpu_began_s,
                tally=self._tally,
                lag=self._consumers.lag if self._consumers else {},
                drained=self._drained,
                faults=self.history.faults,
                notes=self._notes(),
            )
        )

    def stop(self) -> None:
        """Ask for the end, from any thread or signal handler; each call is one more request."""
        self._interrupts += 1

    def wait_for(self, at_s: float) -> bool:
        """Wait until ``at_s`` seconds after the start; False when the traffic ends before."""
        left_s = self.start_ns / 1e9 + at_s - time.monotonic()
        return not self._ending.wait(max(0.0, left_s))

    # ---- the steps --------------------------------------------------------------------------------------

    def _committed_offsets(self, plan: ReceivePlan) -> CommittedOffsets:
        return CommittedOffsets(self.parts.nameservers, group=plan.group, topic=plan.topic, history=self.history)

    def _wait_assigned(self) -> None:
        """Before the first message is sent, every queue has its consumer: a new member may begin at the end."""
        consumers = self._consumers
        if consumers is None or not self.parts.queues:
            return

        def assigned() -> bool | Pending:
            self._obey_interrupts()
            if consumers.failure is not None:
                raise consumers.failure
            seen = f"{consumers.queues} of {self.parts.queues} queues"
            return consumers.queues >= self.parts.queues or Pending(f"{seen} {consumers.trouble}".strip())

        receive = self.parts.receive
        wait_until(
            assigned,
            label=f"the members of {receive.group if receive else ''} have every queue",
            timeout_s=ASSIGNED_WITHIN_S,
            hint="is somebody else in this group? Name one of your own with --group",
        )

    def _start_alongside(self, stack: ExitStack) -> threading.Thread | None:
        act = self._alongside
        if act is None:
            return None

        def acting() -> None:
            try:
                act(self)
            except BaseException as error:  # noqa: BLE001 - told by the run's end
                self.failure = self.failure or error

        thread = threading.Thread(target=acting, name="rmqkit-load-alongside")
        thread.start()
        stack.callback(thread.join)
        return thread

    def _traffic_ended(self) -> bool | Pending:
        self._collect()
        self._obey_interrupts()
        if self.failure is not None:
            self._stop_traffic("error")
        if self._crew is not None:
            if not self._crew.running:
                return True
            if self._stop_by is not None and self._stop_by.passed:
                return True  # what still runs is named by finish()
            return Pending("senders run")
        plan = self.parts.receive
        assert plan is not None
        if plan.count is not None and self._statistics.received >= plan.count:
            self._ended_by = self._ended_by or "count"
        elif plan.duration_s is not None and self._elapsed_s() >= plan.duration_s:
            self._ended_by = self._ended_by or "duration"
        return bool(self._ended_by) or Pending("receivers run")

    def _natural_end(self) -> str:
        plan = self.parts.send
        assert plan is not None
        return "count" if plan.count is not None and self._statistics.sent >= plan.count else "duration"

    def _finish_crew(self, crew: Crew) -> Account:
        account = Account()
        try:
            account = crew.finish()
        except RmqkitError as error:
            self.failure = self.failure or error
        self._collect()
        return account

    def _drain(self, beside: threading.Thread | None) -> None:
        """Go on receiving until all that was acknowledged has come, and the act alongside is over."""
        if self._consumers is None and beside is None:
            return
        self._phase = "draining"
        obeyed, seen, quiet = self._obeyed, -1, Deadline.after(QUIET_S)

        def over() -> bool | Pending:
            nonlocal seen, quiet
            self._collect()
            busy = beside is not None and beside.is_alive()
            lag = self._consumers.lag if self._consumers else {}
            self._drained = bool(lag) and not any(lag.values())
            missing = bool(self._tally and self._tally.missing)
            if busy or self._statistics.received != seen:
                seen, quiet = self._statistics.received, Deadline.after(QUIET_S)
            if self._interrupts > obeyed:
                self._obey_interrupts()
                return not busy or Pending("the act alongside ends")
            given_up = (
                self._consumers is None or (self._drained and not missing) or quiet.passed or self.failure is not None
            )
            return (given_up and not busy) or Pending(f"lag {sum(lag.values())}")

        wait_until(over, label="everything acknowledged has come", timeout_s=LONGEST_S, every_s=TICK_S)

    def _stop_traffic(self, why: str) -> None:
        self._ended_by = self._ended_by or why
        if self._crew is not None:
            self._crew.stop()
            self._stop_by = self._stop_by or Deadline.after(self._crew.longest_end_s)

    def _obey_interrupts(self) -> None:
        if self._interrupts > self._obeyed:
            self._obeyed = self._interrupts
            self._stop_traffic("interrupt")
        if self._interrupts > 2:
            raise KeyboardInterrupt

    def _tell_consumed(self) -> None:
        plan, consumers = self.parts.receive, self._consumers
        if plan is None or consumers is None or not self._records:
            return
        reason = "" if self._drained else consumers.trouble or f"{sum(consumers.lag.values())} messages behind"
        self.history.consumer_done(plan.group, drained=self._drained, topics=(plan.topic,), reason=reason)

    # ---- collecting -------------------------------------------------------------------------------------

    def _collect(self) -> None:
        """Take what the workers have shipped, count it and record it."""
        if self._crew is not None:
            for batch in self._crew.take():
                self._statistics.add_sends(batch)
                if self._tally is not None:
                    self._tally.sent(batch)
                if self._records and self.parts.send is not None:
                    parts = self.parts
                    record_sends(self.history, parts.run, self.parts.send, batch, hidden_retries=parts.hidden_retries)
            self.failure = self.failure or self._crew.failure
        if self._consumers is not None:
            self._take_received(self._consumers)
        now_ns = time.monotonic_ns()
        self._statistics.settle(now_ns)
        if now_ns >= self._flush_ns:
            self._flush_ns = now_ns + FLUSH_EVERY_NS
            self.history.flush()
        if self._elapsed_s() - self._shown_s >= 1.0:
            self._shown_s = float(int(self._elapsed_s()))
            self._on_progress(self._progress(now_ns))

    def _take_received(self, consumers: Consumers) -> None:
        rows = consumers.take()
        self.failure = self.failure or consumers.failure
        self._statistics.add_received(rows)
        if self._tally is not None:
            self._tally.received(row.message_id for row in rows)
        if self._records and self.parts.receive is not None:
            record_received(self.history, self.parts.receive, rows)

    def _elapsed_s(self) -> float:
        return (time.monotonic_ns() - self.start_ns) / 1e9

    def _progress(self, now_ns: int) -> Progress:
        return Progress(
            phase=self._phase,
            elapsed_s=self._elapsed_s(),
            window=self._statistics.latest(now_ns),
            sent=self._statistics.sent,
            acknowledged=self._statistics.ended(Ending.ACKNOWLEDGED),
            received=self._statistics.received,
            errors=self._statistics.error_kinds(),
            lag=self._consumers.lag if self._consumers else {},
            trouble=self._consumers.trouble if self._consumers else "",
        )

    def _notes(self) -> tuple[str, ...]:
        notes = []
        if self.failure is not None:
            notes.append(f"ended by an error: {str(self.failure).splitlines()[0]}")
        if self._consumers is not None and self._consumers.trouble:
            notes.append(f"a member of the group said last: {self._consumers.trouble}")
        if self._committed is not None and self._committed.trouble:
            notes.append(f"no committed offset of the group was recorded: {self._committed.trouble}")
        return tuple(notes)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM are requests to end. The handler only counts: a half-counted batch would be lost."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def ask(_signal: int, _frame: FrameType | None) -> None:
            self._interrupts += 1

        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _id_of(parts: LoadParts) -> Callable[[StoredMessage], str]:
    """Other clients give UNIQ_KEY themselves, and carry the kit's id in a property: to look there takes time."""
    if not parts.drivers:
        return unique_key
    return lambda message: message_id_of(message.properties)
