"""What users may rely on when links break, disks fill and clocks differ, held against real brokers.

Cuts and loss are seen to be there (packets were taken), felt or rightly not felt, and gone without a trace at the end.
Shaped networks are seen slow, or late where the kernel can delay, and their rules and disciplines gone; a slow disk's
limit is seen set and gone; full disks and skewed clocks are seen by what brokers then do, and healed.
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from audits import assert_nothing_lost

from rmqkit.client.outcomes import Receipt
from rmqkit.cluster import Cluster
from rmqkit.cluster.guard import ROLE_GUARD, Task, store_of, tried
from rmqkit.cluster.peers import Peer
from rmqkit.cluster.ports import reserve_block
from rmqkit.errors import FaultError, RequestTimeoutError
from rmqkit.faults import (
    ClockSkew,
    CutClients,
    CutLink,
    CutNameServer,
    DiskFull,
    Fault,
    Halves,
    Isolate,
    Latency,
    Loss,
    Ring,
    SlowDisk,
    SlowNetwork,
    injected,
)
from rmqkit.faults.netrules import CHAIN_PREFIX
from rmqkit.fixtures.helpers import RmqAdmin, RmqProducer
from rmqkit.history import History
from rmqkit.load import SteadyTraffic
from rmqkit.topology.names import LABEL_ROLE, LABEL_RUN
from rmqkit.topology.spec import ClusterSpec, pod_ports_needed
from rmqkit.waiting import Pending, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.failover]

LOOK = Task(what="look at the rules", do=":", undo=":", gone=":", network=True, capabilities=("NET_ADMIN",))
ELECTION_S = 8.0
"""A leader without its peers, or peers without their leader, have given up by then (6 s, and a round)."""


def in_the_pod(cluster: Cluster, script: str) -> list[str]:
    """Run a command in the cluster's network, as a guard would; it must end well."""
    code, lines = tried(cluster, LOOK, script)
    assert code == 0, lines
    return lines


def rules_of(cluster: Cluster) -> list[str]:
    """Every rule of the kit in the cluster's network, with its counters."""
    return [line for line in in_the_pod(cluster, "iptables-save -c") if CHAIN_PREFIX in line]


def guards_of(cluster: Cluster) -> set[str]:
    """The guards of the cluster, those too that have ended by themselves: they go with the run."""
    assert cluster.engine is not None
    found = cluster.engine.containers({LABEL_RUN: cluster.run, LABEL_ROLE: ROLE_GUARD})
    return {str(container.id) for container in found}


def packets_taken(cluster: Cluster) -> int:
    """How many packets the kit's rules have taken by now."""
    rules = [line for line in rules_of(cluster) if f"-A {CHAIN_PREFIX}" in line]
    return sum(int(line.partition(":")[0].removeprefix("[")) for line in rules)


def role_of(cluster: Cluster, peer: Peer) -> str:
    return cluster.broker(peer).config()["brokerRole"]


def traffic_through(cluster: Cluster, topic: str, fault: Fault, *, during: int = 100) -> History:
    """Traffic before, during (so many acknowledged) and after a fault, whose rules took packets and went."""
    history = History()
    with SteadyTraffic(cluster.nameservers, topic=topic, history=history, rate=100) as traffic:
        traffic.wait_acknowledged(100, timeout_s=30)
        with injected(cluster, fault, history=history) as injection:
            traffic.wait_acknowledged(during, timeout_s=60)
            assert packets_taken(cluster) > 0, "the rules took nothing: no fault was made"
        assert injection.packets, "the guard counted none"
        traffic.wait_acknowledged(100, timeout_s=60)
    assert rules_of(cluster) == []
    return history


def test_a_leader_isolated_from_its_peers_steps_down_and_another_leads(
    healthy_cluster: Cluster, copied_topic: str
) -> None:
    leader = healthy_cluster.leader()
    history = History()
    with SteadyTraffic(healthy_cluster.nameservers, topic=copied_topic, history=history, rate=100) as traffic:
        traffic.wait_acknowledged(100, timeout_s=30)
        with injected(healthy_cluster, Isolate(), history=history) as injection:
            assert injection.targets == (leader,)

            def stepped_down() -> bool | Pending:
                return role_of(healthy_cluster, leader) == "SLAVE" or Pending("it still leads")

            wait_until(stepped_down, label=f"{leader} steps down by itself", timeout_s=40)

            def successor() -> Peer | Pending:
                views = {view.peer: view for view in healthy_cluster.status().groups[0].peers}
                leads = [peer for peer, view in views.items() if view.leads and peer != leader]
                return leads[0] if leads else Pending(f"nobody: {[v.raft_leader for v in views.values()]}")

            wait_until(successor, label="another leads", timeout_s=40)
            traffic.wait_acknowledged(100, timeout_s=60)
            assert packets_taken(healthy_cluster) > 0
        traffic.wait_acknowledged(100, timeout_s=60)
    assert_nothing_lost(healthy_cluster, copied_topic, history)
    assert rules_of(healthy_cluster) == []


