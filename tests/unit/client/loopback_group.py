"""A NameServer and broker on loopback for tests of a group consumer's own behaviour: one topic, no Raft."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator

from memory_broker import stored

from rmqkit.wire.codes import RequestCode
from rmqkit.wire.frames import Command, FrameDecoder, encode
from rmqkit.wire.messages import encode_stored

Answer = Callable[[Command], Command | None]


class LoopbackGroup:
    """Answers what a group consumer asks, about topic T with ``queues`` queues. ``override`` a code to misbehave.

    A pull at the end of a queue is answered after ``hold_s``, on a thread of its own.
    """

    def __init__(self, *, queues: int = 2) -> None:
        self.queues: dict[int, int] = dict.fromkeys(range(queues), 0)  # queue id to end offset
        self.committed: dict[tuple[str, int], int] = {}
        self.asked: list[Command] = []
        self.override: dict[int, Answer] = {}
        self.hold_s = 0.2
        self.master = True
        self._clients: dict[socket.socket, str] = {}
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for stream in (self._listener, *list(self._clients)):
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)
            stream.close()

    def cut(self) -> None:
        """Break every connection, as a broker that ends does."""
        for stream in list(self._clients):
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)

    def tell(self, command: Command) -> None:
        """Ask every member, as a broker does."""
        for stream, client_id in list(self._clients.items()):
            if client_id:
                stream.sendall(encode(command))

    def codes(self, code: RequestCode) -> list[Command]:
        return [command for command in list(self.asked) if command.code == code]

    def _accept(self) -> None:
        while True:
            try:
                stream, _ = self._listener.accept()
            except OSError:
                return
            self._clients[stream] = ""
            threading.Thread(target=self._serve, args=(stream,), daemon=True).start()

    def _serve(self, stream: socket.socket) -> None:
        with contextlib.suppress(OSError):
            for command in self._commands(stream):
                self.asked.append(command)
                answer = self.override.get(command.code, lambda c: self._answer(c, stream))(command)
                if answer is not None:
                    self._send(stream, answer)
        self._clients.pop(stream, None)
        stream.close()

    def _commands(self, stream: socket.socket) -> Iterator[Command]:
        decoder = FrameDecoder()
        while data := stream.recv(65_536):
            yield from decoder.feed(data)

    def _send(self, stream: socket.socket, answer: Command) -> None:
        with self._lock, contextlib.suppress(OSError):
            stream.sendall(encode(answer))

    def _answer(self, command: Command, stream: socket.socket) -> Command | None:
        match command.code:
            case RequestCode.GET_ROUTEINTO_BY_TOPIC:
                return self._route(command)
            case RequestCode.HEART_BEAT:
                self._clients[stream] = json.loads(command.body)["clientID"]
                return Command.answer(command)
            case RequestCode.GET_CONSUMER_CONNECTION_LIST:
                return Command.answer(command, code=206)
            case RequestCode.GET_CONSUMER_LIST_BY_GROUP:
                ids = [client_id for client_id in self._clients.values() if client_id]
                return Command.answer(command, body=json.dumps({"consumerIdList": ids}).encode())
            case RequestCode.QUERY_CONSUMER_OFFSET:
                offset = self.committed.get((command.ext["topic"], int(command.ext["queueId"])))
                return Command.answer(command, code=22 if offset is None else 0, ext={"offset": offset})
            case RequestCode.GET_ALL_CONSUMER_OFFSET:
                return Command.answer(command, body=b'{"offsetTable":{}}')
            case RequestCode.UPDATE_CONSUMER_OFFSET:
                key = command.ext["topic"], int(command.ext["queueId"])
                self.committed[key] = int(command.ext["commitOffset"])
                return Command.answer(command)
            case RequestCode.GET_MIN_OFFSET:
                return Command.answer(command, ext={"offset": 0})
            case RequestCode.GET_MAX_OFFSET:
                return Command.answer(command, ext={"offset": self.queues[int(command.ext["queueId"])]})
            case RequestCode.PULL_MESSAGE:
                return self._pull(command, stream)
        return Command.answer(command)

    def _route(self, command: Command) -> Command:
        if command.ext["topic"] != "T":
            return Command.answer(command, code=17)
        number = 0 if self.master else 2
        body = (
            f'{{"brokerDatas":[{{"brokerAddrs":{{{number}:"{self.address}"}},"brokerName":"b","cluster":"c"}}],'
            f'"queueDatas":[{{"brokerName":"b","perm":6,"readQueueNums":{len(self.queues)},"writeQueueNums":1}}]}}'
        )
        return Command.answer(command, body=body.encode())

    def _pull(self, command: Command, stream: socket.socket) -> Command | None:
        queue_id, offset = int(command.ext["queueId"]), int(command.ext["queueOffset"])

        def found() -> Command:
            end = self.queues[queue_id]
            following = max(offset, min(end, offset + 32))
            return Command.answer(
                command,
                code=0 if following > offset else 19,
                remark="FOUND" if following > offset else "OFFSET_OVERFLOW_ONE",
                ext={"nextBeginOffset": following, "minOffset": 0, "maxOffset": end},
                body=b"".join(encode_stored(stored(queue_id, at)) for at in range(offset, following)),
            )

        if self.queues[queue_id] > offset:
            return found()

        def later() -> None:
            until = time.monotonic() + self.hold_s
            while time.monotonic() < until and self.queues[queue_id] <= offset:
                time.sleep(0.005)
            self._send(stream, found())

        threading.Thread(target=later, daemon=True).start()
        return None
