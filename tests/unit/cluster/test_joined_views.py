"""Promises of how the three views of who leads are joined: Raft's, the brokers' and the NameServers'."""

from __future__ import annotations

import pytest
from group_views import GROUP, MEMBERS, N0, N1, N2, NAMESRV, NAMESRV2, follower, joined, leader, silent, table

from rmqkit.cluster.status import ClusterStatus, GroupStatus, NameServerStatus, PeerStatus, majority_leader

FOLLOWERS = (follower(N1, says="n0"), follower(N2, says="n0"))
VIEWS = (leader(N0), *FOLLOWERS)
TABLE = table(N0, N1, N2)
DEAF = NameServerStatus(NAMESRV, error="no answer")


def test_when_all_agree_there_is_a_leader_and_the_group_is_healthy() -> None:
    status = joined(VIEWS, TABLE, table(N0, N1, N2, address=NAMESRV2))
    assert status.leader == N0
    assert status.serving == (N0,)
    assert status.healthy
    assert status.summary == f"{GROUP}: all agree, n0 leads"


@pytest.mark.parametrize(
    ("views", "tables", "said"),
    [
        pytest.param(
            (leader(N0), follower(N1, says="n1"), follower(N2, says="n2")),
            (TABLE,),
            "no majority names a Raft leader (n0→n0, n1→n1, n2→n2)",
            id="three peers name three leaders",
        ),
        pytest.param(
            (follower(N0, says=None), follower(N1, says=None), silent(N2)),
            (TABLE,),
            "no majority names a Raft leader (n0→none, n1→none, n2→?)",
            id="nobody knows a leader",
        ),
        pytest.param(
            (follower(N0, says="n0"), *FOLLOWERS),
            (TABLE,),
            "no broker serves as master",
            id="elected, but its broker is no master yet",
        ),
        pytest.param(
            (PeerStatus(N0, "n0", broker_id=1, role="SYNC_MASTER"), *FOLLOWERS),
            (TABLE,),
            "no broker serves as master",
            id="a master under another id than 0",
        ),
        pytest.param(
            (leader(N0), leader(N1, says="n0"), follower(N2, says="n0")),
            (TABLE,),
            "n0 and n1 both serve as master",
            id="two masters",
        ),
        pytest.param(
            (follower(N0, says="n0"), leader(N1, says="n0"), follower(N2, says="n0")),
            (TABLE,),
            "Raft says n0 leads, but n1 serves as master",
            id="the master is not the one elected",
        ),
        pytest.param(VIEWS, (table(None, N1, N2),), f"NameServer {NAMESRV} has no broker 0", id="no broker 0"),
        pytest.param(
            VIEWS,
            (TABLE, table(N2, N1, address=NAMESRV2)),
            f"NameServer {NAMESRV2} names n2 as broker 0, not n0",
            id="one of two NameServers lags behind",
        ),
        pytest.param(
            VIEWS,
            (NameServerStatus(NAMESRV, {GROUP: {0: "10.9.9.9:1"}}),),
            f"NameServer {NAMESRV} names 10.9.9.9:1 as broker 0, not n0",
            id="broker 0 is no peer of this group",
        ),
        pytest.param(VIEWS, (DEAF,), "no NameServer answers", id="the only NameServer is silent"),
    ],
)
def test_every_way_to_disagree_is_named_and_leaves_no_leader(
    views: tuple[PeerStatus, ...], tables: tuple[NameServerStatus, ...], said: str
) -> None:
    status = joined(views, *tables)
    assert any(line.startswith(said) for line in status.disagreements), status.disagreements
    assert status.leader is None
    assert not status.healthy
    assert status.summary.startswith(f"{GROUP}: DISAGREE: ")


def test_a_starting_45_broker_that_claims_broker_zero_is_found_out() -> None:
    """A restarted 4.5.x follower registers as broker 0; Raft and its own role know better (rocketmq #1464)."""
    status = joined(VIEWS, table(N1, N2))
    assert status.disagreements == (f"NameServer {NAMESRV} names n1 as broker 0, not n0",)
    assert status.raft_leader == N0
    assert status.absent == (f"n0 is not registered at {NAMESRV}",)


def test_where_raft_is_undecided_the_table_is_compared_with_the_only_master() -> None:
    views = (leader(N0), follower(N1, says=None), silent(N2))
    status = joined(views, table(N1))
    assert f"NameServer {NAMESRV} names n1 as broker 0, not n0" in status.disagreements


def test_a_peer_that_is_down_is_absent_but_no_disagreement() -> None:
    status = joined((leader(N0), FOLLOWERS[0], silent(N2)), table(N0, N1))
    assert status.disagreements == ()
    assert status.leader == N0
    assert status.absent == ("n2 does not answer (no answer)",)
    assert not status.healthy
    assert status.summary == f"{GROUP}: all agree, n0 leads; but n2 does not answer (no answer)"


