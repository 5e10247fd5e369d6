"""compose/docker-compose.dledger.yml, brought up by Compose itself: what its users may rely on.

The stock ports belong to the whole machine, so the tests that take them wait for each other (a lock), and fail
at once when something else has them. 40911-40913 lie in the range from which Linux takes ports for outgoing
connections: such a connection may hold one for a moment, which looks the same.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rmqkit.client.broker import BrokerClient
from rmqkit.client.nameserver import NameServerClient
from rmqkit.client.outcomes import Receipt
from rmqkit.client.producer import Producer
from rmqkit.cluster import Cluster
from rmqkit.cluster.engine import Engine
from rmqkit.errors import ReadOnlyClusterError, RmqkitError
from rmqkit.faults import kill_leader
from rmqkit.topology.committed import committed_compose
from rmqkit.topology.spec import ClusterSpec
from rmqkit.transport.pool import ChannelPool
from rmqkit.waiting import Pending, wait_until

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "compose" / "docker-compose.dledger.yml"
STOCK = ClusterSpec.stock()
UP_TIMEOUT_S = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """One Compose project: the file, a name of its own, and the variables that are set for it."""

    file: Path
    name: str
    variables: Mapping[str, str]

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """``docker compose`` on this project; nothing of the caller's own RMQ_ variables gets in."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("RMQ_")}
        command = ["docker", "compose", "-f", str(self.file), "-p", self.name, *arguments]
        done = subprocess.run(
            command,
            env={**environment, **self.variables},
            capture_output=True,
            text=True,
            timeout=UP_TIMEOUT_S + 60,
            check=False,
        )
        if check and done.returncode:
            pytest.fail(
                f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
            )
        return done

    def up(self) -> None:
        """Start everything and wait until Docker calls each container healthy."""
        done = self.run("up", "-d", "--wait", "--wait-timeout", str(UP_TIMEOUT_S), check=False)
        if done.returncode:
            logs = self.run("logs", "--no-color", "--tail", "15", check=False).stdout
            pytest.fail(f"docker compose up did not become healthy:\n{done.stderr[-3000:]}\n{logs[-6000:]}")

    def states(self) -> dict[str, str]:
        """Service -> health, of the containers that exist."""
        lines = self.run("ps", "-a", "--format", "json").stdout.splitlines()
        rows = [json.loads(line) for line in lines]
        return {row["Service"]: row["Health"] for row in rows}

    def config(self) -> dict[str, Any]:
        """The file as Compose understands it."""
        read: dict[str, Any] = json.loads(self.run("config", "--format", "json").stdout)
        return read


@contextmanager
def project(file: Path = FILE, **variables: str) -> Iterator[Project]:
    """A project that is gone afterwards, with its volumes, whatever happened."""
    made = Project(file=file, name=f"rmqkit-filetest-{uuid.uuid4().hex[:8]}", variables=variables)
    try:
        yield made
    finally:
        made.run("down", "-v", "--timeout", "10", "--remove-orphans")


@contextmanager
def ports_for_myself(ports: tuple[int, ...]) -> Iterator[None]:
    """Hold the lock for fixed ports, and make sure that they are free."""
    with ExitStack() as held:
        lock = held.enter_context(socket.socket(socket.AF_UNIX))
        # A name in the kernel, not a file: nothing is left of it, whatever happens to this process.
        wait_until(lambda: _locked(lock), label="no other run of this test has the stock ports", timeout_s=300)
        held.enter_context(reserved(ports))
        taken = [port for port in ports if not _is_free(port)]
        if taken:
            pytest.fail(
                f"the ports {', '.join(map(str, taken))} are taken: this test needs those of the Compose file, "
                "with nothing else on them. `ss -tanp` shows who has them (for 40911-40913 it may be an outgoing "
                "connection: run the test again)"
            )
        yield


def _locked(lock: socket.socket) -> bool | Pending:
    try:
        lock.bind("\0rmqkit-fixed-ports")
    except OSError as error:
        return Pending(str(error))
    return True


@contextmanager
def reserved(ports: tuple[int, ...]) -> Iterator[None]:
    """Keep the kernel from giving ``ports`` to outgoing connections, as docs/compose.md advises operators; needs root.

    Without root the test runs all the same, and says so if it meets such a connection.
    """
    setting = Path("/proc/sys/net/ipv4/ip_local_reserved_ports")
    try:
        before = setting.read_text(encoding="ascii").strip()
        setting.write_text(",".join([*filter(None, [before]), *map(str, ports)]) + "\n", encoding="ascii")
    except OSError:
        yield
        return
    try:
        yield
    finally:
        setting.write_text(f"{before}\n", encoding="ascii")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True


