"""What each fault promises, held against real brokers: each once, and short."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from audits import assert_nothing_lost, term_of

from rmqkit.cli import EXIT_OK, main
from rmqkit.client.capabilities import Capabilities
from rmqkit.client.outcomes import Receipt
from rmqkit.cluster import Cluster
from rmqkit.cluster.peers import Peer
from rmqkit.errors import FaultError, NoLeaderError, NotFoundError
from rmqkit.faults import (
    Fault,
    Kill,
    NameServerKill,
    NameServerPause,
    Pause,
    Restart,
    RollingRestart,
    Schedule,
    Step,
    Stop,
    Transfer,
    injected,
)
from rmqkit.faults.transfer import TRANSFER
from rmqkit.fixtures.helpers import RmqAdmin, RmqProducer
from rmqkit.history import History
from rmqkit.load import SteadyTraffic
from rmqkit.waiting import Pending, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.failover]


def other_leader(cluster: Cluster, before: Peer, *, timeout_s: float = 60) -> Peer:
    """The leader after ``before``, once every view that can be had agrees."""

    def probe() -> Peer | Pending:
        now = cluster.leader()
        return now if now != before else Pending(f"{now} still leads")

    return wait_until(probe, label=f"another than {before} leads", timeout_s=timeout_s, tolerate=(NoLeaderError,))


def test_a_frozen_leader_is_succeeded_later_than_a_killed_one_and_nothing_is_lost(
    healthy_cluster: Cluster, copied_topic: str
) -> None:
    before = healthy_cluster.leader()
    history = History()
    with SteadyTraffic(healthy_cluster.nameservers, topic=copied_topic, history=history, rate=100) as traffic:
        traffic.wait_acknowledged(100, timeout_s=30)
        with injected(healthy_cluster, Pause("leader"), history=history, watch=True) as injection:
            assert injection.targets == (before,)
            assert healthy_cluster.state(before).paused
            began = time.monotonic()
            successor = other_leader(healthy_cluster, before)
            took_s = time.monotonic() - began
            phases = {("elected", successor.id), ("serves", successor.id), ("registered", successor.id)}
            wait_until(
                lambda: phases <= {(each.name, each.target) for each in injection.seen} or Pending(f"{injection.seen}"),
                label="all phases are seen by who watches, too",
                timeout_s=20,
            )
        assert not healthy_cluster.state(before).paused
        traffic.wait_acknowledged(100, timeout_s=60)
    assert_nothing_lost(healthy_cluster, copied_topic, history)
    assert successor != before
    assert 4.0 < took_s < 60.0
    steps = [(each.step, each.target) for each in history.faults if each.kind == "pause"]
    assert [step for step in steps if step[1] == before.id and step[0] != "left"] == [
        (step, before.id) for step in ("injected", "healed", "restored")
    ]
    survivors = {peer.id for peer in healthy_cluster.members.of(before.group)} - {before.id}
    assert survivors <= {each.target for each in injection.seen if each.name == "left"}
    for phase in ("elected", "serves", "registered"):
        seen = next(each for each in injection.seen if (each.name, each.target) == (phase, successor.id))
        assert 0 < seen.within_s < seen.at_s < injection.at("healed"), seen
        assert (phase, successor.id) in steps


@pytest.mark.long
@pytest.mark.parametrize("fault", [Stop("follower"), Restart("follower")], ids=lambda fault: fault.kind)
def test_a_follower_that_goes_and_comes_back_changes_no_leader_and_loses_nothing(
    healthy_cluster: Cluster, copied_topic: str, fault: Fault
) -> None:
    leader = healthy_cluster.leader()
    term = term_of(healthy_cluster, leader)
    history = History()
    with SteadyTraffic(healthy_cluster.nameservers, topic=copied_topic, history=history, rate=100) as traffic:
        traffic.wait_acknowledged(100, timeout_s=30)
        with injected(healthy_cluster, fault, history=history) as injection:
            (victim,) = injection.targets
            traffic.wait_acknowledged(50, timeout_s=60)
        traffic.wait_acknowledged(100, timeout_s=60)
    assert victim != leader
    assert_nothing_lost(healthy_cluster, copied_topic, history)
    assert (healthy_cluster.leader(), term_of(healthy_cluster, leader)) == (leader, term), "there was an election"


def test_without_any_nameserver_sends_with_a_route_go_on_and_afterwards_routes_are_back(
    healthy_cluster: Cluster, copied_topic: str, rmq_admin: RmqAdmin, rmq_producer: RmqProducer
) -> None:
    rmq_producer.send_acked(copied_topic, b"with a fresh route")
    with injected(healthy_cluster, NameServerKill()) as injection:
        assert injection.target == ",".join(f"namesrv{i}" for i in range(len(healthy_cluster.nameservers)))
        assert not healthy_cluster.state("namesrv0").running
        for _ in range(20):
            rmq_producer.send_acked(copied_topic, b"with the route in hand")
        with RmqProducer(healthy_cluster.nameservers) as newcomer:
            assert not isinstance(newcomer.send(copied_topic, b"without a route"), Receipt)
    assert copied_topic in rmq_admin.topics()
    with RmqProducer(healthy_cluster.nameservers) as newcomer:
        assert isinstance(newcomer.send(copied_topic, b"with a new route"), Receipt)


def test_a_frozen_nameserver_gives_no_route_and_is_the_same_process_afterwards(
    healthy_cluster: Cluster, copied_topic: str, rmq_producer: RmqProducer
) -> None:
    rmq_producer.send_acked(copied_topic, b"with a fresh route")
    began = healthy_cluster.state("namesrv0").started_at
    with injected(healthy_cluster, NameServerPause("namesrv0")), RmqProducer(healthy_cluster.nameservers) as newcomer:
        assert healthy_cluster.state("namesrv0").paused
        rmq_producer.send_acked(copied_topic, b"with the route in hand")
        assert not isinstance(newcomer.send(copied_topic, b"without a route"), Receipt)
    with RmqProducer(healthy_cluster.nameservers) as newcomer:
        assert isinstance(newcomer.send(copied_topic, b"with a new route"), Receipt)
    assert healthy_cluster.state("namesrv0").started_at == began


def test_leadership_is_transferred_with_nobody_killed_where_the_brokers_can(
    healthy_cluster: Cluster, copied_topic: str
) -> None:
    before = healthy_cluster.leader()
    term = term_of(healthy_cluster, before)
    assert before.address is not None
    facts = Capabilities(healthy_cluster.pool).of(before.address)
    assert facts is not None
    if not facts.can(TRANSFER):
        version = ".".join(map(str, facts.version))
        with (
            pytest.raises(FaultError, match=f"runs RocketMQ {version}, whose DLedger has no leadership transfer"),
            injected(healthy_cluster, Transfer()),
        ):
            pytest.fail("entered")
        assert term_of(healthy_cluster, before) == term
        return
    history = History()
    with SteadyTraffic(healthy_cluster.nameservers, topic=copied_topic, history=history, rate=100) as traffic:
        traffic.wait_acknowledged(100, timeout_s=30)
        with injected(healthy_cluster, Transfer(), history=history) as injection:
            (heir,) = injection.targets
            assert other_leader(healthy_cluster, before) == heir
        traffic.wait_acknowledged(100, timeout_s=60)
    assert_nothing_lost(healthy_cluster, copied_topic, history)
    assert term_of(healthy_cluster, heir) > term
    assert all(healthy_cluster.state(peer).running for peer in healthy_cluster.peers)


def test_what_would_break_the_quorum_is_refused_before_anything_is_done(healthy_cluster: Cluster) -> None:
    began = {peer: healthy_cluster.state(peer).started_at for peer in healthy_cluster.peers}
    for fault in (Kill("majority"), Pause("all"), Stop("RaftNode00/all")):
        with pytest.raises(FaultError, match="no majority without"), injected(healthy_cluster, fault):
            pytest.fail("entered")
    with pytest.raises(NotFoundError, match="there is no peer 'n9'"), injected(healthy_cluster, Kill("n9")):
        pytest.fail("entered")
    assert {peer: healthy_cluster.state(peer).started_at for peer in healthy_cluster.peers} == began


def test_chaos_draws_its_faults_from_the_seed_and_every_acknowledged_message_survives_them(
    healthy_cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    """This seed draws two faults: the leader is killed, then a follower is frozen."""
    drawn = Schedule.random(729, duration_s=20, kinds=[Kill, Pause])
    options = ["--seed", "729", "--duration", "20", "--faults", "kill,pause"]
    code = main(["chaos", *options, "--run", healthy_cluster.run, "--rate", "100", "--json"])
    out, err = capsys.readouterr()
    assert code == EXIT_OK, f"{out}\n{err}"
    answer = json.loads(out)
    assert Schedule.parse(json.dumps(answer["schedule"])) == drawn
    assert (
        [each["fault"] for each in answer["faults"]] == [step.fault.kind for step in drawn.steps] == ["kill", "pause"]
    )
    assert all(each["timeline"][-1]["phase"] == "restored" for each in answer["faults"])
    killed, frozen = ({each["phase"] for each in fault["seen"]} for fault in answer["faults"])
    assert {"left", "elected", "serves", "registered"} <= killed
    assert "elected" not in frozen, "a follower's pause elects nobody"
    assert answer["verdict"]["numbers"]["replicas"] == 3
    assert f"rmqkit chaos {' '.join(options)}" in err
    assert healthy_cluster.status(timeout_s=10).healthy


def test_ctrl_c_in_the_middle_of_chaos_undoes_the_fault_and_leaves_the_cluster_as_it_was(
    healthy_cluster: Cluster, rmq_admin: RmqAdmin, tmp_path: Path
) -> None:
    follower = healthy_cluster.followers()[0]
    written = tmp_path / "steps.json"
    written.write_text(Schedule((Step(Pause(follower.id), gap_s=0, hold_s=600),)).to_json(), encoding="utf-8")
    command = [sys.executable, "-m", "rmqkit", "chaos", "--schedule", str(written), "--run", healthy_cluster.run]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as chaos:

        def frozen() -> bool | Pending:
            assert chaos.poll() is None, chaos.communicate()
            return healthy_cluster.state(follower).paused or Pending(f"{follower} runs")

        try:
            wait_until(frozen, label=f"{follower} is frozen", timeout_s=90, every_s=0.1)
            chaos.send_signal(signal.SIGINT)
            out, err = chaos.communicate(timeout=60)
        finally:
            chaos.kill()
    assert (chaos.returncode, out) == (130, ""), err
    assert f"this run again: rmqkit chaos --schedule {written}" in err
    assert "Traceback" not in err
    assert not healthy_cluster.state(follower).paused
    healthy_cluster.wait_ready()
    assert not [topic for topic in rmq_admin.topics() if topic.startswith("rmqkit_chaos_")]


@pytest.mark.long
def test_a_rolling_restart_loses_nothing(healthy_cluster: Cluster, copied_topic: str) -> None:
    began = {peer: healthy_cluster.state(peer).started_at for peer in healthy_cluster.peers}
    last = healthy_cluster.leader()
    history = History()
    with SteadyTraffic(healthy_cluster.nameservers, topic=copied_topic, history=history, rate=100) as traffic:
        traffic.wait_acknowledged(100, timeout_s=30)
        with injected(healthy_cluster, RollingRestart(), history=history) as injection:
            assert injection.targets[-1] == last
        traffic.wait_acknowledged(100, timeout_s=60)
    assert_nothing_lost(healthy_cluster, copied_topic, history)
    now = {peer: healthy_cluster.state(peer).started_at for peer in healthy_cluster.peers}
    assert all(now[peer] != began[peer] for peer in healthy_cluster.peers), "a peer was not restarted"