def test_a_leader_without_nameservers_leads_on_and_cannot_register(
    healthy_cluster: Cluster, copied_topic: str, rmq_admin: RmqAdmin
) -> None:
    """The same fault with other traffic: what isolation from peers does, this must not do."""
    leader = healthy_cluster.leader()
    history, topic = History(), f"{copied_topic}_unseen"
    with SteadyTraffic(healthy_cluster.nameservers, topic=copied_topic, history=history, rate=100) as traffic:
        traffic.wait_acknowledged(100, timeout_s=30)
        with injected(healthy_cluster, CutNameServer(), history=history) as injection:
            # From 4.9 on the answer waits until every NameServer was told, or registerBrokerTimeoutMills are over.
            with suppress(RequestTimeoutError):
                healthy_cluster.broker(leader).create_topic(topic, queues=4)
            assert topic in healthy_cluster.broker(leader).topic_configs()
            while time.monotonic() - injection.started < ELECTION_S:
                traffic.wait_acknowledged(50, timeout_s=30)
                assert role_of(healthy_cluster, leader) == "SYNC_MASTER"
            assert packets_taken(healthy_cluster) > 0
            assert topic not in rmq_admin.topics()
        traffic.wait_acknowledged(100, timeout_s=30)
    try:
        wait_until(lambda: topic in rmq_admin.topics() or Pending("not yet"), label="it registers again", timeout_s=60)
    finally:
        rmq_admin.delete_topic(topic)
    assert_nothing_lost(healthy_cluster, copied_topic, history)


@pytest.mark.parametrize("one_way", [False, True], ids=["cut", "one-way"])
def test_a_broken_link_between_leader_and_follower_loses_nothing(
    healthy_cluster: Cluster, copied_topic: str, one_way: bool
) -> None:
    history = traffic_through(healthy_cluster, copied_topic, CutLink(one_way=one_way))
    assert_nothing_lost(healthy_cluster, copied_topic, history)


def test_lost_packets_lose_no_message(healthy_cluster: Cluster, copied_topic: str) -> None:
    history = traffic_through(healthy_cluster, copied_topic, Loss(target="follower", probability=0.2))
    assert_nothing_lost(healthy_cluster, copied_topic, history)


def test_rules_of_others_stay_as_they_are(healthy_cluster: Cluster) -> None:
    theirs = "-p tcp -m tcp --dport 1 -m comment --comment theirs -j DROP"
    in_the_pod(healthy_cluster, f"iptables -N THEIRS && iptables -A THEIRS {theirs} && iptables -A OUTPUT {theirs}")
    try:
        fault = CutNameServer(target="follower")
        targets = fault.targets(healthy_cluster)
        undo = fault.inject(healthy_cluster, targets)
        made = rules_of(healthy_cluster)
        undo()
        assert made
        assert all(f"rmqkit.run={healthy_cluster.run}" in rule for rule in made if "-A" in rule)
        assert rules_of(healthy_cluster) == []
        left = in_the_pod(healthy_cluster, "iptables-save")
        assert {f"-A OUTPUT {theirs}", f"-A THEIRS {theirs}"} <= set(left)
    finally:
        in_the_pod(healthy_cluster, f"iptables -D OUTPUT {theirs}; iptables -F THEIRS; iptables -X THEIRS")


