"""``--report`` of the drill: what a report says of it, gathered while it goes on and written however it ends."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rmqkit.checks import Thresholds
from rmqkit.cli.common import say
from rmqkit.cluster.cluster import Cluster
from rmqkit.errors import RmqkitError
from rmqkit.history import History
from rmqkit.report import prepare_report, write_report
from rmqkit.scenario import DrillPlan, DrillResult


class DrillReport:
    """Use it with ``with`` around the drill. ``directory`` None: nothing is written.

    A drill that failed half-way is reported as well, when anything was sent: then its history is wanted most.
    """

    def __init__(self, directory: Path | None, *, history: History, options: Mapping[str, Any]) -> None:
        self._directory = directory
        self._history = history
        self._options = options
        self._cluster: dict[str, Any] = {}
        self._thresholds = Thresholds()
        self._result: DrillResult | None = None
        self._title = "Drill"

    def __enter__(self) -> Self:
        if self._directory is not None:
            prepare_report(self._directory)
        self._began = time.time()
        return self

    def of(self, cluster: Cluster, *, group: str, plan: DrillPlan) -> None:
        """The cluster is up: say which it is, and what the verdict will need."""
        info = cluster.build_info()
        members = cluster.members.of(group)
        self._cluster = {
            "edition": info.edition if info else "unknown",
            "build": str(info) if info else "",
            "run": cluster.run or "",
            "group": group,
            "peers": [f"{peer.id} {peer.address}" for peer in members],
            "nameservers": list(cluster.nameservers),
        }
        self._thresholds = plan.thresholds(len(members))
        self._title = f"Leader kill on {info.short}" if info else "Leader kill"

    def ended(self, result: DrillResult) -> None:
        """The drill came to its end."""
        self._result = result

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._directory is None or self._history.send_count == 0:
            return
        try:
            page = self._write(self._directory, error)
        except RmqkitError as second:
            if error is None:
                raise
            error.add_note(f"Besides, the report was not written: {second}")
        else:
            say(f"the report is {page}")

    def _write(self, directory: Path, error: BaseException | None) -> Path:
        result = self._result
        summary: dict[str, Any] = {
            "format": 1,
            "command": "drill",
            "started_at": datetime.fromtimestamp(int(self._began), tz=UTC).isoformat(),
            "duration_s": round(time.time() - self._began, 3),
            "ended_by": "verdict" if error is None else type(error).__name__,
            "options": self._options,
            "cluster": self._cluster,
            "notes": []
            if error is None
            else [f"The drill did not come to its end: {str(error) or type(error).__name__}"],
        }
        if result is not None:
            # The verdict is judged from the history; it has no second place from which it could differ.
            facts = result.as_dict()
            summary["failover"] = {
                name: facts[name] for name in ("victim", "successor", "elections", "timeline", "unread")
            }
            if facts["lost"] is not None:
                summary["lost"] = facts["lost"]
                summary["notes"] = [*summary["notes"], *(f"Lost: {line}" for line in _kinds(facts["lost"]))]
        return write_report(
            directory,
            history=self._history,
            summary=summary,
            thresholds=self._thresholds,
            verdict=result.verdict if result is not None else None,
            title=self._title,
            command=["rmqkit", *sys.argv[1:]],
        )


def _kinds(lost: Mapping[str, Any]) -> list[str]:
    return [f"{count} {kind}" for kind, count in lost["kinds"].items()]
