"""Ctrl-C and SIGTERM at any moment: turned into an exception that unwinds, held back during clean-up."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived. A KeyboardInterrupt, so that everything that cleans up after Ctrl-C does it here too."""


@contextmanager
def sigterm_unwinds() -> Iterator[None]:
    """Within this block SIGTERM raises :class:`Terminated` in the main thread, so that every ``finally`` runs."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def unwind(_signal: int, _frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, unwind)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def held_back() -> Iterator[None]:
    """Within this block SIGINT and SIGTERM wait; they are delivered at its end. For short, bounded clean-up only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []

    def remember(number: int, _frame: FrameType | None) -> None:
        arrived.append(number)

    before = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if arrived:
            signal.raise_signal(arrived[0])
