"""A NameServer and broker in one, on a real socket on loopback, that answers sends as a test says."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rmqkit.wire.codes import RequestCode
from rmqkit.wire.frames import Command, FrameDecoder, encode

Answer = Callable[[Command, int], Command | None]
"""Takes a send and its number among all sends, from 0; None is silence. Raise ConnectionError to hang up."""


def stored(command: Command, number: int) -> Command:
    """The answer of a broker that stores."""
    ext = {"msgId": f"7F0000010000000F{number:016X}", "queueId": command.ext["e"], "queueOffset": number}
    return Command.answer(command, ext=ext)


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread does; fail after ten seconds."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "the other thread did not get there"
        time.sleep(0.002)


class LoopbackBroker:
    """Knows one group, b, of which it is the master, with ``queues`` queues for every topic."""

    def __init__(self, answer: Answer = stored, *, queues: int = 1) -> None:
        self.answer = answer
        self.sends: list[Command] = []
        self.routes_asked = 0
        self.master = True
        self.master_address = ""
        self._queues = queues
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._streams: list[socket.socket] = []
        self._last_from: dict[int, socket.socket] = {}
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in (self._listener, *self._streams):
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)
            stream.close()
        for thread in self._threads:
            thread.join(timeout=5)

    def ask(self, command: Command, *, after: int) -> None:
        """Make a request of the client whose connection sent code ``after`` last."""
        self._last_from[after].sendall(encode(command))

    def hang_up(self) -> None:
        """Close every connection."""
        for stream in tuple(self._streams):
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                stream, _ = self._listener.accept()
                self._streams.append(stream)
                thread = threading.Thread(target=self._serve, args=(stream,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, stream: socket.socket) -> None:
        decoder = FrameDecoder()
        with contextlib.suppress(OSError), contextlib.closing(stream):
            while data := stream.recv(65_536):
                commands = list(decoder.feed(data))
                self._last_from.update((command.code, stream) for command in commands)
                out = [encode(answer) for command in commands if (answer := self._take(command)) is not None]
                if out:
                    stream.sendall(b"".join(out))

    def _take(self, command: Command) -> Command | None:
        if command.code == RequestCode.GET_ROUTEINTO_BY_TOPIC:
            self.routes_asked += 1
            return Command.answer(command, body=self._route())
        self.sends.append(command)
        return self.answer(command, len(self.sends) - 1)

    def _route(self) -> bytes:
        address = self.master_address or self.address
        addresses = f'0:"{address}"' if self.master else f'1:"{address}"'
        return (
            f'{{"brokerDatas":[{{"brokerAddrs":{{{addresses}}},"brokerName":"b","cluster":"c"}}],"queueDatas":'
            f'[{{"brokerName":"b","perm":6,"readQueueNums":{self._queues},"writeQueueNums":{self._queues}}}]}}'
        ).encode()
