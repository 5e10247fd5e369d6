"""A real ``Cluster`` of a scripted group, whose engine only remembers: for the order of acts, not for what they do."""

from __future__ import annotations

from typing import Any, cast

from scripted_group import MEMBERS, NAMESRV, ScriptedGroup

from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.engine import ContainerState, Engine
from rmqkit.errors import EngineError
from rmqkit.topology.spec import ClusterSpec


class FakeEngine:
    """``did`` is every act in order; an act in ``fails`` is refused, after it was remembered."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.fails: set[str] = set()
        self.down: set[str] = set()
        self.frozen: set[str] = set()

    def kill(self, container: str, *, signal: str = "SIGKILL") -> None:
        self._act("kill" if signal == "SIGKILL" else "term", container)
        self.down.add(container)

    def start(self, container: str) -> None:
        self._act("start", container)
        self.down.discard(container)

    def pause(self, container: str) -> None:
        self._act("pause", container)
        self.frozen.add(container)

    def unpause(self, container: str) -> None:
        self._act("unpause", container)
        self.frozen.discard(container)

    def state(self, container: str) -> ContainerState:
        running = container not in self.down
        return ContainerState(container, container, running, container in self.frozen, 0, False, "", {})

    def logs(self, _container: str, *, tail: int | None = 40) -> list[str]:
        del tail
        return []

    def _act(self, verb: str, container: str) -> None:
        self.did.append(f"{verb} {container}")
        if self.did[-1] in self.fails:
            raise EngineError(f"the engine refused: {self.did[-1]}")


def fake_cluster(
    group: ScriptedGroup | None = None, *, engine: FakeEngine | None = None, nameservers: int = 1
) -> Cluster:
    """Three peers, n0 leads; containers are called as their services."""
    services = [*(peer.service for peer in MEMBERS.peers), *(f"namesrv{i}" for i in range(nameservers))]
    return Cluster(
        members=MEMBERS,
        nameservers=(NAMESRV,),
        pool=cast("Any", (group or ScriptedGroup()).pool),
        spec=ClusterSpec.pod(base_port=20000, name="t", nameservers=nameservers),
        engine=cast("Engine", engine or FakeEngine()),
        run="t",
        containers={service: service for service in services},
        timeout_s=2.0,
    )
