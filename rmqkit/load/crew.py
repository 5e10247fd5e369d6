"""All senders of a run as one, whether they are threads of this process or of worker processes.

What belongs here: starting together, taking what they ship, ending together. What does not: counting (``statistics``).
"""

from __future__ import annotations

import itertools
import multiprocessing.connection
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Self

from rmqkit.drivers.interface import BUILT_IN
from rmqkit.load.batches import SendBatch
from rmqkit.load.clients import OpenSender, Sender, built_in_senders
from rmqkit.load.plan import SendPlan
from rmqkit.load.process import DiedError, WorkerProcess
from rmqkit.load.squad import Account, Assignment, Squad
from rmqkit.waiting import Pending, wait_until

READY_WITHIN_S = 60.0


class Crew:
    """The senders of ``plan``; use it with ``with``. Entering starts worker processes, and :meth:`go` the traffic.

    ``drivers`` opens senders of other drivers than the built-in one. ``failure`` is the first error of a thread or
    process: what the others still tell is taken all the same.
    """

    def __init__(
        self,
        run: str,
        plan: SendPlan,
        nameservers: Sequence[str],
        *,
        drivers: Mapping[str, OpenSender] | None = None,
    ) -> None:
        self._plan = plan
        self._run = run
        self._nameservers = tuple(nameservers)
        self._openers = {BUILT_IN: built_in_senders(self._nameservers, plan, shared=True), **(drivers or {})}
        self._parts: list[Squad | WorkerProcess] = []
        self._stack = ExitStack()
        self.failure: BaseException | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for assignment in self._assignments():
                part = self._part(assignment)
                stack.callback(part.close)
                self._parts.append(part)
            self._wait_ready()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def pids(self) -> tuple[int, ...]:
        """The worker processes."""
        return tuple(part.pid for part in self._processes)

    @property
    def running(self) -> bool:
        """Whether any sender has not ended."""
        return any(part.running for part in self._parts)

    @property
    def longest_end_s(self) -> float:
        """How long ending may take after :meth:`stop`."""
        return self._assignments()[0].longest_end_s

    def go(self, start_ns: int) -> None:
        """Begin at ``start_ns`` of the monotonic clock."""
        for part in self._parts:
            part.start(start_ns)

    def stop(self) -> None:
        """Send no more. Goes on telling what comes of what is under way."""
        for part in self._parts:
            part.stop()

    def take(self) -> list[SendBatch]:
        """Sends that ended since the last call, of all parts."""
        batches: list[SendBatch] = []
        for part in self._parts:
            try:
                batches += part.take()
            except DiedError as error:
                batches += error.batches
                self._failed(error)
            except Exception as error:  # noqa: BLE001 - kept for whoever runs the crew
                self._failed(error)
        return batches

    def finish(self) -> Account:
        """The account of all parts, once none runs. Raises RmqkitError where threads do not end."""
        account = Account()
        for part in self._parts:
            account += part.finish() if isinstance(part, Squad) else part.account or Account()
        return account

    def _failed(self, error: BaseException) -> None:
        self.failure = self.failure or error
        self.stop()

    @property
    def _processes(self) -> list[WorkerProcess]:
        return [part for part in self._parts if isinstance(part, WorkerProcess)]

    def _assignments(self) -> list[Assignment]:
        parts = max(1, self._plan.processes)
        borders = [self._plan.senders * part // parts for part in range(parts + 1)]
        return [
            Assignment(self._run, self._plan, self._nameservers, first, last)
            for first, last in itertools.pairwise(borders)
        ]

    def _part(self, assignment: Assignment) -> Squad | WorkerProcess:
        if self._plan.processes:
            return WorkerProcess(len(self._parts), assignment)
        return Squad(assignment, self._open_sender)

    def _open_sender(self, worker: int) -> AbstractContextManager[Sender]:
        return self._openers[self._plan.driver_of(worker)](worker)

    def _wait_ready(self) -> None:
        def ready() -> bool | Pending:
            waiting = [each for each in self._processes if not each.is_ready]
            if waiting:
                multiprocessing.connection.wait([each.connection for each in waiting], timeout=0.1)
            for each in waiting:
                each.take()
            missing = [each for each in waiting if not each.is_ready]
            return not missing or Pending(", ".join(map(str, missing)))

        wait_until(ready, label="every worker process is up", timeout_s=READY_WITHIN_S, every_s=0.01)
