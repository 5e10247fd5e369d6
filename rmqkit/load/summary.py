"""The summary of a load: what a run came to, in numbers. Frozen, and written as ``summary.json``.

What belongs here: the values, and their plain form. What does not: how they are counted (``statistics``), or shown
(``rmqkit.cli``, ``rmqkit.report``). The schema in prose is in ``docs/load.md``; ``FORMAT`` is raised when a name or a
unit changes, not when one is added.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rmqkit.errors import UsageError

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentiles:
    """A distribution of times in milliseconds, from an HDR histogram of three digits; all 0 where ``count`` is 0."""

    count: int = 0
    mean_ms: float = 0.0
    p50_ms: float = 0.0
    p90_ms: float = 0.0
    p99_ms: float = 0.0
    p999_ms: float = 0.0
    max_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One second of the run: what *ended* in it. ``second`` counts from the start.

    ``flow_control`` sends are among the refused ones. ``received`` is what consumers took in that second; ``latency``
    is of the sends that were acknowledged in it.
    """

    second: int
    acknowledged: int = 0
    refused: int = 0
    unknown: int = 0
    flow_control: int = 0
    received: int = 0
    latency: Percentiles = Percentiles()


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorCount:
    """How often sends ended in one way that is not an acknowledgement.

    ``kind`` is ``refused``, ``unknown`` or ``flow control``; ``reason`` is the kit's words for it.
    """

    kind: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What the senders of one driver, or all of them, did.

    ``latency`` counts from the time when a message was *due*: with a rate, a late answer makes the messages behind it
    late, and that shows (no coordinated omission). ``service`` counts from the request. Without a rate they are the
    same. Both are of acknowledged sends. ``outage_s`` is the longest time between two acknowledgements;
    ``acked_per_s`` is over ``duration_s`` of the summary.
    """

    driver: str
    threads: int
    sent: int
    acknowledged: int
    refused: int
    unknown: int
    flow_control: int
    acked_per_s: float
    outage_s: float
    latency: Percentiles
    service: Percentiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Production:
    """The sending side. ``traffic`` is of all drivers together, ``drivers`` of each.

    ``unsent`` messages were due by the rate and never sent, because the senders could not keep up; ``backed_off_s`` is
    the time that all threads together waited because a broker asked for it (flow control). ``cpu_us_per_message`` is
    processor time of the kit's sending processes over messages sent; a driver's own child process is not in it.
    """

    traffic: Traffic
    drivers: tuple[Traffic, ...]
    errors: tuple[ErrorCount, ...]
    processes: int
    body_bytes: int
    unsent: int
    backed_off_s: float
    cpu_us_per_message: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumption:
    """The receiving side.

    ``own`` are messages of this run among the ``received`` ones, each counted once; ``again`` were received more than
    once. ``missing`` were acknowledged to this run's producers and not received: None where nothing was produced.
    ``drained``: the group had committed everything when the run ended. ``lag`` is by ``broker/queue``.
    ``cpu_us_per_message`` is None where senders ran in the same process.
    """

    group: str
    members: int
    received: int
    own: int
    again: int
    missing: int | None
    received_per_s: float
    drained: bool
    lag: Mapping[str, int]
    cpu_us_per_message: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultStep:
    """A step of a fault, as in the history, ``at_s`` seconds after the start."""

    kind: str
    step: str
    target: str
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Everything that one ``rmqkit load`` command came to.

    ``run`` begins the id of every message of the run (``RUN-worker-sequence``). ``start_ns`` is of the monotonic clock
    that the history's times are of; ``started_at`` is the same moment in UTC. ``ended_by`` is ``duration``, ``count``,
    ``interrupt`` or ``error``. ``options`` are what was asked for, ``cluster`` what it was asked of.
    """

    command: str
    run: str
    seed: int
    started_at: str
    start_ns: int
    duration_s: float
    ended_by: str
    topic: str
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    cluster: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    produced: Production | None = None
    consumed: Consumption | None = None
    windows: tuple[Window, ...] = ()
    faults: tuple[FaultStep, ...] = ()
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as in ``summary.json``."""
        return {"format": FORMAT, **_plain(self)}

    def save(self, path: Path) -> None:
        """Write ``summary.json``. Raises UsageError where it cannot be written, or where a file is already."""
        try:
            with path.open("x", encoding="utf-8") as out:
                json.dump(self.as_dict(), out, indent=2)
                out.write("\n")
        except FileExistsError as error:
            raise UsageError(f"{path} exists already", hint="name a folder that does not exist yet") from error
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}", hint="name a folder that can") from error


def _plain(value: Any) -> Any:
    """Values as JSON has them; digits beyond a tenth of a microsecond are noise."""
    if is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return round(value, 4) if isinstance(value, float) else value
