"""rocketmq #5374: the late goodbye of a stopped leader removes its successor from the NameServer. 4.x; mended in 5.x.

A broker that stops unregisters last, after its store has ended (BrokerController.shutdown), as broker 0 where it was
the leader. The NameServer of 4.x removes whatever it has under that id, without a look at the address
(RouteInfoManager.unregisterBroker). Where the goodbye comes late, that is the successor: clients have no broker to send
to until its next periodic registration. Here the network delays it: what the old leader has to say to the NameServer is
held back until the successor is registered, and then delivered by TCP.

Seen on 4.9.8:
    n0 was stopped; n1 was elected, and broker 0 of the NameServer, before its goodbye came
    n1 serves, but NameServer 127.0.0.1:31000 has no broker 0 (first seen at 11.9 s, last at 17.4 s)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import pytest
from firewall import dropped, ports_towards, unsent_from
from known_bug import BugFinding, Seen, Watch, red_and_green

from rmqkit.cluster import Cluster
from rmqkit.cluster.peers import Peer
from rmqkit.waiting import Pending, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.long]


@pytest.fixture
def config() -> Mapping[str, str]:
    """Registrations as far apart as brokers go: an old leader's is not to be among what is held back."""
    return {"registerNameServerPeriod": "60000"}


def wait_registered_for_a_minute(cluster: Cluster, leader: Peer) -> None:
    """Wait until the leader's first periodic registration, ten seconds after its start, is over."""
    boot_ms = cluster.broker(leader).runtime_info().boot_ms

    def over() -> bool | Pending:
        up_s = time.time() - boot_ms / 1000
        return up_s > 12 or Pending(f"up for {up_s:.0f} s")

    wait_until(over, label=f"{leader}'s first periodic registration", timeout_s=30, every_s=0.2)


def stop_the_leader(cluster: Cluster) -> BugFinding:
    leader = cluster.leader()
    assert cluster.spec is not None
    wait_registered_for_a_minute(cluster, leader)
    uid = next(peer.uid for _, peer in cluster.spec.all_peers() if peer.id == leader.id)
    nameserver_port = cluster.spec.nameservers[0].port
    ports = ports_towards(cluster, uid=uid, port=nameserver_port)
    assert ports, f"{leader} has no connection to the NameServer"
    watch = Watch(cluster)

    def succeeded() -> Peer | Pending:
        group = watch.look()
        return Pending(group.summary) if group.leader in (None, leader) else group.leader

    def ended() -> bool | Pending:
        return not cluster.state(leader).running or Pending("it still runs")

    with dropped(cluster, [f"-p tcp --sport {port} --dport {nameserver_port}" for port in ports]):
        cluster.terminate(leader)
        wait_until(ended, label=f"{leader} has ended", timeout_s=30, every_s=0.1)
        successor = wait_until(succeeded, label="a successor is registered", timeout_s=60, every_s=0.05)
        assert unsent_from(cluster, ports), "nothing was held back: the goodbye was delivered early"
    watch = Watch(cluster)

    def delivered() -> bool | Pending:
        left = unsent_from(cluster, ports)
        return not left or Pending(f"{left} bytes are not delivered")

    wait_until(delivered, label="the old leader's goodbye is delivered", timeout_s=90, every_s=0.1)

    def look_on() -> bool | Pending:
        watch.look()
        return time.monotonic() - delivered_at > 5 or Pending("looking on")

    delivered_at = time.monotonic()
    wait_until(look_on, label="what the NameServer makes of it", timeout_s=10, every_s=0.1)
    group = watch.look()
    assert group.serving == (successor,), f"{successor} does not serve any more: {group.summary}"
    hole = watch.of("has no broker 0")
    return BugFinding(
        "rocketmq #5374",
        "the goodbye of a stopped leader unregisters its successor",
        Seen.REPRODUCED if hole else Seen.NOT_SEEN,
        (
            f"{leader} was stopped; {successor} was elected, and broker 0 of the NameServer, before its goodbye came",
            *(f"{successor} serves, but {words}" for words in hole),
            f"afterwards: {group.summary}",
        ),
    )


@red_and_green("4.9.8", "5.3.2")
def test_the_goodbye_of_a_stopped_leader_unregisters_its_successor(
    cluster: Cluster, check: Callable[[BugFinding], None]
) -> None:
    check(stop_the_leader(cluster))
