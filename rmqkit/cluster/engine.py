"""The one seam to the Docker engine: every foreign exception becomes an :class:`~rmqkit.errors.EngineError` here.

What belongs here: thin verbs over docker-py (kill, start, logs, remove by label). What does not: knowledge of
RocketMQ. The docker package is imported at first use, since it costs a quarter of a second.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from rmqkit.cluster.signals import held_back
from rmqkit.errors import EngineError, ImageError, WaitTimeoutError
from rmqkit.waiting import Pending, wait_until

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

_HINT = (
    "install and start Docker Engine (Debian: `apt-get install docker.io`), check `docker info` as this user, "
    "or name another engine with DOCKER_HOST"
)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn whatever docker-py raises while ``doing`` into an EngineError that says what was being done."""
    import docker.errors  # noqa: PLC0415 - costs 0.25 s, so not at start
    import requests  # noqa: PLC0415

    try:
        yield
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        text = str(getattr(error, "explanation", None) or error).strip()
        hint = _HINT if "connect" in text.lower() or "FileNotFound" in text else "see the engine's own log"
        raise EngineError(f"the Docker engine refused: {doing}: {text}", hint=hint) from error


@dataclass(frozen=True, slots=True)
class ContainerState:
    """What the engine says of one container."""

    name: str
    service: str
    running: bool
    paused: bool
    exit_code: int
    oom_killed: bool
    started_at: str
    labels: Mapping[str, str]


