"""Taking a cluster down: the kit's removal by label beside ``docker compose down --volumes`` of the same file."""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

from _pairs import options, ratio, row

from rmqkit.cluster import Cluster
from rmqkit.cluster.cluster import new_run_id
from rmqkit.cluster.images import image_name
from rmqkit.cluster.ports import reserve_block
from rmqkit.topology.compose import render_compose
from rmqkit.topology.spec import ClusterSpec, pod_ports_needed


def main() -> None:
    """Alternate the two, ``--rounds`` times."""
    chosen = options(__doc__ or "", rounds=4)
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(chosen.rounds):
        context = Cluster.start(edition=chosen.edition)
        context.__enter__()
        began = time.perf_counter()
        context.__exit__(None, None, None)
        ours.append(time.perf_counter() - began)
        with reserve_block(pod_ports_needed()) as block, tempfile.TemporaryDirectory() as folder:
            spec = ClusterSpec.pod(
                base_port=block.base, name=new_run_id(), edition=chosen.edition, image=image_name(chosen.edition)
            )
            file = Path(folder) / "compose.yml"
            file.write_text(render_compose(spec), encoding="utf-8")
            compose = ["docker", "compose", "-f", str(file)]
            subprocess.run([*compose, "up", "-d"], check=True, capture_output=True)
            time.sleep(8)  # as long as the other side took to be ready; nothing is asserted on it
            began = time.perf_counter()
            subprocess.run([*compose, "down", "--volumes"], check=True, capture_output=True)
            theirs.append(time.perf_counter() - began)
    row("Cluster down", ours)
    row("docker compose down --volumes", theirs)
    ratio("kit / compose", ours, theirs)


if __name__ == "__main__":
    main()
