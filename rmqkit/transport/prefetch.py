"""Requests sent before anybody waits: a round over many peers costs its slowest answer, not the sum of all.

What belongs here: holding tickets until the caller asks for the same thing. What does not: which requests those are.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Self

from rmqkit.errors import ConnectFailedError, RmqkitError
from rmqkit.transport.pool import Pending, Pipeline
from rmqkit.wire.frames import Command

_Key = tuple[str, int, bytes]


class Prefetch:
    """A :class:`~rmqkit.transport.pool.Requester` that has already sent what it was told to expect.

    ``expect`` sends a request; a later ``request`` for the same address, code and body takes its answer, or the error
    that sending it met. Anything not expected goes through the pool as ever. For one thread; leaving the block drops
    what nobody asked for.
    """

    def __init__(self, pool: Pipeline) -> None:
        self._pool = pool
        self._early: dict[_Key, Pending | RmqkitError] = {}
        self._unreachable: dict[str, ConnectFailedError] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for early in self._early.values():
            if not isinstance(early, RmqkitError):
                early.abandon()
        self._early.clear()

    def connect(self, addresses: Iterable[str], *, timeout_s: float) -> None:
        """Connect to all of them at once; those that cannot be reached are not tried again in this round."""
        self._unreachable.update(self._pool.connect_all(addresses, timeout_s=timeout_s))

    def expect(self, address: str, *commands: Command, timeout_s: float) -> None:
        """Send ``commands`` now, in one write, each once a round; trouble is kept for whoever asks for an answer."""
        wanted = {(address, command.code, command.body): command for command in commands}
        fresh = {key: command for key, command in wanted.items() if key not in self._early}
        if not fresh:
            return
        trouble: RmqkitError | None = self._unreachable.get(address)
        try:
            if trouble is None:
                begun = self._pool.begin_each(address, tuple(fresh.values()), timeout_s=timeout_s)
                self._early.update(zip(fresh, begun, strict=True))
                return
        except ConnectFailedError as error:
            # Tried once a round: a host that is gone costs its connect time-out for each port, not for each question.
            trouble = self._unreachable[address] = error
        except RmqkitError as error:
            trouble = error
        self._early.update(dict.fromkeys(fresh, trouble))

    def request(self, address: str, command: Command, *, timeout_s: float) -> Command:
        """The answer to ``command``: of the request sent early, or of one sent now."""
        early = self._early.pop((address, command.code, command.body), None)
        if early is None:
            return self._pool.request(address, command, timeout_s=timeout_s)
        if isinstance(early, RmqkitError):
            raise early
        return early.answer()
