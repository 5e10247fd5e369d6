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

from rmqkit.checks import timeline_lines
from rmqkit.cli.common import say, settings, show
from rmqkit.cli.proof import Wanted, evidence, ground, judgement, recorded, steps
from rmqkit.cluster.cluster import Cluster
from rmqkit.errors import FaultError, UsageError
from rmqkit.faults import Fault, Schedule
from rmqkit.faults.registry import kinds
from rmqkit.faults.schedule import possible
from rmqkit.history import History
from rmqkit.scenario import ChaosResult, DrillPlan, chaos
from rmqkit.settings import DEFAULT_EDITION, DEFAULT_RATE, DEFAULT_THREADS, Settings

DEFAULT_SECONDS = 60.0
DEFAULT_FAULTS = "kill,stop,restart,pause"


def run(wanted: Wanted, *, seed: int | None, duration: float | None, faults: str | None, schedule: Path | None) -> int:
    """Carry the schedule out; the exit code is the verdict's."""
    if not wanted.rate > 0 or wanted.threads < 1:
        raise UsageError("--rate and --threads must be positive", hint="for example --rate 100 --threads 4")
    source = _source(seed=seed, duration=duration, faults=faults, schedule=schedule)
    wanted.check()
    chosen = settings(edition=wanted.edition, timeout_s=wanted.timeout)
    step = steps()
    record = History()
    options = {
        "faults": " ".join(_words(source.options())),
        "edition": chosen.edition,
        "rate": wanted.rate,
        "threads": wanted.threads,
        "timeout_s": chosen.timeout_s,
    }
    again: object = wanted.replayed or _Again(source, _given(wanted, chosen))
    with ExitStack() as stack:
        told = stack.enter_context(recorded(wanted, record, options=options, command="chaos", what="Scheduled faults"))
        step(f"this run again: {again}")
        stack.enter_context(_says_how_to_repeat(again))
        on = stack.enter_context(ground(wanted, chosen, step))
        planned = source.schedule(on.cluster, group=on.group, step=step)
        for line in planned.lines():
            say(f"  {line}")
        plan = DrillPlan(rate=wanted.rate, threads=wanted.threads, max_outage_s=wanted.max_outage or 0.0)
        told.of(on.cluster, group=on.group, plan=plan)
        stack.enter_context(told.watching(on.cluster, schedule=planned))
        result = chaos(on.cluster, planned, group=on.group, plan=plan, history=record, on_step=step)
        facts = result.as_dict()
        told.ended(
            result.verdict,
            seed=planned.seed,
            chaos={name: facts[name] for name in ("schedule", "faults", "unread")},
            timelines=facts["timelines"],
            lost=facts["lost"],
        )
        if wanted.as_json:
            show([json.dumps({"build": on.build, **facts}, indent=2)])
        else:
            show(_text(result, on.build, again))
        step(wanted.last_step)
    return result.verdict.exit_code


def _source(*, seed: int | None, duration: float | None, faults: str | None, schedule: Path | None) -> _Source:
    """Where the schedule comes from. Raises UsageError for options that do not go together."""
    if schedule is not None and (seed, duration, faults) != (None, None, None):
        raise UsageError(
            "--schedule says what is done: --seed, --duration and --faults do not go with it", hint="leave them out"
        )
    if duration is not None and not 0 < duration < 1e6:
        raise UsageError(f"--duration {duration:g} is no number of seconds to do anything in", hint="for example 60")
    if schedule is not None:
        return _Written(schedule, _read(schedule))
    seed = secrets.randbelow(2**31) if seed is None else seed
    return _Drawn(seed, duration or DEFAULT_SECONDS, kinds(faults if faults is not None else DEFAULT_FAULTS))


def _given(wanted: Wanted, chosen: Settings) -> dict[str, object]:
    """The options that make the run what it is, beside its schedule; None for those that are as by default."""
    other_edition = wanted.run is None and chosen.edition != DEFAULT_EDITION
    return {
        "edition": chosen.edition if other_edition else None,
        "run": wanted.run,
        "group": wanted.group,
        "rate": wanted.rate if wanted.rate != DEFAULT_RATE else None,
        "threads": wanted.threads if wanted.threads != DEFAULT_THREADS else None,
        "max-outage": wanted.max_outage,
        "timeout": wanted.timeout,
    }


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
    return [
        "",
        build,
        "",
        *timeline_lines(result.timelines),
        "",
        *evidence(result, around="the faults"),
        "",
        f"this run again: {again}",
        *judgement(result),
    ]
