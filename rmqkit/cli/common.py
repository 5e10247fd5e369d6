"""What several commands share: settings, the console, and which cluster is meant."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rmqkit.errors import EngineError, NotFoundError
from rmqkit.settings import Settings
from rmqkit.topology.names import LABEL_EDITION, LABEL_RUN, LABEL_SPEC

if TYPE_CHECKING:
    from rich.table import Table

    from rmqkit.cluster.cluster import Cluster


def settings(**options: object) -> Settings:
    """Settings from this command's options and the environment."""
    return Settings.read(environ=os.environ, options=options)


def show_wide(table: Table) -> None:
    """A table on standard output with every cell whole: a narrow terminal wraps lines, it does not lose digits."""
    from rich.console import Console  # noqa: PLC0415 - costs 80 ms
    from rich.measure import Measurement  # noqa: PLC0415

    console = Console(highlight=False, markup=False, emoji=False)
    needed = Measurement.get(console, console.options.update(max_width=1000), table).maximum
    console.width = max(console.width, needed)
    with _reader_may_leave():
        console.print(table)


def say(text: str) -> None:
    """One line of progress, on standard error, so that standard output stays the answer."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def show(lines: Sequence[str]) -> bool:
    """Lines of the answer, on standard output; whether somebody reads them."""
    with _reader_may_leave():
        print("\n".join(lines), flush=True)  # noqa: T201
        return True
    return False


@contextmanager
def _reader_may_leave() -> Iterator[None]:
    """Somebody reads as far as wanted (``| head -1``, ``| grep -q``): the rest is dropped, the exit code stays."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@dataclass(frozen=True, slots=True)
class RunningCluster:
    """A cluster of the kit that is up: its run, one of its containers, its edition and its spec's JSON."""

    run: str
    container: str
    edition: str
    spec_json: str


def running_clusters() -> list[RunningCluster]:
    """The kit's clusters on this engine, asked of the docker CLI: docker-py alone takes 0.3 s to import."""
    template = "\t".join(["{{.ID}}", *(f'{{{{.Label "{name}"}}}}' for name in (LABEL_RUN, LABEL_EDITION, LABEL_SPEC))])
    command = ["docker", "ps", "--no-trunc", "--filter", f"label={LABEL_SPEC}", "--format", template]
    hint = "is Docker Engine installed and running? Or name a cluster with --namesrv host:port"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"cannot ask the Docker engine for clusters: {error}", hint=hint) from error
    if done.returncode != 0:
        raise EngineError(f"the Docker engine refused: list containers: {done.stderr.strip()}", hint=hint)
    found: dict[str, RunningCluster] = {}
    for line in done.stdout.splitlines():
        container, run, edition, spec = line.split("\t")
        found.setdefault(run, RunningCluster(run, container, edition, spec))
    return [found[run] for run in sorted(found)]


def choose_run(run: str | None) -> RunningCluster:
    """The cluster of that name, or the only one. Raises NotFoundError that lists what is up."""
    clusters = running_clusters()
    names = ", ".join(cluster.run for cluster in clusters)
    if run is not None:
        for cluster in clusters:
            if cluster.run == run:
                return cluster
        raise NotFoundError(f"no cluster of run {run!r} is up", hint=f"up: {names or 'none'}")
    if not clusters:
        raise NotFoundError(
            "no cluster of the kit is up", hint="start one with `rmqkit up`, or name a running one with --namesrv"
        )
    if len(clusters) > 1:
        raise NotFoundError(f"{len(clusters)} clusters of the kit are up", hint=f"name one with --run: {names}")
    return clusters[0]


@contextmanager
def own_cluster(run: str | None, *, timeout_s: float) -> Iterator[Cluster]:
    """The kit's own cluster that is meant, attached to with access to its engine."""
    from rmqkit.cluster.cluster import Cluster  # noqa: PLC0415
    from rmqkit.cluster.engine import Engine  # noqa: PLC0415

    with ExitStack() as stack:
        engine = stack.enter_context(Engine.connect())
        name = choose_run(run).run
        yield stack.enter_context(Cluster.attach_run(name, engine=engine, timeout_s=timeout_s))
