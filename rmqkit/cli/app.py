"""The table of commands; what each does is in its own module, imported when it is called."""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import Annotated

import typer
from typer.models import CommandInfo

from rmqkit import __version__
from rmqkit.cli import EXIT_CODES, EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE
from rmqkit.cli.deployment import deploy, doctor, down, render, size
from rmqkit.cli.load import app as load_app
from rmqkit.cli.options import (
    AsJson,
    Edition,
    Engines,
    Group,
    HistoryFile,
    MaxOutage,
    Namesrv,
    Rate,
    ReportFolder,
    Run,
    Threads,
    Timeout,
)
from rmqkit.errors import UsageError
from rmqkit.settings import DEFAULT_ACKED, DEFAULT_RATE, DEFAULT_THREADS

app = typer.Typer(
    name="rmqkit",
    help="Real Apache RocketMQ DLedger clusters from source: bring them up, break them, prove what holds.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(load_app)


def run(argv: list[str]) -> int:
    """Parse and run; errors of use come out as UsageError or click's own text with exit code 2."""
    try:
        result = only(argv)(argv, standalone_mode=False)
    except typer.Exit as end:
        return int(end.exit_code)
    except typer.Abort as abort:
        raise KeyboardInterrupt from abort
    except Exception as error:
        # Errors of parsing are click's, which typer carries under a name of its own since 0.2x; they know how to
        # show themselves. Anything else is not theirs.
        show = getattr(error, "show", None)
        if show is None:
            raise
        show()
        return EXIT_USAGE
    if result == EXIT_INTERRUPTED:
        # Typer swallows Ctrl-C and gives its exit code; who called main() wants to say something about it.
        raise KeyboardInterrupt
    return result if isinstance(result, int) else EXIT_OK


def only(argv: list[str]) -> typer.Typer:
    """The table of commands with nothing in it but the one that ``argv`` names: typer reads every command's options
    again in each process, which is a tenth of `rmqkit status`. The whole table where none is named.
    """
    named = [info for info in app.registered_commands if argv and _name(info) == argv[0]]
    if not named:
        return app
    one = copy(app)
    one.registered_commands, one.registered_groups = named, []
    return one


def _name(info: CommandInfo) -> str:
    return info.name or (info.callback.__name__.replace("_", "-") if info.callback else "")


def _version(value: bool) -> None:  # noqa: FBT001 - typer's callback form
    if value:
        typer.echo(f"rmqkit {__version__}")
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """Real Apache RocketMQ DLedger clusters from source: bring them up, break them, prove what holds."""


@app.command()
def build(
    edition: Annotated[str | None, typer.Argument(help="edition to build (default store_with_dledger)")] = None,
    *,
    source: Annotated[str | None, typer.Option(help="auto, git, release or path (default: by the edition)")] = None,
    checkout: Annotated[Path | None, typer.Option(help="local checkout of RocketMQ (source path)")] = None,
    rocketmq_url: Annotated[str | None, typer.Option(help="RocketMQ's repository (source git)")] = None,
    rocketmq_ref: Annotated[str | None, typer.Option(help="its branch, tag or commit")] = None,
    dledger_url: Annotated[str | None, typer.Option(help="DLedger's repository (source git)")] = None,
    dledger_ref: Annotated[str | None, typer.Option(help="its branch, tag or commit")] = None,
    build_image: Annotated[str | None, typer.Option(help="image with JDK and Maven to build in")] = None,
    runtime_image: Annotated[str | None, typer.Option(help="image with a Java runtime to run in")] = None,
    ca_bundle: Annotated[Path | None, typer.Option(help="PEM bundle of a proxy, for the build only")] = None,
    maven_settings: Annotated[Path | None, typer.Option(help="Maven settings.xml, used by the build only")] = None,
    network: Annotated[str | None, typer.Option(help="network of the build, as in docker build --network")] = None,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="look at the sources again: a branch has moved, git hosting is back")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="show the build's whole output")] = False,
) -> int:
    """Build an image from source."""
    from rmqkit.cli import build as command  # noqa: PLC0415

    return command.run(
        edition=edition,
        source=source,
        checkout=checkout,
        rocketmq_url=rocketmq_url,
        rocketmq_ref=rocketmq_ref,
        dledger_url=dledger_url,
        dledger_ref=dledger_ref,
        build_image=build_image,
        runtime_image=runtime_image,
        ca_bundle=ca_bundle,
        maven_settings=maven_settings,
        network=network,
        refresh=refresh,
        verbose=verbose,
    )


