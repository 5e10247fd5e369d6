"""Peers that follow a script, for tests without a broker.

What belongs here: a pool that answers from handlers and records what was asked. What does not: real
connections.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rmqkit.errors import ConnectFailedError
from rmqkit.transport.incoming import Incoming, OnRequest
from rmqkit.wire.frames import Command, Request, decode

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
    are used one after the other; the last one stays. What a peer asks of us is put in with ``peer_asks``.
    """

    def __init__(self, *, on_request: OnRequest | None = None) -> None:
        self._handlers: dict[tuple[str, int], list[Handler]] = {}
        self._on_request = on_request
        self._requests: deque[Asked] = deque()
        self.asked: list[Asked] = []
        self.answered: list[Asked] = []

    def on(self, address: str, code: int, *handlers: Handler) -> None:
        """Answer ``code`` at ``address`` with ``handlers`` in turn."""
        self._handlers[address, int(code)] = list(handlers)

    def request(self, address: str, command: Request, *, timeout_s: float) -> Command:
        """Record the request and let its handler answer."""
        del timeout_s
        if not isinstance(command, Command):
            command = decode(command.frame(0))
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

    def begin(self, address: str, command: Request, *, timeout_s: float) -> ScriptedAnswer:
        """The same, answered when it is asked for."""
        return ScriptedAnswer(self, address, command, timeout_s)

    def begin_each(self, address: str, commands: Sequence[Request], *, timeout_s: float) -> list[ScriptedAnswer]:
        """The same for several."""
        return [self.begin(address, command, timeout_s=timeout_s) for command in commands]

    def connect_all(self, addresses: Iterable[str], *, timeout_s: float) -> dict[str, ConnectFailedError]:
        """Nothing to connect in a script: who has no handlers fails when it is asked."""
        del addresses, timeout_s
        return {}

    def oneway(self, address: str, command: Request, *, timeout_s: float) -> None:
        """Record the request; its handler may raise, and what it answers is dropped."""
        self.request(address, decode(command.frame(0, oneway=True)), timeout_s=timeout_s)

    def peer_asks(self, address: str, command: Command) -> None:
        """The peer at ``address`` makes a request of us: ``on_request`` gets it at the next :meth:`listen` there."""
        self._requests.append(Asked(address, command))

    def listen(self, address: str, *, timeout_s: float) -> None:
        """Hand the requests of the peer at ``address`` to ``on_request``; our answers are kept in ``answered``."""
        del timeout_s
        incoming = Incoming(address, self._on_request)
        for asked in [each for each in self._requests if each.address == address]:
            self._requests.remove(asked)
            incoming.add(asked.command)
        self.answered += [Asked(address, decode(frame)) for frame in incoming.answers()]

    def codes(self, address: str) -> tuple[int, ...]:
        """The codes that were asked at ``address``, in order."""
        return tuple(asked.command.code for asked in self.asked if asked.address == address)


@dataclass(frozen=True, slots=True)
class ScriptedAnswer:
    """A request under way in a script."""

    pool: ScriptedPool
    address: str
    command: Request
    timeout_s: float

    def answer(self) -> Command:
        """Let the handler answer now."""
        return self.pool.request(self.address, self.command, timeout_s=self.timeout_s)

    def abandon(self) -> None:
        """Nothing is under way in a script."""
