"""A broker's runtime figures as values.

What belongs here: names, types and units for the text table of GET_BROKER_RUNTIME_INFO. What does not:
asking for it (``broker``).

Source: AdminBrokerProcessor.prepareRuntimeInfo, StoreStatsService.getRuntimeInfo, ClusterListSubCommand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rmqkit.errors import WireError


@dataclass(frozen=True, slots=True)
class RuntimeInfo:
    """What one broker says about itself now. ``table`` is everything, as text."""

    table: Mapping[str, str]

    @property
    def version(self) -> str:
        """For example ``V4_5_1``."""
        return self.table.get("brokerVersionDesc", "")

    @property
    def boot_ms(self) -> int:
        """When its store was started: changes with every restart."""
        return self._number("bootTimestamp")

    @property
    def committed_position(self) -> int:
        """commitLogMaxOffset: in DLedger mode the byte position up to which a majority has the log."""
        return self._number("commitLogMaxOffset")

    @property
    def min_position(self) -> int:
        """commitLogMinOffset: where the log still begins."""
        return self._number("commitLogMinOffset")

    @property
    def dispatch_behind_bytes(self) -> int:
        """Bytes that are in the log and not yet in the consume queues."""
        return self._number("dispatchBehindBytes")

    @property
    def put_tps(self) -> float:
        """Messages stored per second over the last 10 s."""
        return self._first_rate("putTps")

    @property
    def get_tps(self) -> float:
        """Messages handed to consumers per second over the last 10 s (5.x writes the key with two r)."""
        return self._first_rate("getTransferredTps" if "getTransferredTps" in self.table else "getTransferedTps")

    @property
    def send_queue_size(self) -> int:
        """Sends that wait for a thread."""
        return self._number("sendThreadPoolQueueSize")

    @property
    def pull_queue_size(self) -> int:
        """Pulls that wait for a thread."""
        return self._number("pullThreadPoolQueueSize")

    @property
    def send_head_wait_ms(self) -> int:
        """How long the oldest waiting send has waited."""
        return self._number("sendThreadPoolQueueHeadWaitTimeMills")

    @property
    def pull_head_wait_ms(self) -> int:
        """How long the oldest waiting pull has waited."""
        return self._number("pullThreadPoolQueueHeadWaitTimeMills")

    @property
    def page_cache_lock_ms(self) -> int:
        """How long the append in progress has held the log's lock (column #PCWait)."""
        return self._number("pageCacheLockTimeMills")

    @property
    def earliest_message_ms(self) -> int | None:
        """When the oldest message was stored, or None while there is none (the broker then answers -1)."""
        value = self._number("earliestMessageTimeStamp")
        return value if value > 0 else None

    @property
    def disk_ratio(self) -> float | None:
        """Used part of the log's disk, 0 to 1; None where the broker answers -1 (4.5 in DLedger mode)."""
        value = self._rate("commitLogDiskRatio")
        return value if value >= 0 else None

    def _number(self, name: str) -> int:
        return int(self._rate(name))

    def _first_rate(self, name: str) -> float:
        """The first of three averages; blank until the broker has sampled twice, which mqadmin shows as 0."""
        if name not in self.table:
            raise WireError(f"runtime info has no {name}")
        parts = self.table[name].split()
        return self._as_float(name, parts[0]) if parts else 0.0

    def _rate(self, name: str) -> float:
        return self._as_float(name, self.table.get(name, ""))

    @staticmethod
    def _as_float(name: str, text: str) -> float:
        try:
            return float(text)
        except ValueError:
            raise WireError(f"runtime info has {name}={text!r} where a number belongs") from None
