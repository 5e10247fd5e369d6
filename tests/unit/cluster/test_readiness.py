"""Promises of status and readiness over a scripted group: who is asked, what counts as ready, what a failure says."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_group import GROUP, MEMBERS, N0, N1, N2, NAMESRV, ScriptedGroup

from rmqkit.cluster import status
from rmqkit.cluster.readiness import wait_caught_up, wait_ready
from rmqkit.cluster.status import ClusterStatus
from rmqkit.errors import BrokerExitedError, NotReadyError
from rmqkit.wire.codes import RequestCode

WRITES = {RequestCode.SEND_MESSAGE_V2, RequestCode.UPDATE_AND_CREATE_TOPIC, RequestCode.UPDATE_BROKER_CONFIG}


@pytest.fixture
def group() -> ScriptedGroup:
    return ScriptedGroup()


def asked(group: ScriptedGroup) -> ClusterStatus:
    pool: Any = group.pool
    return status.ask(pool, MEMBERS, [NAMESRV])


def ready(group: ScriptedGroup, *, timeout_s: float = 0.0, **options: Any) -> ClusterStatus:
    pool: Any = group.pool
    return wait_ready(pool, MEMBERS, [NAMESRV], timeout_s=timeout_s, **{"write": True, **options})


# ---- status


def test_status_joins_what_everybody_says(group: ScriptedGroup) -> None:
    found = asked(group)
    assert found.healthy
    assert found.group(GROUP).leader == N0
    assert [(view.role, view.broker_id, view.term) for view in found.groups[0].peers] == [
        ("SYNC_MASTER", 0, 7),
        ("SLAVE", 2, 7),
        ("SLAVE", 3, 7),
    ]


def test_asking_for_status_never_writes(group: ScriptedGroup) -> None:
    asked(group)
    assert not WRITES & {asked.command.code for asked in group.pool.asked}


def test_who_does_not_answer_is_part_of_the_answer(group: ScriptedGroup) -> None:
    group.silent = {"n2", "namesrv"}
    found = asked(group)
    assert found.groups[0].peers[2].raft_error == "n2 is silent"
    assert found.groups[0].peers[2].broker_error == "n2 is silent"
    assert found.nameservers[0].error == "namesrv is silent"
    assert not found.healthy


# ---- ready


def test_ready_is_all_views_agree_and_a_write_was_acknowledged(group: ScriptedGroup) -> None:
    written: list[str] = []
    assert ready(group, on_written=written.append).healthy
    assert group.sends == ["n0"]
    assert written == [GROUP]


def test_an_attached_cluster_is_never_written_to(group: ScriptedGroup) -> None:
    assert ready(group, write=False).healthy
    assert group.sends == []


def test_a_leader_that_acknowledges_nothing_is_not_ready(group: ScriptedGroup) -> None:
    """One start in eighteen of 4.9.8 showed one, while all three views agreed."""
    group.refusal = (1, "[PC_SYNCHRONIZED]broker busy, start flow control for a while")
    with pytest.raises(NotReadyError, match="probe write to n0"):
        ready(group)


def test_nothing_is_written_before_the_elected_leader_serves(group: ScriptedGroup) -> None:
    group.masters = set()
    with pytest.raises(NotReadyError, match="no broker serves as master"):
        ready(group)
    assert group.sends == []


def test_a_peer_that_is_not_in_yet_is_waited_for(group: ScriptedGroup) -> None:
    group.silent = {"n2"}
    with pytest.raises(NotReadyError, match="n2 does not answer"):
        ready(group)


def test_the_nameservers_word_is_not_enough(group: ScriptedGroup) -> None:
    group.registered = {0: N2.address, 2: N1.address}
    with pytest.raises(NotReadyError, match="names n2 as broker 0, not n0"):
        ready(group)


def test_the_failure_shows_every_view_and_what_is_costly_to_collect(group: ScriptedGroup) -> None:
    group.votes["n1"] = group.votes["n2"] = None
    with pytest.raises(NotReadyError) as caught:
        ready(group, describe=lambda: ["n0 last said: x"])
    details = caught.value.details
    assert details[1] == f"{GROUP}/n1 {N1.address}: raft leader=None term=None; broker id=2 SLAVE"
    assert details[-1] == "n0 last said: x"
    assert len(details) == 3 + 1 + 1 + 1


def test_a_process_that_has_ended_is_the_error_and_not_the_time_it_took(group: ScriptedGroup) -> None:
    group.silent = {"n2"}

    def dead() -> None:
        raise BrokerExitedError("n2 ended by itself")

    with pytest.raises(BrokerExitedError):
        ready(group, alive=dead)


# ---- caught up


def caught_up(group: ScriptedGroup, *, timeout_s: float = 0.0) -> None:
    pool: Any = group.pool
    wait_caught_up(pool, MEMBERS, [NAMESRV], group=GROUP, timeout_s=timeout_s)


def test_all_at_the_leaders_position_have_caught_up(group: ScriptedGroup) -> None:
    caught_up(group)


def test_one_that_is_behind_is_named_with_its_position(group: ScriptedGroup) -> None:
    group.positions["n1"] = 900
    with pytest.raises(NotReadyError, match=r"behind position 1000: \{'n1': 900\}"):
        caught_up(group)


def test_a_peer_that_is_away_has_not_caught_up(group: ScriptedGroup) -> None:
    group.silent = {"n1"}
    with pytest.raises(NotReadyError, match="n1 does not answer"):
        caught_up(group)


def test_under_traffic_the_mark_is_what_the_leader_had_at_first(group: ScriptedGroup) -> None:
    """Each look finds the leader further ahead; the followers only have to reach where it was."""
    steps = iter([{"n0": 1000, "n1": 500, "n2": 1000}, {"n0": 2000, "n1": 1000, "n2": 1500}])
    real = group._runtime

    def moving(name: str, command: Any) -> Any:
        if name == "n0":
            group.positions = next(steps, group.positions)
        return real(name, command)

    for peer in (N0, N1, N2):
        assert peer.address is not None
        group.pool.on(peer.address, RequestCode.GET_BROKER_RUNTIME_INFO, group._answer(peer.id, moving))
    caught_up(group, timeout_s=5)
