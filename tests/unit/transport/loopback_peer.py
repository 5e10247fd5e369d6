"""Peers on loopback that behave as a test says."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

from rmqkit.wire.frames import Command, FrameDecoder, encode

Behaviour = Callable[[socket.socket], None]


def commands_from(stream: socket.socket) -> Iterator[Command]:
    """The requests that come in over ``stream``, until it ends."""
    decoder = FrameDecoder()
    while data := stream.recv(65_536):
        yield from decoder.feed(data)


def echo(stream: socket.socket) -> None:
    """Answer every request with its own ext fields and body."""
    for command in commands_from(stream):
        stream.sendall(encode(Command.answer(command, ext=command.ext, body=command.body)))


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread does; fail after ten seconds."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "the other thread did not get there"
        time.sleep(0.002)


class LoopbackPeer:
    """Listens on loopback; every connection is handled by ``behave`` in a thread of its own, then closed."""

    def __init__(self, behave: Behaviour) -> None:
        self.connections = 0
        self.ended = 0
        self.failures: list[Exception] = []
        self._behave = behave
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._streams: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        for stream in (self._listener, *self._streams):
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)
            stream.close()
        for thread in self._threads:
            thread.join(timeout=5)

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                stream, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._streams.append(stream)
            self._start(self._serve, stream)

    def _serve(self, stream: socket.socket) -> None:
        try:
            self._behave(stream)
        except OSError:
            pass
        except Exception as error:  # noqa: BLE001 - the fixture fails the test with it
            self.failures.append(error)
        finally:
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)
            stream.close()
            self.ended += 1