def test_a_peer_that_answers_but_is_not_registered_is_absent() -> None:
    status = joined(VIEWS, table(N0, N1))
    assert status.absent == (f"n2 is not registered at {NAMESRV}",)
    assert status.leader == N0
    assert not status.healthy


def test_one_silent_nameserver_of_two_is_absent_and_the_other_decides() -> None:
    status = joined(VIEWS, DEAF, table(N0, N1, N2, address=NAMESRV2))
    assert status.leader == N0
    assert status.registered == {NAMESRV2: N0.address}
    assert status.absent == (f"NameServer {NAMESRV} does not answer (no answer)",)


def test_a_group_that_no_nameserver_has_heard_of_has_no_broker_zero() -> None:
    status = joined(VIEWS, NameServerStatus(NAMESRV, {"OtherGroup": {0: "127.0.0.1:1"}}))
    assert status.disagreements == (f"NameServer {NAMESRV} has no broker 0",)


# ---- the majority


def test_a_paused_leader_that_still_names_itself_does_not_outvote_the_others() -> None:
    views = (leader(N0), leader(N1), follower(N2, says="n1"))
    assert majority_leader(views) == N1
    assert "n0 and n1 both serve as master" in joined(views, TABLE).disagreements


def test_a_majority_is_one_of_all_peers_not_of_those_that_answer() -> None:
    assert majority_leader((leader(N0), silent(N1), silent(N2))) is None
    assert majority_leader((leader(N0), follower(N1, says="n0"), silent(N2))) == N0


def test_two_against_two_is_no_majority() -> None:
    half = (follower(N0, says="n0"), follower(N0, says="n0"), follower(N1, says="n1"), follower(N1, says="n1"))
    assert majority_leader(half) is None


def test_a_leader_that_is_no_peer_of_the_group_is_none() -> None:
    assert majority_leader(tuple(follower(peer, says="n7") for peer in (N0, N1, N2))) is None


def test_nobody_is_no_majority() -> None:
    assert majority_leader(()) is None


# ---- what is shown


def cluster(group: GroupStatus, *tables: NameServerStatus) -> ClusterStatus:
    return ClusterStatus((group,), tables)


def test_the_text_has_a_line_for_each_peer_each_nameserver_and_the_verdict() -> None:
    lines = cluster(joined((leader(N0), FOLLOWERS[0], silent(N2)), TABLE), TABLE).lines()
    assert lines[0] == f"{GROUP}/n0 {N0.address}: raft leader=n0 term=None; broker id=0 SYNC_MASTER"
    assert lines[2] == f"{GROUP}/n2 {N2.address}: raft no answer; broker no answer"
    assert lines[3].startswith(f"NameServer {NAMESRV}: {GROUP} {{0: ")
    assert lines[4].startswith(f"{GROUP}: all agree")


def test_a_cluster_is_healthy_only_with_every_group_and_every_nameserver() -> None:
    assert cluster(joined(VIEWS, TABLE), TABLE).healthy
    assert not cluster(joined(VIEWS, TABLE, DEAF), TABLE, DEAF).healthy
    assert not cluster(joined(VIEWS, table(None)), table(None)).healthy
    assert not ClusterStatus((), (TABLE,)).healthy, "an empty cluster is not a healthy one"


def test_the_json_says_the_same_with_null_for_what_is_not_known() -> None:
    plain = cluster(joined((leader(N0), FOLLOWERS[0], silent(N2)), TABLE), TABLE).as_dict()
    group = plain["groups"][0]
    assert (group["leader"], group["serving"], group["healthy"]) == ("n0", ["n0"], False)
    assert [peer["raft_error"] for peer in group["peers"]] == [None, None, "no answer"]
    assert [peer["role"] for peer in group["peers"]] == ["SYNC_MASTER", "SLAVE", None]
    assert plain["nameservers"][0]["table"] == {GROUP: {"0": N0.address, "2": N1.address, "3": N2.address}}


def test_members_are_looked_up_by_address_too() -> None:
    assert MEMBERS.by_address(N1.address) == N1
    assert MEMBERS.by_address("127.0.0.1:1") is None
    assert MEMBERS.by_address(None) is None


def test_the_cluster_of_a_group_is_what_the_nameservers_say() -> None:
    views = joined(VIEWS, TABLE)
    named = NameServerStatus(NAMESRV2, {}, clusters={GROUP: "RaftCluster"})
    assert ClusterStatus((views,), (DEAF, named)).cluster_of(GROUP) == "RaftCluster"
    assert ClusterStatus((views,), (DEAF,)).cluster_of(GROUP) == ""
    assert ClusterStatus((views,), (DEAF, named)).as_dict()["groups"][0]["cluster"] == "RaftCluster"
