"""Which faults there are, by kind: how the command line and a schedule come from a name to a fault, and back.

What belongs here: the table. A new fault is a file with a frozen dataclass, and a line here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, cast

from rmqkit.errors import UsageError
from rmqkit.faults.clock_skew import ClockSkew
from rmqkit.faults.disk_full import DiskFull
from rmqkit.faults.fault import Fault
from rmqkit.faults.kill import Kill
from rmqkit.faults.latency import Latency
from rmqkit.faults.loss import Loss
from rmqkit.faults.nameserver import NameServerKill, NameServerPause
from rmqkit.faults.partition import CutClients, CutLink, CutNameServer, Halves, Isolate, Ring
from rmqkit.faults.pause import Pause
from rmqkit.faults.restart import Restart
from rmqkit.faults.rolling import RollingRestart
from rmqkit.faults.slow_disk import SlowDisk
from rmqkit.faults.slow_network import SlowNetwork
from rmqkit.faults.stop import Stop
from rmqkit.faults.transfer import Transfer

FAULTS: Mapping[str, type[Fault]] = {
    fault.kind: fault
    for fault in (
        Kill,
        Stop,
        Restart,
        Pause,
        Isolate,
        Halves,
        Ring,
        CutLink,
        CutNameServer,
        CutClients,
        Loss,
        SlowNetwork,
        Latency,
        DiskFull,
        SlowDisk,
        ClockSkew,
        RollingRestart,
        Transfer,
        NameServerKill,
        NameServerPause,
    )
}


def kind_of(name: str) -> type[Fault]:
    """The fault of that kind. Raises UsageError listing those that there are."""
    if name not in FAULTS:
        raise UsageError(f"there is no fault {name!r}", hint=f"faults: {', '.join(sorted(FAULTS))}")
    return FAULTS[name]


def make(kind: str, **values: object) -> Fault:
    """A fault of a kind from plain values, as a schedule has them.

    Raises UsageError for an unknown kind or field, and for a value that is not of the default's type.
    """
    found = kind_of(kind)
    known = _fields(found)
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise UsageError(
            f"fault {kind!r} has no {', '.join(map(repr, unknown))}",
            hint=f"it has: {', '.join(known) or 'nothing to set'}",
        )
    for name, value in values.items():
        wanted = str if known[name] is None else type(known[name])
        allowed = (int, float) if wanted is float else (wanted,)
        if type(value) not in allowed and not (value is None and known[name] is None):
            raise UsageError(
                f"{name}={value!r} of fault {kind!r} is no {wanted.__name__}", hint=f"as in {name}={known[name]!r}"
            )
    return found(**values)


def values_of(fault: Fault) -> dict[str, Any]:
    """What :func:`make` takes to make this fault again: its fields that are not at their default."""
    defaults = _fields(type(fault))
    values = {name: getattr(fault, name) for name in defaults}
    return {name: value for name, value in values.items() if value != defaults[name]}


def kinds(text: str) -> Sequence[type[Fault]]:
    """The faults of a list as the command line has it: "kill,pause". Raises UsageError for an unknown or no kind."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UsageError("no fault is named", hint=f"faults: {', '.join(sorted(FAULTS))}")
    return [kind_of(name) for name in dict.fromkeys(names)]


def _fields(fault: type[Fault]) -> dict[str, Any]:
    """Names and defaults of a fault's fields."""
    return {each.name: each.default for each in fields(cast("Any", fault))}
