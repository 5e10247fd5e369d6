"""Producing to one cluster: pipelined, batched and ten threads' sends beside the sync sends of one thread.

Rates are acknowledged messages in a second. A ratio above 1 is faster than one thread in that round.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from _pairs import options, ratio

from rmqkit.client.outcomes import Receipt, SendOutcome
from rmqkit.client.pipeline import PipelinedProducer
from rmqkit.client.producer import Producer
from rmqkit.client.send import OutgoingMessage
from rmqkit.cluster import Cluster
from rmqkit.cluster.topics import create_topic
from rmqkit.errors import NotSupportedError
from rmqkit.transport.pool import ChannelPool

TOPIC = "Benchmark"
BODY = b"x" * 128
SECONDS = 4.0
BATCH = 32


class Count:
    """Acknowledged and other outcomes of one run."""

    def __init__(self) -> None:
        self.acknowledged = 0
        self.others: dict[str, int] = {}

    def add(self, outcome: SendOutcome) -> None:
        """Count one outcome."""
        if isinstance(outcome, Receipt):
            self.acknowledged += 1
        else:
            self.others[outcome.reason] = self.others.get(outcome.reason, 0) + 1


def sync(pool: ChannelPool, nameservers: tuple[str, ...], count: Count, *, threads: int) -> None:
    """Send with one request at a time, from each thread."""
    producer = Producer(pool, nameservers)
    end = time.monotonic() + SECONDS

    def work() -> None:
        while time.monotonic() < end:
            count.add(producer.send(TOPIC, BODY, tags="TagA"))

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def pipelined(pool: ChannelPool, nameservers: tuple[str, ...], count: Count) -> None:
    """Send from one thread, 256 under way."""
    end = time.monotonic() + SECONDS
    with PipelinedProducer(pool, nameservers) as producer:
        while time.monotonic() < end:
            producer.submit(
                OutgoingMessage(TOPIC, BODY, tags="TagA"), on_done=lambda _message, outcome: count.add(outcome)
            )


def batched(pool: ChannelPool, nameservers: tuple[str, ...], count: Count) -> None:
    """Send batches of 32 from one thread, one request at a time."""
    producer = Producer(pool, nameservers)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        for outcome in producer.send_batch([OutgoingMessage(TOPIC, BODY, tags="TagA") for _ in range(BATCH)]):
            count.add(outcome)


def measure(name: str, act: Callable[[ChannelPool, Count], None]) -> float:
    """Acknowledged messages in a second, with the client's processor time for each; prints one line."""
    count = Count()
    with ChannelPool() as pool:
        began, busy = time.perf_counter(), time.process_time()
        act(pool, count)
        took, busy = time.perf_counter() - began, time.process_time() - busy
    rate = count.acknowledged / took
    print(
        f"{name:12s} {rate:9.0f} msg/s  {busy / max(count.acknowledged, 1) * 1e6:6.1f} µs CPU of the client a message"
        f"  not acknowledged: {count.others or 'none'}",
        flush=True,
    )
    return rate


def main() -> None:
    """Alternate them on one cluster, ``--rounds`` times."""
    chosen = options(__doc__ or "", rounds=3)
    rates: dict[str, list[float]] = {"one thread": [], "ten threads": [], "pipelined": [], "batched": []}
    with Cluster.start(edition=chosen.edition) as cluster:
        create_topic(cluster, TOPIC, queues=8)
        names = cluster.nameservers
        ways: dict[str, Callable[[ChannelPool, Count], None]] = {
            "one thread": lambda pool, count: sync(pool, names, count, threads=1),
            "ten threads": lambda pool, count: sync(pool, names, count, threads=10),
            "pipelined": lambda pool, count: pipelined(pool, names, count),
            "batched": lambda pool, count: batched(pool, names, count),
        }
        for name, way in ways.items():  # warm the JVMs up
            try:
                measure(f"({name})", way)
            except NotSupportedError as error:
                print(error.what)
                del rates[name]
        for _ in range(chosen.rounds):
            for name, figures in rates.items():
                figures.append(measure(name, ways[name]))
    for name, figures in rates.items():
        if name != "one thread":
            ratio(f"{name} / one thread", figures, rates["one thread"])


if __name__ == "__main__":
    main()
