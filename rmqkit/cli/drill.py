"""``rmqkit drill``: the whole proof in one command."""

from __future__ import annotations

import json
import os
import time
from contextlib import ExitStack
from pathlib import Path

from rmqkit.checks import Outage
from rmqkit.cli.common import own_cluster, say, settings, show
from rmqkit.cli.drill_report import DrillReport
from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.signals import sigterm_unwinds
from rmqkit.errors import MachineError, UsageError
from rmqkit.history import History
from rmqkit.scenario import DrillPlan, DrillResult, drill


def run(
    *,
    edition: str | None,
    run: str | None,
    group: str | None,
    rate: float,
    threads: int,
    acked: int,
    history: Path | None,
    report: Path | None,
    timeout: float | None,
    as_json: bool,
) -> int:
    """Run the drill; the exit code is the verdict's."""
    if not rate > 0 or threads < 1 or acked < 1:
        raise UsageError("--rate, --threads and --acked must be positive", hint="for example --rate 200 --threads 4")
    if history is not None and history.exists():
        raise UsageError(f"{history} exists already", hint="name a file that does not exist yet")
    if history is not None and not os.access(history.parent, os.W_OK):
        raise UsageError(f"{history.parent} is not a folder that can be written to", hint="name a file in one that is")
    chosen = settings(edition=edition, timeout_s=timeout)
    if acked / rate > chosen.timeout_s / 2:
        raise UsageError(
            f"--acked {acked} at --rate {rate:g} takes {acked / rate:.0f} s; a wait ends after {chosen.timeout_s:g} s",
            hint="ask for fewer, send faster, or allow more time with --timeout",
        )
    began = time.monotonic()

    def step(text: str) -> None:
        say(f"[{time.monotonic() - began:6.1f} s] {text}")

    record = History()
    options = {
        "edition": chosen.edition,
        "rate": rate,
        "threads": threads,
        "acked": acked,
        "timeout_s": chosen.timeout_s,
    }
    with ExitStack() as stack:
        stack.enter_context(sigterm_unwinds())
        told = stack.enter_context(DrillReport(report, history=record, options=options))
        if history is not None:
            # Also when the drill fails: then it is wanted most.
            stack.callback(_export, record, history)
        if run is None:
            step(f"starting a cluster of edition {chosen.edition}")
            cluster = stack.enter_context(Cluster.start(edition=chosen.edition, timeout_s=chosen.timeout_s))
        else:
            cluster = stack.enter_context(own_cluster(run, timeout_s=chosen.timeout_s))
        build = str(cluster.build_info())
        name = cluster.members.of(group)[0].group
        step(f"{cluster.status().group(name).summary} ({build})")
        plan = DrillPlan(rate=rate, threads=threads, acked_before=acked, acked_after=acked)
        told.of(cluster, group=name, plan=plan)
        result = drill(cluster, group=name, plan=plan, history=record, on_step=step)
        told.ended(result)
        if as_json:
            show([json.dumps({"build": build, **result.as_dict()}, indent=2)])
        else:
            show(result_lines(result, build))
        step("taking the cluster down" if run is None else "done; the cluster stays up")
    return result.verdict.exit_code


def _export(record: History, path: Path) -> None:
    if record.send_count == 0:
        return
    try:
        record.export_jsonl(path)
    except OSError as error:
        raise MachineError(f"the history could not be written to {path}: {error}", hint="is the disk full?") from error
    say(f"every operation is in {path}")


def _bounds(outage: Outage) -> str:
    if outage.upper_s is None:
        return f"{outage.fault} of {outage.target}: the sends do not bound how long the service was away"
    bounds = f"{outage.lower_s:.2f} to {outage.upper_s:.2f} s"
    failed = f"{outage.refused} sends refused in between, {outage.unknown} of unknown outcome"
    return f"{outage.fault} of {outage.target}: the service was away for {bounds} ({failed})"


def result_lines(result: DrillResult, build: str) -> list[str]:
    """What a drill found, for people."""
    numbers = result.verdict.numbers
    phases = ", ".join(f"{numbers[f'acknowledged_{when}_fault']} {when}" for when in ("before", "during", "after"))
    return [
        "",
        build,
        "",
        *result.failover.lines(),
        "",
        (
            f"{numbers['sent']} sends: {numbers['acknowledged']} acknowledged ({phases} the outage), "
            f"{numbers['refused']} refused, {numbers['unknown']} unknown"
        ),
        f"nothing was acknowledged for {result.unavailable_s:.2f} s",
        *(_bounds(each) for each in result.outages),
        f"{numbers['read']} messages read back from {numbers['replicas']} replicas",
        *(f"{replica} was not read to its end: {why}" for replica, why in result.unread.items()),
        "",
        str(result.verdict),
        *(("", *result.places.lines()) if result.places is not None else ()),
    ]
