"""Record frames of a real cluster, both directions, exactly as they were on the wire.

    python tests/vectors/capture.py IMAGE DIRECTORY      e.g. rmqkit/rocketmq:4.5.1 tests/vectors/4.5.1

Starts a NameServer, a second one that answers with binary headers, and a three-peer DLedger group in containers
of its own (``wirelab-…``), asks what the kit's clients ask, writes ``NAME.request.bin`` and ``NAME.answer.bin``
for each exchange, and removes the containers.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rmqkit.client.broker import BrokerClient
from rmqkit.client.nameserver import NameServerClient
from rmqkit.client.pull import pull_once
from rmqkit.client.raft import RaftClient
from rmqkit.client.send import OutgoingMessage, send_once
from rmqkit.errors import NotFoundError, RemoteError, TransportError
from rmqkit.waiting import Pending, wait_until
from rmqkit.wire.codes import RequestCode
from rmqkit.wire.frames import Command, decode, encode
from rmqkit.wire.messages import encode_properties

NAMESERVER, BINARY_NAMESERVER = "127.0.0.1:21076", "127.0.0.1:21077"
BROKERS = {f"n{number}": f"127.0.0.1:210{number + 1}1" for number in range(3)}
PEERS = {f"n{number}": f"127.0.0.1:2104{number + 1}" for number in range(3)}
GROUP, TOPIC = "RaftNode00", "VectorTopic"


class Recorder:
    """A pool that uses a fresh connection for every request and keeps the first exchange of each name."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._name = ""
        self._binary = False

    @contextmanager
    def named(self, name: str, *, binary: bool = False) -> Iterator[None]:
        """Keep the first exchange inside the block as ``name``."""
        self._name, self._binary = name, binary
        try:
            yield
        finally:
            self._name, self._binary = "", False

    def request(self, address: str, command: Command, *, timeout_s: float) -> Command:
        """One exchange over a raw socket."""
        host, _, port = address.rpartition(":")
        frame = encode(command, opaque=7, binary_header=self._binary)
        try:
            with socket.create_connection((host, int(port)), timeout=timeout_s) as stream:
                stream.sendall(frame)
                answer = _read(stream, 4)
                answer += _read(stream, int.from_bytes(answer, "big"))
        except OSError as error:
            raise TransportError(f"{address}: {error}", address=address, request_sent=True) from error
        if self._name and not (self._directory / f"{self._name}.answer.bin").exists():
            (self._directory / f"{self._name}.request.bin").write_bytes(frame)
            (self._directory / f"{self._name}.answer.bin").write_bytes(answer)
        self._name = ""
        return decode(answer)


def _read(stream: socket.socket, size: int) -> bytes:
    out = b""
    while len(out) < size:
        piece = stream.recv(size - len(out))
        if not piece:
            raise ConnectionResetError("closed")
        out += piece
    return out


@contextmanager
def cluster(image: str) -> Iterator[Callable[[], None]]:
    """NameServers at once; the brokers when the yielded function is called."""
    ports = [address.rpartition(":")[2] for address in (NAMESERVER, BINARY_NAMESERVER, *BROKERS.values())]
    ports += [address.rpartition(":")[2] for address in PEERS.values()]
    publish = [word for port in ports for word in ("-p", f"127.0.0.1:{port}:{port}")]

    def start(name: str, *words: str, **environment: str) -> None:
        settings = [word for key, value in environment.items() for word in ("-e", f"{key}={value}")]
        joined = [] if name == "net" else ["--network", "container:wirelab-net"]
        docker("run", "-d", "--name", f"wirelab-{name}", *joined, *settings, *words)

    def brokers() -> None:
        for peer, address in BROKERS.items():
            settings = {
                "brokerClusterName": "RaftCluster",
                "brokerName": GROUP,
                "brokerIP1": "127.0.0.1",
                "listenPort": address.rpartition(":")[2],
                "namesrvAddr": NAMESERVER,
                "enableDLegerCommitLog": "true",
                "dLegerGroup": GROUP,
                "dLegerPeers": ";".join(f"{name}-{where}" for name, where in PEERS.items()),
                "dLegerSelfId": peer,
                "registerNameServerPeriod": "10000",
                "mapedFileSizeCommitLog": "16777216",
                "mappedFileSizeCommitLog": "16777216",
            }
            environment = {f"RMQ_CONF_{key}": value for key, value in settings.items()}
            start(peer, image, "broker", RMQ_HEAP="256m", **environment)

    try:
        start("net", *publish, image, "idle")
        start("ns", image, "namesrv", RMQ_CONF_listenPort="21076", RMQ_HEAP="128m")
        start(
            "nsb",
            image,
            "namesrv",
            RMQ_CONF_listenPort="21077",
            RMQ_HEAP="128m",
            RMQ_JAVA_OPTS="-Drocketmq.serialize.type=ROCKETMQ",
        )
        yield brokers
    finally:
        for name in (*BROKERS, "nsb", "ns", "net"):
            subprocess.run(["docker", "rm", "-fv", f"wirelab-{name}"], check=False, capture_output=True)


