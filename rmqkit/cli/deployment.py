"""The commands for deployments, and ``down``, of test clusters too; what each does is in its own module."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rmqkit.cli.options import AsJson, Edition, Engines, Timeout
from rmqkit.errors import UsageError


def render(
    spec: Annotated[Path, typer.Argument(help="the specification, cluster.yaml")],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="folder that gets one folder for each host")],
    force: Annotated[bool, typer.Option("--force", help="overwrite files that were changed by hand")] = False,
) -> int:
    """Write a folder for each host of a specification: .env, Compose file, broker.conf."""
    from rmqkit.cli import render as command  # noqa: PLC0415

    return command.run(spec=spec, output=output, force=force)


def doctor(
    paths: Annotated[list[Path], typer.Argument(help="cluster.yaml, a rendered folder, broker.conf files, a .env")],
    *,
    edition: Edition = None,
    machine: Annotated[bool, typer.Option("--machine", help="look at this machine too: ports, disks, limits")] = False,
    network: Annotated[bool, typer.Option("--network", help="try to reach peers and NameServers too")] = False,
    host: Annotated[str | None, typer.Option("--host", help="which host of the files this machine is")] = None,
    as_json: AsJson = False,
) -> int:
    """Say what is wrong with a configuration, why it hurts, and how to mend it; exit code 1 for an error."""
    from rmqkit.cli import doctor as command  # noqa: PLC0415

    return command.run(paths=paths, edition=edition, machine=machine, network=network, host=host, as_json=as_json)


def size(
    *,
    tps: Annotated[float, typer.Option(help="messages per second at the peak")],
    message_bytes: Annotated[int, typer.Option(help="body of one message, bytes")],
    retention: Annotated[str, typer.Option(help="how long messages are kept: 72h, 3d")],
    replicas: Annotated[int, typer.Option(help="replicas of each group")] = 3,
    average: Annotated[float, typer.Option(help="share of the peak over the whole day, 0 to 1")] = 1.0,
    consumers: Annotated[int, typer.Option(help="consumer groups that read every message")] = 1,
    keys: Annotated[int, typer.Option(help="indexed keys of a message, the client's own id included")] = 1,
    properties_bytes: Annotated[int, typer.Option(help="properties of one message, bytes")] = 100,
    group_tps: Annotated[float, typer.Option(help="messages per second that one group carries")] = 4400.0,
    brokers_per_host: Annotated[int, typer.Option(help="brokers on one host")] = 1,
    as_json: AsJson = False,
) -> int:
    """Print the hosts, disks, network and groups that a load takes, with the working."""
    from rmqkit.cli import size as command  # noqa: PLC0415
    from rmqkit.topology.sizing import Load  # noqa: PLC0415

    load = Load(
        tps=tps,
        message_bytes=message_bytes,
        retention_hours=command.hours(retention),
        replicas=replicas,
        average=average,
        consumers=consumers,
        keys=keys,
        properties_bytes=properties_bytes,
        group_tps=group_tps,
        brokers_per_host=brokers_per_host,
    )
    return command.run(load, as_json=as_json)


def deploy(
    spec: Annotated[Path, typer.Argument(metavar="SPEC", help="the specification, cluster.yaml")],
    *,
    engine: Engines = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="keep the rendered folders here (default: nowhere)")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="overwrite files there that were changed by hand")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would change")] = False,
    pull: Annotated[
        bool, typer.Option("--pull", help="let each host pull the image from its registry, instead of shipping it")
    ] = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="stop what the specification does not have any more, or has elsewhere")
    ] = False,
    timeout: Timeout = None,
    as_json: AsJson = False,
) -> int:
    """Make every host of a specification run what it says: image, NameServers, brokers; then wait until all agree."""
    from rmqkit.cli import deploy as command  # noqa: PLC0415
    from rmqkit.deploy.rollout import WITHIN_S, Options  # noqa: PLC0415

    options = Options(pull=pull, remove=remove, dry_run=dry_run, timeout_s=timeout or WITHIN_S)
    return command.run(spec=spec, output=output, engines=engine or (), force=force, options=options, as_json=as_json)


def down(
    run: Annotated[
        str | None,
        typer.Argument(help="run name, or a deployment's cluster.yaml; default: the only cluster that is up"),
    ] = None,
    *,
    engine: Engines = None,
    volumes: Annotated[
        bool, typer.Option("--volumes", help="with a cluster.yaml for staging: remove its volumes too")
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="take every cluster of the kit down")] = False,
    stale: Annotated[bool, typer.Option("--stale", help="remove only what dead owners left behind")] = False,
) -> int:
    """Take clusters down: containers, networks and volumes. Of a deployment stores stay."""
    from rmqkit.cli import down as command  # noqa: PLC0415

    if sum((everything, stale, run is not None)) > 1:
        raise UsageError("give one of RUN, --all and --stale", hint="rmqkit down --help")
    if run is not None and Path(run).suffix in (".yaml", ".yml"):
        from rmqkit.cli import deploy as deployed  # noqa: PLC0415

        return deployed.down(spec=Path(run), engines=engine or (), volumes=volumes)
    if engine or volumes:
        raise UsageError("--engine and --volumes go with a specification", hint="rmqkit down cluster.yaml --volumes")
    return command.run(run=run, everything=everything, stale=stale)
