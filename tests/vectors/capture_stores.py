"""Copy the store of a real broker as a test vector: two terms, several data files, what was never written cut away.

    python tests/vectors/capture_stores.py EDITION DIRECTORY      e.g. 4.9.8 tests/vectors/store/4.9.8

Starts a cluster of its own with data files of 8 KiB, sends, kills the leader, sends again, and keeps the log and the
consume queues of one topic of the peer that was killed and has caught up.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

from rmqkit.cluster import Cluster
from rmqkit.cluster.images import image_name
from rmqkit.cluster.ports import reserve_block
from rmqkit.cluster.stores import copy_store
from rmqkit.cluster.topics import create_topic, wait_topic_everywhere
from rmqkit.faults import kill_leader
from rmqkit.history import History
from rmqkit.load import SteadyTraffic
from rmqkit.topology.spec import ClusterSpec, pod_ports_needed

TOPIC = "VectorTopic"
SPARE = 64
"""So many of the zeros behind what was written are kept: a reader must meet some."""


def capture(edition: str, directory: Path) -> None:
    """Make ``directory``: the store's files, and ``sent.json`` with what was acknowledged, in order."""
    history = History()
    with reserve_block(pod_ports_needed()) as block:
        spec = ClusterSpec.pod(base_port=block.base, edition=edition, image=image_name(edition))
        small = {key: "8192" for key in spec.config if key.lower().startswith(("maped", "mapped"))}
        with Cluster.start(spec.replace(config={**spec.config, **small}), timeout_s=240) as cluster:
            create_topic(cluster, TOPIC, queues=2)
            wait_topic_everywhere(cluster, TOPIC)
            send(cluster, history)
            with kill_leader(cluster) as failover:
                send(cluster, history)
            cluster.wait_caught_up()
            with tempfile.TemporaryDirectory() as folder:
                copied = copy_store(cluster, failover.victim, Path(folder))
                keep(copied, directory, failover.victim.id)
    acked = [[s.message_id, s.queue, s.offset] for s in history.sends() if s.offset >= 0]
    (directory / "sent.json").write_text(json.dumps(acked) + "\n", encoding="utf-8")


def send(cluster: Cluster, history: History) -> None:
    """Some messages, one after the other."""
    with SteadyTraffic(cluster.nameservers, topic=TOPIC, history=history, rate=20, threads=1) as traffic:
        traffic.wait_acknowledged(40, timeout_s=120)


def keep(store: Path, directory: Path, peer: str) -> None:
    """Copy the log and the topic's queues, each file without most of its unwritten end."""
    shutil.rmtree(directory, ignore_errors=True)
    for part in (f"dledger-{peer}", f"consumequeue/{TOPIC}"):
        for path in sorted((store / part).rglob("*")):
            if not path.is_file():
                continue
            target = directory / path.relative_to(store)
            target.parent.mkdir(parents=True, exist_ok=True)
            content = path.read_bytes()
            written = len(content.rstrip(b"\0"))
            target.write_bytes(content[: written + SPARE])


if __name__ == "__main__":
    capture(sys.argv[1], Path(sys.argv[2]))
