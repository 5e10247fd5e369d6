"""Undo whatever happens: the block that every fault stands in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rmqkit.cluster.signals import held_back
from rmqkit.errors import RmqkitError


@contextmanager
def undone(undo: Callable[[], None], *, what: str) -> Iterator[None]:
    """Call ``undo`` at the end, whatever happens, with signals held back.

    When the block failed, a failing undo is added to its error as a note: it never takes that error's place.
    """
    try:
        yield
    except BaseException as error:
        with held_back():
            try:
                undo()
            except RmqkitError as second:
                error.add_note(f"Besides, {what} failed: {second}")
        raise
    with held_back():
        undo()
