"""Who owns a cluster: labels that name the run, the process and the machine, and the removal of dead owners' leftovers.

The Compose project is the unit of ownership. Nothing that the kit did not make is touched; what a living owner
holds, or what was kept on purpose, is left alone.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rmqkit.cluster.engine import Engine, translated
from rmqkit.topology.names import LABEL_HOST, LABEL_OWNER_PID, LABEL_RUN

TEMP_PREFIX = "rmqkit-run-"
LABEL_KEPT = "rmqkit.kept"
"""``yes`` on clusters that were asked to outlive their owner."""


@dataclass(frozen=True, slots=True)
class Owner:
    """One process, beyond doubt: ``pid`` with its start time (pids are used again), on the machine ``host``."""

    pid: str
    host: str

    @classmethod
    def myself(cls) -> Owner:
        """This process."""
        return cls(f"{os.getpid()}@{_start_time(os.getpid())}", machine_id())

    @property
    def alive(self) -> bool:
        """Whether the process still runs; owners on other machines count as alive."""
        if self.host != machine_id():
            return True
        number, _, started = self.pid.partition("@")
        return number.isdigit() and _start_time(int(number)) == started

    @property
    def before_reboot(self) -> bool:
        """Whether it looks like a process of this machine before its last boot, or of another of the same name."""
        mine, theirs = _host_parts(machine_id()), _host_parts(self.host)
        return mine[0] == theirs[0] and mine[2] == theirs[2] and mine[1] != theirs[1]

    def labels(self, run: str, *, kept: bool) -> dict[str, str]:
        """The labels that every container, network and volume of a run carries."""
        return {
            LABEL_RUN: run,
            LABEL_OWNER_PID: self.pid,
            LABEL_HOST: self.host,
            LABEL_KEPT: "yes" if kept else "no",
        }


def machine_id() -> str:
    """A name for this machine *and boot* that another container or host does not share by accident."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()[:8]
    except OSError:
        boot = "0"
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = "0"
    return f"{socket.gethostname()}-{boot}-{namespace.strip('pid:[]')}"


def _host_parts(host: str) -> tuple[str, str, str]:
    """Host name, boot and pid namespace of a :func:`machine_id`."""
    name, boot, namespace = ["", "", *host.rsplit("-", 2)][-3:]
    return name, boot, namespace


def _start_time(pid: int) -> str:
    """Clock ticks since boot at which ``pid`` started (field 22 of /proc/PID/stat); empty when it does not run."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]


@dataclass(frozen=True, slots=True)
class Leftover:
    """A run found on the engine: its owner, whether it was kept on purpose, whether its containers all ended."""

    run: str
    owner: Owner
    kept: bool
    ended: bool = False

    @property
    def stale(self) -> bool:
        """Whether its owner is dead and nobody asked to keep it.

        What an owner before a reboot left is only removed when its containers have ended, as the reboot made them: one
        that runs may be another machine's of the same name, which shares this engine.
        """
        return not self.kept and (not self.owner.alive or (self.ended and self.owner.before_reboot))


def find_runs(engine: Engine) -> list[Leftover]:
    """Every run of the kit on this engine, from the labels of containers, volumes and networks."""
    filters = {"label": [LABEL_RUN]}
    with translated("list the kit's clusters"):
        containers = engine.client.api.containers(all=True, filters=filters)
        networks = engine.client.api.networks(filters=filters)
        volumes = engine.client.api.volumes(filters=filters)["Volumes"] or []
    labels = [entry["Labels"] or {} for entry in (*containers, *networks, *volumes)]
    states = [((entry["Labels"] or {}).get(LABEL_RUN), entry["State"]) for entry in containers]
    return group_runs(labels, states)


def group_runs(labels: Iterable[Mapping[str, str]], states: Iterable[tuple[str | None, str]] = ()) -> list[Leftover]:
    """The runs that the labels of things on an engine speak of; ``states`` are of containers, by run."""
    by_run: dict[str, set[str]] = {}
    for owner_run, state in states:
        by_run.setdefault(owner_run or "", set()).add(state)
    runs: dict[str, Leftover] = {}
    for each in labels:
        run = each[LABEL_RUN]
        if run not in runs:
            owner = Owner(each.get(LABEL_OWNER_PID, ""), each.get(LABEL_HOST, ""))
            ended = bool(by_run.get(run)) and by_run[run] <= {"exited", "dead"}
            runs[run] = Leftover(run, owner, each.get(LABEL_KEPT) == "yes", ended)
    return list(runs.values())


def remove_stale(engine: Engine) -> list[str]:
    """Remove what dead owners left: containers, networks, volumes, temporary folders. Returns the runs' names."""
    removed = []
    for leftover in find_runs(engine):
        if leftover.stale:
            engine.remove_project({LABEL_RUN: leftover.run})
            removed.append(leftover.run)
    for folder in Path(tempfile.gettempdir()).glob(f"{TEMP_PREFIX}*"):
        pid = folder.name.removeprefix(TEMP_PREFIX).partition("-")[0]
        number, _, started = pid.partition("@")
        if number.isdigit() and _start_time(int(number)) != started:
            shutil.rmtree(folder, ignore_errors=True)
    return removed
