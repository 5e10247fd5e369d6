"""All ids of what a verdict calls lost, of which its findings name ten."""

from __future__ import annotations

from rmqkit.history import History


def lost_ids(history: History) -> tuple[str, ...]:
    """Ids that were acknowledged, and are missing on a replica that was read to its end or from a drained group.

    In order. Costs what :func:`~rmqkit.checks.judge` costs: ask it when the verdict speaks of such.
    """
    import numpy as np  # noqa: PLC0415 - what starts up need not import it

    from rmqkit.checks.consumers import lost_by_consumers  # noqa: PLC0415
    from rmqkit.checks.index import Index  # noqa: PLC0415
    from rmqkit.checks.replicas import lost_on_replicas  # noqa: PLC0415
    from rmqkit.checks.sends import Sends  # noqa: PLC0415

    sends = Sends(history, Index(history))
    lost = np.flatnonzero(lost_on_replicas(history, sends) | lost_by_consumers(history, sends))
    return tuple(sorted(sends.index.id_texts(lost)))
