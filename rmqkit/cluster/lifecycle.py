"""From a spec to running containers and back: Compose brings them up, labels take them down.

What belongs here: the engine's side of a cluster's life. What does not: readiness, who leads.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rmqkit.cluster.engine import Engine, translated
from rmqkit.cluster.images import missing_image
from rmqkit.cluster.owner import TEMP_PREFIX, Owner, remove_stale
from rmqkit.cluster.ports import ports_in_use
from rmqkit.cluster.signals import held_back
from rmqkit.errors import ComposeError, EngineError, PortInUseError, WaitTimeoutError
from rmqkit.topology.compose import render_compose
from rmqkit.topology.names import LABEL_RUN, LABEL_SPEC
from rmqkit.topology.spec import ClusterSpec
from rmqkit.waiting import Pending, wait_until

COMPOSE_FILE = "compose.yml"


@dataclass(frozen=True, slots=True)
class Containers:
    """The containers of one run: Compose service to container id."""

    run: str
    by_service: Mapping[str, str]


@contextmanager
def running(spec: ClusterSpec, *, engine: Engine, run: str, keep: bool = False) -> Iterator[Containers]:
    """Bring the spec's containers up; take everything down at the end, whatever happens, unless ``keep``.

    ``keep`` leaves the cluster up only when the block ends well: a start that fails leaves nothing. Raises
    ImageError, PortInUseError or ComposeError before anything is left behind.
    """
    image = spec.image_ref
    if engine.image_id(image) is None:
        raise missing_image(image)
    # Suites that start together remove the same leftovers; one that will not go must not keep this one from starting.
    with suppress(EngineError):
        remove_stale(engine)
    hosts = dict.fromkeys(("127.0.0.1", spec.advertise))
    if taken := sorted({port for host in hosts for port in ports_in_use(spec.ports(), host=host)}):
        raise PortInUseError(
            f"port{'s' if len(taken) > 1 else ''} {', '.join(map(str, taken))} on {' or '.join(hosts)} already taken",
            hint=f"see who listens with `ss -ltnp 'sport = :{taken[0]}'`, or choose other ports",
        )
    owner = Owner.myself()
    labels = {**owner.labels(run, kept=keep), LABEL_SPEC: spec.to_json()}
    came_up = ended_well = False
    try:
        up(render_compose(spec, labels=labels), owner=owner)
        came_up = True
        yield find_containers(engine, run)
        ended_well = True
    finally:
        if not (keep and ended_well):
            with held_back():
                take_down(engine, run, interrupted=not came_up)


def up(compose_text: str, *, owner: Owner) -> None:
    """``docker compose up --detach`` of a rendered file. Raises ComposeError with Compose's own last lines."""
    from testcontainers.compose import DockerCompose  # noqa: PLC0415 - costs 0.25 s, so not at start

    folder = Path(tempfile.mkdtemp(prefix=f"{TEMP_PREFIX}{owner.pid}-"))
    try:
        (folder / COMPOSE_FILE).write_text(compose_text, encoding="utf-8")
        compose = DockerCompose(str(folder), compose_file_name=COMPOSE_FILE, wait=False)
        try:
            compose.start()
        except FileNotFoundError as error:
            raise compose_missing("there is no `docker` in the PATH") from error
        except subprocess.CalledProcessError as error:
            raise compose_failure(error) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def compose_missing(seen: str) -> ComposeError:
    """The error for a machine without Compose v2."""
    return ComposeError(
        f"Docker Compose v2 is missing: {seen}",
        hint="install the Compose plugin, so that `docker compose version` answers with 2.x "
        "(Debian's package docker-compose of bookworm is v1 and will not do)",
    )


def compose_failure(error: subprocess.CalledProcessError) -> ComposeError:
    """Compose's failure in its own last words."""
    output = b"".join(part for part in (error.stdout, error.stderr) if part).decode("utf-8", "replace")
    lines = [line.rstrip() for line in output.splitlines() if line.strip()]
    if "is not a docker command" in output or "unknown shorthand flag: 'f'" in output:
        return compose_missing(lines[0] if lines else "`docker compose` is unknown")
    hint = "the lines above are Compose's own; `docker compose version` must be 2.20 or later"
    if "port is already allocated" in output or "address already in use" in output:
        hint = "a port was taken between the check and the start: try again, or choose other ports"
    return ComposeError(f"docker compose up ended with exit code {error.returncode}", details=lines[-12:], hint=hint)


def find_containers(engine: Engine, run: str) -> Containers:
    """The containers of a run by service; those of a run that are no service of its Compose file are clients."""
    with translated(f"list the containers of {run}"):
        found = engine.client.api.containers(all=True, filters={"label": [f"{LABEL_RUN}={run}"]})
    services = {entry["Labels"].get("com.docker.compose.service"): entry["Id"] for entry in found}
    return Containers(run, {service: container for service, container in services.items() if service})


def take_down(engine: Engine, run: str, *, interrupted: bool = False) -> None:
    """Remove everything of a run. After an interrupted start Compose may still be creating: look until it is quiet."""
    if not interrupted:
        engine.remove_project({LABEL_RUN: run})
        return
    quiet = 0

    def probe() -> bool | Pending:
        nonlocal quiet
        quiet = 0 if engine.remove_project({LABEL_RUN: run}) else quiet + 1
        return True if quiet >= 4 else Pending(f"quiet for {quiet} looks")

    try:
        # The engine refuses to remove a network or volume that Compose has just given to a new container.
        wait_until(
            probe,
            label=f"nothing of run {run} appears any more",
            timeout_s=15,
            every_s=0.25,
            tolerate=(EngineError,),
        )
    except WaitTimeoutError as error:
        raise ComposeError(
            f"what is left of run {run} could not be removed: {error.last_seen}",
            hint=f"when Compose has ended: rmqkit down {run}",
        ) from error
