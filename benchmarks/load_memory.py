"""Memory of a load over time: resident size of ``rmqkit load`` and its worker processes, sampled while it runs.

The first quarter is left out of the slope: connections, routes and buffers are made in it. With ``--history`` every
operation is kept; without it nothing grows with the number of messages but a byte each for those that must come back.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from rmqkit.cluster import Cluster
from rmqkit.cluster.images import DEFAULT_EDITION


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for each in found:
        for task in Path(f"/proc/{each}/task").glob("*/children"):
            found += [int(child) for child in task.read_text(encoding="utf-8").split()]
    return found


def resident_mib(pid: int) -> float:
    """Of a process and all below it; 0 when it has ended."""
    total = 0
    for each in tree(pid):
        try:
            status = Path(f"/proc/{each}/status").read_text(encoding="utf-8")
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    return total / 1024


def options() -> argparse.Namespace:
    """What to run, and for how long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edition", default=DEFAULT_EDITION)
    parser.add_argument("--seconds", type=float, default=3600.0, help="of traffic")
    parser.add_argument("--every", type=float, default=10.0, help="seconds between samples")
    parser.add_argument("--command", choices=("produce", "run"), default="run")
    parser.add_argument("--rate", type=float, default=1000.0)
    parser.add_argument("--window", type=int, default=0)
    parser.add_argument("--history", action="store_true", help="keep every operation")
    return parser.parse_args()


def main() -> None:
    """Run it, print each sample, then the slope."""
    chosen = options()
    with ExitStack() as stack:
        cluster = stack.enter_context(Cluster.start(edition=chosen.edition))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        command = [sys.executable, "-m", "rmqkit", "load", chosen.command, "--run", cluster.run, "--json"]
        command += ["--duration", str(chosen.seconds), "--rate", str(chosen.rate), "--window", str(chosen.window)]
        if chosen.history:
            command += ["--history", str(folder / "history")]
        with (folder / "summary").open("w") as answer, (folder / "progress").open("w") as progress:
            load = subprocess.Popen(command, stdout=answer, stderr=progress)
            samples = sampled(load, every_s=chosen.every)
        text = (folder / "summary").read_text(encoding="utf-8")
        if not text:
            sys.exit((folder / "progress").read_text(encoding="utf-8"))
        print_slope(samples, json.loads(text))


def sampled(load: subprocess.Popen[bytes], *, every_s: float) -> list[tuple[float, float]]:
    """Seconds and MiB until it ends."""
    began = time.monotonic()
    samples: list[tuple[float, float]] = []
    while True:
        try:
            load.wait(timeout=every_s)
        except subprocess.TimeoutExpired:
            samples.append((time.monotonic() - began, resident_mib(load.pid)))
            print(f"{samples[-1][0]:8.1f} s  {samples[-1][1]:8.2f} MiB", flush=True)
            continue
        return samples


def print_slope(samples: list[tuple[float, float]], summary: dict[str, object]) -> None:
    """How fast it grew after the first quarter, by the hour and by the message."""
    traffic = summary["produced"]["traffic"]  # type: ignore[index]
    settled = np.array(samples[len(samples) // 4 :])
    if len(settled) < 3:
        sys.exit("too few samples: let it run for longer, or sample more often")
    per_second = float(np.polyfit(settled[:, 0], settled[:, 1], 1)[0])
    rate = traffic["sent"] / summary["duration_s"]
    print(f"{traffic['sent']} messages sent, {rate:.0f}/s; {traffic['acknowledged']} acknowledged")
    print(f"first {samples[0][1]:.2f}, last {samples[-1][1]:.2f}, most {max(mib for _, mib in samples):.2f} MiB")
    print(f"slope {per_second * 3600:.2f} MiB/hour, {per_second / rate * 1024 * 1024:.2f} bytes a message")


if __name__ == "__main__":
    main()