def docker(*words: str) -> None:
    subprocess.run(["docker", *words], check=True, stdout=subprocess.DEVNULL)


def capture(image: str, directory: Path) -> None:
    """Ask everything, in an order in which each answer has something to show."""
    pool = Recorder(directory)
    with cluster(image) as start_brokers:
        servers(pool)
        start_brokers()
        leader = election(pool)
        follower = next(peer for peer in BROKERS if peer != leader)
        topics(pool, BROKERS[leader], BROKERS[follower])
        messages(pool, BROKERS[leader], BROKERS[follower])
        consumers(pool, BROKERS[leader])
    print(f"{len(list(directory.glob('*.answer.bin')))} exchanges in {directory}")


def refused(call: Callable[[], object]) -> None:
    """Make ``call``, which the peer must refuse."""
    try:
        call()
    except (NotFoundError, RemoteError):
        return
    raise AssertionError("the peer was expected to refuse")


def servers(pool: Recorder) -> None:
    plain, binary = NameServerClient(pool, NAMESERVER), NameServerClient(pool, BINARY_NAMESERVER)
    for server in (plain, binary):
        wait_until(server.topics, label="NameServer", timeout_s=60, tolerate=(TransportError,))
    with pool.named("cluster_info_empty"):
        plain.cluster_info()
    with pool.named("cluster_info_empty_binary", binary=True):
        binary.cluster_info()
    with pool.named("route_unknown_binary", binary=True):
        refused(lambda: binary.topic_route(TOPIC))


def election(pool: Recorder) -> str:
    rafts = {peer: RaftClient(pool, address, group=GROUP, peer_id=peer, timeout_s=1) for peer, address in PEERS.items()}

    def leader() -> str | Pending:
        with pool.named("raft_metadata_electing"):
            believed = {raft.metadata().leader_id for raft in rafts.values()}

        return believed.pop() or Pending("none") if len(believed) == 1 else Pending(f"{believed}")

    found = wait_until(leader, label="a leader", timeout_s=90, every_s=0.02, tolerate=(TransportError,))
    with pool.named("raft_metadata"):
        rafts["n0"].metadata()
    with pool.named("raft_term"):
        rafts["n0"].term(other_peer_id="n1")
    with pool.named("raft_metadata_wrong_group"):
        refused(RaftClient(pool, PEERS["n0"], group="Other", peer_id="n0").metadata)
    with pool.named("raft_metadata_wrong_peer"):
        refused(RaftClient(pool, PEERS["n0"], group=GROUP, peer_id="n1").metadata)
    with pool.named("raft_term_unknown_other"):
        refused(lambda: rafts["n0"].term(other_peer_id="n9"))
    with pool.named("raft_port_asked_for_config"):
        refused(BrokerClient(pool, PEERS["n0"]).config)

    server = NameServerClient(pool, NAMESERVER)

    def registered() -> bool | Pending:
        group = server.cluster_info().brokers.get(GROUP)
        whole = group is not None and group.master == BROKERS[found] and len(group.addresses) == 3
        return True if whole else Pending(f"{group}")

    wait_until(registered, label="registration", timeout_s=90, tolerate=(TransportError,))
    with pool.named("cluster_info"):
        server.cluster_info()
    return found


