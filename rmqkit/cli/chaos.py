"""``rmqkit chaos``: a schedule of faults under traffic, drawn from a seed or read from a file, and the verdict."""

from __future__ import annotations

import json
import secrets
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rmqkit.cli.common import say, settings, show
from rmqkit.cli.drill_report import DrillReport
from rmqkit.cli.proof import bounds, check_max_outage, check_new_file, export_history, started_or_own, steps
from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.signals import sigterm_unwinds
from rmqkit.errors import FaultError, UsageError
from rmqkit.faults import Fault, Schedule
from rmqkit.faults.registry import kinds
from rmqkit.faults.schedule import possible
from rmqkit.history import History
from rmqkit.scenario import ChaosResult, DrillPlan, chaos
from rmqkit.settings import DEFAULT_EDITION
from rmqkit.topology.spec import ClusterSpec

DEFAULT_SECONDS = 60.0
DEFAULT_RATE = 200.0
DEFAULT_THREADS = 4
DEFAULT_FAULTS = "kill,stop,restart,pause"


def run(
    *,
    seed: int | None,
    duration: float | None,
    faults: str | None,
    schedule: Path | None,
    edition: str | None,
    run: str | None,
    group: str | None,
    rate: float,
    threads: int,
    history: Path | None,
    report: Path | None,
    max_outage: float | None,
    timeout: float | None,
    as_json: bool,
    spec: ClusterSpec | None = None,
    replayed: str = "",
) -> int:
    """Carry the schedule out; the exit code is the verdict's.

    ``spec``: of another cluster than the edition's usual one. ``replayed``: the command that repeats this run.
    """
    if not rate > 0 or threads < 1:
        raise UsageError("--rate and --threads must be positive", hint="for example --rate 100 --threads 4")
    if schedule is not None and (seed, duration, faults) != (None, None, None):
        raise UsageError(
            "--schedule says what is done: --seed, --duration and --faults do not go with it", hint="leave them out"
        )
    if duration is not None and not 0 < duration < 1e6:
        raise UsageError(f"--duration {duration:g} is no number of seconds to do anything in", hint="for example 60")
    source: _Source
    if schedule is not None:
        source = _Written(schedule, _read(schedule))
    else:
        seed = secrets.randbelow(2**31) if seed is None else seed
        source = _Drawn(seed, duration or DEFAULT_SECONDS, kinds(faults if faults is not None else DEFAULT_FAULTS))
    check_max_outage(max_outage)
    check_new_file(history)
    chosen = settings(edition=edition, timeout_s=timeout)
    step = steps()
    record = History()
    options = {
        "faults": " ".join(_words(source.options())),
        "edition": chosen.edition,
        "rate": rate,
        "threads": threads,
        "timeout_s": chosen.timeout_s,
    }
    with ExitStack() as stack:
        stack.enter_context(sigterm_unwinds())
        told = stack.enter_context(
            DrillReport(report, history=record, options=options, command="chaos", what="Scheduled faults")
        )
        if history is not None:
            stack.callback(export_history, record, history)
        again: object = replayed or _Again(
            source,
            {
                "edition": chosen.edition if run is None and chosen.edition != DEFAULT_EDITION else None,
                "run": run,
                "group": group,
                "rate": rate if rate != DEFAULT_RATE else None,
                "threads": threads if threads != DEFAULT_THREADS else None,
                "max-outage": max_outage,
                "timeout": timeout,
            },
        )
        step(f"this run again: {again}")
        stack.enter_context(_says_how_to_repeat(again))
        cluster = stack.enter_context(started_or_own(run, chosen, step, spec=spec))
        build = str(cluster.build_info())
        name = cluster.members.of(group)[0].group
        step(f"{cluster.status().group(name).summary} ({build})")
        planned = source.schedule(cluster, group=name, step=step)
        for line in planned.lines():
            say(f"  {line}")
        plan = DrillPlan(rate=rate, threads=threads, max_outage_s=max_outage or 0.0)
        told.of(cluster, group=name, plan=plan)
        stack.enter_context(told.watching(cluster, schedule=planned))
        result = chaos(cluster, planned, group=name, plan=plan, history=record, on_step=step)
        facts = result.as_dict()
        told.ended(
            result.verdict,
            seed=planned.seed,
            chaos={name: facts[name] for name in ("schedule", "faults", "unread")},
            lost=facts["lost"],
        )
        show([json.dumps({"build": build, **facts}, indent=2)] if as_json else _text(result, build, again))
        step("taking the cluster down" if run is None else "done; the cluster stays up")
    return result.verdict.exit_code


