"""What a deploy would change, and in which order: pure, from what is wanted and what is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from deploy_cases import HOSTS, IMAGE, PEERS, broker, nameserver, running

from rmqkit.deploy.changes import Act, Change, Present, Wave, compare, refusals, waves
from rmqkit.deploy.composing import Wanted


def compared(wanted: list[Wanted], present: list[Present], image_id: str = "sha256:1") -> list[Change]:
    return compare(wanted, present, {IMAGE: image_id})


def acts(changes: list[Change]) -> list[tuple[str, str]]:
    return [(change.act.value, change.service) for change in changes]


ALL = [
    *(nameserver(host, f"namesrv{n}") for n, host in enumerate(HOSTS)),
    *(broker(host, f"n{n}") for n, host in enumerate(HOSTS)),
]


def test_where_nothing_is_everything_is_made() -> None:
    assert {act for act, _ in acts(compared(ALL, []))} == {"create"}


def test_where_all_runs_as_wanted_nothing_changes() -> None:
    assert {act for act, _ in acts(compared(ALL, [running(each) for each in ALL]))} == {"keep"}


def test_a_changed_key_is_told_with_its_values_and_its_brokers_alone_are_made_again() -> None:
    wanted = [*ALL[:5], broker("c", "n2", RMQ_CONF_fileReservedTime="48")]
    changes = compared(wanted, [running(each) for each in ALL])
    (change,) = [change for change in changes if change.act is not Act.KEEP]
    assert str(change) == "c: recreate raftnode00-n2: fileReservedTime: not set → 48"


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({"RMQ_CONF_x": "1"}, {"RMQ_CONF_x": "2"}, "x: 1 → 2"),
        ({"RMQ_CONF_x": "1"}, {}, "x is not set any more"),
        ({"RMQ_HEAP": "1g"}, {"RMQ_HEAP": "2g"}, "RMQ_HEAP: 1g → 2g"),
        ({"RMQ_CONF_secretKey": "old"}, {"RMQ_CONF_secretKey": "new"}, "secretKey changed"),
    ],
)
def test_why_a_container_is_made_again_is_told(before: dict[str, str], after: dict[str, str], said: str) -> None:
    (change,) = compared([nameserver("a", "namesrv0", **after)], [running(nameserver("a", "namesrv0", **before))])
    assert change.act is Act.RECREATE
    assert change.why == (said,)


def test_what_compose_alone_sees_is_told_as_such() -> None:
    want = ALL[0]
    (change,) = compared([replace(want, hash="another")], [running(want)])
    assert change.why == ("settings of its container differ (limits, volumes, user, labels)",)


def test_another_edition_is_told_by_its_name() -> None:
    labels = dict(ALL[0].labels)
    before = replace(ALL[0], labels={**labels, "rmqkit.edition": "4.5.1"})
    want = replace(ALL[0], labels={**labels, "rmqkit.edition": "4.9.8"}, hash="another")
    (change,) = compared([want], [running(before)])
    assert change.why == ("edition 4.5.1 → 4.9.8",)


def test_another_image_under_the_same_name_is_a_change() -> None:
    changes = compared(ALL, [running(each) for each in ALL], image_id="sha256:2")
    assert {change.act for change in changes} == {Act.RECREATE}
    assert changes[0].why == (f"image 1 → 2 ({IMAGE})",)


def test_one_that_ended_is_started_and_interrupts_nobody() -> None:
    (change,) = compared([ALL[3]], [running(ALL[3], status="exited")])
    assert (change.act, change.interrupts) == (Act.START, False)
    assert "exit code 137" in change.why[0]


def test_what_the_specification_does_not_have_is_to_be_removed() -> None:
    changes = compared(ALL, [running(each) for each in [*ALL, broker("a", "n0", group="RaftNode09")]])
    assert acts(changes)[-1] == ("remove", "raftnode09-n0")


def test_a_broker_on_another_host_has_moved_and_does_so_only_when_asked_to() -> None:
    wanted = [*ALL[:5], broker("d", "n2")]
    changes = compared(wanted, [running(each) for each in ALL])
    (change,) = [change for change in changes if change.act is not Act.KEEP]
    assert (change.act, change.host, change.before.host if change.before else "") == (Act.MOVE, "d", "c")
    assert refusals(changes, wanted, remove=False) == ["raftnode00-n2 runs on c and is to run on d (--remove)"]
    assert refusals(changes, wanted, remove=True) == []


def test_a_group_of_another_size_is_refused_with_what_would_change() -> None:
    peers = f"{PEERS};n3-10.0.0.4:40914;n4-10.0.0.5:40915"
    wanted = [broker(host, f"n{n}", peers=peers) for n, host in enumerate((*HOSTS, "d", "e"))]
    against = refusals(compared(wanted, [running(each) for each in ALL[3:]]), wanted, remove=True)
    assert against == [
        "RaftNode00 has members n0, n1, n2, and is to have n0, n1, n2, n3, n4: DLedger has no change of membership"
    ]


def test_another_address_of_a_member_is_no_other_membership() -> None:
    peers = PEERS.replace("10.0.0.3", "10.0.0.9")
    wanted = [broker(host, f"n{n}", peers=peers) for n, host in enumerate(HOSTS)]
    assert refusals(compared(wanted, [running(each) for each in ALL[3:]]), wanted, remove=False) == []


def test_a_service_that_would_get_another_name_would_leave_its_volume_and_is_refused() -> None:
    short = replace(ALL[3], service="n0")
    against = refusals(compared([ALL[3]], [running(short)]), [ALL[3]], remove=True)
    assert "n0 would be called raftnode00-n0" in against[0]


# ---- the order


def order(
    changes: list[Change], *, serving: tuple[str, ...] = (), leaders: Mapping[str, str] | None = None
) -> list[str]:
    return [str(wave) for wave in waves(changes, serving=serving, leaders=leaders or {}, hosts=HOSTS)]


def recreated(*wanted: Wanted) -> list[Change]:
    return compared(list(wanted), [running(each) for each in wanted], image_id="sha256:2")


def test_a_first_deploy_starts_all_nameservers_and_then_all_brokers() -> None:
    assert order(compared(ALL, [])) == [
        "namesrv0 on a, namesrv1 on b, namesrv2 on c",
        "raftnode00-n0 on a, raftnode00-n1 on b, raftnode00-n2 on c",
    ]


def test_where_all_is_as_wanted_there_is_no_step() -> None:
    assert order(compared(ALL, [running(each) for each in ALL]), serving=("RaftNode00",)) == []


def test_a_serving_group_is_changed_one_host_at_a_time_its_leader_last() -> None:
    assert order(recreated(*ALL), serving=("RaftNode00",), leaders={"RaftNode00": "n1"}) == [
        "namesrv0 on a",
        "namesrv1 on b",
        "namesrv2 on c",
        "raftnode00-n0 on a",
        "raftnode00-n2 on c",
        "raftnode00-n1 on b",
    ]


def test_a_group_that_does_not_serve_is_changed_at_once() -> None:
    assert order(recreated(*ALL[3:])) == ["raftnode00-n0 on a, raftnode00-n1 on b, raftnode00-n2 on c"]


def test_replicas_of_several_groups_on_one_host_go_together_those_of_one_group_never() -> None:
    second = [broker(host, f"n{n}", group="RaftNode01") for n, host in enumerate(HOSTS)]
    both = ("RaftNode00", "RaftNode01")
    found = order(recreated(*ALL[3:], *second), serving=both, leaders={"RaftNode00": "n0", "RaftNode01": "n0"})
    assert found[0] == "raftnode00-n1 on b, raftnode01-n1 on b"
    assert found[-1] == "raftnode00-n0 on a, raftnode01-n0 on a"
    shared = [broker("a", "n0"), broker("a", "n1"), broker("b", "n2")]
    assert order(recreated(*shared), serving=("RaftNode00",), leaders={"RaftNode00": "n2"}) == [
        "raftnode00-n0 on a",
        "raftnode00-n1 on a",
        "raftnode00-n2 on b",
    ]


def test_what_is_down_comes_back_before_anybody_is_stopped() -> None:
    wanted = [broker(host, f"n{n}", RMQ_CONF_x="1") for n, host in enumerate(HOSTS)]
    present = [running(ALL[3]), running(ALL[4]), running(ALL[5], status="exited")]
    assert order(compared(wanted, present), serving=("RaftNode00",), leaders={"RaftNode00": "n0"}) == [
        "raftnode00-n2 on c",
        "raftnode00-n1 on b",
        "raftnode00-n0 on a",
    ]


def test_what_fails_again_and_again_is_not_up() -> None:
    assert not running(ALL[3], status="restarting").container.up
    assert not running(ALL[3], health="unhealthy").container.up
    assert running(ALL[3], health="starting").container.up


def test_what_is_removed_goes_last() -> None:
    wanted = [broker(host, f"n{n}", RMQ_CONF_x="1") for n, host in enumerate(HOSTS)]
    left = broker("a", "n0", group="RaftNode09")
    changes = compared(wanted, [running(each) for each in [*ALL[3:], left]])
    assert order(changes, serving=("RaftNode00",), leaders={"RaftNode00": "n0"})[-1] == "raftnode09-n0 on a"


def never_two_of_a_group(found: list[Wave]) -> bool:
    """Whether no wave stops two replicas of one group."""
    for wave in found:
        groups = [change.group for change in wave.changes if change.group and change.interrupts]
        if len(groups) != len(set(groups)):
            return False
    return True


def test_no_wave_ever_stops_two_replicas_of_a_group_that_serves() -> None:
    changes = recreated(*ALL, *(broker(host, f"n{n}", group="RaftNode01") for n, host in enumerate(HOSTS)))
    for leader in ("n0", "n1", "n2"):
        both = {"RaftNode00": leader, "RaftNode01": "n1"}
        assert never_two_of_a_group(waves(changes, serving=tuple(both), leaders=both, hosts=HOSTS))
    # The check itself: a group that does not serve is changed at once, and that is seen.
    assert not never_two_of_a_group(waves(changes, serving=("RaftNode01",), leaders={"RaftNode01": "n1"}, hosts=HOSTS))
