"""Promises of attaching with access to the engine: which containers are meant, and what may be done to whom."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from scripted_group import GROUP, MEMBERS, NAMESRV, ScriptedGroup

from rmqkit.cluster import Cluster
from rmqkit.cluster.peers import Members
from rmqkit.drivers.java_process import place_for
from rmqkit.errors import NotFoundError, ReadOnlyClusterError, UsageError
from rmqkit.faults import kill_leader
from rmqkit.faults.registry import FAULTS

sys.path.append(str(Path(__file__).parents[1] / "faults"))

from fake_engine import FakeEngine

FOUND = Members(tuple(replace(peer, service="") for peer in MEMBERS.peers))
PROJECT = "rocketmq-dledger"


def container(
    service: str, *, peer: str = "", group: str = GROUP, project: str = PROJECT, host: str = "127.0.0.1"
) -> SimpleNamespace:
    labels = {"com.docker.compose.project": project, "com.docker.compose.service": service}
    if peer:
        labels |= {"rmqkit.group": group, "rmqkit.peer": peer}
    port = 30911 + 10 * int(peer.removeprefix("n") or 0)
    environment = [f"RMQ_CONF_brokerIP1={host}", f"RMQ_CONF_listenPort={port}", "PATH"] if host else None
    return SimpleNamespace(id=f"id-{service}", labels=labels, attrs={"Config": {"Env": environment}})


BROKERS = tuple(container(f"broker-{peer.id}", peer=peer.id) for peer in MEMBERS.peers)
OTHERS = (
    container("namesrv0"),
    container("one-shot"),
    container("n1", peer="n1", project="another"),
    container("theirs", peer="n0", group="RaftNode07"),
)


class Engine(FakeEngine):
    """Knows some containers."""

    def __init__(self, *known: SimpleNamespace) -> None:
        super().__init__()
        self.known = known

    def containers(self, labels: Mapping[str, str | None]) -> list[SimpleNamespace]:
        return [each for each in self.known if labels.items() <= each.labels.items()]


@pytest.fixture(autouse=True)
def group(monkeypatch: pytest.MonkeyPatch) -> ScriptedGroup:
    """What `attach` finds: three peers, wherever they run."""
    scripted = ScriptedGroup()
    monkeypatch.setattr("rmqkit.cluster.cluster.discover", lambda *_: FOUND)
    return scripted


def attached(engine: Any, project: str = PROJECT) -> Any:
    return Cluster.attach(NAMESRV, engine=engine, project=project)


def test_a_peer_is_its_container_whatever_the_service_is_called() -> None:
    engine = Engine(*OTHERS, *BROKERS)
    with attached(engine) as cluster:
        assert cluster.services == ("broker-n0", "broker-n1", "broker-n2"), (
            "no others: they are not the cluster's brokers"
        )
        cluster.kill(cluster.peer("n1"))
        cluster.start_peer(cluster.peer("n1"))
    assert engine.did == ["kill id-broker-n1", "start id-broker-n1"]


def test_a_peer_on_another_host_is_known_but_cannot_be_acted_on() -> None:
    engine = Engine(*BROKERS[:1])
    with attached(engine) as cluster:
        assert cluster.peers[1:] == FOUND.peers[1:]
        with pytest.raises(NotFoundError, match="n2 has no container in the Compose project"):
            cluster.kill(cluster.peer("n2"))
    assert engine.did == []


def test_a_project_without_a_broker_of_this_cluster_is_refused_and_told_from_it() -> None:
    with pytest.raises(NotFoundError, match=f"no container of Compose project '{PROJECT}'") as caught:
        attached(Engine(*OTHERS)).__enter__()
    assert caught.value.details == (
        "the cluster's brokers: " + ", ".join(f"{GROUP}/{peer.id} at {peer.address}" for peer in MEMBERS.peers),
        "the project has 3 containers; brokers among them: RaftNode07/n0 at 127.0.0.1:30911",
    )


def test_another_clusters_broker_of_the_same_name_is_not_taken_for_this_ones() -> None:
    """The stock file gives every cluster the same project, group and peers."""
    theirs = container("n0", peer="n0", host="10.0.0.1")
    silent = container("n1", peer="n1", host="")
    with pytest.raises(NotFoundError) as caught:
        attached(Engine(theirs, silent)).__enter__()
    assert caught.value.details[1] == (
        f"the project has 2 containers; brokers among them: {GROUP}/n0 at 10.0.0.1:30911, "
        f"{GROUP}/n1 at an address that it does not say"
    )
    engine = Engine(theirs, BROKERS[1])
    with attached(engine) as cluster:
        assert cluster.services == ("broker-n1",)
        with pytest.raises(NotFoundError, match="n0 has no container"):
            cluster.kill(cluster.peer("n0"))
    assert engine.did == []


def test_a_leader_is_killed_though_its_peers_run_on_other_hosts(
    group: ScriptedGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not here is asked whether it is up: the quorum guard counts it."""
    engine = Engine(BROKERS[1])
    group.lead(FOUND.peers[1])
    monkeypatch.setattr(engine, "kill", _then(engine.kill, lambda: group.lead(FOUND.peers[0])))
    monkeypatch.setattr("rmqkit.cluster.cluster.ChannelPool", lambda: NullContext(group.pool))
    with attached(engine) as cluster, kill_leader(cluster, timeout_s=5) as failover:
        assert (failover.victim.id, failover.successor.id) == ("n1", "n0")
    assert engine.did == ["kill id-broker-n1", "start id-broker-n1"]


