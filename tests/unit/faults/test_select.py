"""Promises of who is meant by a role or a name."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from fake_engine import fake_cluster

from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.peers import Members, from_spec
from rmqkit.errors import NotFoundError, UsageError
from rmqkit.faults.select import select
from rmqkit.topology.spec import ClusterSpec


def of(peers: int, *, groups: int = 1) -> Any:
    """The part of a cluster that choosing asks: its first peers lead."""
    members: Members = from_spec(ClusterSpec.pod(base_port=20000, name="t", peers=peers, groups=groups))
    return SimpleNamespace(
        members=members,
        leader=lambda group: members.of(group)[0],
        followers=lambda group: members.of(group)[1:],
    )


def ids(cluster: Any, target: str, **how: Any) -> list[str]:
    return [peer.id for peer in select(cluster, target, **how)]


@pytest.mark.parametrize(
    ("peers", "target", "chosen"),
    [
        (3, "leader", ["n0"]),
        (3, "follower", ["n1"]),
        (3, "minority", ["n0"]),
        (3, "majority", ["n0", "n1"]),
        (4, "minority", ["n0"]),
        (4, "majority", ["n0", "n1", "n2"]),
        (5, "minority", ["n0", "n1"]),
        (5, "majority", ["n0", "n1", "n2"]),
        (3, "all", ["n0", "n1", "n2"]),
        (1, "all", ["n0"]),
        (3, "n2", ["n2"]),
        (3, "RaftNode00/n1", ["n1"]),
        (3, "RaftNode00/leader", ["n0"]),
    ],
)
def test_a_role_or_name_means_these_peers(peers: int, target: str, chosen: list[str]) -> None:
    assert ids(of(peers), target) == chosen


def test_the_leader_is_the_one_on_whom_the_views_agree() -> None:
    cluster: Cluster = fake_cluster()
    assert ids(cluster, "leader") == ["n0"]
    assert ids(cluster, "follower", rng=Random(1)) in (["n1"], ["n2"])


def test_a_choice_is_the_seeds_and_every_choice_comes_up() -> None:
    cluster = of(5)
    for target in ("follower", "minority", "majority"):
        drawn = [ids(cluster, target, rng=Random(seed)) for seed in range(200)]
        assert drawn == [ids(cluster, target, rng=Random(seed)) for seed in range(200)]
        assert {each for chosen in drawn for each in chosen} == set(ids(cluster, "all")) - (
            {"n0"} if target == "follower" else set()
        )
        assert all(chosen == sorted(set(chosen)) for chosen in drawn)


@pytest.mark.parametrize("target", ["n9", "", "Leader", "leaders", "RaftNode00/n9"])
def test_an_unknown_name_is_answered_with_those_that_there_are(target: str) -> None:
    with pytest.raises(NotFoundError, match="there is no peer") as caught:
        select(of(3), target)
    assert caught.value.hint == (
        "peers of this group: n0, n1, n2; or by role: leader, follower, minority, majority, all"
    )


def test_an_unknown_group_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(NotFoundError, match="no group 'Raft9'") as caught:
        select(of(3, groups=2), "Raft9/n0")
    assert "RaftNode00, RaftNode01" in caught.value.hint


def test_of_several_groups_one_must_be_named_and_only_one() -> None:
    cluster = of(3, groups=2)
    with pytest.raises(NotFoundError, match="this cluster has 2 groups"):
        select(cluster, "leader")
    assert [peer.group for peer in select(cluster, "leader", group="RaftNode01")] == ["RaftNode01"]
    assert [peer.group for peer in select(cluster, "RaftNode01/all")] == ["RaftNode01"] * 3
    with pytest.raises(UsageError, match="names two groups"):
        select(cluster, "RaftNode01/n0", group="RaftNode00")


@pytest.mark.parametrize(("peers", "target"), [(1, "minority"), (2, "minority")])
def test_a_group_without_a_minority_says_so(peers: int, target: str) -> None:
    with pytest.raises(UsageError, match="no minority that could go"):
        select(of(peers), target)


def test_a_group_of_one_has_no_follower() -> None:
    with pytest.raises(NotFoundError, match="no follower"):
        select(of(1), "follower")
