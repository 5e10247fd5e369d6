"""A history's ids and places as slots, and back as texts.

What belongs here: what every check looks up. What does not: what is expected of a message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from rmqkit.checks.findings import first_texts
from rmqkit.checks.slots import Flags, Ints, Slots
from rmqkit.history import History, Outcome, join_id, split_id

_HEX = ("X", "x")
_EMPTY = split_id("")[0]
TextsOfRows = Callable[[Ints], Iterable[str]]


class Index:
    """Every message id and every place (topic, queue, offset) of a history has a slot."""

    def __init__(self, history: History) -> None:
        self.sends = history.send_columns()
        self.reads = history.read_columns()
        self.receives = history.receive_columns()
        self.prefixes = history.run_prefixes
        self.texts = self.sends.texts("topic")
        self._stems = self.sends.texts("id_stem")
        self.ids = Slots(len(self._stems), self._ids)
        self.no_id: int | None = None
        """The slot of the empty id, if a message without one was seen."""
        if _EMPTY in self._stems and self.ids.seen[(stem := self._stems.index(_EMPTY))]:
            self.no_id = int(self.ids.of(np.array([stem]), np.array([0]))[0])
        self.lanes = Slots(len(self.texts), self._lanes)
        self.places = Slots(self.lanes.size, self._places)

    def _ids(self) -> Iterator[tuple[Ints, Ints]]:
        for columns in (self.sends, self.reads, self.receives):
            yield from ((stem, number) for stem, number in columns.batches("id_stem", "id_number"))

    def _lanes(self) -> Iterator[tuple[Ints, Ints]]:
        for topic, queue, _ in self._placed():
            yield topic, queue

    def _places(self) -> Iterator[tuple[Ints, Ints]]:
        for topic, queue, offset in self._placed():
            yield self.lanes.of(topic, queue), offset

    def _placed(self) -> Iterator[tuple[Ints, Ints, Ints]]:
        for _, _, topic, queue, offset in self.placed_sends():
            yield topic, queue, offset
        for topic, queue, offset in self.reads.batches("topic", "queue", "offset"):
            yield topic, queue, offset
        for topic, queue, offset in self.receives.batches("topic", "queue", "offset"):
            rows = offset >= 0
            yield topic[rows], queue[rows], offset[rows]

    def placed_sends(self) -> Iterator[tuple[Ints, Ints, Ints, Ints, Ints]]:
        """Stem, number, topic, queue and offset of the sends that name a place which must hold their message.

        A delayed message's receipt names a place in the queue of its delay, a half message's one in the broker's own.
        """
        plain = self.number_of("")
        names = ("id_stem", "id_number", "topic", "queue", "offset", "outcome", "delay_ms", "transaction")
        for stem, number, topic, queue, offset, outcome, delay, step in self.sends.batches(*names):
            rows = (outcome == Outcome.ACKNOWLEDGED) & (offset >= 0) & (delay <= 0) & (step == plain)
            yield stem[rows], number[rows], topic[rows], queue[rows], offset[rows]

    def number_of(self, text: str) -> int:
        """What stands for ``text`` in the columns; -1 where no column has it."""
        return self.texts.index(text) if text in self.texts else -1

    def place(self, topic: Ints, queue: Ints, offset: Ints) -> Ints:
        """The slots of places."""
        return self.places.of(self.lanes.of(topic, queue), offset)

    def id_texts(self, slots: Ints) -> list[str]:
        """The ids of slots."""
        stems, numbers = self.ids.pairs(slots)
        return [join_id(self._stems[s], n) for s, n in zip(stems.tolist(), numbers.tolist(), strict=True)]

    def who(self, slots: Ints) -> list[str]:
        """The ids of slots as a text shows them; a slot of -1 is nothing at all."""
        shown = iter(self.id_texts(slots[slots >= 0]))
        return ["nothing" if slot < 0 else next(shown) or "a message without an id" for slot in slots.tolist()]

    def where(self, places: Ints) -> list[str]:
        """The places of slots as a text shows them."""
        lanes, offsets = self.places.pairs(places)
        topics, queues = self.lanes.pairs(lanes)
        return [
            f"{self.texts[topic]} queue {queue} offset {offset}"
            for topic, queue, offset in zip(topics.tolist(), queues.tolist(), offsets.tolist(), strict=True)
        ]

    def ours(self, slots: Ints) -> Flags:
        """Which ids begin as this run's do."""
        stems, _ = self.ids.pairs(slots)
        kinds, kind = np.unique(stems, return_inverse=True)
        texts = [self._stems[stem][1:] for stem in kinds.tolist()]
        found: Flags = np.array([text.startswith(self.prefixes) for text in texts], np.bool_)[kind]
        # Where a stem is shorter than a prefix, the number decides.
        open_ = np.array([any(prefix.startswith(text) for prefix in self.prefixes) for text in texts], np.bool_)[kind]
        rows = np.flatnonzero(open_ & ~found)
        found[rows] = [text.startswith(self.prefixes) for text in self.id_texts(slots[rows])]
        return found

    def some_ids(self, slots: Ints) -> tuple[str, ...]:
        """The first of the ids."""
        return self.some_by_id(slots, lambda rows: self.id_texts(slots[rows]))

    def some_by_id(self, slots: Ints, texts: TextsOfRows) -> tuple[str, ...]:
        """The first of texts that begin with ids."""
        stems, numbers = self.ids.pairs(slots)
        kinds, kind = np.unique(stems, return_inverse=True)
        of_one_length: Flags = np.array([self._stems[stem].startswith(_HEX) for stem in kinds.tolist()], np.bool_)[kind]
        return first_texts(stems, numbers, texts, of_one_length=of_one_length)

    def some_by_place(self, places: Ints, texts: TextsOfRows) -> tuple[str, ...]:
        """The first of texts that begin with places."""
        lanes, offsets = self.places.pairs(places)
        return first_texts(lanes, offsets, texts, of_one_length=np.zeros(len(lanes), np.bool_))
