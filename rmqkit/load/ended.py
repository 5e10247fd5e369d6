"""What a load was put together from, what it came to, and the summary that follows from both.

What belongs here: the join of counts into one value. What does not: counting (``statistics``, ``tally``), running
(``runner``).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rmqkit.history import FaultEvent
from rmqkit.load.clients import OpenSender
from rmqkit.load.consumption import OpenReceiver
from rmqkit.load.plan import ReceivePlan, SendPlan
from rmqkit.load.squad import Account
from rmqkit.load.statistics import Statistics
from rmqkit.load.summary import Consumption, FaultStep, Production, Summary
from rmqkit.load.tally import Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadParts:
    """What a load is put together from. ``drivers`` open the senders of drivers that are not built in; ``receivers``
    the members of the group. ``hidden_retries`` are drivers whose clients try again by themselves; ``cluster`` is what
    the summary tells of it."""

    nameservers: tuple[str, ...]
    command: str
    run: str
    seed: int = 0
    send: SendPlan | None = None
    receive: ReceivePlan | None = None
    receivers: OpenReceiver | None = None
    queues: int = 0
    drivers: Mapping[str, OpenSender] | None = None
    hidden_retries: frozenset[str] = frozenset()
    cluster: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A load that is over. ``cpu_s`` is this process's, ``account`` the senders'; the traffic was from ``start_ns`` to
    ``end_ns``; ``lag`` and ``drained`` are of the end of the drain."""

    parts: LoadParts
    started_at: datetime
    start_ns: int
    end_ns: int
    ended_by: str
    statistics: Statistics
    account: Account
    cpu_s: float
    tally: Tally | None
    lag: Mapping[str, int]
    drained: bool
    faults: Sequence[FaultEvent]
    notes: tuple[str, ...]

    @property
    def duration_s(self) -> float:
        """Of the traffic."""
        return max(0, self.end_ns - self.start_ns) / 1e9


def summary_of(ended: Ended) -> Summary:
    """The summary of a load that is over."""
    parts = ended.parts
    options = {**(parts.receive.as_dict() if parts.receive else {}), **(parts.send.as_dict() if parts.send else {})}
    return Summary(
        command=parts.command,
        run=parts.run,
        seed=parts.seed,
        started_at=ended.started_at.isoformat(timespec="milliseconds"),
        start_ns=ended.start_ns,
        duration_s=ended.duration_s,
        ended_by=ended.ended_by,
        topic=str(options["topic"]),
        options=options,
        cluster=dict(parts.cluster or {}),
        produced=None if parts.send is None else _production(ended, parts.send),
        consumed=None
        if parts.receive is None or ended.tally is None
        else _consumption(ended, parts.receive, ended.tally),
        windows=ended.statistics.windows(time.monotonic_ns()),
        faults=tuple(
            FaultStep(kind=step.kind, step=step.step, target=step.target, at_s=(step.at_ns - ended.start_ns) / 1e9)
            for step in ended.faults
        ),
        notes=ended.notes,
    )


def _production(ended: Ended, plan: SendPlan) -> Production:
    traffic = ended.statistics.traffic(ended.duration_s)
    return Production(
        traffic=traffic,
        drivers=ended.statistics.by_driver(ended.duration_s),
        errors=ended.statistics.errors(),
        processes=plan.processes,
        body_bytes=len(plan.body),
        unsent=ended.account.unsent,
        backed_off_s=ended.account.backed_off_s,
        cpu_us_per_message=ended.account.cpu_s * 1e6 / traffic.sent if traffic.sent else 0.0,
    )


def _consumption(ended: Ended, plan: ReceivePlan, tally: Tally) -> Consumption:
    send = ended.parts.send
    received = ended.statistics.received
    received_s = max(ended.duration_s, ended.statistics.received_until_s)
    # In one process with the senders nobody can tell whose processor time it was.
    alone = send is None or send.processes > 0
    return Consumption(
        group=plan.group,
        members=plan.threads,
        received=received,
        own=tally.own,
        again=tally.again,
        missing=None if send is None else tally.missing,
        received_per_s=received / received_s if received_s > 0 else 0.0,
        drained=ended.drained or (send is None and bool(ended.lag) and not any(ended.lag.values())),
        lag=ended.lag,
        cpu_us_per_message=ended.cpu_s * 1e6 / received if alone and received else None,
    )
