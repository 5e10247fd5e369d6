"""A run's witness: what is taken down while its cluster is there, in a folder that the evidence takes over."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.owner import TEMP_PREFIX, Owner
from rmqkit.faults import Schedule
from rmqkit.witness.logs import copy_logs
from rmqkit.witness.status import StatusSamples

SPEC, SCHEDULE, STATUS, LOGS = "spec.json", "schedule.json", "status.jsonl", "logs"


@dataclass(slots=True)
class Witness:
    """What was taken down is in ``folder``; ``trouble`` has a line for what could not be."""

    folder: Path
    trouble: list[str] = field(default_factory=list)


@contextmanager
def witnessed(cluster: Cluster, witness: Witness, *, schedule: Schedule | None = None) -> Iterator[None]:
    """Around what is done to a cluster: its specification and the schedule before, its status meanwhile, its logs
    after, however it ends; they go into the witness's folder.

    What cannot be taken down ends no run and hides no error: it is in the witness's ``trouble``.
    """
    described(cluster, witness, schedule=schedule)
    samples = StatusSamples(cluster, witness.folder / STATUS)
    try:
        with samples:
            yield
    finally:
        witness.trouble += filter(None, [samples.trouble])
        logs_of(cluster, witness)


def described(cluster: Cluster, witness: Witness, *, schedule: Schedule | None = None) -> None:
    """Write down what the cluster is, and what is to be done to it; of one only attached to nothing is known."""
    try:
        if cluster.spec is not None:
            text = json.dumps(json.loads(cluster.spec.to_json()), indent=2) + "\n"
            (witness.folder / SPEC).write_text(text, encoding="utf-8")
        if schedule is not None:
            (witness.folder / SCHEDULE).write_text(schedule.to_json(), encoding="utf-8")
    except OSError as error:
        witness.trouble.append(f"the specification could not be written: {error}")


def logs_of(cluster: Cluster, witness: Witness) -> None:
    """Bring the logs of every process into the witness's folder."""
    try:
        witness.trouble += copy_logs(cluster, witness.folder / LOGS)
    except OSError as error:
        witness.trouble.append(f"the logs could not be written: {error}")


@contextmanager
def witness_folder() -> Iterator[Witness]:
    """A witness with a folder of its own, gone when the block ends; a killed run's, when the next one starts."""
    with tempfile.TemporaryDirectory(prefix=f"{TEMP_PREFIX}{Owner.myself().pid}-") as folder:
        yield Witness(Path(folder))
