"""Requests that a peer makes of us over a connection that we opened.

What belongs here: handing them to whoever is in charge, and the answer that goes back. What does not: reading and
writing (``channel``), what a request means (``rmqkit.client``).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace

from rmqkit.wire.codes import ResponseCode, request_name
from rmqkit.wire.frames import FLAG_RESPONSE, Command, encode

OnRequest = Callable[[str, Command], Command | None]
"""Takes the peer's address and its request; gives the answer, or None for "not supported"."""


class Incoming:
    """The requests of one peer that wait to be handled: added by who reads, handled where no lock is held."""

    __slots__ = ("_address", "_on_request", "_waiting")

    def __init__(self, address: str, on_request: OnRequest | None) -> None:
        self._address = address
        self._on_request = on_request
        self._waiting: deque[Command] = deque()

    @property
    def waiting(self) -> bool:
        """Whether there is a request to be handled."""
        return bool(self._waiting)

    def add(self, command: Command) -> None:
        """Keep a request until somebody handles it."""
        self._waiting.append(command)

    def answers(self) -> Iterator[bytes]:
        """Handle what waits, each request once whoever calls; the frames that go back to the peer."""
        while self._waiting:
            try:
                command = self._waiting.popleft()
            except IndexError:  # another thread took it
                return
            answer = self._handle(command)
            if not command.is_oneway:
                # The peer matches answers by number and flag alone: no handler can get these two wrong.
                yield encode(replace(answer, flag=answer.flag | FLAG_RESPONSE), opaque=command.opaque)

    def _handle(self, command: Command) -> Command:
        answer: Command | None = None
        if self._on_request is not None:
            try:
                answer = self._on_request(self._address, command)
            except Exception as error:  # noqa: BLE001 - it is not the fault of whoever waits for an answer just now
                error.add_note(f"in the handler of request {request_name(command.code)} from {self._address}")
                _report(error)
                remark = f"rmqkit failed to handle it: {type(error).__name__}: {error}"
                return Command.answer(command, code=ResponseCode.SYSTEM_ERROR, remark=remark)
        if answer is not None:
            return answer
        remark = f"rmqkit does not answer request {request_name(command.code)}"
        return Command.answer(command, code=ResponseCode.REQUEST_CODE_NOT_SUPPORTED, remark=remark)


def _report(error: Exception) -> None:
    """Show an error that has no caller to go to, as Python shows one that ends a thread."""
    threading.excepthook(
        threading.ExceptHookArgs((type(error), error, error.__traceback__, threading.current_thread()))
    )
