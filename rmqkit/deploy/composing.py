"""Compose for a rendered folder: what it would run on that host, and running it on that host's engine.

What belongs here: the calls of ``docker compose``. What does not: what changes by them (``changes.py``), and in which
order (``rollout.py``).
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rmqkit.deploy.engines import HostEngine, compose_error, docker_environment
from rmqkit.topology.hostfiles import COMPOSE_NAME, ENV_NAME
from rmqkit.topology.names import LABEL_GROUP, LABEL_PEER, LABEL_ROLE, ROLE_BROKER

COMPOSES_WITHIN_S = 300.0
READS_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """One process that a host is to run: ``hash`` is Compose's own of its settings, which it labels containers with."""

    host: str
    service: str
    hash: str
    image: str
    environment: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_broker(self) -> bool:
        """A broker, or else a NameServer."""
        return self.labels.get(LABEL_ROLE) == ROLE_BROKER

    @property
    def group(self) -> str:
        """Its group; empty for a NameServer."""
        return self.labels.get(LABEL_GROUP, "") if self.is_broker else ""

    @property
    def peer(self) -> str:
        """Its id in the group, or a NameServer's name."""
        return self.labels.get(LABEL_PEER, "")


def wanted_of(folder: Path, host: str) -> tuple[Wanted, ...]:
    """What the rendered folder of ``host`` runs there. Raises ComposeError; asks no engine."""
    here = HostEngine(host)
    arguments = ("compose", *_files(folder), "config")
    hashes = dict(line.split() for line in _said(here, *arguments, "--hash", "*").splitlines() if line.strip())
    told: Mapping[str, Any] = json.loads(_said(here, *arguments, "--format", "json"))
    return tuple(
        Wanted(
            host=host,
            service=name,
            hash=hashes[name],
            image=service["image"],
            # What Compose writes out can be read as a file again: a dollar is written twice.
            environment={key: str(value).replace("$$", "$") for key, value in service["environment"].items()},
            labels=service["labels"],
        )
        for name, service in sorted(told["services"].items())
        if service["deploy"]["replicas"] == 1
    )


def up(engine: HostEngine, folder: Path, services: Sequence[str]) -> None:
    """Make ``services`` run on the host as its folder says, and the NameServers there that they come after; others stay
    as they are. Raises ComposeError.

    Not with ``--no-deps``: Compose leaves what a service depends on out of its hash then, and whoever runs plain
    ``docker compose up`` in that folder later would restart every broker.
    """
    result = _composed(engine, folder, "up", "--detach", "--no-build", *services)
    if result.returncode != 0:
        raise compose_error(engine, f"could not start {', '.join(services)}", result.stderr)


def down(engine: HostEngine, folder: Path, *, volumes: bool) -> None:
    """Stop and remove every container of the project there, and its named volumes where that is asked for."""
    result = _composed(engine, folder, "down", "--remove-orphans", *(["--volumes"] if volumes else []))
    if result.returncode != 0:
        raise compose_error(engine, "could not take the project down", result.stderr)


def remove(engine: HostEngine, container: str, *, what: str) -> None:
    """Stop one container and remove it; its volume stays."""
    engine.done("stop", "--time", "30", container, doing=f"stop {what}")
    engine.done("rm", container, doing=f"remove {what}")


def _files(folder: Path) -> tuple[str, ...]:
    """Which files, whatever the working directory and the environment say."""
    return (
        *("--project-directory", str(folder), "--file", str(folder / COMPOSE_NAME)),
        *("--env-file", str(folder / ENV_NAME)),
    )


def _composed(engine: HostEngine, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    quiet = ("compose", "--ansi", "never", "--progress", "plain")
    return engine.tried(*quiet, *_files(folder), *arguments, timeout_s=COMPOSES_WITHIN_S)


def _said(here: HostEngine, *arguments: str) -> str:
    result = here.tried(*arguments, timeout_s=READS_WITHIN_S, environment=docker_environment())
    if result.returncode != 0:
        raise compose_error(here, "Compose does not take its rendered folder", result.stderr)
    return result.stdout
