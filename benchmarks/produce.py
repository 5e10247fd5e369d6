"""Producing: the built-in client beside RocketMQ's own benchmark Producer, on one cluster, in one place, alternating.

    python benchmarks/produce.py --edition 4.9.8 --rounds 4
    python benchmarks/produce.py --edition 4.9.8 --modes sync,pipelined,batch --processes 2

Each round gives every side its turn: it warms up, then the broker's count is taken over ``--seconds``. The Java side is
org.apache.rocketmq.example.benchmark.Producer with ``--threads`` threads that send synchronously, as in the tutorial;
``--driver`` adds the kit's Java driver (the same client under the kit's command), to show what commanding it costs.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

from _pairs import ratio
from _sides import Rate, Site, add_place, full_speed, measured, rate_row

from rmqkit.client.producer import Producer
from rmqkit.client.send import OutgoingMessage
from rmqkit.cluster.images import DEFAULT_EDITION
from rmqkit.cluster.topics import create_topic
from rmqkit.drivers import Target
from rmqkit.drivers.java_load import JavaLoad
from rmqkit.drivers.java_process import JavaProcess, Place
from rmqkit.transport.pool import ChannelPool

BATCH = 32


def send_for_ever(task: dict[str, object]) -> None:
    """Our side's process: threads that send until the process is ended."""
    modes: dict[str, Callable[[ChannelPool, dict[str, object]], None]] = {
        "sync": _sync,
        "pipelined": _pipelined,
        "batch": _batch,
    }
    work = modes[str(task["mode"])]
    # One pool and so one connection to a broker for all threads, like the one client of the Java side.
    with ChannelPool() as pool:
        for _ in range(int(str(task["threads"]))):
            threading.Thread(target=work, args=(pool, task), daemon=True).start()
        signal.pause()


def _servers(task: dict[str, object]) -> list[str]:
    return str(task["nameservers"]).split(";")


def _message(task: dict[str, object]) -> OutgoingMessage:
    return OutgoingMessage(str(task["topic"]), b"x" * int(str(task["bytes"])))


def _sync(pool: ChannelPool, task: dict[str, object]) -> None:
    producer = Producer(pool, _servers(task))
    while True:
        producer.send_message(_message(task))


def _batch(pool: ChannelPool, task: dict[str, object]) -> None:
    producer = Producer(pool, _servers(task))
    while True:
        producer.send_batch([_message(task) for _ in range(BATCH)])


def _pipelined(pool: ChannelPool, task: dict[str, object]) -> None:
    from rmqkit.client.pipeline import PipelinedProducer  # noqa: PLC0415 - the other modes do not need it

    with PipelinedProducer(pool, _servers(task), window=int(str(task["window"]))) as producer:
        while True:
            producer.submit(_message(task))


def ours(site: Site, options: argparse.Namespace, mode: str) -> Rate:
    """One turn of ours: ``--processes`` processes that share the threads; pipelined, a thread each."""
    per_process = 1 if mode == "pipelined" else max(1, options.threads // options.processes)
    task = {"mode": mode, "threads": per_process, "topic": options.topic, "bytes": options.bytes}
    task |= {"nameservers": site.cluster.namesrv_addr, "window": options.window}
    command = site.ours(__file__, "--task", json.dumps(task))
    processes = [subprocess.Popen(command) for _ in range(options.processes)]
    try:
        pids = [process.pid for process in processes]
        return measured(site, options.topic, pids, warm_s=options.warm, seconds=options.seconds)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def java(site: Site, options: argparse.Namespace) -> Rate:
    """One turn of RocketMQ's own benchmark class."""
    words = ["-n", site.cluster.namesrv_addr, "-t", options.topic, "-w", str(options.threads), "-s", str(options.bytes)]
    with site.java_main("Producer", *words) as pid:
        return measured(site, options.topic, [pid], warm_s=options.warm, seconds=options.seconds)


def driver(site: Site, options: argparse.Namespace) -> Rate:
    """One turn of the kit's Java driver."""
    with (
        JavaProcess(Place.inside(site.cluster, network=site.network), heap="1g", java_options="") as process,
        JavaLoad(
            process,
            Target.of(site.cluster),
            topic=options.topic,
            threads=options.threads,
            body_bytes=options.bytes,
        ),
    ):
        assert site.cluster.engine is not None
        pid = int(site.cluster.engine.client.api.inspect_container(process.container)["State"]["Pid"])
        return measured(site, options.topic, [pid], warm_s=options.warm, seconds=options.seconds)


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edition", default=DEFAULT_EDITION)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--warm", type=float, default=6.0, help="seconds before each measurement (JIT)")
    parser.add_argument("--threads", type=int, default=10)
    parser.add_argument("--processes", type=int, default=1, help="of ours, to share the threads")
    parser.add_argument("--bytes", type=int, default=128)
    parser.add_argument("--window", type=int, default=256)
    parser.add_argument("--modes", default="sync", help="of ours, separated by commas: sync, pipelined, batch")
    parser.add_argument("--driver", action="store_true", help="the kit's Java driver as well")
    add_place(parser)
    chosen = parser.parse_args()
    chosen.topic = "rmqkit-benchmark"  # BenchmarkTest is a system topic of 1024 queues, which brokers make themselves
    return chosen


def main() -> None:
    """Alternate the sides, ``--rounds`` times."""
    if sys.argv[1:2] == ["--task"]:
        send_for_ever(json.loads(sys.argv[2]))
        return
    chosen = options()
    modes = chosen.modes.split(",")
    figures: dict[str, list[Rate]] = {}
    with full_speed(chosen.edition) as cluster:
        site = Site(cluster, chosen.place)
        create_topic(cluster, chosen.topic, queues=8)
        _heat(site, chosen, modes)
        for _ in range(chosen.rounds):
            figures.setdefault("Java benchmark Producer", []).append(java(site, chosen))
            for mode in modes:
                figures.setdefault(f"built-in, {mode}", []).append(ours(site, chosen, mode))
            if chosen.driver:
                figures.setdefault("Java driver, load", []).append(driver(site, chosen))
    print(f"{chosen.edition}, {chosen.place} the pod's network, {chosen.threads} threads, {chosen.bytes} bytes")
    show(figures)


def _heat(site: Site, chosen: argparse.Namespace, modes: list[str]) -> None:
    """A turn of each side that does not count: the brokers' JVMs compile while they are new, for a minute."""
    java(site, chosen)
    for mode in modes:
        ours(site, chosen, mode)


def show(figures: dict[str, list[Rate]]) -> None:
    """The sides' rates, then ours over Java's, and what ours gains over its own synchronous sends."""
    for name, rates in figures.items():
        rate_row(name, rates)
    for base in ("Java benchmark Producer", "built-in, sync"):
        for name, rates in figures.items():
            if base in figures and name not in ("Java benchmark Producer", base):
                ratio(f"{name} / {base}", [rate.per_s for rate in rates], [rate.per_s for rate in figures[base]])


if __name__ == "__main__":
    main()
