"""Status in process and as a whole process, beside ``mqadmin clusterList`` in a container of the same cluster."""

from __future__ import annotations

import os
import subprocess
import sys

from _pairs import options, ratio, row, timed

from rmqkit.cluster import Cluster


def main() -> None:
    """Alternate the three, ``--rounds`` times."""
    chosen = options(__doc__ or "", rounds=10)
    with Cluster.start(edition=chosen.edition) as cluster:
        net = cluster.container_of("net")
        admin = ["docker", "exec", net, "rmq", "mqadmin", "clusterList", "-n", cluster.namesrv_addr]
        process = [sys.executable, "-m", "rmqkit", "status", "--run", cluster.run]
        attached = [sys.executable, "-m", "rmqkit", "status", "--namesrv", cluster.namesrv_addr]
        in_process: list[float] = []
        whole: list[float] = []
        by_address: list[float] = []
        java: list[float] = []

        # An installed Python keeps what it has compiled, also where this machine's developer has switched that off.
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

        def run(command: list[str]) -> None:
            subprocess.run(command, check=True, capture_output=True, timeout=60, env=kept)

        run(admin)
        run(process)
        run(attached)
        cluster.status()
        for _ in range(chosen.rounds):
            single = sorted(timed(cluster.status) for _ in range(41))
            in_process.append(single[20])
            whole.append(timed(lambda: run(process)))
            by_address.append(timed(lambda: run(attached)))
            java.append(timed(lambda: run(admin)))
        row("status in process (p50 of 41, each round)", in_process)
        row("rmqkit status --run, whole process", whole)
        row("rmqkit status --namesrv, whole process", by_address)
        row("mqadmin clusterList, whole process", java)
        ratio("in process / mqadmin", in_process, java)
        ratio("rmqkit status --run / mqadmin", whole, java)


if __name__ == "__main__":
    main()
