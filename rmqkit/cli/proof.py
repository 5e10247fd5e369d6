"""What ``drill`` and ``chaos`` share: the cluster that is proved, the record of it, and words for its outages."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rmqkit.checks import Outage
from rmqkit.cli.common import own_cluster, say
from rmqkit.cluster.cluster import Cluster
from rmqkit.errors import MachineError, UsageError
from rmqkit.history import History
from rmqkit.settings import Settings
from rmqkit.topology.spec import ClusterSpec


def steps() -> Callable[[str], None]:
    """Says each step with the seconds since now."""
    began = time.monotonic()
    return lambda text: say(f"[{time.monotonic() - began:6.1f} s] {text}")


@contextmanager
def started_or_own(
    run: str | None, chosen: Settings, step: Callable[[str], None], *, spec: ClusterSpec | None = None
) -> Iterator[Cluster]:
    """The kit's cluster of that run; without one, a new one (of ``spec``, if given) that is taken down at the end."""
    if run is not None:
        with own_cluster(run, timeout_s=chosen.timeout_s) as cluster:
            yield cluster
        return
    step(f"starting a cluster of edition {chosen.edition}")
    with Cluster.start(spec, edition=chosen.edition, timeout_s=chosen.timeout_s) as cluster:
        yield cluster


def check_max_outage(seconds: float | None) -> None:
    """Raise UsageError for a bound that no run can keep, or that bounds nothing."""
    if seconds is not None and not 0 < seconds < 1e6:
        raise UsageError(f"--max-outage {seconds:g} is no number of seconds to be away for", hint="for example 15")


def check_new_file(path: Path | None) -> None:
    """Raise UsageError where ``--history`` names a file that is there, or that cannot be made."""
    if path is None:
        return
    if path.exists():
        raise UsageError(f"{path} exists already", hint="name a file that does not exist yet")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"{path.parent} is not a folder that can be written to", hint="name a file in one that is")


def export_history(record: History, path: Path) -> None:
    """Write every operation as JSON lines, if there was any."""
    if record.send_count == 0:
        return
    try:
        record.export_jsonl(path)
    except OSError as error:
        raise MachineError(f"the history could not be written to {path}: {error}", hint="is the disk full?") from error
    say(f"every operation is in {path}")


def bounds(outage: Outage) -> str:
    """How long the service was away around one fault, in words."""
    if outage.upper_s is None:
        return f"{outage.fault} of {outage.target}: the sends do not bound how long the service was away"
    between = f"{outage.lower_s:.2f} to {outage.upper_s:.2f} s"
    failed = f"{outage.refused} sends refused in between, {outage.unknown} of unknown outcome"
    return f"{outage.fault} of {outage.target}: the service was away for {between} ({failed})"