def registered(pool: ChannelPool, namesrv: str) -> Mapping[int, str]:
    """Broker ids and addresses of the group, as soon as all three are there and one of them is broker 0."""
    server = NameServerClient(pool, namesrv)

    def probe() -> Mapping[int, str] | Pending:
        group = server.cluster_info().brokers.get("RaftNode00")
        addresses = dict(group.addresses) if group else {}
        return addresses if len(addresses) == 3 and 0 in addresses else Pending(f"{addresses}")

    return wait_until(
        probe,
        label="three brokers registered, one of them as broker 0",
        timeout_s=90,
        every_s=0.2,
        tolerate=(RmqkitError,),
    )


def acknowledged(pool: ChannelPool, namesrv: str, body: bytes) -> Receipt:
    """The receipt of a message in queue 0 of TopicTest, which is made on the leader if it is not there yet."""
    producer = Producer(pool, [namesrv])

    def probe() -> Receipt | Pending:
        outcome = producer.send("TopicTest", body, queue_id=0)
        if isinstance(outcome, Receipt):
            return outcome
        # Also needed after a restart: followers copy topics late, so the new leader may not have it.
        BrokerClient(pool, registered(pool, namesrv)[0]).create_topic("TopicTest")
        return Pending(repr(outcome))

    return wait_until(probe, label="an acknowledged send", timeout_s=60, every_s=0.2, tolerate=(RmqkitError,))


def test_compose_reads_the_file_as_the_specification_says(tmp_path: Path) -> None:
    """No variable set: the file with variables means what the specification means when it is written out."""
    (tmp_path / "compose").mkdir()
    written_out = tmp_path / "compose" / FILE.name
    written_out.write_text(committed_compose(parametrized=False).text, encoding="utf-8")
    parametrized = written_out.with_name("with-variables.yml")
    shutil.copy(FILE, parametrized)
    read = [Project(file=file, name="t", variables={}).config() for file in (parametrized, written_out)]
    assert read[0] == read[1]


