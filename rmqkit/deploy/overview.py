"""A deployment as it is: each process by its host's engine, beside what brokers and NameServers say; and its end.

What belongs here: asking, and taking down. What does not: changing what runs (``rollout.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rmqkit.cluster.peers import from_spec
from rmqkit.cluster.status import ClusterStatus, ask
from rmqkit.deploy import composing
from rmqkit.deploy.changes import Act, Change, compare
from rmqkit.deploy.engines import Container
from rmqkit.deploy.site import Site, Survey, raise_together, survey
from rmqkit.errors import RmqkitError, UsageError
from rmqkit.topology.deployment import Environment
from rmqkit.transport.pool import ChannelPool


@dataclass(frozen=True, slots=True)
class Row:
    """One process of a host: ``container`` is None where there is none, ``change`` what a deploy would do with it."""

    host: str
    service: str
    container: Container | None
    change: Change | None
    error: str = ""

    @property
    def well(self) -> bool:
        """It runs, as the specification has it."""
        return (
            self.container is not None
            and self.container.up
            and not self.error
            and (self.change is None or self.change.act is Act.KEEP)
        )

    @property
    def state(self) -> str:
        """In words."""
        if self.error:
            return self.error
        if self.container is None:
            return "not there"
        if self.container.status != "running":
            return f"{self.container.status}, exit code {self.container.exit_code}"
        return f"running, {self.container.health}" if self.container.health else "running"


@dataclass(frozen=True, slots=True)
class Overview:
    """All hosts, and the cluster's own views."""

    rows: tuple[Row, ...]
    status: ClusterStatus

    @property
    def healthy(self) -> bool:
        """Every process runs as the specification says, and all views agree."""
        return self.status.healthy and all(row.well for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for ``--json``."""
        return {
            **self.status.as_dict(),
            "healthy": self.healthy,
            "processes": [
                {
                    "host": row.host,
                    "service": row.service,
                    "state": row.state,
                    "well": row.well,
                    "since": row.container.started_at if row.container else None,
                    "image": row.container.image_id if row.container else None,
                    "deploy_would": row.change.act.value if row.change else None,
                    "why": list(row.change.why) if row.change else [],
                }
                for row in self.rows
            ],
        }


def overview(site: Site, *, seen: Survey | None = None, status: ClusterStatus | None = None) -> Overview:
    """Ask every engine, peer and NameServer; nothing is changed, and what does not answer is part of the answer."""
    seen = seen or survey(site)
    if status is None:
        with ChannelPool() as pool:
            spec = site.plan.spec
            status = ask(pool, from_spec(spec), [server.address for server in spec.nameservers])
    errors = {view.engine.host: view.error.what for view in seen.views if view.error is not None}
    # Which image they should run is not asked here: whether all run the same one is seen in the table.
    changes = compare((w for w in seen.wanted if w.host not in errors), seen.present, {})
    containers = {(each.host, each.container.service): each.container for each in seen.present}
    rows = [
        Row(change.host, change.service, containers.get((change.host, change.service)), change) for change in changes
    ]
    rows += [Row(w.host, w.service, None, None, errors[w.host]) for w in seen.wanted if w.host in errors]
    order = list(site.engines)
    return Overview(tuple(sorted(rows, key=lambda row: order.index(row.host))), status)


def take_down(site: Site, *, volumes: bool, on_step: Callable[[str], None]) -> list[str]:
    """Stop and remove the deployment's containers on every host; the hosts that had any.

    Stores stay, unless ``volumes``: named volumes go too then, directories never. A host that is not reached does not
    keep the others from being taken down. Raises UsageError for ``volumes`` in production, and the first host's error.
    """
    if volumes and site.plan.deployment.environment is not Environment.STAGING:
        raise UsageError(
            f"{site.project} is a deployment for production: its volumes are not removed",
            hint="take it down without --volumes; who is sure removes them on each host with `docker volume rm`",
        )
    seen = survey(site)
    errors = [seen.error] if seen.error is not None else []
    gone = []
    for view in seen.views:
        host = view.engine.host
        if view.error is not None:
            continue
        if not view.containers and not volumes:
            on_step(f"{host}: nothing of {site.project} is there")
            continue
        try:
            composing.down(view.engine, site.folder_of(host), volumes=volumes)
        except RmqkitError as error:
            errors.append(error)
            continue
        gone.append(host)
        on_step(
            f"{host}: {len(view.containers)} processes down" + (", volumes removed" if volumes else ", stores kept")
        )
    raise_together(errors)
    return gone
