"""What a history knows of a few ids, without making a record of each of millions of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rmqkit.forensics.places import Told
from rmqkit.history import Columns, History, Outcome, split_id

_SENT = ("outcome", "topic", "queue", "offset", "address", "reason")


def told_of(history: History, ids: Sequence[str]) -> dict[str, Told]:
    """What the producer was told of each id that was sent: an acknowledgement where there was one, else the last."""
    columns = history.send_columns()
    texts = columns.texts("topic")
    told: dict[str, Told] = {}
    acknowledged = Outcome.ACKNOWLEDGED.name.lower()
    for message_id, (outcome, topic, queue, offset, address, reason) in _rows(columns, ids, _SENT):
        found = Told(Outcome(outcome).name.lower(), texts[topic], queue, offset, texts[address], texts[reason])
        before = told.get(message_id)
        # Some drivers tell no place with an acknowledgement: it wins all the same, except over one that names a place.
        if before is None or before.outcome != acknowledged or (found.outcome == acknowledged and before.offset < 0):
            told[message_id] = found
    return told


def topics_of(history: History) -> frozenset[str]:
    """The topics that were sent to."""
    import numpy as np  # noqa: PLC0415 - what starts up need not import it

    columns = history.send_columns()
    texts = columns.texts("topic")
    return frozenset(texts[number] for (topics,) in columns.batches("topic") for number in np.unique(topics).tolist())


def received_of(history: History, ids: Sequence[str]) -> frozenset[str] | None:
    """Which of the ids a consumer was handed; None for a history without consumers."""
    if not history.receive_count and not history.consumers:
        return None
    return frozenset(message_id for message_id, _ in _rows(history.receive_columns(), ids, ()))


def _rows(columns: Columns, ids: Sequence[str], names: Sequence[str]) -> Iterator[tuple[str, list[int]]]:
    """Id and the named values of each row of one of the ids, in order."""
    import numpy as np  # noqa: PLC0415 - what starts up need not import it

    wanted = {split_id(message_id): message_id for message_id in ids}
    numbers = np.array(sorted({number for _, number in wanted}), np.int64)
    stems = columns.texts("id_stem")
    for stem, number, *values in columns.batches("id_stem", "id_number", *names):
        for row in np.flatnonzero(np.isin(number, numbers)).tolist():
            message_id = wanted.get((stems[stem[row]], int(number[row])))
            if message_id is not None:
                yield message_id, [int(value[row]) for value in values]
