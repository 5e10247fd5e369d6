"""What the page says in words and tables beside the figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rmqkit.history import Outcome
from rmqkit.report.analysis import Analysis
from rmqkit.report.evidence import MANIFEST, Evidence
from rmqkit.report.series import distribution
from rmqkit.report.words import NONE, Table, count, milliseconds, rate, seconds, share, size


@dataclass(frozen=True, slots=True)
class Tile:
    """One of the few figures that one wants first."""

    label: str
    value: str
    note: str


def tiles(run: Analysis) -> Iterator[Tile]:
    """The figures that one wants first."""
    sent, acked = len(run.sends), int(np.count_nonzero(run.acked))
    if sent:
        gap = run.longest_gap
        if gap is not None:
            at = f"the longest time, from {seconds(gap[0], 1)} on"
            yield Tile("without an acknowledgement", seconds(gap[1]), at)
        unknown = int(np.count_nonzero(run.sends.outcome == int(Outcome.UNKNOWN)))
        others = f"{count(sent - acked - unknown)} refused, {count(unknown)} unknown"
        yield Tile("acknowledged", count(acked), f"{share(acked, sent)} of {count(sent)} sends; {others}")
        if acked:
            found = distribution(run.latency_ms[run.acked])
            yield Tile(
                "p99 latency",
                milliseconds(found.p99),
                f"half within {milliseconds(found.p50)}, slowest {milliseconds(found.high)}",
            )
            lasted = (int(run.sends.end_ns.max()) - int(run.sends.start_ns.min())) / 1e9
            yield Tile(
                "acknowledged a second", rate(acked / lasted if lasted > 0 else None), f"over {seconds(lasted, 1)}"
            )
    if len(run.receives):
        yield Tile("received", count(len(run.receives)), "deliveries, redeliveries among them")


@dataclass(frozen=True, slots=True)
class FactGroup:
    """Names and values under a heading."""

    heading: str
    facts: list[tuple[str, str]]


def run_facts(evidence: Evidence, run: Analysis) -> Iterator[FactGroup]:
    """What was run, on what, with which options, where."""
    summary = evidence.summary
    known = {
        "run": "run",
        "topic": "topic",
        "seed": "seed",
        "started_at": "started (UTC)",
        "ended_by": "ended by",
    }
    facts = [(label, _said(summary[name])) for name, label in known.items() if summary.get(name) not in (None, "")]
    if isinstance(summary.get("duration_s"), int | float):
        facts.append(("lasted", seconds(summary["duration_s"], 1)))
    facts.append(("recorded", seconds(run.lasted_s, 1) + " from the first send to the last event"))
    yield FactGroup("Run", facts)
    for heading, name in (("Cluster", "cluster"), ("Options", "options")):
        found = summary.get(name)
        if isinstance(found, Mapping) and found:
            yield FactGroup(heading, [(str(each).replace("_", " "), _said(value)) for each, value in found.items()])
    machine = [*evidence.environment.items(), ("written (UTC)", evidence.written_at)]
    yield FactGroup("Machine", machine)


def _said(value: Any) -> str:
    """A JSON value as people write it."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_said, value)) or NONE
    if isinstance(value, dict):
        return ", ".join(f"{name} {_said(each)}" for name, each in value.items()) or NONE
    return f"{value:g}" if isinstance(value, float) else str(value)


def phases_table(run: Analysis) -> Table | None:
    """The phases of every fault, numbered as in the figures."""
    if not run.marks:
        return None
    several = len({mark.kind for mark in run.marks}) > 1 or len(run.faults) > 1
    rows = [
        [
            str(mark.number),
            *([mark.kind] if several else []),
            mark.meaning,
            seconds(mark.since_fault_s, 3),
            NONE if mark.since_step_s is None else f"+{mark.since_step_s:.3f} s",
            f"{max(1, round(1000 * mark.within_s))} ms" if mark.within_s else NONE,
            seconds(mark.at_s, 1),
        ]
        for mark in run.marks
    ]
    names = ["what was seen", "since the fault", "step", "known to", "in the run"]
    return Table(["", *(["fault"] if several else []), *names], rows, words=3 if several else 2)


def traffic_tables(summary: Mapping[str, Any]) -> Iterator[Table]:
    """What the load counted itself: per driver, from when messages were due and from the request."""
    produced = summary.get("produced")
    if not isinstance(produced, Mapping):
        return
    drivers = list(produced.get("drivers") or [])
    everything = [produced["traffic"], *(drivers if len(drivers) > 1 else [])]
    rows = [
        [
            str(each["driver"]),
            *(count(each[name]) for name in ("threads", "sent", "acknowledged", "refused", "unknown", "flow_control")),
            rate(each["acked_per_s"]),
            seconds(each["outage_s"]),
        ]
        for each in everything
    ]
    columns = [
        "driver",
        "threads",
        "sent",
        "acknowledged",
        "refused",
        "unknown",
        "flow control",
        "a second",
        "longest gap",
    ]
    yield Table(columns, rows, caption="As the load counted; flow control is among the refused")
    names = ("p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms")
    rows = [
        [
            str(each["driver"]),
            said,
            milliseconds(each[kind]["mean_ms"]),
            *(milliseconds(each[kind][name]) for name in names),
        ]
        for each in everything
        for kind, said in (("latency", "when it was due"), ("service", "the request"))
    ]
    columns = ["driver", "from", "mean", "p50", "p90", "p99", "p99.9", "max"]
    yield Table(columns, rows, words=2, caption="Latency of acknowledged sends, from HDR histograms of three digits")
    facts = [
        ("processes", count(produced.get("processes"))),
        ("body", f"{count(produced.get('body_bytes'))} bytes"),
        ("due but never sent", count(produced.get("unsent"))),
        ("waited for flow control, all threads", seconds(produced.get("backed_off_s"))),
        ("processor time a message", _microseconds(produced["cpu_us_per_message"])),
    ]
    yield Table(["", ""], facts, caption="Of the senders")


def consumption_table(summary: Mapping[str, Any]) -> Table | None:
    """What the load's consumers counted."""
    consumed = summary.get("consumed")
    if not isinstance(consumed, Mapping):
        return None
    lag = consumed.get("lag") or {}
    left = {name: number for name, number in lag.items() if number}
    rows = [
        ("group", str(consumed["group"])),
        ("members", count(consumed["members"])),
        ("received", count(consumed["received"])),
        ("of this run, each once", count(consumed["own"])),
        ("more than once", count(consumed["again"])),
        ("acknowledged and never received", count(consumed["missing"])),
        ("received a second", rate(consumed["received_per_s"])),
        ("drained", _said(consumed["drained"])),
        (
            "lag left",
            ", ".join(f"{name}: {count(number)}" for name, number in left.items()) or f"none in {len(lag)} queues",
        ),
        # Senders and consumers in one process: what each used of it cannot be told.
        ("processor time a message", _microseconds(consumed["cpu_us_per_message"])),
    ]
    return Table(["", ""], rows, caption="Of the consumers")


def _microseconds(value: float | None) -> str:
    return "not known: senders ran in the same process" if value is None else f"{value:.1f} µs"


def files_table(evidence: Evidence) -> Table:
    """The evidence, by which it can be told whether it is whole."""
    rows = [[name, size(fact.size), fact.sha256] for name, fact in sorted(evidence.files.items())]
    return Table(["file", "size", "SHA-256"], rows, caption=f"The evidence; {MANIFEST} holds the same")