class _Source(Protocol):
    """Where the schedule comes from; as text: the options by which it comes again, once it is known."""

    def schedule(self, cluster: Cluster, *, group: str, step: Callable[[str], None]) -> Schedule: ...

    def options(self) -> dict[str, object]: ...


@dataclass(frozen=True, slots=True)
class _Written:
    path: Path
    steps: Schedule

    def schedule(self, cluster: Cluster, *, group: str, step: Callable[[str], None]) -> Schedule:  # noqa: ARG002
        return self.steps  # whatever cluster it is: `chaos` refuses what it cannot have

    def options(self) -> dict[str, object]:
        return {"schedule": self.path}


@dataclass(slots=True)
class _Drawn:
    seed: int
    seconds: float
    kinds: Sequence[type[Fault]]
    """Those that are wanted; once it has been drawn, those that it was drawn from."""

    def schedule(self, cluster: Cluster, *, group: str, step: Callable[[str], None]) -> Schedule:
        can, left_out = possible(cluster, self.kinds)
        for line in left_out:
            step(line)
        if not can:
            raise FaultError(
                "this cluster can have none of the faults that are asked for",
                details=left_out,
                hint="name others with --faults",
            )
        # What is left out changes what a seed draws: on a cluster that can have it, the run comes again without it.
        self.kinds = can
        several = len(cluster.members.groups) > 1
        return Schedule.random(self.seed, duration_s=self.seconds, kinds=can, group=group if several else None)

    def options(self) -> dict[str, object]:
        kinds = ",".join(each.kind for each in self.kinds)
        return {"seed": self.seed, "duration": self.seconds, "faults": kinds}


@dataclass(frozen=True, slots=True)
class _Again:
    """The command that repeats the run, as a shell reads it; ``others`` are options, None where not given."""

    source: _Source
    others: Mapping[str, object]

    def __str__(self) -> str:
        return shlex.join(["rmqkit", "chaos", *_words(self.source.options()), *_words(self.others)])


def _words(options: Mapping[str, object]) -> Iterator[str]:
    for name, value in options.items():
        if value is not None:
            yield f"--{name}"
            yield f"{value:.15g}" if isinstance(value, float) else str(value)


def _read(path: Path) -> Schedule:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", hint="name a file as in docs/faults.md") from error
    return Schedule.parse(text, where=str(path))


@contextmanager
def _says_how_to_repeat(again: object) -> Iterator[None]:
    """Every failure says by which seed it comes again."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"This run again: {again}")
        raise


def _text(result: ChaosResult, build: str, again: object) -> list[str]:
    numbers = result.verdict.numbers
    phases = ", ".join(f"{numbers[f'acknowledged_{when}_fault']} {when}" for when in ("before", "during", "after"))
    return [
        "",
        build,
        "",
        *map(str, result.injections),
        "",
        (
            f"{numbers['sent']} sends: {numbers['acknowledged']} acknowledged ({phases} the faults), "
            f"{numbers['refused']} refused, {numbers['unknown']} unknown"
        ),
        *(bounds(each) for each in result.outages),
        f"{numbers['read']} messages read back from {numbers['replicas']} replicas",
        *(f"{replica} was not read to its end: {why}" for replica, why in result.unread.items()),
        "",
        f"this run again: {again}",
        str(result.verdict),
        *(["", *result.places.lines()] if result.places is not None else []),
    ]
