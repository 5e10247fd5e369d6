"""``rmqkit replay``: do again what a run did, on a cluster of the same edition and shape, and judge that."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmqkit.cli import chaos, drill
from rmqkit.cli.common import say
from rmqkit.cli.proof import Wanted
from rmqkit.cluster.engine import Engine
from rmqkit.cluster.images import build_info
from rmqkit.cluster.ports import reserve_block
from rmqkit.errors import MachineError, SpecError, UsageError
from rmqkit.history import History
from rmqkit.report.evidence import Evidence, load
from rmqkit.topology.spec import ClusterSpec
from rmqkit.witness import SCHEDULE, SPEC


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a folder says of its run, as far as it is needed to do it again."""

    command: str
    spec: ClusterSpec
    build: str
    group: str | None
    rate: float
    threads: int
    acked: int
    max_outage_s: float | None
    timeout_s: float | None


def run(
    *,
    directory: Path,
    history: Path | None,
    report: Path | None,
    max_outage: float | None,
    timeout: float | None,
    as_json: bool,
) -> int:
    """The exit code is the new run's verdict's; bounds that are given take the place of the recorded ones."""
    found = recorded(directory)
    _say_what_differs(found)
    lowest = min(found.spec.ports()) // 10 * 10
    bounds = {"max-outage": max_outage, "timeout": timeout}
    again = [word for name, value in bounds.items() if value is not None for word in (f"--{name}", f"{value:.15g}")]
    with reserve_block(max(found.spec.ports()) - lowest + 10) as block:
        wanted = Wanted(
            edition=found.spec.edition,
            run=None,
            group=found.group,
            rate=found.rate,
            threads=found.threads,
            history=history,
            report=report,
            max_outage=max_outage if max_outage is not None else found.max_outage_s,
            timeout=timeout if timeout is not None else found.timeout_s,
            as_json=as_json,
            spec=found.spec.shifted(block.base - lowest),
            replayed=shlex.join(["rmqkit", "replay", str(directory), *again]),
        )
        if found.command == "drill":
            return drill.run(wanted, acked=found.acked)
        return chaos.run(wanted, seed=None, duration=None, faults=None, schedule=directory / SCHEDULE)


def recorded(directory: Path) -> Recorded:
    """Read it, and see that it can be done again. Raises UsageError for a folder that does not say how."""
    # Its operations are not needed, and may be millions.
    evidence = load(directory, history=History())
    command = str(evidence.summary["command"])
    if command not in ("drill", "chaos"):
        raise UsageError(
            f"{directory} is of `{command}`, which cannot be replayed", hint="name a folder of a drill or of chaos"
        )
    for name in (SPEC, *([SCHEDULE] if command == "chaos" else [])):
        if name not in evidence.files:
            raise UsageError(
                f"{directory} has no {name}: it was written by an earlier version, or its cluster never came up",
                hint=f"the command that it was written by: {shlex.join(evidence.command)}",
            )
    return _recorded(directory, command, evidence)


def _recorded(directory: Path, command: str, evidence: Evidence) -> Recorded:
    options, cluster = (_mapping(evidence.summary.get(name)) for name in ("options", "cluster"))
    bound = evidence.thresholds.max_outage_s if evidence.thresholds else 0.0
    try:
        timeout = options.get("timeout_s")
        return Recorded(
            command=command,
            spec=_spec(directory / SPEC),
            build=str(cluster.get("build") or ""),
            group=str(cluster["group"]) if cluster.get("group") else None,
            rate=float(options["rate"]),
            threads=int(options["threads"]),
            acked=int(options["acked"]) if command == "drill" else 0,
            max_outage_s=bound if bound > 0 else None,
            timeout_s=float(timeout) if timeout is not None else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{directory}: what its summary says of the options cannot be used: {error!r}",
            hint=f"the command that it was written by: {shlex.join(evidence.command)}",
        ) from error


def _spec(path: Path) -> ClusterSpec:
    try:
        return ClusterSpec.from_json(path.read_text(encoding="utf-8"))
    except SpecError as error:
        raise UsageError(f"{path} is no specification of a cluster: {error.what}", hint=error.hint) from error
    except OSError as error:
        raise MachineError(f"{path} cannot be read: {error.strerror}", hint="is it yours?") from error


def _mapping(found: object) -> Mapping[str, Any]:
    return found if isinstance(found, Mapping) else {}


def _say_what_differs(found: Recorded) -> None:
    """An edition's name may mean another commit than it did. Raises ImageError where it is not built."""
    with Engine.connect() as engine:
        now = str(build_info(engine, found.spec.image_ref))
    if found.build and now != found.build:
        say(f"rmqkit: recorded with {found.build}; this image is {now}")
