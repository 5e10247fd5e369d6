"""Members of a group in memory: each owns a part of four queues, and hands out what a test puts into them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from memory_broker import stored

from rmqkit.errors import RmqkitError
from rmqkit.load.consumption import Receiver
from rmqkit.wire.messages import StoredMessage, encode_properties

QUEUES = 4


class FakeGroup:
    """``trouble`` is raised by the next poll of anybody; ``opened`` counts members that joined."""

    def __init__(self, *, members: int = 1) -> None:
        self.members = members
        self.opened = self.closed = 0
        self.trouble: list[RmqkitError] = []
        self.handed: list[str] = []
        self.hold_back: set[str] = set()
        self._lock = threading.Lock()
        self._waiting: dict[int, list[StoredMessage]] = {queue: [] for queue in range(QUEUES)}

    def put(self, message_id: str, *, queue: int = 0, topic: str = "TopicTest") -> None:
        properties = encode_properties({"UNIQ_KEY": message_id}).encode()
        with self._lock:
            offset = len(self._waiting[queue])
            self._waiting[queue].append(replace(stored(queue, offset, topic=topic), properties_bytes=properties))

    @contextmanager
    def open(self, number: int) -> Iterator[Receiver]:
        self.opened += 1
        yield FakeMember(self, range(number, QUEUES, self.members))
        self.closed += 1

    def take(self, queues: Sequence[int]) -> list[StoredMessage]:
        with self._lock:
            if self.trouble:
                raise self.trouble.pop()
            found = [m for queue in queues for m in self._waiting[queue] if m.unique_key not in self.hold_back]
            for queue in queues:
                self._waiting[queue] = [m for m in self._waiting[queue] if m.unique_key in self.hold_back]
            self.handed += [message.unique_key for message in found]
            return found

    def lag(self) -> Mapping[str, int]:
        with self._lock:
            return {f"b/{queue}": len(waiting) for queue, waiting in self._waiting.items()}


class FakeMember:
    def __init__(self, group: FakeGroup, queues: Sequence[int]) -> None:
        self._group = group
        self._queues = queues
        self._nothing = threading.Event()

    def poll(self, timeout_s: float) -> Sequence[StoredMessage]:
        found = self._group.take(self._queues)
        if not found:
            self._nothing.wait(min(timeout_s, 0.01))
        return found

    def queues(self) -> int:
        return len(self._queues)

    def lag(self) -> Mapping[str, int]:
        return self._group.lag()
