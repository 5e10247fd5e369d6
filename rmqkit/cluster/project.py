"""The brokers of a Compose project that the kit did not start: which container is which peer.

What belongs here: finding them by their labels. What does not: what is done to them (``cluster``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from rmqkit.cluster.engine import Engine
from rmqkit.cluster.peers import Members
from rmqkit.errors import NotFoundError
from rmqkit.topology.names import LABEL_GROUP, LABEL_PEER

LABEL_PROJECT: Final = "com.docker.compose.project"
LABEL_SERVICE: Final = "com.docker.compose.service"


def containers_of_project(engine: Engine, project: str, members: Members) -> tuple[Members, Mapping[str, str]]:
    """The members with the services that run them here, and the container id of each such service.

    A container is told by the labels that the kit's Compose files give their brokers: ``rmqkit.group`` and
    ``rmqkit.peer``. Peers that run on other hosts keep no service. Raises NotFoundError where no peer has one.
    """
    found = engine.containers({LABEL_PROJECT: project})
    services: dict[tuple[str, str], tuple[str, str]] = {}
    for container in found:
        labels = container.labels
        if LABEL_GROUP in labels and LABEL_PEER in labels and LABEL_SERVICE in labels:
            services[labels[LABEL_GROUP], labels[LABEL_PEER]] = (labels[LABEL_SERVICE], str(container.id))
    here = {peer: services[peer.group, peer.id] for peer in members.peers if (peer.group, peer.id) in services}
    if not here:
        brokers = ", ".join(f"{group}/{peer}" for group, peer in sorted(services)) or "none"
        raise NotFoundError(
            f"no container of Compose project {project!r} on this engine is a broker of this cluster",
            details=[
                f"the cluster's brokers: {', '.join(f'{peer.group}/{peer.id}' for peer in members.peers)}",
                f"the project has {len(found)} containers; brokers among them: {brokers}",
            ],
            hint=f"`docker compose ls` names projects; a broker has the labels {LABEL_GROUP} and {LABEL_PEER}",
        )
    peers = tuple(replace(peer, service=here[peer][0]) if peer in here else peer for peer in members.peers)
    return Members(peers), dict(here.values())
