"""How soon a leader change is noticed: the kit's timeline beside a tight loop in another process.

The other process asks the survivors for METADATA in a tight loop and notes when a majority first named a new leader;
the difference to the timeline's "elected" is what noticing costs.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

from _pairs import options, row

from rmqkit.client.raft import RaftClient
from rmqkit.cluster import Cluster
from rmqkit.errors import RmqkitError
from rmqkit.faults import kill_leader
from rmqkit.history import History
from rmqkit.transport.pool import ChannelPool


def tight_loop(task: dict[str, object]) -> None:
    """Print the monotonic time in ns at which the survivors first agreed on somebody else than the victim."""
    peers = [tuple(peer) for peer in task["peers"]]  # type: ignore[attr-defined]
    with ChannelPool() as pool:
        clients = [RaftClient(pool, raft, group=str(task["group"]), peer_id=name) for name, raft in peers]
        print("ready", flush=True)
        began = time.monotonic()
        while time.monotonic() - began < 120:
            said = set()
            for client in clients:
                try:
                    said.add(client.metadata().leader_id)
                except RmqkitError:
                    said.add(None)
            if len(said) == 1 and said not in ({None}, {task["victim"]}):
                print(time.monotonic_ns(), flush=True)
                return


def main() -> None:
    """Kill the leader ``--rounds`` times."""
    if len(sys.argv) > 2 and sys.argv[1] == "--loop":
        tight_loop(json.loads(sys.argv[2]))
        return
    chosen = options(__doc__ or "", rounds=5)
    late: list[float] = []
    with Cluster.start(edition=chosen.edition) as cluster:
        for _ in range(chosen.rounds):
            leader = cluster.leader()
            survivors = [(p.id, p.raft_address) for p in cluster.peers if p != leader]
            task = json.dumps({"group": leader.group, "victim": leader.id, "peers": survivors})
            with subprocess.Popen(
                [sys.executable, __file__, "--loop", task], stdout=subprocess.PIPE, text=True
            ) as loop:
                assert loop.stdout is not None
                loop.stdout.readline()
                history = History()
                with kill_leader(cluster, history=history):
                    pass
                first = int(loop.stdout.readline())
            noticed = max(fault.at_ns for fault in history.faults if fault.step == "elected")
            late.append(max(0.0, (noticed - first) / 1e9))
    row("noticed after the survivors first agreed", late)


if __name__ == "__main__":
    main()
