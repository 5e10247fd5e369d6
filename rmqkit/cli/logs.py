"""``rmqkit logs``: what the processes say."""

from __future__ import annotations

from rmqkit.cli.common import own_cluster, settings, show
from rmqkit.cluster.peers import Peer
from rmqkit.errors import NotFoundError


def run(*, target: str | None, run: str | None, tail: int) -> int:
    """Print the last lines of one process or of all."""
    with own_cluster(run, timeout_s=settings().timeout_s) as cluster:
        services = cluster.services
        if target is not None:
            peers: list[Peer] = [peer for peer in cluster.peers if target in (peer.id, f"{peer.group}/{peer.id}")]
            chosen = [peer.service for peer in peers] or [name for name in services if name == target]
            if not chosen:
                raise NotFoundError(f"there is no process {target!r}", hint=f"processes: {', '.join(services)}")
        else:
            chosen = [name for name in services if name != "net"]
        for service in chosen:
            lines = cluster.logs(service, tail=tail)
            show([*([f"==> {service}"] if len(chosen) > 1 else []), *lines])
    return 0
