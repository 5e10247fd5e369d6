"""Injecting and healing a fault: the kit beside the engine's own calls that it cannot do without, alternating.

    python benchmarks/faults.py --edition 4.9.8 --rounds 5

What the engine needs: for a kill or a pause its one call; for a fault of the network a container in the cluster's own
network, a command in it, and its removal. What the kit adds is printed as a difference: finding its target is in it,
waiting for a healthy cluster before and after is not.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from _pairs import options, row, timed

from rmqkit.cluster import Cluster
from rmqkit.cluster.engine import Engine
from rmqkit.cluster.owner import Owner
from rmqkit.faults import CutLink, Fault, Isolate, Kill, Loss, NameServerKill, Pause
from rmqkit.faults.fault import Undo

FAULTS: tuple[Fault, ...] = (
    Kill("follower"),
    Pause("follower"),
    NameServerKill(),
    Isolate("follower"),
    CutLink("n0", to="n1"),
    Loss("follower"),
)


def ours(cluster: Cluster, fault: Fault) -> tuple[float, float]:
    """Seconds to inject the fault, its target found, and to heal it."""
    undos: list[Undo] = []

    def inject() -> None:
        undos.append(fault.inject(cluster, fault.targets(cluster)))

    return timed(inject), timed(undos[0])


def bare(cluster: Cluster, engine: Engine, fault: Fault) -> tuple[float, float]:
    """The same for the engine's calls alone."""
    api = engine.client.api
    process = cluster.container_of("namesrv0" if isinstance(fault, NameServerKill) else cluster.followers()[0])
    if isinstance(fault, (Kill, NameServerKill)):
        return timed(lambda: api.kill(process, "SIGKILL")), timed(lambda: api.start(process))
    if isinstance(fault, Pause):
        return timed(lambda: api.pause(process)), timed(lambda: api.unpause(process))
    made: list[str] = []

    assert cluster.spec is not None
    image = cluster.spec.image_ref

    def inject() -> None:
        container = api.create_container(
            image,
            entrypoint=["sleep", "60"],
            labels=Owner.myself().labels(cluster.run, kept=False),
            host_config=api.create_host_config(network_mode=cluster.network_mode, cap_add=["NET_ADMIN"]),
            healthcheck={"test": ["NONE"]},
        )
        made.append(container["Id"])
        api.start(made[0])
        listing = api.exec_create(made[0], ["iptables", "-w", "-S"], user="0:0")
        api.exec_start(listing["Id"])
        api.exec_inspect(listing["Id"])

    return timed(inject), timed(lambda: api.remove_container(made[0], force=True, v=True))


def main() -> None:
    """Every fault in its turn, the kit and the engine alone, ``--rounds`` times."""
    chosen = options(__doc__ or "", rounds=5)
    inject: dict[str, list[tuple[float, float]]] = {}
    heal: dict[str, list[tuple[float, float]]] = {}
    with Cluster.start(edition=chosen.edition) as cluster:
        engine = cluster.engine
        assert engine is not None
        sides: tuple[Callable[[Fault], tuple[float, float]], ...] = (
            lambda fault: ours(cluster, fault),
            lambda fault: bare(cluster, engine, fault),
        )
        for _ in range(chosen.rounds):
            for fault in FAULTS:
                mine, other = (_settled(cluster, side, fault) for side in sides)
                inject.setdefault(fault.kind, []).append((mine[0], other[0]))
                heal.setdefault(fault.kind, []).append((mine[1], other[1]))
    for what, figures in (("inject", inject), ("heal", heal)):
        for kind, pairs in figures.items():
            row(f"{what} {kind}, kit", [mine for mine, _ in pairs])
            row(f"{what} {kind}, the engine's calls", [other for _, other in pairs])
            added(f"{what} {kind}, added by the kit", pairs)


def _settled(cluster: Cluster, side: Callable[[Fault], tuple[float, float]], fault: Fault) -> tuple[float, float]:
    cluster.wait_caught_up()
    return side(fault)


def added(name: str, pairs: Sequence[tuple[float, float]]) -> None:
    """The median of the differences, in milliseconds; less than nothing is noise."""
    differences = [1000 * (mine - other) for mine, other in pairs]
    print(f"{name:44s} median {statistics.median(differences):10.2f} ms  (n={len(pairs)} pairs)", flush=True)


if __name__ == "__main__":
    main()
