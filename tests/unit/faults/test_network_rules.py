"""Which packets a network fault takes, as the text that iptables and tc would read. No rule is set here."""

from __future__ import annotations

import subprocess

import pytest

from rmqkit.errors import NotFoundError, UsageError
from rmqkit.faults import netrules
from rmqkit.faults.netrules import Flow, Rules, Traffic
from rmqkit.faults.network import listed, traffic_of
from rmqkit.faults.shaping import Shape
from rmqkit.topology.spec import ClusterSpec, PeerSpec

SPEC = ClusterSpec.pod(base_port=20000, nameservers=2)
GROUP = SPEC.groups[0]
N0, N1, N2 = GROUP.peers
FIVE = ClusterSpec.pod(base_port=20000, peers=5).groups[0].peers


def rules(*flows: Flow, **changes: object) -> Rules:
    return Rules("c0ffee", "rmqkit-1-aa", flows, **changes)  # type: ignore[arg-type]


def pairs(flows: tuple[Flow, ...], peers: tuple[PeerSpec, ...] = GROUP.peers) -> set[tuple[str, str]]:
    """Who cannot push to whom: every flow of Raft traffic as (initiator, target)."""
    by_uid = {peer.uid: peer.id for peer in peers}
    by_port = {peer.raft_port: peer.id for peer in peers}
    return {(by_uid[flow.uid], by_port[flow.port]) for flow in flows if flow.uid and flow.port in by_port}


def test_one_direction_of_a_raft_link_is_the_initiators_user_and_the_targets_port() -> None:
    (flow,) = netrules.between(N0, N1, {Traffic.RAFT})
    assert (flow.uid, flow.port) == (N0.uid, N1.raft_port)
    assert flow.match == f"-p tcp -m owner --uid-owner {N0.uid} -m tcp --dport {N1.raft_port}"


def test_a_link_is_cut_in_both_directions_and_for_copying_too() -> None:
    flows = netrules.link(N0, N1)
    assert pairs(flows) == {("n0", "n1"), ("n1", "n0")}
    copied = {(flow.uid, flow.port) for flow in flows} - {(N0.uid, N1.raft_port), (N1.uid, N0.raft_port)}
    assert copied == {
        (N0.uid, N1.listen_port),
        (N0.uid, N1.vip_port),
        (N1.uid, N0.listen_port),
        (N1.uid, N0.vip_port),
    }


def test_isolated_peers_still_reach_one_another() -> None:
    flows = netrules.isolated(SPEC, GROUP, [N0, N1])
    assert pairs(flows) == {("n0", "n2"), ("n2", "n0"), ("n1", "n2"), ("n2", "n1")}


def test_isolation_from_the_group_alone_leaves_clients_and_nameservers() -> None:
    ports = {flow.port for flow in netrules.isolated(SPEC, GROUP, [N0], netrules.PEERS)}
    assert ports.isdisjoint(server.port for server in SPEC.nameservers)
    assert not any(flow.outside for flow in netrules.isolated(SPEC, GROUP, [N0], netrules.PEERS))


