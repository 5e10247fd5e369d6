"""``rmqkit load``: its three commands and their options; what they do is in ``load_command``.

The defaults are the tutorial's benchmark: ten threads that send "Test" to TopicTest with TagA until Ctrl-C, and a
consumer of group test_consumer_group.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="load",
    help="Traffic whose every outcome is known. Writes to the cluster on purpose, also to one that --namesrv names.",
    epilog="""Exit codes: 0 ended as asked, and every send acknowledged; 1 a send was not (other than around a
--kill-leader-at), an acknowledged message did not come, or nothing came at all; 2 wrong use, nothing was sent;
3 the group did not drain; 4 a worker process died, or something is missing here; 5 the cluster is at fault;
130 Ctrl-C before the end that was asked for. Without --duration and --count Ctrl-C is that end.""",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

Namesrv = Annotated[
    str | None, typer.Option("--namesrv", "-n", help="NameServers of a running cluster: host:port;host:port")
]
Run = Annotated[str | None, typer.Option("--run", help="a cluster of the kit that is up, by its run name")]
Topic = Annotated[str, typer.Option(help="made where it is missing and brokers make topics by themselves")]
Tag = Annotated[str, typer.Option(help="tag of every message")]
Threads = Annotated[int, typer.Option(help="sending threads; of each driver")]
Processes = Annotated[int, typer.Option(help="worker processes that the threads are spread over; 0: this one")]
Rate = Annotated[float | None, typer.Option(help="messages a second in all; latency then counts from when one was due")]
Size = Annotated[int | None, typer.Option(help='bytes of each body (default: "Test")')]
Batch = Annotated[int, typer.Option(help="messages in one request")]
Window = Annotated[int, typer.Option(help="sends that each thread keeps under way; 0: waits for each answer")]
Duration = Annotated[float | None, typer.Option(help="seconds; default: until Ctrl-C")]
Count = Annotated[int | None, typer.Option(help="messages; default: until Ctrl-C")]
Group = Annotated[str, typer.Option(help="consumer group")]
Expression = Annotated[str, typer.Option(help='tags: "*", or "TagA || TagB"')]
Members = Annotated[int, typer.Option(help="members of the group, each with a thread")]
Report = Annotated[Path | None, typer.Option(help="write history, summary.json, plots and a page to this new folder")]
History = Annotated[Path | None, typer.Option(help="write every operation to this new folder; without it none is kept")]
Seed = Annotated[int | None, typer.Option(help="of every random choice (bodies, waits); default: a new one, printed")]
AsJson = Annotated[bool, typer.Option("--json", help="print summary.json instead of text")]
Timeout = Annotated[float | None, typer.Option(help="seconds for each wait for the cluster (default 90)")]


@app.command()
def produce(
    *,
    namesrv: Namesrv = None,
    run: Run = None,
    topic: Topic = "TopicTest",
    tag: Tag = "TagA",
    threads: Threads = 10,
    processes: Processes = 0,
    rate: Rate = None,
    size: Size = None,
    batch: Batch = 1,
    window: Window = 0,
    duration: Duration = None,
    count: Count = None,
    report: Report = None,
    history: History = None,
    seed: Seed = None,
    as_json: AsJson = False,
) -> int:
    """Send until Ctrl-C, and say what came of every message."""
    from rmqkit.cli import load_command as command  # noqa: PLC0415
    from rmqkit.load.plan import SendPlan  # noqa: PLC0415

    seed = command.seed_of(seed)
    plan = SendPlan(
        topic=topic,
        tag=tag,
        threads=threads,
        processes=processes,
        rate=rate,
        size=size,
        batch=batch,
        window=window,
        duration_s=duration,
        count=count,
        seed=seed,
    )
    evidence = command.Evidence(report=report, history=history, as_json=as_json)
    return command.run("produce", send=plan, receive=None, namesrv=namesrv, run=run, seed=seed, evidence=evidence)


@app.command()
def consume(
    *,
    namesrv: Namesrv = None,
    run: Run = None,
    group: Group = "test_consumer_group",
    topic: Annotated[str, typer.Option(help="topic to subscribe to")] = "TopicTest",
    expression: Expression = "*",
    threads: Members = 1,
    duration: Duration = None,
    count: Annotated[int | None, typer.Option(help="end after so many messages, or a few more")] = None,
    report: Report = None,
    history: History = None,
    as_json: AsJson = False,
) -> int:
    """Receive until Ctrl-C as members of a group, and commit what came."""
    from rmqkit.cli import load_command as command  # noqa: PLC0415
    from rmqkit.load.plan import ReceivePlan  # noqa: PLC0415

    plan = ReceivePlan(
        topic=topic, group=group, expression=expression, threads=threads, duration_s=duration, count=count
    )
    evidence = command.Evidence(report=report, history=history, as_json=as_json)
    return command.run("consume", send=None, receive=plan, namesrv=namesrv, run=run, seed=0, evidence=evidence)


@app.command("run")
def run_both(
    *,
    namesrv: Namesrv = None,
    run: Run = None,
    topic: Topic = "TopicTest",
    tag: Tag = "TagA",
    threads: Threads = 10,
    processes: Processes = 0,
    rate: Rate = None,
    size: Size = None,
    batch: Batch = 1,
    window: Window = 0,
    duration: Duration = None,
    count: Count = None,
    group: Group = "test_consumer_group",
    members: Members = 1,
    driver: Annotated[
        list[str] | None, typer.Option(help="built-in, native or java; several are compared in one run")
    ] = None,
    kill_leader_at: Annotated[
        float | None, typer.Option(help="seconds after the start; on clusters that the kit started")
    ] = None,
    kill_leader_of: Annotated[str | None, typer.Option(help="the group, where a cluster has several")] = None,
    report: Report = None,
    history: History = None,
    seed: Seed = None,
    timeout: Timeout = None,
    as_json: AsJson = False,
) -> int:
    """Send and receive, until the group has received everything that was acknowledged."""
    from rmqkit.cli import load_command as command  # noqa: PLC0415
    from rmqkit.load.plan import ReceivePlan, SendPlan  # noqa: PLC0415

    seed = command.seed_of(seed)
    plan = SendPlan(
        topic=topic,
        tag=tag,
        threads=threads,
        processes=processes,
        rate=rate,
        size=size,
        batch=batch,
        window=window,
        duration_s=duration,
        count=count,
        drivers=tuple(driver or ("built-in",)),
        seed=seed,
    )
    receive = ReceivePlan(topic=topic, group=group, threads=members)
    evidence = command.Evidence(report=report, history=history, as_json=as_json)
    kill = command.Kill.asked(kill_leader_at, group=kill_leader_of, plan=plan)
    return command.run(
        "run",
        send=plan,
        receive=receive,
        namesrv=namesrv,
        run=run,
        seed=seed,
        evidence=evidence,
        kill=kill,
        timeout=timeout,
    )
