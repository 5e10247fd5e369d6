"""The verdict over many operations, compared with only reading them: ``judge`` over ``json.loads`` of the same lines.

Sends by ten senders into eight queues, and the read-back of three replicas, so that ``--operations`` sends are four
times as many rows. Prints also what a history costs in memory and on disk, to append to, to save and to load. Needs no
cluster. Ratios are of processor time: both use one core.

``--sweep`` judges histories of 10^4 to 10^7 sends instead (``--most`` fewer), each in a process of its own, and prints
time and memory of each as a table; ``--plot FILE`` draws them (extra ``report``).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from _pairs import ratio, row, timed

from rmqkit.checks import Thresholds, VerdictStatus, judge
from rmqkit.history import FaultEvent, History, Outcome, SendRecord
from rmqkit.history.chunks import chunk_of

SENDERS, QUEUES, REPLICAS = 10, 8, ("n0", "n1", "n2")
STEP = 50_000
PREFIX = "3f2a9c01-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operations", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json-operations", type=int, default=100_000, help="of how many json.loads is measured")
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--most", type=int, default=10_000_000, help="the most operations of a sweep")
    parser.add_argument("--plot", type=Path, help="draw the sweep into this file")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(asdict(judged_once(options.operations))))
        return
    if options.sweep:
        sweep(options.most, plot=options.plot)
        return
    count = options.operations // SENDERS * SENDERS

    before = resident()
    history = made(count)
    columns = sum(chunk.nbytes for table in history.tables for chunk in table.chunks())  # type: ignore[attr-defined]
    print(f"{count:,} sends and {history.read_count:,} reads: {resident() - before:.0f} MiB more in memory, ", end="")
    print(f"{columns / 2**20:.0f} MiB of it columns ({columns / count:.1f} bytes a send with its reads)")

    wall = [timed(lambda: judged(history))]
    print(
        f"most memory in use while it was judged: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB"
    )
    lines = as_lines(min(count, options.json_operations))
    rows = len(lines)
    ours, theirs = [], []
    for _ in range(options.rounds):
        began = time.process_time()
        wall.append(timed(lambda: judged(history)))
        middle = time.process_time()
        for line in lines:
            json.loads(line)
        ours.append(middle - began)
        theirs.append((time.process_time() - middle) * (4 * count / rows))
    row("judge, wall clock", wall)
    row("judge, processor time", ours)
    row(f"json.loads of as many ({rows:,} measured)", theirs)
    ratio("judge / json.loads", ours, theirs)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "h"
        print(f"save {timed(lambda: history.save(path)):.2f} s, ", end="")
        size = sum(each.stat().st_size for each in path.iterdir())
        print(f"{size / 2**20:.0f} MiB ({size / count:.1f} bytes a send with its reads), ", end="")
        print(f"load {timed(lambda: History.load(path)):.2f} s")
    appending()


@dataclass(frozen=True)
class Point:
    """One size of the sweep: seconds to judge, and the most memory of the process meanwhile."""

    operations: int
    rows: int
    wall_s: float
    processor_s: float
    history_mib: float
    most_mib: float


def judged_once(operations: int) -> Point:
    """In this process, which is new; the peak is counted from when the history was made (Linux)."""
    history = made(operations // SENDERS * SENDERS)
    before = resident()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    began, cpu = time.perf_counter(), time.process_time()
    judged(history)
    wall_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    status = Path("/proc/self/status").read_text(encoding="ascii")
    most = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024
    return Point(operations, history.send_count + history.read_count, wall_s, cpu_s, before, most)


def sweep(most: int, *, plot: Path | None) -> None:
    """Every power of ten and half of the next one, each in a process of its own."""
    sizes = [size for power in range(4, 8) for size in (10**power, 5 * 10**power) if size <= most]
    points = []
    heads = ("sends", "rows", "judge, wall clock", "judge, processor time", "µs a send", "most memory")
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for size in sizes:
        command = [sys.executable, __file__, "--one", "--operations", str(size)]
        ran = subprocess.run(command, check=True, capture_output=True, text=True)
        point = Point(**json.loads(ran.stdout))
        points.append(point)
        each = 1e6 * point.processor_s / point.operations
        print(
            f"| {point.operations:,} | {point.rows:,} | {point.wall_s:.2f} s | {point.processor_s:.2f} s | {each:.2f}"
            f" | {point.most_mib:.0f} MiB |",
            flush=True,
        )
    if plot is not None:
        draw(points, plot)


def draw(points: list[Point], path: Path) -> None:
    import matplotlib as mpl  # noqa: PLC0415 - an extra, and only for the plot

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - an extra, and only for the plot

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    sizes = [point.operations for point in points]
    left.loglog(sizes, [point.processor_s for point in points], "o-", label="processor time")
    left.loglog(sizes, [point.wall_s for point in points], "x--", label="wall clock")
    slope = points[-1].processor_s / points[-1].operations
    left.loglog(sizes, [slope * size for size in sizes], color="0.7", zorder=0, label="linear")
    left.axhline(60, color="tab:red", linewidth=0.8)
    left.set(xlabel="sends, each read from three replicas", ylabel="seconds to judge")
    left.legend()
    right.loglog(sizes, [point.most_mib for point in points], "o-", label="most, while judged")
    right.loglog(sizes, [point.history_mib for point in points], "x--", label="before")
    right.axhline(1024, color="tab:red", linewidth=0.8)
    right.set(xlabel="sends, each read from three replicas", ylabel="MiB of the process")
    right.legend()
    figure.savefig(path, dpi=80)


def made(count: int) -> History:
    """A good run with a fault in its middle."""
    history = History()
    history.add_run_prefix(PREFIX)
    random = np.random.default_rng(1)
    due = np.cumsum(random.integers(10_000, 190_000, count // SENDERS))
    history.faults += [FaultEvent("kill-leader", step, "n0", int(due[len(due) // 2])) for step in ("injected", "acked")]
    for first in range(0, count // SENDERS, STEP):
        numbers = np.arange(first, min(first + STEP, count // SENDERS))
        for sender in range(SENDERS):
            start = due[numbers] + random.integers(0, 9_000, len(numbers))
            history.add_sends(
                message_id=(f"{PREFIX}{sender}-", numbers),
                topic="TopicTest",
                start_ns=start,
                end_ns=start + random.integers(400_000, 3_000_000, len(numbers)),
                outcome=Outcome.ACKNOWLEDGED,
                queue=(numbers + sender) % QUEUES,
                offset=numbers // QUEUES * SENDERS + sender,
                address="127.0.0.1:30911",
                sender=f"built-in/{sender}",
            )
    columns = history.send_columns()
    queue, offset = columns["queue"], columns["offset"]
    order = np.lexsort((offset, queue))
    stem, number, queue, offset = (each[order] for each in (columns["id_stem"], columns["id_number"], queue, offset))
    del order, columns
    _, reads, *_ = history.tables
    texts = history.shared.texts
    for replica in REPLICAS:
        for first in range(0, count, STEP):
            # As the read-back gives them, in the order of the queue, so that the senders' ids alternate; but past the
            # texts of the ids, of which thirty million would take longer than all the rest.
            some = {
                "id_stem": stem[first : first + STEP],
                "id_number": number[first : first + STEP],
                "queue": queue[first : first + STEP],
                "offset": offset[first : first + STEP],
            }
            same = {"replica": texts[replica], "topic": texts["TopicTest"], "intact": 1}
            rows = len(some["queue"])
            reads.append_chunk(chunk_of({**some, **{name: np.full(rows, value) for name, value in same.items()}}))
        history.reader_done(replica, reached_end=True)
    return history


def judged(history: History) -> None:
    verdict = judge(history, Thresholds(min_replicas=len(REPLICAS)))
    assert verdict.status is VerdictStatus.PASSED, verdict


def as_lines(count: int) -> list[str]:
    """The same operations as JSON lines."""
    history = made(count)
    lines = [json.dumps({"type": "send", **asdict(each), "outcome": each.outcome.name}) for each in history.sends()]
    return lines + [json.dumps({"type": "read", **asdict(each)}) for each in history.reads()]


def appending() -> None:
    """What one append costs a thread that does nothing else, alone and beside nine others."""
    records = [
        SendRecord(f"{PREFIX}4-{number}", "T", number, number + 1, Outcome.ACKNOWLEDGED, 0, number, "a", "", "b/4")
        for number in range(100_000)
    ]

    def append(history: History) -> None:
        for record in records:
            history.add_send(record)

    def in_threads(count: int) -> Callable[[], None]:
        history = History()
        threads = [threading.Thread(target=append, args=(history,)) for _ in range(count)]

        def run() -> None:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert history.send_count == count * len(records)

        return run

    for count in (1, 10):
        began = time.process_time()
        wall = timed(in_threads(count))
        spent = time.process_time() - began
        each = 1e9 / count / len(records)
        print(f"append by {count} threads: {wall * each:.0f} ns a record, {spent * each:.0f} ns of processor time")


def resident() -> float:
    """MiB."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize() / 2**20


if __name__ == "__main__":
    main()
