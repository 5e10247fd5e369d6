"""What the Compose file says about itself: reasons beside its keys, meanings of variables, and its head.

What belongs here: words. What does not: which services and keys there are (``compose.py``,
``composehost.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rmqkit.topology.spec import ClusterSpec, Topology
from rmqkit.topology.values import Meaning, Values, Variable

# Reasons, as comments above the keys they belong to

PROCESS: Final = "What every process has."
PULL_POLICY: Final = "The image is built from source, never looked for under this name in a registry."
CAPABILITIES: Final = "Nothing here needs a privilege, and nothing runs as root."
POD_NO_HEALTHCHECK: Final = (
    "Readiness is asked over the protocol; probes every few seconds would cost the test its CPU."
)
POD_NET: Final = "Owns the network namespace that all others join: one address for clients, peers and followers."
POD_HOLDS: Final = "Limited stores are in memory: held here, they outlive their brokers' containers."
POD_NET_TMPFS: Final = "In the place of the image's volume, which would be left behind without a name."
NAMESERVER_ENVIRONMENT: Final = "What every NameServer has. RMQ_CONF_<key>=<value> becomes a line of namesrv.conf."
GROUP_ENVIRONMENT: Final = """\
What every broker of the group has. RMQ_CONF_<key>=<value> becomes a line of broker.conf; any key of
RocketMQ can be added in a second file, given with another `-f`."""
SHARED_STORE: Final = "`docker compose down` keeps the stores; `down -v` deletes them, and with them every message."
SECRETS: Final = "Files that the build may read; they never become part of the image. /dev/null means none."
BUILD: Final = """\
The only build of this file: every service runs the image that it makes. Brokers depend on this service, so
that it is built first, also where it does not run (0 replicas)."""
RESTART: Final = """\
A process that dies is back within seconds, often as the leader again. For a failover drill set
RMQ_RESTART=no, or the killed leader returns before another is elected."""
HEALTH: Final = "Looks whether the process listens on its ports, without starting a JVM."
STOP_GRACE: Final = """\
A clean stop takes about 5 s, on 5.3.2 about 14 s. A broker that is killed in it checks its last files at the
next start."""
HOST_NETWORK: Final = "Clients, peers and followers must all reach a broker under the one address that it advertises."
NOFILE: Final = "Each store file and each connection takes one. Above the engine's own limit nothing would start."
NAMESRV_ADDRESSES: Final = "Every NameServer, ';' between them: a broker registers with each."
RAFT_PEERS: Final = (
    "The same text for every member. Use IP addresses: before RocketMQ 4.9.5 a host must not contain '-'."
)
AFTER: Final = (
    "A broker that finds no NameServer at its start registers 10 s later. Not required: it may run elsewhere."
)
BROKER_IP: Final = "Never left to the broker: it would advertise the first interface it finds, often docker0."

# Meanings of variables

_HERE: Final = "What runs on this host"
_WHERE: Final = "Addresses and ports"
_WHO: Final = "Names and users"
_HOW: Final = "Resources and behaviour"
_WHAT: Final = "The image, and how it is built"
SECTIONS: Final = (_HERE, _WHERE, _WHO, _HOW, _WHAT)

REPLICAS = Meaning(_HERE, "1: runs on this host; 0: does not")
STORE = Meaning(_HERE, "volume, or a directory of this host that the uid may write to")

HOST = Meaning(_WHERE, "where clients and other brokers reach it (brokerIP1)")
PORT = Meaning(_WHERE, "port for clients; the one 2 below is taken too: keep them 10 apart")
RAFT_HOST = Meaning(_WHERE, "where its group reaches it, if that differs from its host")
RAFT_PORT = Meaning(_WHERE, "port for the group's own traffic")
NAMESRV_HOST = Meaning(_WHERE, "where brokers reach this NameServer")
NAMESRV_PORT = Meaning(_WHERE, "port that it listens on")
NAMESRV_ADDR = Meaning(_WHERE, "all NameServers: 10.0.0.1:9876;10.0.0.2:9876;10.0.0.3:9876")

CLUSTER_NAME = Meaning(_WHO, "name of the cluster")
GROUP = Meaning(_WHO, "name of the group, which RocketMQ calls broker name")
PEER_ID = Meaning(_WHO, "id in the group: one letter and a number")
UID = Meaning(_WHO, "user that it runs as: never 0, and no two alike")

NAMESRV_HEAP = Meaning(_HOW, "heap of a NameServer (production: 4g)")
BROKER_HEAP = Meaning(_HOW, "heap of a broker (production: 8g)")
BROKER_DIRECT = Meaning(_HOW, "direct memory of a broker; empty: as much as heap")
JAVA_OPTS = Meaning(_HOW, "further JVM options")
MEMORY = Meaning(_HOW, "memory limit, such as 16g; 0: none. Page cache counts too")
SEND_THREADS = Meaning(_HOW, "threads that take messages; auto: one for each core")
RESTART_POLICY = Meaning(_HOW, "restart policy; `no` for failover drills")
STOP_TIME = Meaning(_HOW, "time for a clean stop")
OPEN_FILES = Meaning(_HOW, "limit of open files (production: 655350); not above the engine's own")
HEALTH_INTERVAL = Meaning(_HOW, "time between two health checks")
LOG_SIZE = Meaning(_HOW, "size at which a container's log is rotated")
LOG_FILES = Meaning(_HOW, "how many rotated logs are kept")

EDITION = Meaning(_WHAT, "the image's tag; 4.9.8 with RMQ_SOURCE=release")
IMAGE = Meaning(_WHAT, "image that every process runs")
PULL = Meaning(_WHAT, "`missing`: take the image from a registry of your own")
SOURCE = Meaning(_WHAT, "git, release, path; auto: git, or else a release")
VERSION = Meaning(_WHAT, "version of the release")
REF = Meaning(_WHAT, "branch, tag or commit")
DLEDGER_REF = Meaning(_WHAT, "branch, tag or commit; empty: as RocketMQ asks")
URL = Meaning(_WHAT, "git repository")
REFRESH = Meaning(_WHAT, "any new text looks at the sources again")
BUILD_BASE = Meaning(_WHAT, "base image with JDK and Maven")
RUNTIME_BASE = Meaning(_WHAT, "base image with a JRE")
CA_BUNDLE = Meaning(_WHAT, "certificates of a company's proxy, for the build")
MAVEN_SETTINGS = Meaning(_WHAT, "Maven's settings.xml, for the build")

_USE = """\
Run it from the folder above, with nothing prepared. The first time builds the image from source (minutes).

    docker compose -f compose/docker-compose.dledger.yml up -d --wait
    docker compose -f compose/docker-compose.dledger.yml ps
    docker compose -f compose/docker-compose.dledger.yml down         # keeps the stores
    docker compose -f compose/docker-compose.dledger.yml down -v      # deletes them, with every message

