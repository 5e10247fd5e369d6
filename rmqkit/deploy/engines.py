"""A host's Docker engine, driven as its user would drive it: the docker command line with ``--host`` or ``--context``.

What belongs here: running docker for one host, and its failures in the words of that host. What does not: what is
done with it. docker-py is not used here: it reaches an engine over ssh only with a second implementation of ssh, and
knows no contexts.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from rmqkit.errors import ComposeError, EngineError, ImageError, RmqkitError, UsageError
from rmqkit.topology.deployment import Deployment

LABEL_PROJECT: Final = "com.docker.compose.project"
LABEL_SERVICE: Final = "com.docker.compose.service"
LABEL_HASH: Final = "com.docker.compose.config-hash"
REACHED_WITHIN_S: Final = 30.0
"""How long an engine may take to answer at first; over ssh it is started by that."""
ACTS_WITHIN_S: Final = 300.0
_SAID: Final = 12


def docker_environment() -> dict[str, str]:
    """This process' environment without what would point docker elsewhere, or win over a rendered ``.env``."""
    kept = os.environ.items()
    chosen = ("DOCKER_HOST", "DOCKER_CONTEXT")
    return {key: value for key, value in kept if key not in chosen and not key.startswith(("RMQ_", "COMPOSE_"))}


@dataclass(frozen=True, slots=True)
class Container:
    """One container of the deployment, as its engine describes it."""

    id: str
    service: str
    hash: str
    image_id: str
    status: str
    """Docker's word: ``running``, ``restarting``, ``exited``, …"""
    health: str
    """``healthy``, ``unhealthy``, ``starting``; empty where it has no health check."""
    started_at: str
    exit_code: int
    environment: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def up(self) -> bool:
        """Whether it runs, and does not just fail again and again."""
        return self.status == "running" and self.health != "unhealthy"


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What an engine says of itself. ``ahead_s``: how far its clock is ahead of ours, at least and at most."""

    version: str
    root: str
    ahead_s: tuple[float, float]


@dataclass(frozen=True, slots=True)
class HostEngine:
    """The engine of ``host``; ``reference`` is a DOCKER_HOST or a context's name, empty for what docker uses here."""

    host: str
    reference: str = ""

    def __str__(self) -> str:
        return f"{self.host} ({self.reference})" if self.reference else self.host

    def command(self, *arguments: str) -> list[str]:
        """The whole command line of a docker command for this engine."""
        if not self.reference:
            return ["docker", *arguments]
        return ["docker", "--host" if "://" in self.reference else "--context", self.reference, *arguments]

    def environment(self) -> dict[str, str]:
        """The environment of that command; the engine of this machine is the one that docker is set to."""
        return docker_environment() if self.reference else dict(os.environ)

    def tried(
        self, *arguments: str, timeout_s: float = ACTS_WITHIN_S, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end, in ``environment`` where that is not this engine's own. Raises EngineError without docker,
        or where it took too long."""
        try:
            # In a session of its own: ssh finds no terminal then, and fails instead of asking for a password.
            return subprocess.run(
                self.command(*arguments),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=timeout_s,
                env=self.environment() if environment is None else environment,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise EngineError(
                "there is no `docker` in the PATH",
                hint="install Docker's command line (Debian: docker.io or docker-cli)",
            ) from error
        except subprocess.TimeoutExpired as error:
            raise EngineError(
                f"{self}: docker {' '.join(arguments[:3])} did not end within {timeout_s:g} s",
                hint="is the host reached, and does its engine answer? `docker info` there tells",
            ) from error

    def done(self, *arguments: str, doing: str, timeout_s: float = ACTS_WITHIN_S) -> str:
        """What it printed. Raises EngineError naming the host and what was being done, with docker's last lines."""
        result = self.tried(*arguments, timeout_s=timeout_s)
        if result.returncode != 0:
            raise EngineError(
                f"{self}: could not {doing}",
                details=last_lines(result.stderr or result.stdout),
                hint="the lines above are docker's own, from that host's engine",
            )
        return result.stdout

    def facts(self) -> EngineFacts:
        """Reach the engine. Raises EngineError that says how it was tried, and how to try it by hand."""
        before = time.time()
        try:
            result = self.tried("info", "--format", "{{json .}}", timeout_s=REACHED_WITHIN_S)
        except EngineError as error:
            if "PATH" in error.what:
                raise
            raise self._unreached([f"no answer within {REACHED_WITHIN_S:g} s"]) from error
        after = time.time()
        try:
            told = json.loads(result.stdout)
            if result.returncode != 0 or told.get("ServerErrors"):
                raise self._unreached(told.get("ServerErrors") or last_lines(result.stderr))
            now = datetime.fromisoformat(told["SystemTime"]).timestamp()
            return EngineFacts(told["ServerVersion"], told["DockerRootDir"], (now - after, now - before))
        except (ValueError, KeyError, TypeError) as error:
            raise self._unreached(last_lines(result.stderr or result.stdout)) from error

    def _unreached(self, said: Sequence[str]) -> EngineError:
        tried = " ".join(self.command("info"))
        hints = {"ssh": "that ssh logs in by key without a question, and that docker runs there for that user"}
        check = hints.get(self.reference.partition("://")[0], "that the engine runs, and that this user may use it")
        return EngineError(
            f"{self.host}: its Docker engine is not reached at {self.reference or 'the default place'}",
            details=said,
            hint=f"try `{tried}`: check {check}; another way to it is `engine:` of that host in the specification, "
            f"or --engine {self.host}=…",
        )

    def image_id(self, image: str) -> str | None:
        """The id of an image there, or None where there is none of that name."""
        result = self.tried("image", "inspect", "--format", "{{.Id}}", image)
        if result.returncode == 0:
            return result.stdout.strip()
        if "no such image" in result.stderr.lower():
            return None
        raise ImageError(
            f"{self}: could not look for image {image}",
            details=last_lines(result.stderr),
            hint="the lines above are docker's own",
        )

    def containers(self, project: str) -> tuple[Container, ...]:
        """Every container of a Compose project, running or not, in the order of services."""
        doing = f"list the containers of Compose project {project}"
        found = self.done(
            "ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={LABEL_PROJECT}={project}", doing=doing
        )
        ids = found.split()
        if not ids:
            return ()
        inspected = json.loads(self.done("inspect", "--type", "container", *ids, doing=doing))
        read = (_container(each) for each in inspected)
        return tuple(sorted((each for each in read if each.service), key=lambda each: each.service))

    def logs(self, container: str, *, tail: int) -> list[str]:
        """The last lines of a container; what could not be read is said in one."""
        try:
            result = self.tried("logs", "--tail", str(tail), container, timeout_s=REACHED_WITHIN_S)
        except EngineError as error:
            return [error.what]
        return last_lines(result.stdout + result.stderr, most=tail)


def engines_of(deployment: Deployment, given: Mapping[str, str] | None = None) -> dict[str, HostEngine]:
    """Each host's engine: as ``given`` says, or the specification. Raises UsageError for a host that it has not."""
    given = given or {}
    if unknown := sorted(set(given) - {host.name for host in deployment.hosts}):
        raise UsageError(
            f"--engine names {', '.join(unknown)}: no host of the specification",
            hint=f"its hosts: {', '.join(host.name for host in deployment.hosts)}",
        )
    return {host.name: HostEngine(host.name, given.get(host.name) or host.engine_ref) for host in deployment.hosts}


def compose_error(engine: HostEngine, what: str, output: str) -> RmqkitError:
    """Compose's failure on a host, in its own last words."""
    hint = "the lines above are Compose's own; `docker compose version` must be 2.20 or later on this machine"
    if "is not a docker command" in output or "unknown shorthand flag" in output:
        hint = "install the Compose plugin on this machine: `docker compose version` must answer with 2.20 or later"
    return ComposeError(f"{engine}: {what}", details=last_lines(output), hint=hint)


def last_lines(text: str, *, most: int = _SAID) -> list[str]:
    """The last lines that say something."""
    return [line.rstrip() for line in text.splitlines() if line.strip()][-most:]


def _container(told: Mapping[str, Any]) -> Container:
    state, config = told["State"], told["Config"]
    labels = config["Labels"] or {}
    pairs = (line.partition("=")[::2] for line in config["Env"] or ())
    return Container(
        id=told["Id"],
        service=labels.get(LABEL_SERVICE, ""),
        hash=labels.get(LABEL_HASH, ""),
        image_id=told["Image"],
        status=state["Status"],
        health=(state.get("Health") or {}).get("Status", ""),
        started_at=state["StartedAt"],
        exit_code=int(state["ExitCode"]),
        environment=dict(pairs),
        labels=labels,
    )
