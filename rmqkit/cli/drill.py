"""``rmqkit drill``: the whole proof in one command."""

from __future__ import annotations

import json

from rmqkit.checks import timeline_lines
from rmqkit.cli.common import settings, show
from rmqkit.cli.proof import Wanted, evidence, ground, judgement, recorded, steps
from rmqkit.errors import UsageError
from rmqkit.history import History
from rmqkit.scenario import DrillPlan, DrillResult, drill

FAILOVER = ("victim", "successor", "elections", "timeline", "unread")
"""What a report keeps of the drill beside its verdict."""


def run(wanted: Wanted, *, acked: int) -> int:
    """Run the drill; the exit code is the verdict's."""
    rate, threads = wanted.rate, wanted.threads
    if not rate > 0 or threads < 1 or acked < 1:
        raise UsageError("--rate, --threads and --acked must be positive", hint="for example --rate 200 --threads 4")
    wanted.check()
    chosen = settings(edition=wanted.edition, timeout_s=wanted.timeout)
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
    with recorded(wanted, record, options=options) as told, ground(wanted, chosen, step) as on:
        plan = DrillPlan(
            rate=rate, threads=threads, acked_before=acked, acked_after=acked, max_outage_s=wanted.max_outage or 0.0
        )
        told.of(on.cluster, group=on.group, plan=plan)
        with told.watching(on.cluster):
            result = drill(on.cluster, group=on.group, plan=plan, history=record, on_step=step)
        facts = result.as_dict()
        told.ended(
            result.verdict,
            failover={name: facts[name] for name in FAILOVER},
            timelines=facts["timelines"],
            lost=facts["lost"],
        )
        if wanted.as_json:
            show([json.dumps({"build": on.build, **facts}, indent=2)])
        else:
            show(result_lines(result, on.build))
        step(wanted.last_step)
    return result.verdict.exit_code


def result_lines(result: DrillResult, build: str) -> list[str]:
    """What a drill found, for people."""
    gap = f"nothing was acknowledged for {result.unavailable_s:.2f} s"
    return [
        "",
        build,
        "",
        *timeline_lines(result.timelines),
        "",
        *evidence(result, around="the outage", more=(gap,)),
        "",
        *judgement(result),
    ]
