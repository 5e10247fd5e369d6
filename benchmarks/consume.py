"""Consuming: draining a topic with the built-in client beside the Java push consumer, on one cluster, in one place.

    python benchmarks/consume.py --edition 4.9.8 --count 200000 --rounds 3
    python benchmarks/consume.py --edition 4.9.8 --consumer group

The topic is filled once. Each side then drains it in turn, every time in a group that is new, from the first message;
what is measured is from the first message that it gets to the last (and, beside it, from the start of the client). The
Java side is DefaultMQPushConsumer with its own defaults, under the kit's Java driver, which only counts: RocketMQ's
benchmark Consumer listens in the same way, but prints a rate every ten seconds and never says when it is done.
"""

from __future__ import annotations

import argparse
import json
import resource
import secrets
import subprocess
import sys
import time
from collections.abc import Callable

from _pairs import ratio, row
from _sides import Rate, Site, add_place, full_speed, rate_row

from rmqkit.client.consumer import Consumer
from rmqkit.cluster.images import DEFAULT_EDITION
from rmqkit.cluster.topics import create_topic
from rmqkit.drivers import Target
from rmqkit.drivers.java import JavaConsumer
from rmqkit.drivers.java_load import JavaLoad
from rmqkit.drivers.java_process import JavaProcess, Place
from rmqkit.transport.pool import ChannelPool
from rmqkit.waiting import Pending, wait_until

LIMIT_S = 600.0


def drain(task: dict[str, object]) -> None:
    """Our side's process: prints when the first and the last message had come, and what it cost."""
    wanted, topic, group = int(str(task["count"])), str(task["topic"]), str(task["group"])
    servers = str(task["nameservers"]).split(";")
    if task["consumer"] == "group":
        from rmqkit.client.groupconsumer import GroupConsumer  # noqa: PLC0415 - the other consumer does not need it

        with GroupConsumer(servers, group=group, topics={topic: "*"}) as member:
            _count(member.poll, wanted)
    else:
        with ChannelPool() as pool:
            _count(Consumer(pool, servers, group=group, topic=topic).poll, wanted)


def _count(poll: Callable[[float], tuple[object, ...]], wanted: int) -> None:
    began, first, count, size = time.monotonic(), 0.0, 0, 0
    while count < wanted:
        came = poll(5.0)
        if came and not count:
            first = time.monotonic()
        count += len(came)
        size += sum(len(message.body) for message in came)  # type: ignore[attr-defined]
        if time.monotonic() - began > LIMIT_S:
            raise SystemExit(f"{count} of {wanted} messages within {LIMIT_S:g} s")
    ended = time.monotonic()
    used = resource.getrusage(resource.RUSAGE_SELF)
    line = {"drain_s": ended - first, "whole_s": ended - began, "count": count, "bytes": size}
    print(json.dumps({**line, "cpu_s": used.ru_utime + used.ru_stime}), flush=True)


def ours(site: Site, options: argparse.Namespace) -> tuple[Rate, float]:
    """One drain of ours, and its seconds from the start of the client."""
    task = {"count": options.count, "topic": options.topic, "group": f"ours-{secrets.token_hex(4)}"}
    task |= {"nameservers": site.cluster.namesrv_addr, "consumer": options.consumer}
    command = site.ours(__file__, "--task", json.dumps(task))
    said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=LIMIT_S + 60).stdout)
    return Rate(said["count"] / said["drain_s"], said["cpu_s"] * 1e6 / said["count"]), said["whole_s"]


def java(site: Site, options: argparse.Namespace) -> tuple[Rate, float]:
    """One drain of the Java push consumer, and its seconds from the start of the client."""
    target = Target.of(site.cluster)
    group = f"java-{secrets.token_hex(4)}"
    with JavaProcess(Place.inside(site.cluster, network=site.network), heap="1g", java_options="") as process:
        offset, cpu, began = process.clock_offset_ns(), process.cpu_ns(), time.monotonic_ns()
        # Its own defaults: 20 threads, a message at a time, 32 a pull.
        with JavaConsumer(
            target, topic=options.topic, group=group, process=process, count_only=True, threads=20
        ) as consumer:
            wait_until(
                lambda: consumer.counted()[0] >= options.count or Pending(f"{consumer.counted()[0]} have come"),
                label="the Java consumer has drained the topic",
                timeout_s=LIMIT_S,
                every_s=0.2,
            )
            count, first, last = consumer.counted()
        spent = process.cpu_ns() - cpu
    return Rate(count / ((last - first) / 1e9), spent / 1000 / count), (last + offset - began) / 1e9


def fill(site: Site, options: argparse.Namespace) -> None:
    """Messages into the topic, by the Java driver's load."""
    with (
        JavaProcess(Place.inside(site.cluster, network=site.network), java_options="") as process,
        JavaLoad(
            process,
            Target.of(site.cluster),
            topic=options.topic,
            threads=24,
            count=options.count,
            body_bytes=options.bytes,
        ) as load,
    ):
        totals = load.wait(timeout_s=LIMIT_S)
    print(f"filled: {totals.acked} acknowledged in {totals.seconds:.1f} s ({totals.acked_per_s:.0f} msg/s)", flush=True)
    options.count = site.stored(options.topic)


def main() -> None:
    """Fill once, then alternate the sides, ``--rounds`` times."""
    if sys.argv[1:2] == ["--task"]:
        drain(json.loads(sys.argv[2]))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edition", default=DEFAULT_EDITION)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--bytes", type=int, default=128)
    parser.add_argument("--consumer", choices=["simple", "group"], default="simple", help="which of the built-in ones")
    add_place(parser)
    chosen = parser.parse_args()
    chosen.topic = "rmqkit-benchmark"  # BenchmarkTest is a system topic of 1024 queues, which brokers make themselves
    sides: dict[str, Callable[[Site, argparse.Namespace], tuple[Rate, float]]] = {
        "Java push consumer": java,
        f"built-in, {chosen.consumer}": ours,
    }
    rates: dict[str, list[Rate]] = {name: [] for name in sides}
    whole: dict[str, list[float]] = {name: [] for name in sides}
    with full_speed(chosen.edition) as cluster:
        site = Site(cluster, chosen.place)
        create_topic(cluster, chosen.topic, queues=8)
        fill(site, chosen)
        for _ in range(chosen.rounds):
            for name, side in sides.items():
                rate, seconds = side(site, chosen)
                rates[name].append(rate)
                whole[name].append(seconds)
    print(f"{chosen.edition}, {chosen.place} the pod's network, {chosen.count} messages of {chosen.bytes} bytes")
    for name in sides:
        rate_row(name, rates[name])
        row(f"{name}, from its start to the last", whole[name])
    theirs, mine = (list(each) for each in rates.values())
    ratio("built-in / Java", [rate.per_s for rate in mine], [rate.per_s for rate in theirs])


if __name__ == "__main__":
    main()
