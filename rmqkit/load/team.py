"""Threads that do one kind of work until they are told to stop, and lose no error.

What belongs here: starting, stopping, joining. What does not: the work (``worker``, ``consumption``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from rmqkit.errors import RmqkitError
from rmqkit.waiting import Deadline


class Team:
    """``work(number, stop)`` in a thread for each number; errors are kept for :meth:`check`."""

    def __init__(self, work: Callable[[int, threading.Event], None], numbers: range, *, name: str) -> None:
        self.stop = threading.Event()
        self.errors: list[BaseException] = []
        self._work = work
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"{name}-{number}", daemon=True)
            for number in numbers
        ]

    def start(self) -> None:
        """Start all threads."""
        for thread in self._threads:
            thread.start()

    @property
    def running(self) -> list[str]:
        """The names of those that have not ended."""
        return [thread.name for thread in self._threads if thread.is_alive()]

    def check(self) -> None:
        """Raise the first error of a thread, if there was one: a bug of the kit, since a cluster's trouble is none."""
        if self.errors:
            raise self.errors[0]

    def join(self, timeout_s: float) -> None:
        """Tell all to stop and wait for their ends. Raises RmqkitError naming those that do not come to one."""
        self.stop.set()
        deadline = Deadline.after(timeout_s)
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(timeout=deadline.left_s)
        if self.running:
            raise RmqkitError(
                f"traffic did not end: {', '.join(self.running)} still run, and their sends are not in the history",
                hint="this is a bug of the kit: a send is bounded by timeout_s for each NameServer and for the broker",
            )

    def _run(self, number: int) -> None:
        try:
            self._work(number, self.stop)
        except BaseException as error:  # noqa: BLE001 - kept for check()
            self.errors.append(error)