Change it by the variables below, in the shell or in a file `.env` beside this one; do not edit it.

Mind
  - Linux only: host network. Ports are open on every interface, without a password: set a firewall.
  - A broker's host (RMQ_N0_HOST, ...) is where clients AND other brokers reach it. Followers copy topics and
    consumer offsets from the address that their leader advertises: one that only clients reach seems to work,
    and loses topics and offsets at the first failover.
  - 40911-40913 lie in the range from which Linux takes ports for outgoing connections, so that one of them
    may be taken when a broker starts: sysctl -w net.ipv4.ip_local_reserved_ports=40911-40913
  - A store belongs to its peer and to its uid: keep both when you move it.

On three hosts: the same file on each, and a `.env` that says who is where (.env.example has every variable).
All hosts need the same image: build it on one, then `docker save | docker load`. On the host of n1, for example:

    RMQ_NAMESRV0=0
    RMQ_NAMESRV1=1
    RMQ_NAMESRV2=0
    RMQ_N0=0
    RMQ_N1=1
    RMQ_N2=0
    RMQ_N0_HOST=10.0.0.1
    RMQ_N1_HOST=10.0.0.2
    RMQ_N2_HOST=10.0.0.3
    RMQ_NAMESRV_ADDR=10.0.0.1:9876;10.0.0.2:9876;10.0.0.3:9876"""

_USE_DEPLOYED: Final = """\
The same file lies on every host; the `.env` beside it says what runs here, and where the others are. Nothing runs
where that file is missing. The image has to be there: build it once, then `docker save | docker load`.

    docker compose up -d --wait
    docker compose ps
    docker compose down         # keeps the stores; -v deletes volumes, with every message in them

Change the specification and render again; do not edit this file. `rmqkit doctor` looks at the whole folder.

Mind
  - Linux only: host network. Ports are open on every interface, without a password: set a firewall.
  - A broker's host is where clients AND other brokers reach it.
  - A store belongs to its peer and to its uid: keep both when you move it."""


def head(spec: ClusterSpec, values: Values, *, builds: bool) -> str:
    """The text above the file: what it brings up, how to use it, and the table of its variables."""
    servers = ", ".join(server.name for server in spec.nameservers)
    groups = "; ".join(f"{group.name} of {', '.join(peer.id for peer in group.peers)}" for group in spec.groups)
    lines = [
        f"Apache RocketMQ with DLedger (Raft): NameServer {servers}; {groups}.",
        "Rendered by rmqkit.topology from a specification; "
        + ("scripts/render-compose writes it again." if builds else "`rmqkit render` writes it again."),
    ]
    if spec.topology is Topology.POD:
        lines.append("A test cluster: all processes share one network namespace, whose ports are published.")
    if values.parametrized:
        use = _USE if builds else _USE_DEPLOYED
        lines += ["", *use.splitlines(), "", "Variables: name, default, meaning", *_table(values.variables)]
    return "".join(f"# {line}".rstrip() + "\n" for line in lines) + "\n"


def _table(variables: Mapping[str, Variable]) -> list[str]:
    """Variables by section; where several have one meaning, it stands beside the first."""
    lines: list[str] = []
    for section, rows in in_sections(variables):
        width = max((len(item.default) for item in rows), default=0)
        lines += ["", f"  {section}"]
        said: set[Meaning] = set()
        for item in rows:
            meaning = "" if item.meaning in said else item.meaning.text
            said.add(item.meaning)
            lines.append(f"    {item.name:<21}  {item.default:<{width}}  {meaning}".rstrip())
    return lines


def in_sections(variables: Mapping[str, Variable]) -> list[tuple[str, list[Variable]]]:
    """Every variable below the section that it belongs to; those of one meaning stand together."""
    found = []
    for section in SECTIONS:
        rows = [item for item in variables.values() if item.meaning.section == section]
        rows.sort(key=lambda item: _order(item, variables))
        if rows:
            found.append((section, rows))
    return found


def _order(variable: Variable, variables: Mapping[str, Variable]) -> tuple[int, int]:
    """Variables of one meaning stand together; otherwise as they come in the file."""
    known = list(variables.values())
    meanings = list(dict.fromkeys(item.meaning for item in known))
    return meanings.index(variable.meaning), known.index(variable)
