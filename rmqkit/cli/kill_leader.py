"""``rmqkit kill-leader``: take the leader of a running cluster out, and watch."""

from __future__ import annotations

import json
from contextlib import ExitStack

from rmqkit.cli.common import own_cluster, say, settings, show
from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.engine import Engine
from rmqkit.cluster.signals import sigterm_unwinds
from rmqkit.errors import UsageError
from rmqkit.faults import kill_leader


def run(
    *,
    group: str | None,
    namesrv: str | None,
    project: str | None,
    run: str | None,
    timeout: float | None,
    as_json: bool,
) -> int:
    """Kill, print the timeline, bring the victim back. An attached cluster is refused without a ``project``."""
    if namesrv is not None and run is not None:
        raise UsageError("--namesrv and --run name two clusters", hint="give one of them")
    chosen = settings(namesrv=namesrv, timeout_s=timeout)
    attached = chosen.namesrv if run is None else None
    if project is not None and attached is None:
        raise UsageError("--project says where the brokers of --namesrv run", hint="give --namesrv too")
    with ExitStack() as stack:
        stack.enter_context(sigterm_unwinds())
        if attached is not None:
            engine = stack.enter_context(Engine.connect()) if project is not None else None
            cluster = stack.enter_context(
                Cluster.attach(attached, engine=engine, project=project or "", timeout_s=chosen.timeout_s)
            )
        else:
            cluster = stack.enter_context(own_cluster(run, timeout_s=chosen.timeout_s))
        with kill_leader(cluster, group=group) as failover:
            say(f"{failover.victim} is dead, {failover.successor} leads; starting {failover.victim} again")
    if as_json:
        phases = [phase.as_dict() for phase in failover.timeline]
        answer = {"group": failover.group, "victim": failover.victim.id, "successor": failover.successor.id}
        show([json.dumps({**answer, "elections": failover.elections, "timeline": phases}, indent=2)])
    else:
        show(failover.lines())
    return 0
