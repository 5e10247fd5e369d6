# ruff: noqa: N802, N815 - the names are the library's
"""librocketmq, replaced: imported by the unpacked package before its ffi module, it takes the loader's place.

Every call is a line in the file that FAKE_ROCKETMQ_LOG names. The topic of a message says what becomes of it.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import itertools
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

LOG = Path(os.environ["FAKE_ROCKETMQ_LOG"])
WITHOUT = os.environ.get("FAKE_ROCKETMQ_WITHOUT", "").split()
FAILED = 11


class Function:
    """What ctypes gives for an exported function: it may be told its types, and called."""

    argtypes: Any = None
    restype: Any = None

    def __init__(self, name: str, library: Library) -> None:
        self.name, self.library = name, library

    def __call__(self, *args: Any) -> Any:
        plain = [a.decode("latin-1") if isinstance(a, bytes) else a for a in args if isinstance(a, bytes | int | str)]
        with LOG.open("a", encoding="utf-8") as log:
            log.write(json.dumps([self.name, *plain]) + "\n")
        return getattr(self.library, f"do_{self.name}", lambda *_: 0)(*args)


class Library:
    """The functions whose effect the tests look at; all others return 0."""

    _name = "librocketmq.so of the tests"

    def __init__(self) -> None:
        self.handles = itertools.count(100)
        self.messages: dict[int, dict[str, Any]] = {}
        self.error = b""
        self.callback: Any = None
        self.topic = b""
        self.threads: list[threading.Thread] = []

    def __getattr__(self, name: str) -> Function:
        if name.startswith("do_") or name in WITHOUT:
            raise AttributeError(f"{self._name}: undefined symbol: {name}")
        function = Function(name, self)
        setattr(self, name, function)
        return function

    def do_CreateProducer(self, _group: bytes) -> int:
        print("the library prints what it likes", flush=True)
        return next(self.handles)

    do_CreateOrderlyProducer = do_CreatePushConsumer = do_CreateProducer

    def do_CreateMessage(self, topic: bytes) -> int:
        handle = next(self.handles)
        self.messages[handle] = {"topic": topic}
        return handle

    def do_SetByteMessageBody(self, handle: int, body: bytes, length: int) -> int:
        self.messages[handle]["body"] = body[:length]
        return 0

    def do_DestroyMessage(self, handle: int) -> int:
        del self.messages[handle]
        return 0

    def do_GetLatestErrorMessage(self) -> bytes:
        return self.error

    def do_SendMessageSync(self, _producer: int, message: Any, result: Any) -> int:
        made = self.messages[message._handle]
        topic = made["topic"].decode()
        if topic == "hang":
            time.sleep(3600)
        if topic == "abort":
            os.abort()
        if topic == "segfault":
            ctypes.string_at(0)
        if topic == "end":
            os._exit(3)
        if topic == "fail":
            self.error = made["body"]
            return FAILED
        if topic == "null":
            return 1
        result.contents.sendStatus = int(topic.removeprefix("status")) if topic.startswith("status") else 0
        result.contents.msgId = b"0102"
        result.contents.offset = 7
        return 0

    def do_SendMessageOrderlyByShardingKey(self, producer: int, message: Any, _key: bytes, result: Any) -> int:
        return self.do_SendMessageSync(producer, message, result)

    def do_Subscribe(self, _consumer: int, topic: bytes, _expression: bytes) -> int:
        self.topic = topic
        return 0

    def do_RegisterMessageCallback(self, _consumer: int, callback: Any) -> int:
        self.callback = callback
        return 0

    def do_StartPushConsumer(self, consumer: int) -> int:
        if self.topic == b"cannot-start":
            self.error = b"the client does not want to"
            return 20
        for number in range(3):
            self.threads.append(threading.Thread(target=self._deliver, args=(consumer, number), daemon=True))
            self.threads[-1].start()
        return 0

    def do_ShutdownPushConsumer(self, _consumer: int) -> int:
        if self.topic == b"hangs-at-its-end":
            time.sleep(3600)
        for thread in self.threads:  # as the real one does
            thread.join()
        return 0

    def _deliver(self, consumer: int, number: int) -> None:
        handle = next(self.handles)
        self.messages[handle] = {"number": number}
        status = self.callback(consumer, handle)
        with LOG.open("a", encoding="utf-8") as log:
            log.write(json.dumps(["delivered", number, status]) + "\n")

    def do_GetMessageTopic(self, _handle: int) -> bytes:
        return self.topic

    def do_GetMessageBody(self, handle: int) -> bytes:
        return b"body %d" % self.messages[handle]["number"]

    def do_GetMessageTags(self, _handle: int) -> bytes:
        return b"TagA"

    def do_GetMessageKeys(self, handle: int) -> bytes:
        return b"K%d other" % self.messages[handle]["number"]

    def do_GetMessageProperty(self, handle: int, name: bytes) -> bytes | None:
        number = self.messages[handle]["number"]
        return {b"rmqkit-id": b"ID%d" % number, b"UNIQ_KEY": b"U%d" % number, b"colour": b"blue"}.get(name)

    def do_GetMessageQueueId(self, handle: int) -> int:
        return int(self.messages[handle]["number"])

    def do_GetMessageQueueOffset(self, handle: int) -> int:
        return int(self.messages[handle]["number"]) * 10


LIBRARY = Library()
ctypes.util.find_library = lambda _name: os.environ.get("FAKE_ROCKETMQ_FOUND", "librocketmq.so") or None
ctypes.cdll.LoadLibrary = lambda _path: LIBRARY  # type: ignore[method-assign,assignment,return-value]
