"""Promises of the drill's numbers; the drill itself is held by the cluster tests."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from rmqkit.checks import judge, longest_gap_s
from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.peers import Peer
from rmqkit.errors import FaultError
from rmqkit.history import History, Outcome, SendRecord
from rmqkit.load.runner import Load
from rmqkit.scenario import DrillPlan, kill_leader_during, replica_addresses

SECOND = 1_000_000_000


def history(*ends: tuple[float, Outcome]) -> History:
    made = History()
    for number, (end_s, outcome) in enumerate(ends):
        made.add_send(SendRecord(f"m{number}", "T", 0, int(end_s * SECOND), outcome, 0, number, "", ""))
    return made


def test_the_outage_is_the_longest_time_between_two_acknowledgements() -> None:
    """Threads end their sends in any order, and what was refused in between did not serve anybody."""
    ok, no = Outcome.ACKNOWLEDGED, Outcome.REFUSED
    assert longest_gap_s(history((7.0, ok), (1.0, ok), (3.0, no), (1.5, ok), (9.0, no))) == 5.5


def test_without_two_acknowledgements_there_is_no_gap_to_measure() -> None:
    assert longest_gap_s(history()) == 0
    assert longest_gap_s(history((1.0, Outcome.ACKNOWLEDGED), (9.0, Outcome.UNKNOWN))) == 0


def test_a_slow_machine_needs_half_of_the_traffic_and_every_replica() -> None:
    wanted = DrillPlan(acked_before=200, acked_after=100).thresholds(3)
    assert (wanted.min_acked_before, wanted.min_acked_after, wanted.min_replicas) == (100, 50, 3)
    assert wanted.fault_required


def test_only_replicas_with_an_address_can_be_read() -> None:
    here, away = Peer("g", "n0", "127.0.0.1:1", "127.0.0.1:2"), Peer("g", "n1", None, "127.0.0.1:3")
    assert replica_addresses((here, away)) == {"n0": "127.0.0.1:1"}


def test_a_leader_kill_that_the_traffic_does_not_reach_is_an_error_and_not_a_load_without_a_fault() -> None:
    class Ended:
        def wait_for(self, at_s: float) -> bool:
            assert at_s == 20.0
            return False

    with pytest.raises(FaultError, match="the traffic ended before 20 s: no leader was killed"):
        kill_leader_during(cast("Cluster", None), at_s=20.0)(cast("Load", Ended()))


@pytest.mark.parametrize(("bound_s", "status"), [(0.0, "PASSED"), (60.0, "PASSED"), (2.0, "FAILED")])
def test_a_bound_on_the_outage_turns_a_drill_into_a_gate(bound_s: float, status: str) -> None:
    """The recorded run: a leader of 4.5.1 was killed, and nothing was acknowledged for some six seconds."""
    recorded = Path(__file__).parents[1] / "histories" / "passed-drill-4.5.1-leader-killed.jsonl"
    plan = DrillPlan(acked_before=20, acked_after=20, max_outage_s=bound_s)
    verdict = judge(History.import_jsonl(recorded), plan.thresholds(3))
    assert str(verdict.status) == status, str(verdict)
    assert {violation.kind for violation in verdict.violations} == (set() if status == "PASSED" else {"outage"})
