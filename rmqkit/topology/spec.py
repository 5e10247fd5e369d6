"""``ClusterSpec``: what a cluster is, as a value that is valid as soon as it exists.

What belongs here: the cluster's fields, the rules between its parts, and what can be read off it. What does
not: the parts themselves (``parts.py``), the numbers of standard clusters (``layout.py``), the text of
files (``brokerconf.py``, ``compose.py``).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from rmqkit.errors import NotFoundError, SpecError
from rmqkit.topology import layout, rules, specjson, standard
from rmqkit.topology.config import Config, checked_config
from rmqkit.topology.layout import BLOCK_SIZE, LOOPBACK, pod_ports_needed
from rmqkit.topology.parts import (
    BROKER_OWNED_KEYS,
    NAMESERVER_OWNED_KEYS,
    GroupSpec,
    NameServerSpec,
    PeerSpec,
    Topology,
    check_unique,
)

__all__ = [
    "BLOCK_SIZE",
    "LISTEN_PORT_GAP",
    "NET_SERVICE",
    "ClusterSpec",
    "GroupSpec",
    "NameServerSpec",
    "PeerSpec",
    "Topology",
    "pod_ports_needed",
]

NET_SERVICE: Final = "net"
"""The service of a pod that owns the network namespace."""
LISTEN_PORT_GAP: Final = 10
"""Listen ports on one host are at least this far apart: each broker also takes the ones next to its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSpec:
    """A whole cluster. Standard ones come from :meth:`stock` and :meth:`pod`; ``replace`` makes variants.

    ``config`` and ``nameserver_config`` are extra keys of broker.conf and namesrv.conf for every process; a
    peer's own ``config`` wins over the cluster's. ``name`` is the Compose project of the rendered file; a cluster that
    the kit starts is named by its run instead.

    ``store`` is ``volume``, a directory, or in a pod ``limited:256m``: each broker's store is so large and no larger,
    in memory, and outlives its broker, so that disks can be filled. ``own_clocks`` gives each broker a clock that can
    be set apart from the machine's. ``java_opts`` are further JVM options of every process, separated by blanks.
    ``long_names`` puts the group into the name of each broker's service also while there is one group alone, so that
    services, and the volumes named by them, keep their names when a second one is added.
    """

    name: str
    topology: Topology
    nameservers: tuple[NameServerSpec, ...]
    groups: tuple[GroupSpec, ...]
    cluster_name: str = "RaftCluster"
    edition: str = "store_with_dledger"
    image: str | None = None
    advertise: str = LOOPBACK
    config: Mapping[str, str] = field(default_factory=Config)
    nameserver_config: Mapping[str, str] = field(default_factory=Config)
    broker_heap: str = "512m"
    nameserver_heap: str = "256m"
    java_opts: str = ""
    restart: bool = False
    store: str = "volume"
    own_clocks: bool = False
    long_names: bool = False

    def __post_init__(self) -> None:
        rules.check_project_name("name", self.name)
        object.__setattr__(self, "topology", Topology(self.topology))
        object.__setattr__(self, "nameservers", tuple(self.nameservers))
        object.__setattr__(self, "groups", tuple(self.groups))
        rules.check_rocketmq_name("cluster_name", self.cluster_name)
        if self.image is None:
            rules.check_edition("edition", self.edition)
        elif not self.image or any(mark.isspace() for mark in self.image):
            raise SpecError(f"image={self.image!r} is not an image name", hint="give repository:tag, or None")
        rules.check_host("advertise", self.advertise)
        rules.check_heap("broker_heap", self.broker_heap)
        rules.check_heap("nameserver_heap", self.nameserver_heap)
        rules.check_java_opts("java_opts", self.java_opts)
        rules.check_store("store", self.store)
        checked = checked_config("config", self.config, owned=BROKER_OWNED_KEYS)
        object.__setattr__(self, "config", checked)
        checked = checked_config("nameserver_config", self.nameserver_config, owned=NAMESERVER_OWNED_KEYS)
        object.__setattr__(self, "nameserver_config", checked)
        self._check_parts()

    def _check_parts(self) -> None:
        if not self.nameservers:
            raise SpecError("nameservers is empty", hint="brokers register at a NameServer: give at least one")
        if not self.groups:
            raise SpecError("groups is empty", hint="give at least one group of peers")
        check_unique("NameServerSpec.name", (server.name for server in self.nameservers))
        check_unique("GroupSpec.name (services are named in lower case)", (g.name.lower() for g in self.groups))
        check_unique("uid", [s.uid for s in self.nameservers] + [p.uid for _, p in self.all_peers()])
        for group, peer in self.all_peers():
            where = f"group {group.name}, peer {peer.id}: raft host"
            rules.check_dash_free(where, peer.raft_host or peer.host, edition=self.edition)
        services = [NET_SERVICE] if self.topology is Topology.POD else []
        services += [server.name for server in self.nameservers]
        check_unique("service name", services + [self.service_of(group, peer) for group, peer in self.all_peers()])
        if self.topology is not Topology.POD and rules.store_limit(self.store):
            raise SpecError(
                f"store={self.store!r} on hosts: what is in memory is gone when the broker ends",
                hint="limited stores are for test pods; use 'volume' or a directory",
            )
        if self.topology is Topology.POD:
            self._check_pod()
        else:
            self._check_loopback()
        self._check_ports()

    def _check_pod(self) -> None:
        if self.restart:
            raise SpecError(
                "restart=True in a pod: a killed peer would be back within 2 s, often as the leader again",
                hint="leave restart off in test clusters; use the host topology for production",
            )
        hosts = {server.host for server in self.nameservers} | {peer.host for _, peer in self.all_peers()}
        if hosts != {self.advertise}:
            raise SpecError(
                f"hosts {', '.join(sorted(hosts))} in a pod that advertises {self.advertise}",
                hint="all processes of a pod share one address: give each of them host=advertise",
            )

    def _check_loopback(self) -> None:
        for group in self.groups:
            hosts = {peer.host for peer in group.peers}
            local = sorted(host for host in hosts if host.startswith("127.") or host == "localhost")
            if local and len(hosts) > len(local):
                raise SpecError(
                    f"group {group.name}: host {local[0]} beside {', '.join(sorted(hosts - set(local)))}",
                    hint="a loopback address means another machine to each peer: give every peer an "
                    "address that clients and the other peers reach it at",
                )

    def _check_ports(self) -> None:
        claims = [(server.host, server.port, server.name) for server in self.nameservers]
        listens: dict[str, list[int]] = {}
        for group, peer in self.all_peers():
            claims += [(peer.host, port, f"{group.name}/{peer.id}") for port in peer.claimed_ports()]
            listens.setdefault(peer.host, []).append(peer.listen_port)
        seen: dict[tuple[str, int], str] = {}
        for host, port, owner in claims:
            other = seen.setdefault((host, port), owner)
            if other != owner:
                raise SpecError(
                    f"port {port} on {host} is claimed by {other} and by {owner}",
                    hint="a broker takes its listen port L, L-2 (fast port), L+1 (HA) and its Raft port",
                )
        for host, ports in listens.items():
            ports.sort()
            for low, high in itertools.pairwise(ports):
                if high - low < LISTEN_PORT_GAP:
                    raise SpecError(
                        f"listen ports {low} and {high} on {host} are {high - low} apart",
                        hint=f"keep them {LISTEN_PORT_GAP} apart: a broker also takes ports next to its own",
                    )

    @classmethod
    def stock(cls, **changes: Any) -> ClusterSpec:
        """The tutorial's cluster with production values: a NameServer and RaftNode00 of n0, n1, n2.

        Ports 9876, 30911/30921/30931 and 40911-40913 (conf/dledger of every release). ``changes`` are fields.
        """
        servers, groups = standard.stock_parts()
        fields: dict[str, Any] = {
            "name": "rocketmq-dledger",
            "topology": Topology.HOST,
            "nameservers": servers,
            "groups": groups,
            "config": layout.PRODUCTION_CONFIG,
            "restart": True,
        }
        return cls(**(fields | changes))

    @classmethod
    def pod(
        cls,
        *,
        base_port: int,
        name: str = "rmqkit",
        peers: int = 3,
        groups: int = 1,
        nameservers: int = 1,
        advertise: str = LOOPBACK,
        config: Mapping[str, str] | None = None,
        **changes: Any,
    ) -> ClusterSpec:
        """A test cluster whose ports all lie in ``[base_port, base_port + pod_ports_needed(...))``.

        Up to nine peers fit into one block of ``BLOCK_SIZE``. ``config`` is laid over the test defaults
        (``layout.TEST_CONFIG``); ``changes`` are further fields (edition, image, broker_heap, …). Where starts matter
        less than throughput, give ``java_opts=""``: the default (``layout.TEST_JAVA_OPTS``) has no second compiler.
        """
        servers, group_specs = standard.pod_parts(
            base_port=base_port, peers=peers, groups=groups, nameservers=nameservers, advertise=advertise
        )
        fields: dict[str, Any] = {
            "name": name,
            "topology": Topology.POD,
            "nameservers": servers,
            "groups": group_specs,
            "advertise": advertise,
            "config": {**layout.TEST_CONFIG, **(config or {})},
            "java_opts": layout.TEST_JAVA_OPTS,
        }
        return cls(**(fields | changes))

    @property
    def image_ref(self) -> str:
        """The image that every process runs."""
        return self.image if self.image is not None else f"rmqkit/rocketmq:{self.edition}"

    @property
    def namesrv_addr(self) -> str:
        """All NameServers, as clients and namesrvAddr take them: ``a:9876;b:9876``."""
        return ";".join(server.address for server in self.nameservers)

    def group(self, name: str) -> GroupSpec:
        """The group of that name. Raises :class:`NotFoundError`, which lists those that exist."""
        for group in self.groups:
            if group.name == name:
                return group
        known = ", ".join(group.name for group in self.groups)
        raise NotFoundError(f"the cluster has no group {name!r}", hint=f"it has {known}")

    def service_of(self, group: GroupSpec, peer: PeerSpec) -> str:
        """The peer's Compose service: its id; where there are several groups, or ``long_names``, ``<group>-<id>``."""
        short = len(self.groups) == 1 and not self.long_names
        return peer.id.lower() if short else f"{group.name}-{peer.id}".lower()

    def all_peers(self) -> tuple[tuple[GroupSpec, PeerSpec], ...]:
        """Every broker with its group, in order."""
        return tuple((group, peer) for group in self.groups for peer in group.peers)

    def ports(self) -> tuple[int, ...]:
        """Every port that something of this cluster listens on, sorted; a pod publishes exactly these.

        The fast port (L-2) is among them: followers copy topics from their leader's fast port
        (BrokerOuterAPI.getAllTopicConfig), and Java clients use it with
        ``com.rocketmq.sendMessageWithVIPChannel=true`` (off by default in 4.5.1, 4.9.8 and 5.3.2).
        """
        peers = {port for _, peer in self.all_peers() for port in peer.listening_ports()}
        return tuple(sorted(peers | {server.port for server in self.nameservers}))

    def replace(self, **changes: Any) -> ClusterSpec:
        """A copy with other fields, validated again."""
        return replace(self, **changes)

    def shifted(self, by: int) -> ClusterSpec:
        """The same cluster with every port ``by`` higher."""
        servers = tuple(replace(server, port=server.port + by) for server in self.nameservers)
        groups = tuple(
            replace(
                group,
                peers=tuple(
                    replace(peer, listen_port=peer.listen_port + by, raft_port=peer.raft_port + by)
                    for peer in group.peers
                ),
            )
            for group in self.groups
        )
        return replace(self, nameservers=servers, groups=groups)

    def to_json(self) -> str:
        """This specification as one line of JSON, for a label or a file; :meth:`from_json` reads it back."""
        return specjson.dumped(self)

    @classmethod
    def from_json(cls, text: str) -> ClusterSpec:
        """The specification that :meth:`to_json` wrote. Raises :class:`SpecError` for anything else."""
        data = specjson.parsed(text)
        servers = tuple(specjson.built(NameServerSpec, item) for item in specjson.items_of(data, "nameservers"))
        groups = tuple(
            specjson.built(
                GroupSpec,
                item,
                peers=tuple(specjson.built(PeerSpec, peer) for peer in specjson.items_of(item, "peers")),
            )
            for item in specjson.items_of(data, "groups")
        )
        return specjson.built(cls, data, nameservers=servers, groups=groups)
