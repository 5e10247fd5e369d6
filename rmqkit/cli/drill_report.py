"""``--report`` of drill and chaos: what a report says of it, gathered while it goes on, written however it ends."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rmqkit.checks import Thresholds, Verdict
from rmqkit.cli.common import say
from rmqkit.cluster.cluster import Cluster
from rmqkit.errors import RmqkitError, UsageError
from rmqkit.faults import Schedule
from rmqkit.history import History
from rmqkit.report import check_target, prepare_report, write_report
from rmqkit.scenario import DrillPlan
from rmqkit.witness import Witness, witness_folder, witnessed


class DrillReport:
    """Use it with ``with`` around the drill, or whatever ``command`` is. ``directory`` None: nothing is written.

    ``what`` was done to the cluster is the title's beginning. A run that failed half-way is reported as well, when
    anything was sent: then its history is wanted most.
    """

    def __init__(
        self,
        directory: Path | None,
        *,
        history: History,
        options: Mapping[str, Any],
        command: str = "drill",
        what: str = "Leader kill",
    ) -> None:
        self._directory = directory
        self._history = history
        self._options = options
        self._cluster: dict[str, Any] = {}
        self._thresholds = Thresholds()
        self._verdict: Verdict | None = None
        self._facts: Mapping[str, Any] = {}
        self._command = command
        self._what = what
        self._title = command.capitalize()
        self._witness: Witness | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if self._directory is not None:
            prepare_report(self._directory)
            self._witness = self._stack.enter_context(witness_folder())
        self._began = time.time()
        self._clock = time.monotonic()
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
        self._title = f"{self._what} on {info.short}" if info else self._what

    @contextmanager
    def watching(self, cluster: Cluster, *, schedule: Schedule | None = None) -> Iterator[None]:
        """Around the run, while the cluster is there: what it was and said is kept with the report.

        A run that does not come to its verdict leaves a history that says so, also where there is no report.
        """
        try:
            with ExitStack() as stack:
                if self._witness is not None:
                    stack.enter_context(witnessed(cluster, self._witness, schedule=schedule))
                yield
        except BaseException as error:
            if self._verdict is None:
                self._history.incomplete = self._unfinished(error)
            raise

    def _unfinished(self, error: BaseException) -> str:
        why = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error) or type(error).__name__
        return f"the {self._command} did not come to its end: {why}"

    def ended(self, verdict: Verdict, **facts: Any) -> None:
        """It came to its end. ``facts`` go into the summary beside the verdict."""
        self._verdict = verdict
        self._facts = {name: fact for name, fact in facts.items() if fact is not None}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            self._leave(error)

    def _leave(self, error: BaseException | None) -> None:
        if self._directory is None or self._history.send_count == 0:
            return
        try:
            page = self._write(_free(self._directory), error)
        except RmqkitError as second:
            if error is None:
                raise
            error.add_note(f"Besides, the report was not written: {second}")
        else:
            say(f"the report is {page}")

    def _write(self, directory: Path, error: BaseException | None) -> Path:
        summary: dict[str, Any] = {
            "format": 1,
            "command": self._command,
            "started_at": datetime.fromtimestamp(int(self._began), tz=UTC).isoformat(),
            "duration_s": round(time.monotonic() - self._clock, 3),
            "ended_by": "verdict" if error is None else type(error).__name__,
            "options": self._options,
            "cluster": self._cluster,
            "notes": [] if error is None else [_sentence(self._unfinished(error))],
        }
        # The verdict is judged from the history; it has no second place from which it could differ.
        summary.update(self._facts)
        if lost := summary.get("lost"):
            summary["notes"] += [f"Lost: {count} {kind}" for kind, count in lost["kinds"].items()]
        if self._witness is not None:
            summary["notes"] += map(_sentence, self._witness.trouble)
        return write_report(
            directory,
            history=self._history,
            summary=summary,
            thresholds=self._thresholds,
            verdict=self._verdict,
            title=self._title,
            command=["rmqkit", *sys.argv[1:]],
            beside=self._witness.folder if self._witness is not None else None,
        )


def _free(directory: Path) -> Path:
    """The folder, or where another run has filled it meanwhile one beside it: nothing is overwritten, nothing lost."""
    directory = directory.absolute()  # "." has no name to make others of
    for number in range(1, 100):
        found = directory if number == 1 else directory.with_name(f"{directory.name}-{number}")
        try:
            check_target(found)
        except UsageError:
            continue
        return found
    return directory


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