def test_a_leader_on_another_host_is_not_killed(group: ScriptedGroup, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(BROKERS[1])
    monkeypatch.setattr("rmqkit.cluster.cluster.ChannelPool", lambda: NullContext(group.pool))
    with (
        attached(engine) as cluster,
        pytest.raises(NotFoundError, match="n0 has no container"),
        kill_leader(cluster, timeout_s=5),
    ):
        pytest.fail("entered")
    assert engine.did == []


def _then(act: Any, more: Any) -> Any:
    def both(name: str, *, signal: str = "SIGKILL") -> None:
        act(name, signal=signal)
        more()

    return both


def test_half_an_access_is_an_error_of_use() -> None:
    for half in ({"engine": Engine(*BROKERS)}, {"project": PROJECT}):
        with pytest.raises(UsageError, match="engine= and project= go together"):
            Cluster.attach(NAMESRV, **half).__enter__()  # type: ignore[arg-type]


def test_without_access_a_kill_is_still_refused_and_says_how_to_have_it() -> None:
    with Cluster.attach(NAMESRV) as cluster, pytest.raises(ReadOnlyClusterError) as caught:
        cluster.kill(cluster.peer("n0"))
    assert "Cluster.attach with engine= and project=" in caught.value.hint


def test_a_leader_is_killed_watched_and_brought_back(group: ScriptedGroup, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(*BROKERS)
    monkeypatch.setattr(engine, "kill", _then(engine.kill, lambda: group.lead(FOUND.peers[1])))
    monkeypatch.setattr("rmqkit.cluster.cluster.ChannelPool", lambda: NullContext(group.pool))
    with attached(engine) as cluster, kill_leader(cluster, timeout_s=5) as failover:
        assert (failover.victim.id, failover.successor.id) == ("n0", "n1")
    assert engine.did == ["kill id-broker-n0", "start id-broker-n0"]


class NullContext:
    """A pool that somebody else closes."""

    def __init__(self, pool: object) -> None:
        self._pool = pool

    def __enter__(self) -> object:
        return self._pool

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""


def test_only_what_needs_brokers_alone_can_be_done_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own network, and stores that the kit did not choose, are not touched."""
    monkeypatch.setattr("rmqkit.faults.transfer.Capabilities", lambda _: SimpleNamespace(of=lambda _: None))
    with attached(Engine(*BROKERS)) as cluster:
        possible = {kind for kind, fault in FAULTS.items() if not fault().why_not(cluster)}
        refused = {fault().why_not(cluster) for kind, fault in FAULTS.items() if kind not in possible}
        with pytest.raises(ReadOnlyClusterError, match="network of a cluster that the kit did not start"):
            _ = cluster.network_mode
        with pytest.raises(ReadOnlyClusterError, match="image of a cluster that the kit did not start"):
            place_for(cluster, network="host")
    assert possible == {"kill", "stop", "restart", "pause", "rolling-restart", "transfer"}
    assert len(refused) == 1
    assert "the kit did not start this cluster" in refused.pop()
