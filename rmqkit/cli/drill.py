"""``rmqkit drill``: the whole proof in one command."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

from rmqkit.cli.common import settings, show
from rmqkit.cli.drill_report import DrillReport
from rmqkit.cli.proof import bounds, check_max_outage, check_new_file, export_history, started_or_own, steps
from rmqkit.cluster.signals import sigterm_unwinds
from rmqkit.errors import UsageError
from rmqkit.history import History
from rmqkit.scenario import DrillPlan, DrillResult, drill
from rmqkit.topology.spec import ClusterSpec

FAILOVER = ("victim", "successor", "elections", "timeline", "unread")
"""What a report keeps of the drill beside its verdict."""


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
    max_outage: float | None,
    timeout: float | None,
    as_json: bool,
    spec: ClusterSpec | None = None,
) -> int:
    """Run the drill; the exit code is the verdict's. ``spec``: of another cluster than the edition's usual one."""
    if not rate > 0 or threads < 1 or acked < 1:
        raise UsageError("--rate, --threads and --acked must be positive", hint="for example --rate 200 --threads 4")
    check_max_outage(max_outage)
    check_new_file(history)
    chosen = settings(edition=edition, timeout_s=timeout)
    if acked / rate > chosen.timeout_s / 2:
        raise UsageError(
            f"--acked {acked} at --rate {rate:g} takes {acked / rate:.0f} s; a wait ends after {chosen.timeout_s:g} s",
            hint="ask for fewer, send faster, or allow more time with --timeout",
        )
    step = steps()
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
            stack.callback(export_history, record, history)
        cluster = stack.enter_context(started_or_own(run, chosen, step, spec=spec))
        build = str(cluster.build_info())
        name = cluster.members.of(group)[0].group
        step(f"{cluster.status().group(name).summary} ({build})")
        plan = DrillPlan(
            rate=rate, threads=threads, acked_before=acked, acked_after=acked, max_outage_s=max_outage or 0.0
        )
        told.of(cluster, group=name, plan=plan)
        stack.enter_context(told.watching(cluster))
        result = drill(cluster, group=name, plan=plan, history=record, on_step=step)
        facts = result.as_dict()
        told.ended(result.verdict, failover={name: facts[name] for name in FAILOVER}, lost=facts["lost"])
        if as_json:
            show([json.dumps({"build": build, **facts}, indent=2)])
        else:
            show(result_lines(result, build))
        step("taking the cluster down" if run is None else "done; the cluster stays up")
    return result.verdict.exit_code


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
        *(bounds(each) for each in result.outages),
        f"{numbers['read']} messages read back from {numbers['replicas']} replicas",
        *(f"{replica} was not read to its end: {why}" for replica, why in result.unread.items()),
        "",
        str(result.verdict),
        *(("", *result.places.lines()) if result.places is not None else ()),
    ]
