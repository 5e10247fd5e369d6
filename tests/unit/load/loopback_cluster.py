"""A NameServer and a broker in one, on a loopback port: enough for a load to be sent by real clients over real sockets.

For the mechanism of workers and processes only; what brokers do is tested against brokers.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import threading
from typing import Self

from loopback_peer import LoopbackPeer, commands_from

from rmqkit.wire.codes import RequestCode
from rmqkit.wire.frames import Command, encode
from rmqkit.wire.messages import decode_properties

QUEUES = 4


class LoopbackCluster:
    """Answers routes, configurations and sends. ``busy`` sends are refused as flow control does; ``config`` and
    ``version`` are what the broker says of itself; ``ids`` are those of the messages that it took."""

    def __init__(self) -> None:
        self.busy = 0
        self.broker_id = "0"
        self.config = {"brokerId": "0", "maxMessageSize": "4194304", "enableDLegerCommitLog": "true"}
        self.version = "V4_9_8"
        self.topics = {"TopicTest"}
        self.ids: list[str] = []
        self.bodies: set[bytes] = set()
        self.silent = threading.Event()
        self._lock = threading.Lock()
        self._offsets = itertools.count()
        self._peer = LoopbackPeer(self._serve)
        self.address = self._peer.address

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._peer.close()
        assert not self._peer.failures, self._peer.failures

    def _serve(self, stream: socket.socket) -> None:
        for command in commands_from(stream):
            answer = self.answer(command)
            if answer is not None:
                with contextlib.suppress(OSError):
                    stream.sendall(encode(answer))

    def answer(self, command: Command) -> Command | None:
        """What is answered; None for silence."""
        code = command.code
        if code == RequestCode.GET_ROUTEINTO_BY_TOPIC:
            return self._route(command)
        if code == RequestCode.GET_BROKER_CLUSTER_INFO:
            addresses = {self.broker_id: self.address}
            broker = {"brokerName": "b", "cluster": "c", "brokerAddrs": addresses}
            return _json(command, {"brokerAddrTable": {"b": broker}, "clusterAddrTable": {"c": ["b"]}})
        if code == RequestCode.GET_BROKER_CONFIG:
            text = "\n".join(f"{key}={value}" for key, value in self.config.items())
            return Command.answer(command, body=text.encode())
        if code == RequestCode.GET_BROKER_RUNTIME_INFO:
            return _json(command, {"table": {"brokerVersionDesc": self.version}})
        if code == RequestCode.UPDATE_AND_CREATE_TOPIC:
            self.topics.add(command.ext["topic"])
            return Command.answer(command)
        if code == RequestCode.GET_ALL_TOPIC_CONFIG:
            table = {
                name: {"topicName": name, "readQueueNums": 8, "writeQueueNums": 8, "perm": 6} for name in self.topics
            }
            return _json(command, {"topicConfigTable": table})
        return self._send(command)

    def _route(self, command: Command) -> Command:
        if command.ext["topic"] not in self.topics:
            return Command.answer(command, code=17, remark="no route")
        queues = [{"brokerName": "b", "readQueueNums": QUEUES, "writeQueueNums": QUEUES, "perm": 6}]
        brokers = [{"brokerName": "b", "cluster": "c", "brokerAddrs": {"0": self.address}}]
        return _json(command, {"queueDatas": queues, "brokerDatas": brokers})

    def _send(self, command: Command) -> Command | None:
        with self._lock:
            if self.busy:
                self.busy -= 1
                return Command.answer(command, code=2, remark="[REJECTREQUEST]system busy, start flow control")
            if self.silent.is_set():
                return None
            if command.code != RequestCode.SEND_BATCH_MESSAGE:
                self.ids.append(decode_properties(command.ext["i"])["UNIQ_KEY"])
            self.bodies.add(bytes(command.body))
            offset = next(self._offsets)
        ext = {"msgId": "x", "queueId": command.ext["e"], "queueOffset": str(offset)}
        return Command.answer(command, ext=ext)


def _json(command: Command, value: object) -> Command:
    return Command.answer(command, body=json.dumps(value).encode())
