"""The brokers of a Compose project that the kit did not start: which container is which peer.

What belongs here: finding them by their labels. What does not: what is done to them (``cluster``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from rmqkit.cluster.engine import Engine
from rmqkit.cluster.peers import Members
from rmqkit.errors import NotFoundError
from rmqkit.topology.names import LABEL_GROUP, LABEL_PEER

if TYPE_CHECKING:
    from docker.models.containers import Container

LABEL_PROJECT: Final = "com.docker.compose.project"
LABEL_SERVICE: Final = "com.docker.compose.service"


def containers_of_project(engine: Engine, project: str, members: Members) -> tuple[Members, Mapping[str, str]]:
    """The members with the services that run them here, and the container id of each such service.

    A container is told by the labels that the kit's Compose files give their brokers, ``rmqkit.group`` and
    ``rmqkit.peer``, and by the address that they give it in its environment: another cluster's n0 is called n0, too.
    Peers that run on other hosts keep no service. Raises NotFoundError where no peer has one.
    """
    found = engine.containers({LABEL_PROJECT: project})
    services: dict[tuple[str, str, str], tuple[str, str]] = {}
    for container in found:
        labels = container.labels
        if LABEL_GROUP in labels and LABEL_PEER in labels and LABEL_SERVICE in labels:
            which = (labels[LABEL_GROUP], labels[LABEL_PEER], _address(container))
            services[which] = (labels[LABEL_SERVICE], str(container.id))
    wanted = {peer: (peer.group, peer.id, peer.address or "") for peer in members.peers}
    here = {peer: services[which] for peer, which in wanted.items() if which in services}
    if not here:
        brokers = ", ".join(_said(*which) for which in sorted(services)) or "none"
        raise NotFoundError(
            f"no container of Compose project {project!r} on this engine is a broker of this cluster",
            details=[
                f"the cluster's brokers: {', '.join(_said(*which) for which in wanted.values())}",
                f"the project has {len(found)} containers; brokers among them: {brokers}",
            ],
            hint=f"`docker compose ls` names projects; a broker has the labels {LABEL_GROUP} and {LABEL_PEER}, and its "
            "address as RMQ_CONF_brokerIP1 and RMQ_CONF_listenPort in its environment",
        )
    peers = tuple(replace(peer, service=here[peer][0]) if peer in here else peer for peer in members.peers)
    return Members(peers), dict(here.values())


def _address(container: Container) -> str:
    """The address that the broker registers, as its environment has it; empty where it does not say."""
    said = dict(line.split("=", 1) for line in container.attrs["Config"]["Env"] or () if "=" in line)
    host, port = said.get("RMQ_CONF_brokerIP1"), said.get("RMQ_CONF_listenPort")
    return f"{host}:{port}" if host and port else ""


def _said(group: str, peer: str, address: str) -> str:
    return f"{group}/{peer} at {address or 'an address that it does not say'}"
