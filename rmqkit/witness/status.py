"""Samples of a cluster's status, taken in the background as JSON lines: written while they come, or the last kept."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.status import ClusterStatus, ask
from rmqkit.transport.pool import ChannelPool

EVERY_S = 1.0
MOST_KEPT = 900
"""A quarter of an hour, and some megabytes."""
_PATIENCE_S = 0.5


class StatusSamples:
    """Use it with ``with``: a sample when it begins, one every ``every_s`` seconds, one when it ends.

    Each is a line of the new file ``path``: ``at_ns`` of the monotonic clock that the history has, ``at`` in UTC, and
    what ``rmqkit status --json`` prints. Asking writes nothing to the cluster and takes it some milliseconds. A sample
    that cannot be taken is a line with ``error``; one that cannot be written ends the sampling, and nothing else:
    ``trouble`` then says why.
    """

    def __init__(self, cluster: Cluster, path: Path, *, every_s: float = EVERY_S) -> None:
        self._cluster = cluster
        self._path = path
        self._every_s = every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="rmqkit-status-samples", daemon=True)
        self.trouble = ""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        # A sample of peers that are frozen takes as long as its time-out, two seconds.
        self._thread.join(timeout=10)
        if self._thread.is_alive():
            self.trouble = f"{self._path.name} has no last sample: it had not come after 10 s"

    def _work(self) -> None:
        try:
            # Connections of its own: a time-out here must not close one that somebody else is waiting at.
            with self._path.open("x", encoding="utf-8") as out, ChannelPool() as pool:
                last = False
                while True:
                    out.write(_sample(self._cluster, pool))
                    out.flush()
                    if last:
                        return
                    last = self._over.wait(self._every_s)
        except OSError as error:
            self.trouble = f"{self._path.name} could not be written: {error}"


class StatusMemory:
    """The same in memory: the last ``most`` samples of a cluster, one every ``every_s`` seconds, for whoever asks.

    Bounded: a line is of some kilobytes. Nothing of it raises, and a sample costs some milliseconds of a processor.
    """

    def __init__(self, cluster: Cluster, *, every_s: float = EVERY_S, most: int = MOST_KEPT) -> None:
        self._cluster = cluster
        self._every_s = every_s
        self._kept: deque[tuple[int, str]] = deque(maxlen=most)
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="rmqkit-status-memory", daemon=True)

    def start(self) -> None:
        """Take the first sample, and go on."""
        self._thread.start()

    def stop(self) -> None:
        """Take no more. One of peers that are frozen, which takes its time-out, is not waited for."""
        self._over.set()
        self._thread.join(timeout=_PATIENCE_S)

    def since(self, at_ns: int) -> list[str]:
        """The lines of samples taken at ``at_ns`` of the monotonic clock or later, and of the last one before:
        how things stood then."""
        with self._lock:
            kept = list(self._kept)
        before = sum(taken < at_ns for taken, _ in kept)
        return [line for _, line in kept[max(0, before - 1) :]]

    def _work(self) -> None:
        with ChannelPool() as pool:
            while True:
                line = _sample(self._cluster, pool)
                with self._lock:
                    self._kept.append((time.monotonic_ns(), line))
                if self._over.wait(self._every_s):
                    return


def _sample(cluster: Cluster, pool: ChannelPool) -> str:
    try:
        return status_line(ask(pool, cluster.members, cluster.nameservers))
    except Exception as error:  # noqa: BLE001 - a sample is no reason to end a run
        return _line({"error": f"{type(error).__name__}: {error}"})


def status_line(status: ClusterStatus) -> str:
    """A sample that was taken now."""
    return _line(status.as_dict())


def _line(said: Mapping[str, object]) -> str:
    at = {"at_ns": time.monotonic_ns(), "at": datetime.now(tz=UTC).isoformat(timespec="milliseconds")}
    return json.dumps({**at, **said}) + "\n"
