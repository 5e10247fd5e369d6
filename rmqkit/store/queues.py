"""Consume queues: which messages of the log a broker can deliver, and at which offsets.

What belongs here: the files below ``consumequeue/TOPIC/QUEUE``. What does not: the log that they point into.

A broker enters committed messages only (DLedgerCommitLog, ReputMessageService), a moment after they were committed.
What is in no queue is never delivered, though it is in the log.
"""

from __future__ import annotations

from pathlib import Path

from rmqkit.errors import StoreError
from rmqkit.store.segments import Segments
from rmqkit.store.units import QUEUE_UNIT, QueueUnit, queue_unit


class QueueFiles:
    """The consume queues of one store. Close it with the store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._opened: dict[tuple[str, int], Segments] = {}

    def topics(self) -> dict[str, tuple[int, ...]]:
        """Every topic that has queues, with their numbers. Raises StoreError."""
        try:
            return {
                topic.name: tuple(sorted(int(queue.name) for queue in topic.iterdir() if queue.name.isdecimal()))
                for topic in sorted(self.folder.iterdir() if self.folder.is_dir() else ())
                if topic.is_dir()
            }
        except OSError as error:
            raise StoreError(f"{error.filename} cannot be read: {error.strerror}", hint="copy it first") from error

    def at(self, topic: str, queue_id: int, offset: int) -> QueueUnit | None:
        """What is entered at ``offset`` of a queue; None for nothing. Raises StoreError."""
        if offset < 0:
            return None
        return queue_unit(self._queue(topic, queue_id).read(offset * QUEUE_UNIT.size, QUEUE_UNIT.size))

    def offsets(self, topic: str, queue_id: int) -> range:
        """The offsets of a queue, from the first that is entered to before the first that is not. Raises StoreError."""
        first = end = None
        for segment in self._queue(topic, queue_id).segments:
            for at in range(0, len(segment.data) - QUEUE_UNIT.size + 1, QUEUE_UNIT.size):
                offset = (segment.start + at) // QUEUE_UNIT.size
                raw = segment.data[at : at + QUEUE_UNIT.size]
                if queue_unit(raw) is not None:
                    first, end = offset if first is None else first, offset + 1
                elif first is not None or not any(raw):
                    break
        return range(first or 0, end or 0)

    def close(self) -> None:
        """Unmap what was opened."""
        while self._opened:
            self._opened.popitem()[1].close()

    def _queue(self, topic: str, queue_id: int) -> Segments:
        key = (topic, queue_id)
        if key not in self._opened:
            # A topic's name comes out of a file: it must not lead elsewhere.
            plain = topic not in ("", ".", "..") and not set(topic) & {"/", "\0"}
            self._opened[key] = Segments(self.folder / topic / str(queue_id) if plain else self.folder / "\ufffd")
        return self._opened[key]
