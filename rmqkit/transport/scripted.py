"""Peers that follow a script, for tests without a broker.

What belongs here: a pool that answers from handlers and records what was asked. What does not: real
connections.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rmqkit.errors import ConnectFailedError
from rmqkit.wire.frames import Command

Handler = Callable[[Command], Command]
"""Takes the request, gives the answer (``Command.answer(request, …)``) or raises what a transport would
raise.
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that the scripted pool saw."""

    address: str
    command: Command


class ScriptedPool:
    """Stands where a :class:`~rmqkit.transport.pool.ChannelPool` stands; ``on`` says what answers what.

    A request that no handler is set for fails as a connection to a dead port does. Handlers given as a list
    are used one after the other; the last one stays.
    """

    def __init__(self) -> None:
        self._handlers: dict[tuple[str, int], list[Handler]] = {}
        self.asked: list[Asked] = []

    def on(self, address: str, code: int, *handlers: Handler) -> None:
        """Answer ``code`` at ``address`` with ``handlers`` in turn."""
        self._handlers[address, int(code)] = list(handlers)

    def request(self, address: str, command: Command, *, timeout_s: float) -> Command:
        """Record the request and let its handler answer."""
        del timeout_s
        self.asked.append(Asked(address, command))
        handlers = self._handlers.get((address, command.code))
        if not handlers:
            raise ConnectFailedError(
                f"cannot connect to {address} (no handler for code {command.code} in the script)",
                address=address,
                request_sent=False,
            )
        handler = handlers.pop(0) if len(handlers) > 1 else handlers[0]
        return handler(command)

    def begin(self, address: str, command: Command, *, timeout_s: float) -> ScriptedAnswer:
        """The same, answered when it is asked for."""
        return ScriptedAnswer(self, address, command, timeout_s)

    def begin_all(self, address: str, commands: Sequence[Command], *, timeout_s: float) -> list[ScriptedAnswer]:
        """The same for several."""
        return [self.begin(address, command, timeout_s=timeout_s) for command in commands]

    def connect_all(self, addresses: Iterable[str], *, timeout_s: float) -> dict[str, ConnectFailedError]:
        """Nothing to connect in a script: who has no handlers fails when it is asked."""
        del addresses, timeout_s
        return {}

    def codes(self, address: str) -> tuple[int, ...]:
        """The codes that were asked at ``address``, in order."""
        return tuple(asked.command.code for asked in self.asked if asked.address == address)


@dataclass(frozen=True, slots=True)
class ScriptedAnswer:
    """A request under way in a script."""

    pool: ScriptedPool
    address: str
    command: Command
    timeout_s: float

    def answer(self) -> Command:
        """Let the handler answer now."""
        return self.pool.request(self.address, self.command, timeout_s=self.timeout_s)

    def abandon(self) -> None:
        """Nothing is under way in a script."""
