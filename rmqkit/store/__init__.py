"""A broker's store files, read offline: DLedger's log with its states, and the consume queues.

What belongs here: files to values, over paths. What does not: containers, brokers that answer, other replicas.
"""

from __future__ import annotations

from rmqkit.store.reading import Entry, Found, StoreReading, read_store
from rmqkit.store.states import Checkpoint, TermFile
from rmqkit.store.walk import TermRun

__all__ = ["Checkpoint", "Entry", "Found", "StoreReading", "TermFile", "TermRun", "read_store"]
