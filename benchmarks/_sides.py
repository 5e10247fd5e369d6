"""What produce.py and consume.py share: the same place for both sides, the broker's own count, processor time.

Both sides run inside the pod's network (ours is moved there with nsenter, which wants root), or both outside, through
the published ports. What was produced is counted at the broker, so that no side counts for itself.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rmqkit.cluster import Cluster
from rmqkit.cluster.images import image_name
from rmqkit.cluster.owner import Owner
from rmqkit.cluster.ports import reserve_block
from rmqkit.topology.spec import ClusterSpec, pod_ports_needed
from rmqkit.waiting import Pending, wait_until

INSIDE, OUTSIDE = "inside", "outside"
_TICKS = os.sysconf("SC_CLK_TCK")


def add_place(parser: argparse.ArgumentParser) -> None:
    """``--place``: by default inside where that can be done."""
    can = os.geteuid() == 0 and shutil.which("nsenter") is not None
    parser.add_argument("--place", choices=[INSIDE, OUTSIDE], default=INSIDE if can else OUTSIDE)


@dataclass(frozen=True)
class Site:
    """One cluster, and where clients run."""

    cluster: Cluster
    place: str

    @property
    def network(self) -> str:
        """The network of the Java side's container."""
        return self.cluster.network_mode if self.place == INSIDE else "host"

    def ours(self, script: str, *words: str) -> list[str]:
        """The command that runs one of our scripts in the same place."""
        python = [sys.executable, script, *words]
        if self.place == OUTSIDE:
            return python
        assert self.cluster.engine is not None
        container = self.cluster.engine.client.api.inspect_container(self.cluster.container_of("net"))
        return ["nsenter", f"--net=/proc/{container['State']['Pid']}/ns/net", *python]

    def broker_pids(self) -> list[int]:
        """The brokers' processes, as this machine numbers them."""
        assert self.cluster.engine is not None
        inspect = self.cluster.engine.client.api.inspect_container
        return [int(inspect(self.cluster.container_of(peer))["State"]["Pid"]) for peer in self.cluster.peers]

    def stored(self, topic: str) -> int:
        """How many messages the leader has in ``topic``, committed."""
        stats = self.cluster.broker(self.cluster.leader()).topic_stats(topic)
        return sum(queue.max_offset - queue.min_offset for queue in stats.values())

    @contextmanager
    def java_main(self, name: str, *words: str) -> Iterator[int]:
        """RocketMQ's own benchmark class in a container, with the heap of its benchmark/runclass.sh: its pid."""
        assert self.cluster.spec is not None
        assert self.cluster.engine is not None
        container = f"{self.cluster.run}-bench-{secrets.token_hex(3)}"
        labels = [f"--label={key}={text}" for key, text in Owner.myself().labels(self.cluster.run, kept=False).items()]
        heap = ["-server", "-Xms1g", "-Xmx1g", "-Xmn256m"]
        command = ["docker", "run", "--detach", "--rm", "--pull=never", "--name", container, *labels]
        command += ["--network", self.network, "--user", "21900", "--tmpfs", "/var/lib/rocketmq:mode=1777,size=256m"]
        command += ["--no-healthcheck", self.cluster.spec.image_ref, "java", "-Duser.home=/var/lib/rocketmq", *heap]
        command += ["-cp", "/opt/rocketmq/lib/*", f"org.apache.rocketmq.example.benchmark.{name}", *words]
        subprocess.run(command, check=True, capture_output=True)
        try:
            yield int(self.cluster.engine.client.api.inspect_container(container)["State"]["Pid"])
        finally:
            subprocess.run(["docker", "rm", "--force", container], check=False, capture_output=True)


@contextmanager
def full_speed(edition: str) -> Iterator[Cluster]:
    """A cluster whose brokers have both of the JVM's compilers, unlike those of tests."""
    with reserve_block(pod_ports_needed()) as block:
        spec = ClusterSpec.pod(base_port=block.base, edition=edition, image=image_name(edition), java_opts="")
    with Cluster.start(spec) as cluster:
        yield cluster


def cpu_s(pid: int) -> float:
    """Processor time of a process of this machine so far, with its dead children (/proc/PID/stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return sum(int(fields[number]) for number in (11, 12, 13, 14)) / _TICKS


@dataclass(frozen=True)
class Rate:
    """What one side did in one round."""

    per_s: float
    cpu_us: float
    broker_cores: float | None = None
    """Cores that the group's three brokers used together: near what the machine has, they are the limit."""


def measured(site: Site, topic: str, pids: Sequence[int], *, warm_s: float, seconds: float) -> Rate:
    """The broker's count over ``seconds``, after the first message and ``warm_s`` of warming up."""
    before = site.stored(topic)
    wait_until(
        lambda: site.stored(topic) > before or Pending(f"still {before}"), label="the first message", timeout_s=60
    )
    time.sleep(warm_s)  # what is measured is the time after it; nothing is waited for
    brokers = site.broker_pids()
    began, first, cpu = time.perf_counter(), site.stored(topic), sum(map(cpu_s, pids))
    theirs = sum(map(cpu_s, brokers))
    time.sleep(seconds)
    last, ended, spent = site.stored(topic), time.perf_counter(), sum(map(cpu_s, pids)) - cpu
    theirs = sum(map(cpu_s, brokers)) - theirs
    count = last - first
    if count <= 0:
        raise SystemExit(f"nothing was stored in {seconds} s")
    return Rate(count / (ended - began), spent * 1e6 / count, theirs / (ended - began))


def rate_row(name: str, rates: Sequence[Rate]) -> None:
    """Messages a second, and processor time of the client a message."""
    values = [rate.per_s for rate in rates]
    cpu = statistics.median(rate.cpu_us for rate in rates)
    cores = [rate.broker_cores for rate in rates if rate.broker_cores is not None]
    brokers = f"; brokers {statistics.median(cores):.2f} of {os.cpu_count()} cores" if cores else ""
    print(
        f"{name:44s} min {min(values):10.0f}  median {statistics.median(values):10.0f}  max {max(values):10.0f} msg/s"
        f"  {cpu:6.1f} µs CPU a message{brokers}  (n={len(values)})",
        flush=True,
    )
