"""One queue while this member consumes it: what was pulled, what was handed out, what is done.

What belongs here: positions and their bookkeeping, with no thread, lock or connection of its own. What does not:
pulling (``puller``), who calls when (``groupconsumer``); callers hold the state's lock.

Four positions, in this order: ``committed`` <= ``acknowledged`` <= ``position`` (the next to be handed out) <=
``pull_offset`` (the next to be pulled). Only what was acknowledged may be committed, so nothing is skipped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from rmqkit.client.messagequeue import MessageQueue
from rmqkit.wire.messages import StoredMessage

HELD_AFTER_S = 1.0


@dataclass(frozen=True, slots=True)
class Pulled:
    """The answer to one pull, not decoded: it covers the offsets from ``start`` to before ``given_to``, and those up to
    ``end``, where later pulls found nothing.
    """

    start: int
    given_to: int
    end: int
    body: bytes
    address: str = ""


@dataclass(slots=True, eq=False)
class Handed:
    """A batch in the caller's hands; ``done_to`` is the offset up to which it is acknowledged."""

    held: HeldQueue
    pulled: Pulled
    done_to: int
    messages: Sequence[StoredMessage] = ()


@dataclass(slots=True, eq=False)
class HeldQueue:
    """See above. ``wants`` is the limit of messages that may lie here, handed out or not."""

    queue: MessageQueue
    position: int
    pull_offset: int
    committed: int | None
    dropped: bool = False
    pull: object | None = None
    pull_began: float = 0.0
    retry_at: float = 0.0
    failing_since: float | None = None
    trouble: Exception | None = None
    pulled: deque[Pulled] = field(default_factory=deque)
    handed: deque[Handed] = field(default_factory=deque)
    buffered_bytes: int = 0

    @classmethod
    def starting_at(cls, queue: MessageQueue, offset: int, *, committed: int | None) -> HeldQueue:
        """Nothing pulled yet; ``committed`` is what the store has now, or None."""
        return cls(queue, offset, offset, committed)

    @property
    def acknowledged(self) -> int:
        """Everything before this offset was consumed."""
        return self.handed[0].done_to if self.handed else self.position

    @property
    def to_commit(self) -> int | None:
        """The offset that should be committed, or None when it is."""
        return None if self.acknowledged == self.committed else self.acknowledged

    @property
    def buffered(self) -> int:
        """Offsets that were pulled and not handed out yet (an upper bound of the messages)."""
        return self.pull_offset - self.position

    def trouble_at(self, now: float) -> Exception | None:
        """What keeps it from being pulled. A pull that is under way for a second without failing is being held by the
        broker, as pulls of an idle queue are.
        """
        return None if self.pull is not None and now - self.pull_began > HELD_AFTER_S else self.trouble

    def take_in(self, end: int, body: bytes, *, address: str = "") -> None:
        """Keep what a pull from ``pull_offset`` brought: all up to ``end``, with no message where ``body`` is empty."""
        if body:
            self.pulled.append(Pulled(self.pull_offset, end, end, body, address))
            self.buffered_bytes += len(body)
        elif not self.pulled:
            self.position = end
        else:  # the batch before it covers these offsets, too
            self.pulled.append(replace(self.pulled.pop(), end=end))
        self.pull_offset = end

    def hand_out(self) -> Handed | None:
        """The next batch; the caller decodes it. None where nothing lies here."""
        if not self.pulled:
            return None
        pulled = self.pulled.popleft()
        self.buffered_bytes -= len(pulled.body)
        handed = Handed(self, pulled, done_to=pulled.start)
        self.handed.append(handed)
        self.position = pulled.end
        return handed

    def acknowledge(self, handed: Handed, *, to: int | None = None) -> None:
        """The batch was consumed, up to before offset ``to`` or whole. Later ones wait for it."""
        handed.done_to = handed.pulled.end if to is None else max(handed.done_to, to)
        while self.handed and self.handed[0].done_to >= self.handed[0].pulled.end:
            self.handed.popleft()

    def acknowledge_all(self) -> None:
        """Everything that was handed out was consumed."""
        self.handed.clear()

    def move_to(self, offset: int) -> None:
        """Go on at ``offset``, whatever was pulled or handed out: as a seek does. A pull under way counts no more."""
        self.pulled.clear()
        self.handed.clear()
        self.buffered_bytes = 0
        self.pull = None
        self.position = self.pull_offset = offset

    def drop(self) -> None:
        """Somebody else consumes it from now on."""
        self.dropped = True
        self.pull = None
        self.pulled.clear()
        self.buffered_bytes = 0
