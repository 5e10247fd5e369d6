"""``rmqkit deploy``, and ``status`` and ``down`` on a specification: all hosts of a deployment from one place."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rmqkit.cli import EXIT_FAILED, EXIT_OK
from rmqkit.cli.common import say, show, show_wide
from rmqkit.cli.status import table, views
from rmqkit.cluster.signals import sigterm_unwinds
from rmqkit.deploy.overview import Overview, overview, take_down
from rmqkit.deploy.reading import read_text
from rmqkit.deploy.rollout import Deployed, Options, deploy
from rmqkit.deploy.site import Site
from rmqkit.errors import StoppedError, UsageError
from rmqkit.topology.deployfile import load_deployment

if TYPE_CHECKING:
    from rich.table import Table


def run(
    *, spec: Path, output: Path | None, engines: Sequence[str], force: bool, options: Options, as_json: bool
) -> int:
    """Render, look, show what changes, do it, wait, show how all stands."""
    plan = load_deployment(read_text(spec), source=str(spec))
    with sigterm_unwinds(), _folder(output if not options.dry_run else None) as folder:
        site = Site.rendered(plan, folder, engines=engine_map(engines), force=force)
        try:
            done = deploy(site, spec, options=options, on_step=say)
        except KeyboardInterrupt as error:
            raise StoppedError(
                "interrupted; what was started on the hosts stays as it is",
                hint=f"`rmqkit status {spec}` shows how it stands; `rmqkit deploy {spec}` goes on from there",
            ) from error
        seen = overview(site, status=done.status)
    if as_json:
        show([json.dumps({**_plain(done), **seen.as_dict()}, indent=2)])
    else:
        _show(done, seen)
    if done.status is None:
        return EXIT_OK
    return EXIT_OK if seen.status.healthy else EXIT_FAILED


def status(*, spec: Path, engines: Sequence[str], as_json: bool) -> int:
    """Each process by its engine, and the three views; 0 only if all are well."""
    plan = load_deployment(read_text(spec), source=str(spec))
    with _folder(None) as folder:
        seen = overview(Site.rendered(plan, folder, engines=engine_map(engines)))
    if as_json:
        show([json.dumps(seen.as_dict(), indent=2)])
    else:
        show_wide(processes(seen))
        show_wide(table(seen.status))
        show(views(seen.status))
    return EXIT_OK if seen.healthy else EXIT_FAILED


def down(*, spec: Path, engines: Sequence[str], volumes: bool) -> int:
    """Take the deployment down on every host."""
    plan = load_deployment(read_text(spec), source=str(spec))
    with sigterm_unwinds(), _folder(None) as folder:
        site = Site.rendered(plan, folder, engines=engine_map(engines))
        gone = take_down(site, volumes=volumes, on_step=say)
    show([f"took down {plan.deployment.name} on {', '.join(gone)}" if gone else f"{plan.deployment.name} is not up"])
    return EXIT_OK


def engine_map(given: Sequence[str]) -> dict[str, str]:
    """``host=engine`` of the command line. Raises UsageError for anything else."""
    found = {}
    for each in given:
        host, equals, reference = each.partition("=")
        if not (host and equals and reference):
            raise UsageError(
                f"--engine {each!r} does not say whose engine is where",
                hint="write --engine rmq-a=ssh://root@10.0.0.1, unix:///path, or a name of `docker context ls`",
            )
        found[host] = reference
    return found


def processes(seen: Overview) -> Table:
    """A row for each process of each host."""
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - costs 80 ms
    from rich.table import Table  # noqa: PLC0415

    result = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("Host", "Process", "State", "Since", "Image", "A deploy would"):
        result.add_column(name, no_wrap=True)
    for row in seen.rows:
        container = row.container
        result.add_row(
            row.host,
            row.service,
            row.state,
            container.started_at[:19].replace("T", " ") if container else "-",
            container.image_id.removeprefix("sha256:")[:12] if container else "-",
            "-" if row.change is None else f"{row.change.act} it",
        )
    return result


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    """The folder to render into: the one that is wanted, or one that is gone at the end."""
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="rmqkit-deploy-") as folder:
        yield Path(folder)


def _show(done: Deployed, seen: Overview) -> None:
    if done.status is None:
        show(
            [
                *(f"would ship the image to {host}" for host in done.shipped),
                *(f"would change {change}" for change in done.acts if change not in done.left),
                *(f"would leave {change}" for change in done.left),
                *([] if done.acts or done.shipped else ["nothing would change: all runs as the specification says"]),
            ]
        )
        return
    show_wide(processes(seen))
    show_wide(table(seen.status))
    show(views(seen.status))
    made = [change for change in done.acts if change not in done.left]
    lines = [f"left as it is: {change} (--remove takes it away)" for change in done.left]
    if not made and not done.shipped:
        lines.append(f"nothing changed: all {len(done.changes)} processes run as the specification says")
    else:
        lines.append(f"{len(made)} of {len(done.changes)} processes changed")
    show(lines)


def _plain(done: Deployed) -> dict[str, object]:
    return {
        "dry_run": done.status is None,
        "shipped": list(done.shipped),
        "changes": [
            {"act": c.act.value, "host": c.host, "service": c.service, "why": list(c.why)}
            for c in done.acts
            if c not in done.left
        ],
        "left": [{"host": c.host, "service": c.service} for c in done.left],
    }
