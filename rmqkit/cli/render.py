"""``rmqkit render``: a specification as a folder for each host."""

from __future__ import annotations

from pathlib import Path

from rmqkit.cli import EXIT_OK
from rmqkit.cli.common import say, show
from rmqkit.deploy.folder import write_folder
from rmqkit.deploy.reading import read_text
from rmqkit.topology.deployfile import load_deployment
from rmqkit.topology.hostfiles import deployment_files


def run(*, spec: Path, output: Path, force: bool) -> int:
    """Read, place, write; print who runs where."""
    plan = load_deployment(read_text(spec), source=str(spec))
    done = write_folder(output, deployment_files(plan), force=force)
    lines = []
    for host in plan.deployment.hosts:
        services = [service for service, name in plan.host_of.items() if name == host.name]
        lines.append(f"{output / host.name}: {host.address}, {', '.join(services) or 'nothing'}")
    show(lines)
    say(
        f"{len(done.written)} files written, {len(done.unchanged)} as they were, {len(done.removed)} stale ones removed"
    )
    return EXIT_OK
