"""Probes of this machine and its loopback network, for real; and of files of another kernel's /proc."""

from __future__ import annotations

import errno
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rmqkit.deploy.probes import (
    LocalMachine,
    ReachedNetwork,
    clock_synchronised,
    file_limit,
    members_of_this_machine,
)
from rmqkit.errors import MachineError
from rmqkit.topology.doctor.findings import diagnose
from rmqkit.topology.doctor.model import CONF_VIEW, Case, Member, Setting

PEERS = "n0-127.0.0.1:{raft};n1-10.255.0.2:40912;n2-10.255.0.3:40913"


def member(store: str = "/srv/none", **settings: str) -> Member:
    base = {"dLegerGroup": "g", "dLegerSelfId": "n0", "brokerIP1": "127.0.0.1", "storePathRootDir": store}
    values = {key: Setting(value, f"broker.conf:{n}") for n, (key, value) in enumerate((base | settings).items(), 1)}
    return Member("broker.conf", "broker.conf", CONF_VIEW, values)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def names(case: Case) -> set[str]:
    return {finding.about.name for finding in diagnose(case)}


def test_the_addresses_of_this_machine_are_those_that_one_can_bind() -> None:
    addresses = LocalMachine().addresses()
    assert "127.0.0.1" in addresses
    for address in addresses:
        with socket.socket() as probe:
            probe.bind((address, 0))
    with socket.socket() as probe, pytest.raises(OSError) as caught:
        probe.bind(("192.0.2.200", 0))
    assert caught.value.errno == errno.EADDRNOTAVAIL
    assert "192.0.2.200" not in addresses


def test_a_port_that_listens_is_seen_until_it_is_closed(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    assert port in LocalMachine().listening()
    listener.close()
    assert port not in LocalMachine().listening()


def test_memory_limits_and_port_ranges_are_the_kernels() -> None:
    machine = LocalMachine()
    total = int(Path("/proc/meminfo").read_text(encoding="ascii").split()[1]) // 1024
    assert machine.memory_mb() == total > 0
    low, high = machine.ephemeral()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        assert low <= probe.getsockname()[1] <= high
    assert all(0 < port < 65536 for port in machine.reserved())


def test_the_limit_of_open_files_is_this_processes() -> None:
    code = (
        "import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (64, 512)); from rmqkit.deploy.probes import file_limit; "
    )
    done = subprocess.run(
        [sys.executable, "-c", code + "print(file_limit())"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "512", done.stderr
    assert file_limit() in (resource.getrlimit(resource.RLIMIT_NOFILE)[1], 2**31 - 1)


def test_a_store_in_memory_is_known_as_such_and_a_missing_one_by_the_disk_it_will_be_on(tmp_path: Path) -> None:
    machine = LocalMachine()
    shm = machine.store("/dev/shm/rmqkit-not-there/store")
    assert shm is not None
    assert shm.fstype == "tmpfs"
    here = machine.store(str(tmp_path / "not" / "there"))
    assert here is not None
    assert here.fstype not in ("tmpfs", "unknown")
    assert 0 < here.free <= here.total


def test_a_named_volume_is_looked_at_where_the_engine_keeps_it(tmp_path: Path) -> None:
    (tmp_path / "daemon.json").write_text('{"data-root": "/dev/shm"}', encoding="utf-8")
    named = Member("n0", ".env", "docker", {}, {"@store": Setting("n0-data", ".env:1")})
    there = LocalMachine(engine_settings=tmp_path / "daemon.json").facts([named]).stores["n0-data"]
    assert there.fstype == "tmpfs"
    (tmp_path / "daemon.json").write_text("[]", encoding="utf-8")
    assert LocalMachine(engine_settings=tmp_path / "daemon.json").facts([named]).stores["n0-data"].fstype != "tmpfs"


def test_the_kernel_says_whether_its_clock_is_synchronised() -> None:
    assert clock_synchronised() in (True, False)


def test_facts_of_this_machine_lead_to_findings(listener: socket.socket, tmp_path: Path) -> None:
    """A broker with a store in /dev/shm, an address of another machine, and its Raft port taken."""
    raft = listener.getsockname()[1]
    bad = member("/dev/shm/rocketmq", brokerIP1="192.0.2.200", dLegerPeers=PEERS.format(raft=raft), listenPort="30911")
    good = member(str(tmp_path), dLegerPeers=PEERS.format(raft=1))
    wrong = {"store-on-tmpfs", "broker-ip-not-here", "port-in-use"}
    assert names(Case((bad,), machine=LocalMachine().facts([bad]))) >= wrong
    assert not names(Case((good,), machine=LocalMachine().facts([good]))) & wrong


def test_what_answers_is_reached_and_what_does_not_is_named_with_the_reason(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        refused = f"127.0.0.1:{closed.getsockname()[1]}"
        peers = f"n0-127.0.0.1:{port};n1-{refused}"
        settings = {"dLegerPeers": peers, "namesrvAddr": f"127.0.0.1:{port};nonsense"}
        asked = member(**settings, listenPort=refused.rpartition(":")[2])
        facts = ReachedNetwork(timeout_s=2).facts([asked])
    assert set(facts.failures) == {refused}
    assert "refused" in facts.failures[refused]
    found = names(Case((asked,), network=facts))
    assert "peer-unreachable" in found
    assert "namesrv-unreachable" not in found


def test_which_brokers_are_meant_for_this_machine() -> None:
    here = member(dLegerPeers="n0-127.0.0.1:1;n1-10.255.0.2:2")
    there = member(dLegerPeers="n0-127.0.0.1:1;n1-10.255.0.2:2", dLegerSelfId="n1")
    both = [here, there]
    assert members_of_this_machine(both, host=None, addresses={"127.0.0.1"}) == [here]
    assert members_of_this_machine(both, host="10.255.0.2", addresses={"127.0.0.1"}) == [there]
    assert members_of_this_machine([there], host=None, addresses={"127.0.0.1"}) == [there]
    assert members_of_this_machine(both, host="x", addresses={"127.0.0.1"}) == []


def test_another_kernels_files_are_read_and_a_machine_without_them_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "sys" / "net" / "ipv4").mkdir(parents=True)
    (tmp_path / "self").mkdir()
    (tmp_path / "net" / "fib_trie").write_text(
        "  +-- 0.0.0.0/0\n     |-- 10.0.0.0\n        /24 link UNICAST\n     |-- 10.0.0.7\n        /32 host LOCAL\n"
    )
    (tmp_path / "net" / "tcp").write_text(
        "  sl  local rem st\n   0: 0100007F:1F90 00000000:0000 0A 0\n   1: 0100007F:1F91 0100007F:0001 01 0\n"
    )
    (tmp_path / "sys/net/ipv4/ip_local_port_range").write_text("32768\t60999\n")
    (tmp_path / "sys/net/ipv4/ip_local_reserved_ports").write_text("40911-40913,50000\n")
    (tmp_path / "42").mkdir()
    (tmp_path / "42" / "limits").write_text(
        "Max open files            1024                 524288               files\n"
    )
    (tmp_path / "docker.pid").write_text("42\n")
    machine = LocalMachine(tmp_path, tmp_path / "docker.pid")
    assert machine.addresses() == {"10.0.0.7"}
    assert machine.listening() == {8080}
    assert machine.ephemeral() == (32768, 60999)
    assert machine.reserved() == {40911, 40912, 40913, 50000}
    assert machine.engine_file_limit() == 524288
    assert LocalMachine(tmp_path, tmp_path / "none").engine_file_limit() is None
    with pytest.raises(MachineError, match="no /proc"):
        machine.facts([])
