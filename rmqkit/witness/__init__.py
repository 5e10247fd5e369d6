"""What a run's cluster was and said, beside the operations: its specification, samples of its status, its logs.

What belongs here: taking it down while the cluster is there. What does not: the history, the verdict, where it is kept
(``report``).
"""

from __future__ import annotations

from rmqkit.witness.logs import copy_logs
from rmqkit.witness.status import StatusMemory, StatusSamples, status_line
from rmqkit.witness.witness import (
    SCHEDULE,
    SPEC,
    STATUS,
    Witness,
    described,
    logs_of,
    witness_folder,
    witnessed,
)

__all__ = [
    "SCHEDULE",
    "SPEC",
    "STATUS",
    "StatusMemory",
    "StatusSamples",
    "Witness",
    "copy_logs",
    "described",
    "logs_of",
    "status_line",
    "witness_folder",
    "witnessed",
]