@app.command()
def up(
    *,
    edition: Edition = None,
    peers: Annotated[int, typer.Option(help="peers of each group")] = 3,
    groups: Annotated[int, typer.Option(help="groups (RaftNode00, RaftNode01, ...)")] = 1,
    nameservers: Annotated[int, typer.Option(help="NameServers")] = 1,
    timeout: Timeout = None,
    as_json: AsJson = False,
) -> int:
    """Start a cluster on free ports of 127.0.0.1 and leave it up."""
    from rmqkit.cli import up as command  # noqa: PLC0415

    return command.run(
        edition=edition, peers=peers, groups=groups, nameservers=nameservers, timeout=timeout, as_json=as_json
    )


@app.command()
def status(
    spec: Annotated[
        Path | None, typer.Argument(metavar="[SPEC]", help="a deployment's cluster.yaml: its hosts are asked too")
    ] = None,
    *,
    namesrv: Namesrv = None,
    run: Run = None,
    engine: Engines = None,
    as_json: AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="ask again every second until Ctrl-C")] = False,
    list_runs: Annotated[bool, typer.Option("--list", help="list the kit's clusters on this engine")] = False,
) -> int:
    """Show every peer's, broker's and NameServer's view side by side; exit code 0 only if healthy."""
    from rmqkit.cli import status as command  # noqa: PLC0415

    if namesrv is not None and run is not None:
        raise UsageError("--namesrv and --run name two clusters", hint="give one of them")
    if as_json and watch:
        raise UsageError("--json and --watch do not go together", hint="ask with --json as often as you want")
    if spec is not None:
        if namesrv is not None or run is not None or watch or list_runs:
            raise UsageError(
                "a specification goes with --engine and --json alone",
                hint="watch a deployment by its NameServers: rmqkit status --namesrv host:port --watch",
            )
        from rmqkit.cli import deploy as deployed  # noqa: PLC0415

        return deployed.status(spec=spec, engines=engine or (), as_json=as_json)
    if engine:
        raise UsageError("--engine goes with a specification", hint="rmqkit status cluster.yaml --engine host=ssh://…")
    return command.run(namesrv=namesrv, run=run, as_json=as_json, watch=watch, list_runs=list_runs)


@app.command("kill-leader")
def kill_leader(
    *,
    group: Group = None,
    namesrv: Namesrv = None,
    project: Annotated[
        str | None, typer.Option("--project", help="with --namesrv: the Compose project on this engine that runs it")
    ] = None,
    run: Run = None,
    timeout: Timeout = None,
    as_json: AsJson = False,
) -> int:
    """Kill the leader of a running cluster with SIGKILL, print the timeline, bring it back."""
    from rmqkit.cli import kill_leader as command  # noqa: PLC0415

    return command.run(group=group, namesrv=namesrv, project=project, run=run, timeout=timeout, as_json=as_json)


@app.command()
def drill(
    *,
    edition: Edition = None,
    run: Run = None,
    group: Group = None,
    rate: Rate = DEFAULT_RATE,
    threads: Threads = DEFAULT_THREADS,
    acked: Annotated[int, typer.Option(help="acknowledged sends wanted before the kill, and after it")] = DEFAULT_ACKED,
    history: HistoryFile = None,
    report: ReportFolder = None,
    max_outage: MaxOutage = None,
    timeout: Timeout = None,
    as_json: AsJson = False,
) -> int:
    """Up, traffic, kill the leader, timeline, read every replica back, verdict, down."""
    from rmqkit.cli import drill as command  # noqa: PLC0415
    from rmqkit.cli.proof import Wanted  # noqa: PLC0415

    wanted = Wanted(
        edition=edition,
        run=run,
        group=group,
        rate=rate,
        threads=threads,
        history=history,
        report=report,
        max_outage=max_outage,
        timeout=timeout,
        as_json=as_json,
    )
    return command.run(wanted, acked=acked)


