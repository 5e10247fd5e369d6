"""What ``drill`` and ``chaos`` share: options, the cluster that is proved, the record of it, words for the answer."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmqkit.checks import Outage
from rmqkit.cli.common import own_cluster, say
from rmqkit.cli.drill_report import DrillReport
from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.signals import sigterm_unwinds
from rmqkit.errors import MachineError, UsageError
from rmqkit.history import History
from rmqkit.scenario import ChaosResult, DrillResult
from rmqkit.settings import Settings
from rmqkit.topology.spec import ClusterSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The options that both have, as they were given; None: not given.

    ``spec`` is of another cluster than the edition's usual one; ``replayed`` is the command that does a replay again.
    """

    edition: str | None
    run: str | None
    group: str | None
    rate: float
    threads: int
    history: Path | None
    report: Path | None
    max_outage: float | None
    timeout: float | None
    as_json: bool
    spec: ClusterSpec | None = None
    replayed: str = ""

    def check(self) -> None:
        """Raise UsageError for a bound that no run can keep, or a file that is there or cannot be made."""
        check_max_outage(self.max_outage)
        if self.history is None:
            return
        if self.history.exists():
            raise UsageError(f"{self.history} exists already", hint="name a file that does not exist yet")
        if not os.access(self.history.parent, os.W_OK):
            raise UsageError(
                f"{self.history.parent} is not a folder that can be written to", hint="name a file in one that is"
            )

    @property
    def last_step(self) -> str:
        """What is said when the answer is there."""
        return "taking the cluster down" if self.run is None else "done; the cluster stays up"


def check_max_outage(seconds: float | None) -> None:
    """Raise UsageError for a bound that no run can keep."""
    if seconds is not None and not 0 < seconds < 1e6:
        raise UsageError(f"--max-outage {seconds:g} is no number of seconds to be away for", hint="for example 15")


@dataclass(frozen=True, slots=True)
class Ground:
    """What is proved: a group of a cluster that is up; ``build`` says what its image was built from."""

    cluster: Cluster
    group: str
    build: str


@contextmanager
def recorded(wanted: Wanted, record: History, *, options: Mapping[str, Any], **words: str) -> Iterator[DrillReport]:
    """Have ``record`` written where the options say so, however the run ends: it is wanted most when it fails.

    ``words`` are the report's ``command`` and ``what``.
    """
    with ExitStack() as stack:
        stack.enter_context(sigterm_unwinds())
        told = stack.enter_context(DrillReport(wanted.report, history=record, options=options, **words))
        if wanted.history is not None:
            stack.callback(export_history, record, wanted.history)
        yield told


@contextmanager
def ground(wanted: Wanted, chosen: Settings, step: Callable[[str], None]) -> Iterator[Ground]:
    """The group that is meant, of the cluster that is meant, said in one line. Raises NotFoundError for a group."""
    with started_or_own(wanted.run, chosen, step, spec=wanted.spec) as cluster:
        build = str(cluster.build_info())
        group = cluster.members.of(wanted.group)[0].group
        step(f"{cluster.status().group(group).summary} ({build})")
        yield Ground(cluster, group, build)


def steps() -> Callable[[str], None]:
    """Says each step with the seconds since now."""
    began = time.monotonic()
    return lambda text: say(f"[{time.monotonic() - began:6.1f} s] {text}")


@contextmanager
def started_or_own(
    run: str | None, chosen: Settings, step: Callable[[str], None], *, spec: ClusterSpec | None = None
) -> Iterator[Cluster]:
    """The kit's cluster of that run; without one, a new one (of ``spec``, if given) that is taken down at the end."""
    if run is not None:
        with own_cluster(run, timeout_s=chosen.timeout_s) as cluster:
            yield cluster
        return
    step(f"starting a cluster of edition {chosen.edition}")
    with Cluster.start(spec, edition=chosen.edition, timeout_s=chosen.timeout_s) as cluster:
        yield cluster


def export_history(record: History, path: Path) -> None:
    """Write every operation as JSON lines, if there was any."""
    if record.send_count == 0:
        return
    try:
        record.export_jsonl(path)
    except OSError as error:
        raise MachineError(f"the history could not be written to {path}: {error}", hint="is the disk full?") from error
    say(f"every operation is in {path}")


def bounds(outage: Outage) -> str:
    """How long the service was away around one fault, in words."""
    if outage.upper_s is None:
        return f"{outage.fault} of {outage.target}: the sends do not bound how long the service was away"
    between = f"{outage.lower_s:.2f} to {outage.upper_s:.2f} s"
    failed = f"{outage.refused} sends refused in between, {outage.unknown} of unknown outcome"
    return f"{outage.fault} of {outage.target}: the service was away for {between} ({failed})"


def evidence(result: DrillResult | ChaosResult, *, around: str, more: tuple[str, ...] = ()) -> list[str]:
    """What was sent ``around`` the fault and what was read back, a line each; ``more`` after the line of the sends."""
    numbers = result.verdict.numbers
    phases = ", ".join(f"{numbers[f'acknowledged_{when}_fault']} {when}" for when in ("before", "during", "after"))
    return [
        (
            f"{numbers['sent']} sends: {numbers['acknowledged']} acknowledged ({phases} {around}), "
            f"{numbers['refused']} refused, {numbers['unknown']} unknown"
        ),
        *more,
        *(bounds(each) for each in result.outages),
        f"{numbers['read']} messages read back from {numbers['replicas']} replicas",
        *(f"{replica} was not read to its end: {why}" for replica, why in result.unread.items()),
    ]


def judgement(result: DrillResult | ChaosResult) -> list[str]:
    """The verdict, and where the messages are that it calls lost."""
    return [str(result.verdict), *(("", *result.places.lines()) if result.places is not None else ())]
