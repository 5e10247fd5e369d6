"""Promises of what a fault refuses, and of what it undoes, without a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.peers import Members, Peer, from_spec
from rmqkit.errors import EngineError, FaultError, NotFoundError, ReadOnlyClusterError, UsageError
from rmqkit.faults import kill_leader, kill_peers, stop_leader
from rmqkit.faults.wrapper import check_quorum
from rmqkit.history import History
from rmqkit.topology.spec import ClusterSpec
from rmqkit.transport.pool import ChannelPool


class StandIn:
    """The part of a cluster that decides who may be killed: which peers' containers run."""

    def __init__(self, *down: str) -> None:
        self.members: Members = from_spec(ClusterSpec.pod(base_port=20000, name="t"))
        self.down = set(down)
        self.did: list[str] = []
        self.fails: set[str] = set()
        self.frozen: set[str] = set()

    def state(self, peer: Peer) -> Any:
        return SimpleNamespace(running=peer.id not in self.down, paused=peer.id in self.frozen)

    def kill(self, peer: Peer) -> None:
        self._act("kill", peer)

    def start_peer(self, peer: Peer) -> None:
        self._act("start", peer)

    def wait_caught_up(self, _group: str, *, timeout_s: float | None = None) -> None:
        self.did.append("wait")

    def _act(self, verb: str, peer: Peer) -> None:
        self.did.append(f"{verb} {peer}")
        if f"{verb} {peer}" in self.fails:
            raise EngineError(f"cannot {verb} {peer}")

    def some(self, *ids: str) -> list[Peer]:
        return [self.members.one(each) for each in ids]


@pytest.fixture
def cluster() -> Any:
    return StandIn()


def test_a_fault_that_leaves_a_majority_is_allowed(cluster: Any) -> None:
    check_quorum(cluster, cluster.some("n0"), allow_quorum_loss=False)


def test_a_fault_that_would_leave_no_majority_is_refused_in_words(cluster: Any) -> None:
    with pytest.raises(FaultError) as caught:
        check_quorum(cluster, cluster.some("n0", "n1"), allow_quorum_loss=False)
    assert str(caught.value) == (
        "no majority without n0, n1: 1 of 3 peers of RaftNode00 would be up\n"
        "What to do: bring the others back first, or pass allow_quorum_loss=True where that is the point"
    )


def test_peers_that_are_down_already_count() -> None:
    cluster: Any = StandIn("n2")
    with pytest.raises(FaultError, match="no majority without n0: 1 of 3 peers"):
        check_quorum(cluster, cluster.some("n0"), allow_quorum_loss=False)


def test_a_frozen_peer_does_not_count_as_up(cluster: Any) -> None:
    cluster.frozen = {"n2"}
    with pytest.raises(FaultError, match="no majority without n0: 1 of 3 peers"):
        check_quorum(cluster, cluster.some("n0"), allow_quorum_loss=False)


def test_victims_of_two_groups_are_an_error_of_use() -> None:
    members = from_spec(ClusterSpec.pod(base_port=20000, name="t", groups=2))
    with pytest.raises(UsageError, match="a fault of 2 groups at once: RaftNode00, RaftNode01"):
        check_quorum(StandIn(), members.peers, allow_quorum_loss=True)  # type: ignore[arg-type]


def test_a_failing_undo_is_a_note_on_the_first_error_and_not_in_its_place(cluster: Any) -> None:
    cluster.fails = {"start n1"}
    with (
        pytest.raises(ZeroDivisionError) as caught,
        kill_peers(cluster, cluster.some("n1")),
    ):
        raise ZeroDivisionError
    assert caught.value.__notes__ == ["Besides, bringing n1 back failed: cannot start n1"]


def test_a_quorum_may_be_lost_where_that_is_the_point(cluster: Any) -> None:
    check_quorum(cluster, cluster.members.peers, allow_quorum_loss=True)


def test_a_refused_fault_has_touched_nothing(cluster: Any) -> None:
    with pytest.raises(FaultError), kill_peers(cluster, cluster.some("n0", "n1")):
        pytest.fail("entered")
    assert cluster.did == []


def test_killed_peers_come_back_and_are_waited_for(cluster: Any) -> None:
    history = History()
    with kill_peers(cluster, cluster.some("n1"), history=history):
        assert cluster.did == ["kill n1"]
    assert cluster.did == ["kill n1", "start n1", "wait"]
    assert [fault.step for fault in history.faults] == ["injected", "healed", "restored"]


def test_killed_peers_come_back_when_the_block_fails(cluster: Any) -> None:
    with pytest.raises(ZeroDivisionError), kill_peers(cluster, cluster.some("n1")):
        raise ZeroDivisionError
    assert cluster.did == ["kill n1", "start n1"]


def test_one_peer_that_cannot_be_started_does_not_keep_the_other_down(cluster: Any) -> None:
    cluster.fails = {"start n1", "start n0"}
    with (
        pytest.raises(EngineError, match="cannot start"),
        kill_peers(cluster, cluster.some("n0", "n1"), allow_quorum_loss=True),
    ):
        pass
    assert {"start n0", "start n1"} <= set(cluster.did)


def test_a_kill_that_fails_brings_back_what_was_killed_before(cluster: Any) -> None:
    cluster.fails = {"kill n1"}
    with (
        pytest.raises(EngineError, match="cannot kill n1"),
        kill_peers(cluster, cluster.some("n0", "n1"), allow_quorum_loss=True),
    ):
        pytest.fail("entered")
    assert {"start n0", "start n1"} <= set(cluster.did), "n1 may be dead all the same: the engine's answer was lost"


def test_no_peer_at_all_is_an_error_of_use(cluster: Any) -> None:
    with pytest.raises(UsageError, match="no peer is named"), kill_peers(cluster, []):
        pytest.fail("entered")


# ---- a cluster that is only attached to


@contextmanager
def attached() -> Iterator[Cluster]:
    members = from_spec(ClusterSpec.pod(base_port=20000, name="t"))
    with ChannelPool() as pool:
        yield Cluster(members=members, nameservers=["127.0.0.1:20000"], pool=pool)


@pytest.mark.parametrize("fault", [kill_leader, stop_leader], ids=lambda fault: fault.__name__)
def test_taking_the_leader_of_an_attached_cluster_out_is_refused_before_anything_is_asked(fault: Any) -> None:
    with attached() as cluster:
        with pytest.raises(ReadOnlyClusterError, match="attached to by its NameServer, and so read only") as caught:
            fault(cluster).__enter__()
        assert "rmqkit up" in caught.value.hint


def test_killing_peers_of_an_attached_cluster_is_refused() -> None:
    with attached() as cluster:
        for allowed in (False, True):
            with (
                pytest.raises(ReadOnlyClusterError),
                kill_peers(cluster, [cluster.peer("n0")], allow_quorum_loss=allowed),
            ):
                pytest.fail("entered")


def test_the_leader_of_an_unknown_group_cannot_be_killed() -> None:
    with attached() as cluster, pytest.raises(NotFoundError, match="there is no group 'Raft99'"):
        kill_leader(cluster, group="Raft99").__enter__()


@pytest.mark.parametrize("act", ["kill", "terminate", "start_peer", "pause", "unpause", "state", "logs"])
def test_every_act_on_an_attached_clusters_processes_is_refused(act: str) -> None:
    with attached() as cluster, pytest.raises(ReadOnlyClusterError):
        getattr(cluster, act)(cluster.peer("n0"))
