"""How a group consumer begins and ends: joining within a time, its threads, leaving within a time.

What belongs here: the order of these steps and their bounds. What does not: what the threads do (``groupcontrol``,
``handling``, ``puller``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

from rmqkit.client.groupcontrol import Control
from rmqkit.client.groupstate import GroupState
from rmqkit.client.membership import Membership
from rmqkit.client.messagequeue import MessageQueue
from rmqkit.client.puller import Puller
from rmqkit.errors import ClusterError, NotFoundError, RmqkitError, UsageError, WaitTimeoutError
from rmqkit.transport.pool import ChannelPool
from rmqkit.waiting import Deadline, Pending, wait_until


class GroupLife:
    """Begun once and ended once."""

    def __init__(
        self,
        pool: ChannelPool,
        state: GroupState,
        *,
        control: Control,
        membership: Membership,
        puller: Puller,
        join_timeout_s: float,
        close_timeout_s: float,
    ) -> None:
        self._pool = pool
        self._state = state
        self._control = control
        self._membership = membership
        self._puller = puller
        self._join_timeout_s = join_timeout_s
        self._close_timeout_s = close_timeout_s
        self._threads: list[threading.Thread] = []
        self._group = membership.member.group
        self.opened = False
        self.closed = False

    def begin(self, workers: Sequence[Callable[[], None]]) -> None:
        """Join the group, then start the control thread and ``workers``; undone when it does not come to that."""
        if self.opened:
            raise UsageError("a group consumer is entered once", hint="make a new one")
        self.opened = True
        try:
            self._join()
            self._start("control", self._control.run)
            for number, worker in enumerate(workers):
                self._start(f"worker-{number}", worker)
        except BaseException:
            self._shut_down(commit=False)
            raise

    def end(self) -> None:
        """Commit what was acknowledged, leave the group, end all threads.

        Raises what ended a thread and was not raised before, or what kept the last offsets from being committed.
        """
        if self.closed or not self.opened:
            self.closed = True
            return
        failed = self._shut_down(commit=True)
        if self._state.failure is not None and not self._state.failure_raised:
            self._state.failure_raised = True
            raise self._state.failure
        if failed and self._state.failure is None:
            raise ClusterError(
                f"the last offsets of {self._group} could not be committed",
                details=[f"{queue}: {error}" for queue, error in failed.items()],
                hint="what was consumed since the last commit comes again to the next member",
            )

    def _join(self) -> None:
        failure: list[RmqkitError] = []

        def joined() -> bool | Pending:
            try:
                self._control.join()
            except RmqkitError as error:
                if isinstance(error, UsageError) and not isinstance(error, NotFoundError):
                    raise
                failure[:] = [error]
                return Pending(str(error))
            return True

        try:
            wait_until(joined, label=f"join {self._group}", timeout_s=self._join_timeout_s, every_s=0.1)
        except WaitTimeoutError as error:
            failure[0].add_note(f"tried for {error.waited_s:.1f} s to join the group {self._group}")
            raise failure[0] from None

    def _start(self, name: str, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=f"rmqkit-{self._group}-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _shut_down(self, *, commit: bool) -> Mapping[MessageQueue, Exception]:
        self.closed = True
        self._state.close()
        deadline = Deadline.after(self._close_timeout_s)
        failed: Mapping[MessageQueue, Exception] = {}
        for thread in self._threads:
            thread.join(deadline.left_s)
        links = self._puller.end_links()
        try:
            if commit:
                failed = self._control.commit()
            self._membership.leave(self._control.addresses)
        finally:
            self._pool.close()
        for thread in links:
            thread.join(max(deadline.left_s, 1.0))
        alive = [thread.name for thread in (*self._threads, *links) if thread.is_alive()]
        if alive:
            raise WaitTimeoutError(
                f"the threads of the consumer of {self._group} to end",
                waited_s=self._close_timeout_s,
                last_seen=f"{', '.join(alive)} still run",
                hint="a handler that does not return keeps its thread",
            )
        return failed
