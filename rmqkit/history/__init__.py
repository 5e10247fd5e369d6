"""What was asked, what was answered, what was done to the cluster, and when."""

from __future__ import annotations

from rmqkit.history.recorder import FaultEvent, History, Outcome, ReadRecord, SendRecord

__all__ = ["FaultEvent", "History", "Outcome", "ReadRecord", "SendRecord"]
