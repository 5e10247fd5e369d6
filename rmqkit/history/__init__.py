"""What was asked, what was answered, what was done to the cluster, and when."""

from __future__ import annotations

from rmqkit.history.ids import join as join_id
from rmqkit.history.ids import split as split_id
from rmqkit.history.recorder import Batch, History
from rmqkit.history.records import (
    COMMIT,
    HALF,
    ROLLBACK,
    ConsumerEnd,
    FaultEvent,
    OffsetRecord,
    Outcome,
    RangeRecord,
    ReadRecord,
    ReceiveRecord,
    SendRecord,
    driver_of,
    group_of,
)
from rmqkit.history.table import Columns

__all__ = [
    "COMMIT",
    "HALF",
    "ROLLBACK",
    "Batch",
    "Columns",
    "ConsumerEnd",
    "FaultEvent",
    "History",
    "OffsetRecord",
    "Outcome",
    "RangeRecord",
    "ReadRecord",
    "ReceiveRecord",
    "SendRecord",
    "driver_of",
    "group_of",
    "join_id",
    "split_id",
]