def topics(pool: Recorder, leader: str, follower: str) -> None:
    server, broker = NameServerClient(pool, NAMESERVER), BrokerClient(pool, leader, timeout_s=10)
    for name, address in (("leader", leader), ("follower", follower)):
        with pool.named(f"runtime_info_{name}"):
            BrokerClient(pool, address).runtime_info()
        with pool.named(f"config_{name}"):
            BrokerClient(pool, address).config()
    with pool.named("create_topic"):
        broker.create_topic(TOPIC, queues=2)
    with pool.named("topic_configs"):
        broker.topic_configs()
    wait_until(lambda: server.topic_route(TOPIC), label="route", timeout_s=60, tolerate=(NotFoundError,))
    with pool.named("route"):
        server.topic_route(TOPIC)
    with pool.named("route_plain"):
        pool.request(
            NAMESERVER, Command(RequestCode.GET_ROUTEINTO_BY_TOPIC, ext={"topic": TOPIC}, version=315), timeout_s=3
        )
    with pool.named("route_unknown"):
        refused(lambda: server.topic_route("NoSuchTopic"))
    with pool.named("topics"):
        server.topics()


def messages(pool: Recorder, leader: str, follower: str) -> None:
    broker = BrokerClient(pool, leader)
    for number in range(3):
        message = OutgoingMessage(
            TOPIC,
            f"body {number}: 你好".encode(),
            tags="TagA",
            keys=(f"order-{number}",),
            properties={"colour": "blue"},
            message_id=f"KIT{number:029d}",
        )
        with pool.named("send"):
            print(send_once(pool, leader, message, queue_id=0))
    properties = encode_properties({"UNIQ_KEY": "COMPRESSED"})
    names = {"a": "g", "b": TOPIC, "c": "TBW102", "d": 4, "e": 0, "f": 1, "g": 0, "h": 5, "i": properties, "j": 0}
    pool.request(
        leader,
        Command.request(RequestCode.SEND_MESSAGE_V2, ext=names, body=zlib.compress(b"squeezed " * 100)),
        timeout_s=5,
    )
    one = OutgoingMessage(TOPIC, b"x", message_id="REFUSED")
    with pool.named("send_to_follower"):
        send_once(pool, follower, one, queue_id=0)
    with pool.named("send_illegal_queue"):
        send_once(pool, leader, one, queue_id=9)
    with pool.named("send_illegal_topic"):
        long = Command.request(RequestCode.SEND_MESSAGE_V2, ext={**names, "b": "T" * 200}, body=b"x")
        pool.request(leader, long, timeout_s=5)

    def pull(address: str, offset: int) -> object:
        return pull_once(pool, address, topic=TOPIC, queue_id=0, offset=offset)

    wait_until(
        lambda: True if BrokerClient(pool, follower).max_offset(TOPIC, 0) == 4 else Pending("behind"),
        label="the follower",
        timeout_s=30,
        tolerate=(RemoteError,),
    )
    for name, address in (("leader", leader), ("follower", follower)):
        with pool.named(f"pull_found_{name}"):
            pull(address, 0)
        with pool.named(f"pull_at_end_{name}"):
            pull(address, 4)
        with pool.named(f"pull_out_of_range_{name}"):
            pull(address, 1000)
    first = pull_once(pool, leader, topic=TOPIC, queue_id=0, offset=0).messages[0]
    with pool.named("view_message"):
        broker.view_message(first.physical_offset)
    with pool.named("view_message_none"):
        refused(lambda: broker.view_message(10**12))
    with pool.named("topic_stats"):
        broker.topic_stats(TOPIC)
    with pool.named("topic_stats_unknown"):
        refused(lambda: broker.topic_stats("NoSuchTopic"))
    with pool.named("max_offset"):
        broker.max_offset(TOPIC, 0)
    with pool.named("min_offset"):
        broker.min_offset(TOPIC, 0)


def consumers(pool: Recorder, leader: str) -> None:
    broker = BrokerClient(pool, leader)
    with pool.named("query_consumer_offset_none"):
        broker.query_consumer_offset("NoSuchTopic", 0, group="vector_group")
    with pool.named("update_consumer_offset"):
        broker.update_consumer_offset(TOPIC, 0, 3, group="vector_group")
    with pool.named("query_consumer_offset"):
        broker.query_consumer_offset(TOPIC, 0, group="vector_group")
    with pool.named("consumer_offsets"):
        broker.consumer_offsets()
    with pool.named("subscription_groups"):
        broker.subscription_groups()
    with pool.named("delete_topic"):
        broker.delete_topic(TOPIC)


if __name__ == "__main__":
    target = Path(sys.argv[2])
    target.mkdir(parents=True, exist_ok=True)
    for old in target.glob("*.bin"):
        old.unlink()
    capture(sys.argv[1], target)
