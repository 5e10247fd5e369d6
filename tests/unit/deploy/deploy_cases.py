"""Processes as they are wanted and as they are there, for the tests of a deploy."""

from __future__ import annotations

from rmqkit.deploy.changes import Present
from rmqkit.deploy.composing import Wanted
from rmqkit.deploy.engines import Container

PEERS = "n0-10.0.0.1:40911;n1-10.0.0.2:40912;n2-10.0.0.3:40913"
IMAGE = "rmqkit/rocketmq:4.9.8"
HOSTS = ("a", "b", "c")


def broker(host: str, peer: str, *, group: str = "RaftNode00", peers: str = PEERS, **settings: str) -> Wanted:
    environment = {"RMQ_CONF_dLegerPeers": peers, "RMQ_CONF_dLegerSelfId": peer} | settings
    labels = {"rmqkit.role": "broker", "rmqkit.group": group, "rmqkit.peer": peer}
    return Wanted(host, f"{group}-{peer}".lower(), f"hash of {environment}", IMAGE, environment, labels)


def nameserver(host: str, name: str, **settings: str) -> Wanted:
    labels = {"rmqkit.role": "nameserver", "rmqkit.peer": name}
    return Wanted(host, name, f"hash of {settings}", IMAGE, settings, labels)


def running(want: Wanted, *, image_id: str = "sha256:1", status: str = "running", health: str = "healthy") -> Present:
    container = Container(
        id=f"container of {want.service}",
        service=want.service,
        hash=want.hash,
        image_id=image_id,
        status=status,
        health=health,
        started_at="2026-01-01T00:00:00Z",
        exit_code=0 if status == "running" else 137,
        environment=want.environment,
        labels=want.labels,
    )
    return Present(want.host, container)
