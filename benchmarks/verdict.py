"""The verdict over many operations, compared with only reading them: ``judge`` over ``json.loads`` of the same lines.

Sends by ten senders into eight queues, and the read-back of three replicas, so that ``--operations`` sends are four
times as many rows. Prints also what a history costs in memory and on disk, to append to, to save and to load. Needs no
cluster. Ratios are of processor time: both use one core.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
from _pairs import ratio, row, timed

from rmqkit.checks import Thresholds, VerdictStatus, judge
from rmqkit.history import FaultEvent, History, Outcome, SendRecord

SENDERS, QUEUES, REPLICAS = 10, 8, ("n0", "n1", "n2")
STEP = 50_000
PREFIX = "3f2a9c01-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operations", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json-operations", type=int, default=100_000, help="of how many json.loads is measured")
    options = parser.parse_args()
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
    for replica in REPLICAS:
        for first in range(0, count, STEP):
            part = slice(first, first + STEP)
            # As the read-back gives them: in the order of the queue, so the senders' ids alternate.
            ids = history.read_columns().message_ids(stem[part], number[part])
            history.add_reads(
                replica=replica, message_id=ids, topic="TopicTest", queue=queue[part], offset=offset[part]
            )
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
