"""Answers of real brokers, played back: see tests/vectors/README.md."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rmqkit.transport.scripted import Handler
from rmqkit.wire.frames import Command, decode

VECTORS = Path(__file__).parents[2] / "vectors"
VERSIONS = ("4.5.1", "4.9.8")


def request(version: str, name: str) -> bytes:
    """The bytes of a captured request."""
    return (VECTORS / version / f"{name}.request.bin").read_bytes()


def answer(version: str, name: str) -> Command:
    """A captured answer."""
    return decode((VECTORS / version / f"{name}.answer.bin").read_bytes())


def play(version: str, name: str) -> Handler:
    """Answer any request with the captured answer ``name``."""
    captured = answer(version, name)
    return lambda command: replace(captured, opaque=command.opaque)


def say(**fields: object) -> Handler:
    """Answer with ``Command.answer(request, **fields)``."""
    return lambda command: Command.answer(command, **fields)  # type: ignore[arg-type]


def fail(error: Exception) -> Handler:
    """Fail as the transport would."""

    def handler(_command: Command) -> Command:
        raise error

    return handler