@app.command()
def chaos(
    *,
    seed: Annotated[int | None, typer.Option(help="draw the same faults as this seed did (default: a new one)")] = None,
    duration: Annotated[
        float | None, typer.Option(help="seconds that faults and gaps fill, recoveries not counted (default 60)")
    ] = None,
    faults: Annotated[
        str | None, typer.Option(help="kinds to draw from (default kill,stop,restart,pause); docs/faults.md has all")
    ] = None,
    schedule: Annotated[Path | None, typer.Option(help="carry out the schedule that this file has, instead")] = None,
    edition: Edition = None,
    run: Run = None,
    group: Group = None,
    rate: Rate = DEFAULT_RATE,
    threads: Threads = DEFAULT_THREADS,
    history: HistoryFile = None,
    report: ReportFolder = None,
    max_outage: MaxOutage = None,
    timeout: Timeout = None,
    as_json: AsJson = False,
) -> int:
    """Traffic under a schedule of faults that a seed repeats; read every replica back, verdict."""
    from rmqkit.cli import chaos as command  # noqa: PLC0415
    from rmqkit.cli.proof import Wanted  # noqa: PLC0415

    wanted = Wanted(
        edition=edition,
        run=run,
        group=group,
        rate=rate,
        threads=threads,
        history=history,
        report=report,
        max_outage=max_outage,
        timeout=timeout,
        as_json=as_json,
    )
    return command.run(wanted, seed=seed, duration=duration, faults=faults, schedule=schedule)


@app.command()
def report(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="a folder that --report wrote")],
    *,
    as_json: AsJson = False,
) -> int:
    """Judge the evidence of a report again, and draw its page where that is missing."""
    from rmqkit.cli import report as command  # noqa: PLC0415

    return command.run(directory=directory, as_json=as_json)


@app.command()
def check(
    path: Annotated[Path, typer.Argument(metavar="DIR", help="a folder that --report or a failed test left")],
    *,
    max_outage: MaxOutage = None,
    markdown: Annotated[
        Path | None, typer.Option(help="add the verdict as Markdown to this file, a CI system's summary")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Judge what a run left from its folder alone, with no cluster; also a history by itself."""
    from rmqkit.cli import check as command  # noqa: PLC0415

    return command.run(path=path, max_outage=max_outage, markdown=markdown, as_json=as_json)


@app.command()
def replay(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="a folder that --report of drill or chaos left")],
    *,
    history: Annotated[Path | None, typer.Option(help="write every operation to this file as JSON lines")] = None,
    report: Annotated[
        Path | None, typer.Option(help="write history, figures and a page to read offline into this new folder")
    ] = None,
    max_outage: MaxOutage = None,
    timeout: Timeout = None,
    as_json: AsJson = False,
) -> int:
    """Do again what a run did: the same faults in the same order on the same edition; verdict of the new run."""
    from rmqkit.cli import replay as command  # noqa: PLC0415

    return command.run(
        directory=directory, history=history, report=report, max_outage=max_outage, timeout=timeout, as_json=as_json
    )


@app.command()
def locate(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="message ids; default: what the history calls lost")
    ] = None,
    *,
    history: Annotated[
        Path | None, typer.Option(help="what was sent and received: a history, or a folder that --report left")
    ] = None,
    store: Annotated[
        list[str] | None, typer.Option(help="n0=FOLDER, a copy of that peer's store; repeat it for others")
    ] = None,
    topic: Annotated[str | None, typer.Option(help="where the history does not know an id")] = None,
    group: Group = None,
    namesrv: Namesrv = None,
    run: Run = None,
    limit: Annotated[int, typer.Option(help="how many ids are looked for")] = 100,
    timeout: Timeout = None,
    as_json: AsJson = False,
) -> int:
    """Say where missing messages are, by every replica's files, queues and key index; brokers may be down."""
    from rmqkit.cli import locate as command  # noqa: PLC0415

    return command.run(
        ids=ids or (),
        history=history,
        stores=store or (),
        topic=topic,
        group=group,
        namesrv=namesrv,
        run=run,
        limit=limit,
        timeout=timeout,
        as_json=as_json,
    )


@app.command()
def logs(
    target: Annotated[str | None, typer.Argument(help="peer or service (n0, namesrv0); default: all")] = None,
    *,
    run: Run = None,
    tail: Annotated[int, typer.Option(help="how many lines of each")] = 50,
) -> int:
    """Print what the processes of a cluster of the kit say."""
    from rmqkit.cli import logs as command  # noqa: PLC0415

    return command.run(target=target, run=run, tail=tail)


for _command in (down, render, doctor, size, deploy):
    app.command()(_command)