KILLED = """
import os, signal, sys
from rmqkit.cluster import Cluster
from rmqkit.cluster.engine import Engine
from rmqkit.faults import CutNameServer
with Engine.connect() as engine, Cluster.attach_run(sys.argv[1], engine=engine) as cluster:
    fault = CutNameServer(target="n0", dead_man_s=float(sys.argv[2]))
    fault.inject(cluster, fault.targets(cluster))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_rules_go_by_themselves_when_the_kit_is_killed(healthy_cluster: Cluster) -> None:
    command = [sys.executable, "-c", KILLED, healthy_cluster.run, "10"]
    killed = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120, env=dict(os.environ))
    assert killed.returncode == -9, killed.stderr
    assert rules_of(healthy_cluster), "there were no rules to go: had it been killed before?"

    def gone() -> bool | Pending:
        left = rules_of(healthy_cluster)
        return Pending(f"{len(left)} rules are there") if left else True

    wait_until(gone, label="the dead man's timer removes the rules", timeout_s=40, every_s=0.5)


def test_rules_go_even_when_their_guard_is_killed(healthy_cluster: Cluster) -> None:
    assert healthy_cluster.engine is not None
    before = guards_of(healthy_cluster)
    fault = CutNameServer(target="follower")
    undo = fault.inject(healthy_cluster, fault.targets(healthy_cluster))
    (guard,) = guards_of(healthy_cluster) - before
    healthy_cluster.engine.kill(guard)
    assert rules_of(healthy_cluster)
    undo()
    assert rules_of(healthy_cluster) == []
    assert guards_of(healthy_cluster) == before


def test_a_fault_that_ended_by_itself_is_not_passed_over(healthy_cluster: Cluster) -> None:
    fault = CutNameServer(target="follower", dead_man_s=5)
    undo = fault.inject(healthy_cluster, fault.targets(healthy_cluster))
    wait_until(lambda: Pending("rules are there") if rules_of(healthy_cluster) else True, label="they go", timeout_s=30)
    with pytest.raises(FaultError, match="dead man's timer"):
        undo()


def test_what_this_kernel_cannot_do_is_said(healthy_cluster: Cluster) -> None:
    """Either the network emulator is there, or the reason names the module that is missing."""
    why = Latency().why_not(healthy_cluster)
    assert why == "" or "sch_netem" in why or "no tc" in why, why


def test_late_packets_make_sends_late_where_the_kernel_can_delay_them(
    healthy_cluster: Cluster, copied_topic: str, rmq_producer: RmqProducer
) -> None:
    """A push waits 300 ms before it leaves; without the emulator the fault is refused, in the words of its reason."""
    fault = Latency(ms=300)
    rmq_producer.send_acked(copied_topic, b"before")
    if why := fault.why_not(healthy_cluster):
        with (
            pytest.raises(FaultError, match=re.escape(why.split(":", maxsplit=1)[0])),
            injected(healthy_cluster, fault),
        ):
            pass
    else:
        with injected(healthy_cluster, fault) as injection:
            started = time.monotonic()
            rmq_producer.send_acked(copied_topic, b"late")
            assert time.monotonic() - started > 0.25
        assert injection.packets
    assert rules_of(healthy_cluster) == []
    assert not any("htb" in line for line in in_the_pod(healthy_cluster, "tc qdisc show dev lo"))


# ---- slow ones ------------------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("fault", [Halves(seed=3), Ring(seed=1), Isolate(target="follower", traffic="all")], ids=str)
def test_no_partition_loses_an_acknowledged_message(healthy_cluster: Cluster, copied_topic: str, fault: Fault) -> None:
    history = traffic_through(healthy_cluster, copied_topic, fault, during=200)
    assert_nothing_lost(healthy_cluster, copied_topic, history)


@pytest.mark.long
@pytest.mark.parametrize("direction", ["out", "in"])
def test_a_leader_that_is_cut_in_one_direction_loses_nothing(
    healthy_cluster: Cluster, copied_topic: str, direction: str
) -> None:
    history = traffic_through(healthy_cluster, copied_topic, Isolate(direction=direction), during=200)
    assert_nothing_lost(healthy_cluster, copied_topic, history)


@pytest.mark.long
def test_clients_that_cannot_reach_the_leader_get_no_answer_and_the_leader_leads_on(
    healthy_cluster: Cluster, copied_topic: str, rmq_producer: RmqProducer
) -> None:
    leader = healthy_cluster.leader()
    rmq_producer.send_acked(copied_topic, b"before")
    with injected(healthy_cluster, CutClients()):
        assert not isinstance(rmq_producer.send(copied_topic, b"nobody takes this"), Receipt)
        assert packets_taken(healthy_cluster) > 0
        follower = next(peer for peer in healthy_cluster.peers if peer != leader)
        assert healthy_cluster.raft(follower).metadata().leader_id == leader.id
    assert rules_of(healthy_cluster) == []
    assert healthy_cluster.leader() == leader
    rmq_producer.send_acked(copied_topic, b"after", retries=3)


@pytest.mark.long
def test_a_slow_network_is_slow(healthy_cluster: Cluster, copied_topic: str, rmq_producer: RmqProducer) -> None:
    """4 x 64 KiB to both followers through 512 kbit/s take four seconds each at least; without it, milliseconds."""
    body = secrets.token_bytes(65536)  # what compresses well would pass as a few hundred bytes
    rmq_producer.send_acked(copied_topic, body)
    with injected(healthy_cluster, SlowNetwork(target="leader", kbit=512)):
        started = time.monotonic()
        outcomes = [rmq_producer.send(copied_topic, body) for _ in range(4)]
        assert time.monotonic() - started > 3.0, outcomes
        shown = in_the_pod(healthy_cluster, "tc qdisc show dev lo")
        assert any("htb" in line for line in shown)
    assert not any("htb" in line for line in in_the_pod(healthy_cluster, "tc qdisc show dev lo"))
    rmq_producer.send_acked(copied_topic, body, retries=3)


@pytest.mark.long
def test_a_slow_disk_loses_nothing(healthy_cluster: Cluster, copied_topic: str) -> None:
    fault = SlowDisk(target="leader", kib_per_s=16)
    why = fault.why_not(healthy_cluster)
    assert why == "", why
    history = History()
    with SteadyTraffic(healthy_cluster.nameservers, topic=copied_topic, history=history, rate=100) as traffic:
        traffic.wait_acknowledged(100, timeout_s=30)
        with injected(healthy_cluster, fault, history=history) as injection:
            (slowed,) = injection.targets
            task = fault.task(slowed, store_of(healthy_cluster, slowed), healthy_cluster.container_of(slowed))
            assert tried(healthy_cluster, task, task.gone)[0] != 0, "there is no limit"
            traffic.wait_acknowledged(200, timeout_s=60)
        assert tried(healthy_cluster, task, task.gone) == (0, [])
        traffic.wait_acknowledged(100, timeout_s=60)
    assert_nothing_lost(healthy_cluster, copied_topic, history)


@pytest.fixture
def breakable_cluster(rmq_cluster: Cluster) -> Iterator[Cluster]:
    """A cluster of its own, of the same image, whose disks can be filled and whose clocks can be set."""
    assert rmq_cluster.spec is not None
    like = rmq_cluster.spec
    with reserve_block(pod_ports_needed()) as block:
        spec = ClusterSpec.pod(
            base_port=block.base, edition=like.edition, image=like.image_ref, store="limited:256m", own_clocks=True
        )
        with Cluster.start(spec) as cluster:
            yield cluster


@pytest.mark.long
def test_a_full_disk_and_a_skewed_clock(breakable_cluster: Cluster) -> None:
    """One cluster for both, since it has to be started for them."""
    topic = "full_and_skewed"
    RmqAdmin(breakable_cluster).create_topic(topic)
    RmqAdmin(breakable_cluster).wait_topic_everywhere(topic)
    history = History()
    with (
        RmqProducer(breakable_cluster.nameservers) as producer,
        SteadyTraffic(breakable_cluster.nameservers, topic=topic, history=history, rate=50) as traffic,
    ):
        traffic.wait_acknowledged(100, timeout_s=60)
        with injected(breakable_cluster, DiskFull(), history=history) as injection:

            def refused() -> bool | Pending:
                outcome = producer.send(topic, b"no room")
                return not isinstance(outcome, Receipt) or Pending("it was acknowledged")

            wait_until(refused, label=f"{injection.target} takes no more", timeout_s=60, every_s=0.5)
        traffic.wait_acknowledged(100, timeout_s=60)
        skewed = breakable_cluster.followers()[0]
        breakable_cluster.kill(skewed)  # a limited store outlives its broker
        breakable_cluster.start_peer(skewed)
        breakable_cluster.wait_caught_up()
        with injected(breakable_cluster, ClockSkew(target=skewed.id, by_s=3600), history=history):

            def ahead() -> bool | Pending:
                # Its time of day less that of its start (StoreStatsService.getFormatRuntime).
                up = breakable_cluster.broker(skewed).runtime_info().table["runtime"]
                return "0 days, 1 hours" in up or Pending(f"it is up for {up}")

            wait_until(ahead, label=f"{skewed} is an hour ahead", timeout_s=30, every_s=0.5)
            traffic.wait_acknowledged(200, timeout_s=60)
        traffic.wait_acknowledged(100, timeout_s=60)
    assert_nothing_lost(breakable_cluster, topic, history)
