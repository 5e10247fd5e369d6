"""What a process of the kit has on the engine and in the temporary folder, by the labels that name its owner."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from rmqkit.cluster.owner import TEMP_PREFIX
from rmqkit.topology.names import LABEL_OWNER_PID, LABEL_RUN

LISTS = {
    "container": ["docker", "ps", "--all"],
    "network": ["docker", "network", "ls"],
    "volume": ["docker", "volume", "ls"],
}
FORMAT = f'{{{{.Label "{LABEL_OWNER_PID}"}}}}\t{{{{.Label "{LABEL_RUN}"}}}}\t'


def things_of(pid: int) -> set[str]:
    """Containers, networks, volumes and temporary folders of the process ``pid``, each with its run."""
    found = {str(path) for path in Path(tempfile.gettempdir()).glob(f"{TEMP_PREFIX}{pid}@*")}
    for kind, command in LISTS.items():
        name = "{{.Names}}" if kind == "container" else "{{.Name}}"
        done = subprocess.run(
            [*command, "--filter", f"label={LABEL_RUN}", "--format", FORMAT + name],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        for line in done.stdout.splitlines():
            owner, run, thing = line.split("\t")
            if owner.partition("@")[0] == str(pid):
                found.add(f"{kind} {thing} of run {run}")
    return found