@pytest.mark.parametrize("here", [0, 1, 2])
def test_compose_reads_the_variables_of_three_hosts_from_an_env_file(tmp_path: Path, here: int) -> None:
    """The same committed file on each host; its `.env` alone says who is where."""
    (tmp_path / "compose").mkdir()
    shutil.copy(FILE, tmp_path / "compose" / FILE.name)
    example = re.findall(r"^#     (RMQ_\w+=.*)$", FILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert "RMQ_N0=0" in example
    addresses = [line for line in example if not re.match(r"RMQ_(N|NAMESRV)\d=", line)]
    switches = [f"RMQ_{kind}{number}={int(number == here)}" for kind in ("N", "NAMESRV") for number in range(3)]
    if here == 1:
        assert sorted(example) == sorted(addresses + switches), "the head's example is the host of n1"
    more = ["RMQ_BROKER_HEAP=8g", "RMQ_BROKER_MEMORY=28g", "RMQ_SEND_THREADS=16", f"RMQ_N{here}_STORE=/srv/rmq/n{here}"]
    (tmp_path / "compose" / ".env").write_text("\n".join(addresses + switches + more) + "\n", encoding="utf-8")

    services = Project(file=tmp_path / "compose" / FILE.name, name="t", variables={}).config()["services"]

    running = {name for name, service in services.items() if service["deploy"]["replicas"] == 1}
    assert running == {f"n{here}", f"namesrv{here}"}
    assert set(services) == {f"{kind}{number}" for kind in ("n", "namesrv") for number in range(3)}
    broker, nameserver = services[f"n{here}"], services[f"namesrv{here}"]
    environment = broker["environment"]
    assert environment["RMQ_CONF_brokerIP1"] == f"10.0.0.{here + 1}"
    assert environment["RMQ_CONF_dLegerPeers"] == "n0-10.0.0.1:40911;n1-10.0.0.2:40912;n2-10.0.0.3:40913"
    assert environment["RMQ_CONF_namesrvAddr"] == "10.0.0.1:9876;10.0.0.2:9876;10.0.0.3:9876"
    assert (environment["RMQ_HEAP"], environment["RMQ_CONF_sendMessageThreadPoolNums"]) == ("8g", "16")
    assert int(broker["mem_limit"]) == 28 * 1024**3
    assert broker["volumes"][0]["source"] == f"/srv/rmq/n{here}"
    assert nameserver["environment"]["RMQ_CONF_listenPort"] == "9876"
    for service in (broker, nameserver):
        assert (service["restart"], service["network_mode"]) == ("unless-stopped", "host")
        assert service["stop_grace_period"] == "30s"
        assert service["ulimits"]["nofile"] == {"soft": 16384, "hard": 16384}
        assert service["logging"]["options"] == {"max-size": "50m", "max-file": "5"}


def test_a_store_can_be_a_folder_of_the_host() -> None:
    read = Project(file=FILE, name="t", variables={"RMQ_N0_STORE": "/srv/rmq/n0"}).config()
    assert read["services"]["n0"]["volumes"][0] == {
        "type": "bind",
        "source": "/srv/rmq/n0",
        "target": "/var/lib/rocketmq",
        "bind": {"create_host_path": True},
    }
    assert "n0-data" not in read["volumes"]


def test_up_brings_a_cluster_on_the_stock_ports_that_keeps_its_messages_over_down() -> None:
    with ports_for_myself(STOCK.ports()), project() as running, ChannelPool() as pool:
        running.up()
        assert running.states() == dict.fromkeys(("namesrv0", "n0", "n1", "n2"), "healthy")
        addresses = registered(pool, "127.0.0.1:9876")
        assert set(addresses.values()) == {"127.0.0.1:30911", "127.0.0.1:30921", "127.0.0.1:30931"}
        first = acknowledged(pool, "127.0.0.1:9876", b"x")
        assert first.address in addresses.values()

        running.run("down", "--timeout", "20")
        assert running.states() == {}
        running.up()
        registered(pool, "127.0.0.1:9876")
        second = acknowledged(pool, "127.0.0.1:9876", b"y")
        assert second.queue_offset > first.queue_offset
        its_leader_is_killed_and_comes_back(running)


def its_leader_is_killed_and_comes_back(running: Project) -> None:
    """The kit did not start this cluster: it may look at it, and act on it where it is told which project it is.

    Docker takes a kill through its API for a stop, so the file's restart policy leaves the victim to the kit.
    """
    with Cluster.attach("127.0.0.1:9876") as cluster:
        cluster.wait_ready()
        with pytest.raises(ReadOnlyClusterError):
            cluster.kill(cluster.leader())
    with (
        Engine.connect() as engine,
        Cluster.attach("127.0.0.1:9876", engine=engine, project=running.name) as cluster,
    ):
        before = cluster.leader()
        with kill_leader(cluster) as failover:
            assert failover.victim == before != failover.successor
            assert not cluster.state(before).running
        assert cluster.state(before).running
        assert cluster.status(timeout_s=10).groups[0].raft_leader == failover.successor


def test_up_builds_a_missing_image_before_it_makes_a_container(tmp_path: Path) -> None:
    """With nothing prepared: one build, then four services of that image, although three of them cannot build it.

    The build itself is a stand-in that takes a second; its base is the image that the kit has already built.
    """
    image = f"rmqkit/filetest:{uuid.uuid4().hex[:8]}"
    (tmp_path / "compose").mkdir()
    shutil.copy(FILE, tmp_path / "compose" / FILE.name)
    (tmp_path / "images" / "rocketmq").mkdir(parents=True)
    (tmp_path / "images" / "rocketmq" / "Dockerfile").write_text(
        f"FROM {STOCK.image_ref}\nARG EDITION\nLABEL filetest=${{EDITION}}\n", encoding="utf-8"
    )
    file = tmp_path / "compose" / FILE.name
    with project(file, RMQ_IMAGE=image, RMQ_EDITION="stand-in") as prepared:
        try:
            prepared.run("up", "--no-start")  # builds and creates like any `up`, and takes no port
            assert set(prepared.states()) == {"namesrv0", "n0", "n1", "n2"}
            built = subprocess.run(["docker", "inspect", image], capture_output=True, text=True, check=True)
            assert json.loads(built.stdout)[0]["Config"]["Labels"]["filetest"] == "stand-in"
        finally:
            prepared.run("down", "-v")
            subprocess.run(["docker", "rmi", "-f", image], capture_output=True, check=False)
