"""Warm start to the first acknowledged write: the kit beside a bare ``docker run`` of the same containers.

Both begin with the image on the engine and end at the first acknowledged write, asked for every 20 ms over the wire
by the same client. The bare side does nothing else: no labels, no checks, no volumes with names.
"""

from __future__ import annotations

import subprocess
import time

from _pairs import options, ratio, row

from rmqkit.client.outcomes import Receipt
from rmqkit.cluster import Cluster
from rmqkit.cluster.cluster import new_run_id
from rmqkit.cluster.images import image_name
from rmqkit.cluster.peers import from_spec
from rmqkit.cluster.ports import reserve_block
from rmqkit.cluster.readiness import probe_write
from rmqkit.cluster.status import ask
from rmqkit.topology.brokerconf import broker_config, nameserver_config
from rmqkit.topology.spec import ClusterSpec, pod_ports_needed
from rmqkit.transport.pool import ChannelPool


def bare(spec: ClusterSpec, name: str) -> float:
    """Seconds from the first ``docker run`` to the first acknowledged write; the containers are removed after it."""
    image = spec.image_ref
    publish = [part for port in spec.ports() for part in ("-p", f"127.0.0.1:{port}:{port}")]
    commands = [["--name", f"{name}-net", *publish, image, "idle"]]
    inside = ["--network", f"container:{name}-net"]
    for server in spec.nameservers:
        conf = [f"RMQ_CONF_{key}={value}" for key, value in nameserver_config(spec, server).items()]
        conf += [f"RMQ_HEAP={spec.nameserver_heap}", f"RMQ_JAVA_OPTS={spec.java_opts}"]
        commands.append([*_env(conf), *inside, "--user", str(server.uid)])
        commands[-1] += ["--name", f"{name}-{server.name}", image, "namesrv"]
    for group, peer in spec.all_peers():
        conf = [f"RMQ_CONF_{key}={value}" for key, value in broker_config(spec, group, peer).items()]
        conf += [f"RMQ_HEAP={spec.broker_heap}", f"RMQ_JAVA_OPTS={spec.java_opts}"]
        commands.append([*_env(conf), *inside, "--user", str(peer.uid)])
        commands[-1] += ["--name", f"{name}-{peer.id}", image, "broker"]
    names = [command[command.index("--name") + 1] for command in commands]
    members = from_spec(spec)
    began = time.perf_counter()
    try:
        for command in commands:
            subprocess.run(["docker", "run", "-d", "--no-healthcheck", *command], check=True, capture_output=True)
        with ChannelPool() as pool:
            while time.perf_counter() - began < 120:
                group = ask(pool, members, [spec.nameservers[0].address], full=False).groups[0]
                leader = group.raft_leader
                if leader and leader in group.serving and isinstance(probe_write(pool, leader), Receipt):
                    return time.perf_counter() - began
                time.sleep(0.02)
        raise SystemExit("the bare cluster acknowledged nothing within 120 s")
    finally:
        subprocess.run(["docker", "rm", "-f", "-v", *reversed(names)], check=False, capture_output=True)


def _env(pairs: list[str]) -> list[str]:
    return [part for pair in pairs for part in ("-e", pair)]


def main() -> None:
    """Alternate the two, ``--rounds`` times."""
    chosen = options(__doc__ or "", rounds=6)
    ours: list[float] = []
    ready: list[float] = []
    theirs: list[float] = []
    for number in range(chosen.rounds):

        def start() -> None:
            with Cluster.start(edition=chosen.edition) as cluster:
                assert cluster.start_times is not None
                ours.append(cluster.start_times.first_write_s)
                ready.append(cluster.start_times.ready_s)

        start()
        with reserve_block(pod_ports_needed()) as block:
            name = new_run_id()
            spec = ClusterSpec.pod(
                base_port=block.base, name=name, edition=chosen.edition, image=image_name(chosen.edition)
            )
            theirs.append(bare(spec, f"{name}-bare{number}"))
    row("Cluster.start to the first acknowledged write", ours)
    row("Cluster.start until ready (all views agree)", ready)
    row("docker run to the first acknowledged write", theirs)
    ratio("first write: kit / bare", ours, theirs)


if __name__ == "__main__":
    main()