class Engine:
    """A connection to one Docker engine. ``Engine.connect()`` makes a usable one; close it with ``with``."""

    def __init__(self, client: DockerClient) -> None:
        self.client = client

    @classmethod
    def connect(cls) -> Engine:
        """Connect as the docker CLI would (DOCKER_HOST or the default socket). Raises EngineError."""
        import docker  # noqa: PLC0415 - costs 0.25 s, so not at start

        try:
            with translated("connect"), ExitStack() as undo:
                client = docker.from_env(timeout=60)
                undo.callback(client.close)
                client.ping()
                undo.pop_all()
        except EngineError as error:
            where = os.environ.get("DOCKER_HOST") or "the default socket"
            seen = error.what.partition(": connect: ")[2]
            raise EngineError(f"no Docker engine answers at {where}: {seen}", hint=_HINT) from error
        return cls(client)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; containers stay as they are."""
        self.client.close()

    # ---- containers -------------------------------------------------------------------------------------

    def containers(self, labels: Mapping[str, str | None]) -> list[Container]:
        """Every container, running or not, that carries all ``labels`` (value None: any value)."""
        wanted = [key if value is None else f"{key}={value}" for key, value in labels.items()]
        with translated("list containers"):
            return list(self.client.containers.list(all=True, filters={"label": wanted}, ignore_removed=True))

    def state(self, container_id: str) -> ContainerState:
        """The present state of one container, by id or name."""
        with translated(f"inspect container {container_id}"):
            attributes: dict[str, Any] = self.client.api.inspect_container(container_id)
        state, labels = attributes["State"], attributes["Config"]["Labels"] or {}
        return ContainerState(
            name=attributes["Name"].lstrip("/"),
            service=labels.get("com.docker.compose.service", ""),
            running=bool(state["Running"]),
            paused=bool(state["Paused"]),
            exit_code=int(state["ExitCode"]),
            oom_killed=bool(state["OOMKilled"]),
            started_at=str(state["StartedAt"]),
            labels=labels,
        )

    def kill(self, container_id: str, *, signal: str = "SIGKILL") -> None:
        """Send ``signal`` to the container's first process."""
        with translated(f"send {signal} to {container_id}"):
            self.client.api.kill(container_id, signal=signal)

    def stop(self, container_id: str, *, timeout_s: int) -> None:
        """SIGTERM, then SIGKILL after ``timeout_s`` seconds; returns when the container has ended."""
        with translated(f"stop {container_id}"):
            self.client.api.stop(container_id, timeout=timeout_s)

    def start(self, container_id: str) -> None:
        """Start a container that ended; it keeps its volumes and, in a pod, its addresses."""
        with translated(f"start {container_id}"):
            self.client.api.start(container_id)

    def pause(self, container_id: str) -> None:
        """Freeze every process of the container."""
        with translated(f"pause {container_id}"):
            self.client.api.pause(container_id)

    def unpause(self, container_id: str) -> None:
        """Let a frozen container run on."""
        with translated(f"unpause {container_id}"):
            self.client.api.unpause(container_id)

    def logs(self, container_id: str, *, tail: int | None = 40) -> list[str]:
        """The last ``tail`` lines that the container printed (all with None)."""
        with translated(f"read the log of {container_id}"):
            raw = self.client.api.logs(container_id, tail="all" if tail is None else tail)
        return bytes(raw).decode("utf-8", "replace").splitlines()

    # ---- files and images -------------------------------------------------------------------------------

    def image_id(self, image: str) -> str | None:
        """The id of a local image, or None where there is none of that name."""
        import docker.errors  # noqa: PLC0415

        with translated(f"look for image {image}"):
            try:
                return str(self.client.images.get(image).id)
            except docker.errors.ImageNotFound:
                return None

    def file_from_image(self, image: str, path: str, *, labels: Mapping[str, str]) -> bytes:
        """One file out of an image, by way of a container that is made, never started, and removed.

        ``labels`` say whose it is, should its maker be killed in between.
        """
        # Between the engine's making it and this process knowing its id, a signal would leave it behind.
        with translated(f"read {path} from image {image}"), held_back():
            made = self.client.api.create_container(image, entrypoint=["true"], labels=dict(labels))
            try:
                chunks, _ = self.client.api.get_archive(made["Id"], path)
                archive = b"".join(chunks)
            finally:
                self.client.api.remove_container(made["Id"], force=True, v=True)
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            member = tar.extractfile(tar.getmembers()[0])
            if member is None:
                raise ImageError(f"{path} in image {image} is not a file", hint="build the image again: rmqkit build")
            return member.read()

    # ---- removal ----------------------------------------------------------------------------------------

    def remove_project(self, labels: Mapping[str, str], *, within_s: float = 60.0) -> int:
        """Remove every container, volume and network that carries all ``labels``; returns how many there were.

        Containers are killed, not stopped: a test cluster needs no graceful end, and `compose down` takes seven
        seconds for it. What somebody else is removing at the same time, or what is still in use by what goes, is looked
        at again until nothing is left; raises EngineError with what would not go after ``within_s`` seconds.
        """
        filters = {"label": [f"{key}={value}" for key, value in labels.items()]}
        seen: set[str] = set()

        def probe() -> int | Pending:
            there, errors = self._remove_once(filters)
            seen.update(there)
            if not there:
                return len(seen)
            return Pending(f"{len(there)} things are still there", details=tuple(errors))

        try:
            with translated(f"remove what carries {labels}"):
                return wait_until(probe, label=f"nothing carries {labels}", timeout_s=within_s, every_s=0.05)
        except WaitTimeoutError as error:
            raise EngineError(
                f"what carries {labels} does not go away: {error.last_seen}",
                details=error.details,
                hint="`docker ps -a` shows it; `rmqkit down --all` tries again",
            ) from error

    def _remove_once(self, filters: dict[str, list[str]]) -> tuple[list[str], list[str]]:
        """Try to remove everything that is listed now: what was listed, and what the engine said against it."""
        import docker.errors  # noqa: PLC0415

        api = self.client.api
        errors: list[str] = []

        def drop(remove: Callable[[], object]) -> None:
            try:
                remove()
            except docker.errors.NotFound:
                pass
            except docker.errors.APIError as error:
                errors.append(str(error.explanation or error))

        containers = [entry["Id"] for entry in api.containers(all=True, filters=filters)]
        if containers:
            with ThreadPoolExecutor(max_workers=8, thread_name_prefix="rmqkit-remove") as workers:
                list(workers.map(lambda each: drop(lambda: api.remove_container(each, force=True, v=True)), containers))
        networks = [entry["Id"] for entry in api.networks(filters=filters)]
        for network in networks:
            drop(partial(api.remove_network, network))
        volumes = [entry["Name"] for entry in api.volumes(filters=filters)["Volumes"] or ()]
        for volume in volumes:
            drop(partial(api.remove_volume, volume, force=True))
        return [*containers, *networks, *volumes], errors
