"""``rmqkit up``: a cluster that stays."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack

from rmqkit.cli.common import say, settings, show
from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.images import image_name
from rmqkit.cluster.ports import FIRST_PORT, reserve_block
from rmqkit.topology.spec import ClusterSpec, pod_ports_needed


def run(*, edition: str | None, peers: int, groups: int, nameservers: int, timeout: float | None, as_json: bool) -> int:
    """Start, wait until ready, print how to reach it."""
    chosen = settings(edition=edition, timeout_s=timeout)
    started = time.monotonic()
    with ExitStack() as stack:

        def spec_at(base_port: int) -> ClusterSpec:
            return ClusterSpec.pod(
                base_port=base_port,
                edition=chosen.edition,
                image=image_name(chosen.edition),
                peers=peers,
                groups=groups,
                nameservers=nameservers,
            )

        spec_at(FIRST_PORT)  # what cannot be at all is said as such, not as a want of ports
        needed = pod_ports_needed(peers=peers, groups=groups, nameservers=nameservers)
        spec = spec_at(stack.enter_context(reserve_block(needed)).base)
        say(f"starting {nameservers} NameServer(s) and {groups} group(s) of {peers} peers of {spec.image_ref}")
        cluster = stack.enter_context(Cluster.start(spec, timeout_s=chosen.timeout_s, keep=True))
        ready_s = time.monotonic() - started
        status = cluster.status()
        build = str(cluster.build_info())
    if as_json:
        answer = {"run": cluster.run, "namesrv": cluster.namesrv_addr, "ready_s": round(ready_s, 3), "build": build}
        show([json.dumps({**answer, "status": status.as_dict()}, indent=2)])
        return 0
    show(
        [
            *(group.summary for group in status.groups),
            f"{build}",
            f"ready in {ready_s:.1f} s ({_times(cluster)}); run {cluster.run}",
            f"NameServer: {cluster.namesrv_addr}   (NAMESRV_ADDR of RocketMQ's tools, --rmq-namesrv of pytest)",
            f"take it down: rmqkit down {cluster.run}",
        ]
    )
    return 0


def _times(cluster: Cluster) -> str:
    times = cluster.start_times
    return f"containers {times.up_s:.1f} s, first acknowledged write {times.first_write_s:.1f} s" if times else ""
