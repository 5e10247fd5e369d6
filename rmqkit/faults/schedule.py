"""A schedule of faults, one after the other: drawn from a seed, or written down. The same seed draws the same schedule.

What belongs here: the plan as a value, and its text. What does not: carrying it out under traffic (``scenario.chaos``).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from random import Random
from typing import Any, cast

from rmqkit.cluster.cluster import Cluster
from rmqkit.errors import FaultError, NotFoundError, UsageError
from rmqkit.faults.fault import Fault
from rmqkit.faults.registry import make, values_of
from rmqkit.faults.wrapper import check_quorum

FORMAT = 1
STEP_KEYS = ("fault", "gap_s", "hold_s", "allow_quorum_loss")
"""What a written step has besides the fields of its fault, none of which may be called so."""


@dataclass(frozen=True, slots=True)
class Step:
    """``gap_s`` seconds of a healthy cluster, then ``fault``, which is undone after ``hold_s`` seconds."""

    fault: Fault
    gap_s: float = 5.0
    hold_s: float = 10.0
    allow_quorum_loss: bool = False

    def __post_init__(self) -> None:
        for name in ("gap_s", "hold_s"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e6:
                raise UsageError(f"{name}={value!r} of {self.fault} is not a number of seconds", hint="0 or more")
        if not isinstance(self.allow_quorum_loss, bool):
            raise UsageError(f"allow_quorum_loss={self.allow_quorum_loss!r} of {self.fault}", hint="true or false")

    def __str__(self) -> str:
        allowed = ", whatever becomes of the quorum" if self.allow_quorum_loss else ""
        return f"after {self.gap_s:g} s: {self.fault}, for {self.hold_s:g} s{allowed}"


@dataclass(frozen=True, slots=True)
class Schedule:
    """Faults in order. ``seed`` is what it was drawn from; None where it was written down."""

    steps: tuple[Step, ...]
    seed: int | None = None

    def __post_init__(self) -> None:
        if not self.steps:
            raise UsageError("a schedule without a step tests nothing", hint="give it one or more")

    @classmethod
    def random(
        cls,
        seed: int,
        *,
        duration_s: float,
        kinds: Sequence[type[Fault]],
        group: str | None = None,
        gap_s: tuple[float, float] = (3.0, 8.0),
        hold_s: tuple[float, float] = (5.0, 15.0),
    ) -> Schedule:
        """Draw faults of ``kinds`` until gaps and holds fill ``duration_s`` seconds; one at least.

        How long the cluster takes to recover comes on top: it is no choice of the schedule's. Each kind comes once
        before any comes again. ``group`` is for faults of peers in a cluster of several groups. Raises UsageError where
        there is nothing to draw from.
        """
        if not kinds:
            raise UsageError("no kind of fault to draw from", hint="name one or more")
        if not 0 < duration_s < float("inf"):
            raise UsageError(f"duration_s={duration_s} leaves nothing to do", hint="for example 60")
        rng = Random(seed)
        steps: list[Step] = []
        bag: list[type[Fault]] = []
        used = 0.0
        while True:
            bag = bag or rng.sample(list(kinds), len(kinds))
            fault = _of_group(bag.pop().random(rng), group)
            step = Step(fault, round(rng.uniform(*gap_s), 1), round(rng.uniform(*hold_s), 1))
            used += step.gap_s + step.hold_s
            if steps and used > duration_s:
                return cls(tuple(steps), seed)
            steps.append(step)

    def check(self, cluster: Cluster) -> None:
        """Raise FaultError, naming every step that this cluster cannot have, before any is tried.

        A step that would break a quorum and does not say ``allow_quorum_loss`` is one; so is one that is held longer
        than its guard lets it last (``dead_man_s``), or that means nothing with its targets. Raises NotFoundError,
        naming the step, for a name that there is not. The cluster is asked who leads, and must be healthy.
        """
        wrong = []
        for number, step in enumerate(self.steps, 1):
            try:
                step.fault.check_names(cluster)
            except NotFoundError as error:
                what = f"step {number} of the schedule, {step.fault}: {error.what}"
                raise NotFoundError(what, hint=error.hint, details=error.details) from error
            if why := _why_not(step, cluster):
                wrong.append(f"step {number}, {step.fault}: {why}")
        if wrong:
            raise FaultError(
                f"{len(wrong)} of {len(self.steps)} steps of the schedule cannot be done on this cluster",
                details=wrong,
                hint="leave them out; where losing the quorum is the point: allow_quorum_loss in the step",
            )

    def lines(self) -> list[str]:
        """A line a step, for people."""
        return [f"{number}. {step}" for number, step in enumerate(self.steps, 1)]

    def as_dict(self) -> dict[str, Any]:
        """Plain values: what is written down."""
        plain = [{"fault": step.fault.kind, **values_of(step.fault), **_timing(step)} for step in self.steps]
        return {"format": FORMAT, "seed": self.seed, "steps": plain}

    def to_json(self) -> str:
        """The text that :meth:`parse` reads."""
        return json.dumps(self.as_dict(), indent=2) + "\n"

    @classmethod
    def parse(cls, text: str, *, where: str = "the schedule") -> Schedule:
        """From what :meth:`to_json` gives, or was written by hand. Raises UsageError naming the step that is wrong."""
        try:
            plain = json.loads(text)
        except ValueError as error:
            raise UsageError(f"{where} is not JSON: {error}", hint=EXAMPLE) from error
        if not isinstance(plain, dict) or not isinstance(plain.get("steps"), list):
            raise UsageError(f"{where} has no list of steps", hint=EXAMPLE)
        if plain.get("format", FORMAT) != FORMAT:
            raise UsageError(f"{where} is of format {plain['format']!r}; this release knows {FORMAT}")
        unknown = sorted(set(plain) - {"format", "seed", "steps"})
        if unknown:
            raise UsageError(f"{where} has {', '.join(map(repr, unknown))} beside its steps", hint=EXAMPLE)
        seed = plain.get("seed")
        if seed is not None and type(seed) is not int:
            raise UsageError(f"{where}: seed {seed!r} is not a whole number", hint="leave it out")
        return cls(tuple(_step(each, f"{where}, step {i}") for i, each in enumerate(plain["steps"], 1)), seed)


EXAMPLE = 'for example {"steps": [{"fault": "kill", "target": "leader", "gap_s": 5, "hold_s": 10}]}'


def possible(cluster: Cluster, kinds: Iterable[type[Fault]]) -> tuple[list[type[Fault]], list[str]]:
    """Which kinds this cluster can have, and a line for each that it cannot: such are left out of a random schedule."""
    can: list[type[Fault]] = []
    left_out: list[str] = []
    for kind in kinds:
        why = _of_group(kind.random(Random(0)), cluster.members.groups[0]).why_not(cluster)
        if why:
            left_out.append(f"{kind.kind} is left out: {why}")
        else:
            can.append(kind)
    return can, left_out


def _why_not(step: Step, cluster: Cluster) -> str:
    """Why a step cannot be, as the cluster is now; "" if it can."""
    dead_man_s = getattr(step.fault, "dead_man_s", math.inf)
    if step.hold_s >= dead_man_s:
        return (
            f"held for {step.hold_s:g} s, it would end by itself before: its dead_man_s is {dead_man_s:g}; "
            "give it a longer one"
        )
    if why := step.fault.why_not(cluster):
        return why
    try:
        targets = step.fault.targets(cluster)
        step.fault.check_targets(cluster, targets)
        for out in step.fault.out_at_once(targets):
            check_quorum(cluster, out, allow_quorum_loss=step.allow_quorum_loss)
    except (FaultError, UsageError) as error:
        return error.what
    return ""


def _of_group(fault: Fault, group: str | None) -> Fault:
    if group is None or "group" not in {each.name for each in fields(cast("Any", fault))}:
        return fault
    return cast("Fault", replace(cast("Any", fault), group=group))


def _timing(step: Step) -> dict[str, Any]:
    allowed = {"allow_quorum_loss": True} if step.allow_quorum_loss else {}
    return {"gap_s": step.gap_s, "hold_s": step.hold_s, **allowed}


def _step(plain: Any, where: str) -> Step:
    if not isinstance(plain, dict) or not isinstance(plain.get("fault"), str):
        raise UsageError(f"{where} names no fault", hint=EXAMPLE)
    timing = {name: plain[name] for name in STEP_KEYS[1:] if name in plain}
    values = {name: value for name, value in plain.items() if name not in STEP_KEYS}
    try:
        return Step(make(plain["fault"], **values), **timing)
    except UsageError as error:
        raise UsageError(f"{where}: {error.what}", hint=error.hint, details=error.details) from error