@pytest.mark.parametrize("peers", [GROUP.peers, FIVE])
def test_in_a_ring_each_peer_pushes_to_a_bare_majority_and_no_two_to_the_same(peers: tuple[PeerSpec, ...]) -> None:
    cut = pairs(netrules.ring(peers), peers)
    reached = {one.id: frozenset(other.id for other in peers if (one.id, other.id) not in cut) for one in peers}
    assert {len(each) for each in reached.values()} == {len(peers) // 2 + 1}
    assert len(set(reached.values())) == len(peers)


def test_packets_are_counted_of_this_faults_chains_alone() -> None:
    one = rules(*netrules.link(N0, N1))
    saved = (
        "[900:9] -A OUTPUT -j RMQKIT-c0ffee-O\n[3:180] -A RMQKIT-c0ffee-O -p tcp -j DROP\n"
        "[40:99] -A RMQKIT-c0ffee-O -p udp -j DROP\n[500:1] -A RMQKIT-beef-O -j DROP\n:RMQKIT-c0ffee-O - [0:0]\n"
    )

    def counted(iptables_save: str) -> str:
        script = f"iptables-save() {{ {iptables_save}; }}\n{one.taken()}"
        done = subprocess.run(["bash", "-c", script], check=False, capture_output=True, text=True)
        return done.stdout

    assert counted(f"printf '%s' '{saved}'") == "43\n"
    assert counted("echo none") == "0\n"
    assert counted("false") == "", "what could not be read is not nothing"


def test_two_make_no_ring() -> None:
    with pytest.raises(UsageError, match="ring of 2"):
        netrules.ring(GROUP.peers[:2])


def test_nameserver_traffic_is_the_peers_alone_to_one_or_to_all() -> None:
    first, second = SPEC.nameservers
    assert netrules.to_nameservers(SPEC, N0, [second.name]) == (Flow(second.port, N0.uid),)
    assert {flow.port for flow in netrules.to_nameservers(SPEC, N0)} == {first.port, second.port}
    with pytest.raises(NotFoundError, match="no NameServer 'namesrv9'"):
        netrules.to_nameservers(SPEC, N0, ["namesrv9"])


def test_clients_are_who_comes_from_outside_and_who_is_no_broker() -> None:
    flows = netrules.from_clients(SPEC, N0)
    assert {flow.port for flow in flows} == {N0.listen_port, N0.vip_port}
    matches = [flow.match for flow in flows]
    assert f"! -i lo -p tcp -m tcp --dport {N0.listen_port}" in matches
    others = " ".join(f"-m owner ! --uid-owner {peer.uid}" for peer in GROUP.peers)
    assert f"-p tcp {others} -m tcp --dport {N0.listen_port}" in matches


def test_the_rules_lie_in_the_faults_own_chains_and_say_whose_they_are() -> None:
    made = rules(Flow(1234, 7), Flow(4321, outside=True)).made()
    assert made == (
        "*filter\n"
        ":RMQKIT-c0ffee-O - [0:0]\n"
        ":RMQKIT-c0ffee-I - [0:0]\n"
        "-A RMQKIT-c0ffee-O -p tcp -m owner --uid-owner 7 -m tcp --dport 1234 "
        '-m comment --comment "rmqkit.run=rmqkit-1-aa" -j DROP\n'
        "-A RMQKIT-c0ffee-O -p tcp -m owner ! --socket-exists -m tcp --dport 1234 "
        '-m comment --comment "rmqkit.run=rmqkit-1-aa" -j DROP\n'
        "-A RMQKIT-c0ffee-I ! -i lo -p tcp -m tcp --dport 4321 "
        '-m comment --comment "rmqkit.run=rmqkit-1-aa" -j DROP\n'
        '-I OUTPUT 1 -m comment --comment "rmqkit.run=rmqkit-1-aa" -j RMQKIT-c0ffee-O\n'
        '-I INPUT 1 -m comment --comment "rmqkit.run=rmqkit-1-aa" -j RMQKIT-c0ffee-I\n'
        "COMMIT\n"
    )


def test_removing_names_only_the_faults_own_chains() -> None:
    removed = rules(Flow(1234, 7)).removed()
    assert removed == (
        "*filter\n"
        '-D OUTPUT -m comment --comment "rmqkit.run=rmqkit-1-aa" -j RMQKIT-c0ffee-O\n'
        "-F RMQKIT-c0ffee-O\n"
        "-X RMQKIT-c0ffee-O\n"
        "COMMIT\n"
    )
    for line in removed.splitlines():
        assert line in ("*filter", "COMMIT") or "RMQKIT-c0ffee" in line, f"touches what is not its own: {line}"


def test_a_flow_that_is_named_twice_is_one_rule() -> None:
    made = rules(Flow(1, 7), Flow(1, 7), Flow(1, 8)).made()
    assert made.count("--uid-owner 7 -m tcp --dport 1 ") == 1
    assert made.count("! --socket-exists -m tcp --dport 1 ") == 1, (
        "what a closed socket still sends goes nowhere either"
    )


def test_loss_takes_each_packet_with_a_chance() -> None:
    made = rules(Flow(1, 7), probability=0.25).made()
    assert "-m statistic --mode random --probability 0.250000 -m comment" in made
    assert "statistic" not in rules(Flow(1, 7)).made()


@pytest.mark.parametrize(
    ("changes", "seen"),
    [({"probability": 0.0}, "probability"), ({"probability": 1.5}, "probability"), ({"flows": ()}, "no packet")],
)
def test_rules_that_take_nothing_are_refused(changes: dict[str, object], seen: str) -> None:
    with pytest.raises(UsageError, match=seen):
        Rules(**{"token": "c0ffee", "run": "r", "flows": (Flow(1, 7),)} | changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(("token", "run"), [("x; reboot", "r"), ("c0ffee", 'r" -j ACCEPT'), ("", "r"), ("c0ffee", "")])
def test_names_that_would_change_the_rule_are_refused(token: str, run: str) -> None:
    with pytest.raises(UsageError, match="firewall rule"):
        Rules(token, run, (Flow(1, 7),))


@pytest.mark.parametrize(
    ("saved", "code"),
    [
        ("echo '*filter'", 0),
        ("echo '-A OUTPUT -j RMQKIT-c0ffee-O'", 1),
        ("echo ':RMQKIT-c0ffee-I - [0:0]'", 1),
        ("echo ':RMQKIT-other-O - [0:0]'", 0),
        ("false", 1),
    ],
)
def test_gone_means_that_the_list_was_read_and_has_nothing_of_the_fault(saved: str, code: int) -> None:
    script = f"iptables-save() {{ {saved}; }}\n{rules(Flow(1, 7)).gone()}\n"
    # bash: a function of that name is none in POSIX sh.
    assert subprocess.run(["bash", "-c", script], check=False, capture_output=True).returncode == code


def test_slowed_flows_get_a_class_of_their_own() -> None:
    shape = Shape("0001e240", "r", (Flow(1234, 7),), device="lo", rate_kbit=256)
    assert shape.major == "e243"
    first, _, rest = shape.do().partition("\n")
    assert "shaped already" in first
    assert rest.startswith(
        "tc qdisc add dev lo root handle e243: htb default 0\n"
        "tc class add dev lo parent e243: classid e243:10 htb rate 256kbit\n"
        "iptables-restore"
    )
    assert "*mangle\n" in shape.do()
    assert "--dport 1234 " in shape.do()
    assert "-j CLASSIFY --set-class e243:10\n" in shape.do()
    assert shape.undo().endswith("tc qdisc del dev lo root handle e243:\n")


def test_latency_is_an_emulator_in_the_class() -> None:
    shape = Shape("0001e240", "r", (Flow(1234, 7),), device="lo", rate_kbit=1, netem="delay 100ms 20ms")
    assert "tc qdisc add dev lo parent e243:10 netem delay 100ms 20ms\n" in shape.do()


@pytest.mark.parametrize("token", ["0", "fffd", "fffe", "ffff", "ffffffff"])
def test_no_token_gives_a_handle_that_the_kernel_keeps_for_itself(token: str) -> None:
    major = int(Shape(token, "r", (Flow(1, 7),), device="lo", rate_kbit=1).major, 16)
    assert 0 < major < 0xFFFF


def test_what_comes_in_is_not_shaped() -> None:
    with pytest.raises(UsageError, match="cannot be shaped"):
        Shape("1", "r", (Flow(1, outside=True),), device="lo", rate_kbit=1)


def test_traffic_is_named_in_words() -> None:
    assert traffic_of("raft") == {Traffic.RAFT}
    assert traffic_of("peers") == traffic_of("raft, copy") == netrules.PEERS
    assert traffic_of("all") == frozenset(Traffic)
    assert listed(traffic_of("copy,raft")) == "raft+copy"
    for bad in ("", "raft,udp", "everything"):
        with pytest.raises(UsageError, match="kind of traffic"):
            traffic_of(bad)
