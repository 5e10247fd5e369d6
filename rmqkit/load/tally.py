"""Which of a run's own messages were acknowledged and which came back: one byte a message.

What belongs here: ids of the form ``RUN-worker-sequence``, and the bookkeeping by them. What does not: other people's
messages, and the verdict, which is the history's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from rmqkit.load.batches import Ending, SendBatch

_ACKNOWLEDGED, _RECEIVED = 1, 2
_FIRST_ROOM = 4096


class Tally:
    """Counts by message of the run ``run``."""

    def __init__(self, run: str) -> None:
        self._own = re.compile(re.escape(run) + r"-(\d{1,6})-(\d{1,15})")
        self._flags: dict[int, NDArray[np.uint8]] = {}
        self.own = 0
        self.again = 0

    def sent(self, batch: SendBatch) -> None:
        """Note what was acknowledged."""
        sends = batch.columns()
        for worker in np.unique(sends.worker).tolist():
            mine = sends.sequence[(sends.worker == worker) & (sends.ending == Ending.ACKNOWLEDGED)]
            if len(mine):
                self._room(worker, int(mine.max()))[mine] |= _ACKNOWLEDGED

    def received(self, message_ids: Iterable[str]) -> None:
        """Note what came, the run's own and others'."""
        for message_id in message_ids:
            found = self._own.fullmatch(message_id)
            if found is None:
                continue
            worker, sequence = int(found[1]), int(found[2])
            flags = self._room(worker, sequence)
            if flags[sequence] & _RECEIVED:
                self.again += 1
            else:
                flags[sequence] |= _RECEIVED
                self.own += 1

    @property
    def missing(self) -> int:
        """Messages that were acknowledged and have not come."""
        return sum(int(np.count_nonzero(flags == _ACKNOWLEDGED)) for flags in self._flags.values())

    def _room(self, worker: int, sequence: int) -> NDArray[np.uint8]:
        flags = self._flags.get(worker)
        if flags is None or len(flags) <= sequence:
            grown = np.zeros(max(_FIRST_ROOM, 2 * (sequence + 1)), dtype=np.uint8)
            if flags is not None:
                grown[: len(flags)] = flags
            flags = self._flags[worker] = grown
        return flags
