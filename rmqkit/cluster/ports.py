"""Free blocks of ports below the kernel's ephemeral range, so that suites run side by side.

A block is held by an abstract Unix socket: two processes cannot take the same one, and the kernel drops it with
its owner, so that nothing is left behind even after kill -9. A cluster that outlives its owner holds its ports itself.
"""

from __future__ import annotations

import errno
import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from rmqkit.errors import PortInUseError

FIRST_PORT = 20_000
LAST_PORT = 32_000
"""Linux gives outgoing connections ports from 32768 up; a listener below that never meets one of them."""


@dataclass(frozen=True, slots=True)
class PortBlock:
    """``size`` consecutive ports from ``base`` on, free when they were looked at."""

    base: int
    size: int


def ports_in_use(ports: Iterator[int] | range | tuple[int, ...], *, host: str = "127.0.0.1") -> list[int]:
    """Those of ``ports`` on ``host`` that something else listens on."""
    taken = []
    for port in ports:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                # An address that this machine does not have is no port in use; who publishes there will say so.
                if error.errno == errno.EADDRINUSE:
                    taken.append(port)
    return taken


@contextmanager
def reserve_block(size: int, *, seed: int | None = None) -> Iterator[PortBlock]:
    """Hold ``size`` ports that are free on loopback; raises PortInUseError when no block is left."""
    bases = list(range(FIRST_PORT, LAST_PORT - size, size))
    random.Random(seed).shuffle(bases)
    for base in bases:
        with ExitStack() as held:
            try:
                # One name for each ten ports, so that blocks of different sizes exclude each other too.
                for decade in range(base // 10, (base + size - 1) // 10 + 1):
                    mark = held.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
                    mark.bind(f"\0rmqkit-ports-{decade}")
            except OSError:
                continue
            if ports_in_use(range(base, base + size)):
                continue
            yield PortBlock(base, size)
            return
    raise PortInUseError(
        f"no {size} consecutive free ports between {FIRST_PORT} and {LAST_PORT}",
        hint="look for leftovers with `rmqkit down --stale`, or see what listens there with `ss -ltn`",
    )
