"""All ids of what a verdict calls lost, of which its findings name ten."""

from __future__ import annotations

from rmqkit.checks.verdict import Thresholds
from rmqkit.history import History


def lost_ids(history: History, thresholds: Thresholds | None = None) -> tuple[str, ...]:
    """Ids that were acknowledged, and are missing on a replica that was read to its end or from a drained group.

    Just those that :func:`~rmqkit.checks.judge` counts as acknowledged-lost, delayed-lost and consumer-lost: what a
    replica deleted itself is not among them, nor what was not due yet. ``thresholds``: those of the
    verdict; else the usual ones. In order. Costs what ``judge`` costs: ask it when the verdict speaks of such.
    """
    import numpy as np  # noqa: PLC0415 - what starts up need not import it

    from rmqkit.checks.consumers import compare_consumers  # noqa: PLC0415
    from rmqkit.checks.index import Index  # noqa: PLC0415
    from rmqkit.checks.replicas import compare_replicas  # noqa: PLC0415
    from rmqkit.checks.sends import Sends  # noqa: PLC0415

    thresholds = thresholds or Thresholds()
    sends = Sends(history, Index(history))
    seen = compare_replicas(history, sends, delay_grace_s=thresholds.delay_grace_s)
    compare_consumers(history, sends, seen, ordered=thresholds.ordered)
    return tuple(sorted(sends.index.id_texts(np.flatnonzero(seen.lost))))
