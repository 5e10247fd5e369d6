"""A specification as a Compose file: one renderer for test pods and for hosts, written out or with variables.

What belongs here: services, volumes, networks and the order they start in. What does not: quoting and layout
(``yamltext.py``), words (``composedoc.py``), what only hosts need (``composehost.py``), what goes into
broker.conf (``brokerconf.py``), reading or writing files.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final

from rmqkit.errors import SpecError
from rmqkit.topology import composedoc as doc
from rmqkit.topology import composehost as host
from rmqkit.topology import names, rules
from rmqkit.topology.brokerconf import DATA_DIR, broker_config, nameserver_config
from rmqkit.topology.layout import LOOPBACK, NET_UID
from rmqkit.topology.spec import NET_SERVICE, ClusterSpec, GroupSpec, NameServerSpec, PeerSpec, Topology
from rmqkit.topology.values import Values, Variable, literal
from rmqkit.topology.yamltext import Anchor, Merge, Node, Note, yaml_text

HOLD_DIR: Final = "/hold"
"""Where a pod's net container mounts the limited stores."""
_PER_PEER_KEYS: Final = ("listenPort", "brokerIP1", "dLegerSelfId")


def volume_name(service: str) -> str:
    """The named volume of a service, as the Compose file calls it (the engine puts the project before it)."""
    return f"{service}-data"


@dataclass(frozen=True, slots=True)
class ComposeFile:
    """A rendered file and the variables that it reads, in the order of their first use."""

    text: str
    variables: Mapping[str, Variable]


def render_compose(
    spec: ClusterSpec,
    *,
    labels: Mapping[str, str] | None = None,
    parametrized: bool = False,
    comments: bool = False,
) -> str:
    """The Compose file of ``spec``. Same input, same bytes. The options are those of :func:`compose_file`."""
    return compose_file(spec, labels=labels, parametrized=parametrized, comments=comments).text


def compose_file(
    spec: ClusterSpec,
    *,
    labels: Mapping[str, str] | None = None,
    parametrized: bool = False,
    comments: bool = False,
    off: Collection[str] = (),
    spare: Collection[str] = (),
    build: bool = True,
) -> ComposeFile:
    """The Compose file of ``spec`` with its variables. Same input, same bytes.

    ``labels`` are put on every container, network and volume. ``parametrized`` (host topology only) writes
    each value as ``${VARIABLE:-value}``. ``comments`` adds the head with the table of variables, and the
    reasons. ``off`` names services that run only where their variable says so; ``spare`` those that are off and
    not among the NameServers that brokers are given either. Without ``build`` the image has to be there.
    Raises :class:`SpecError` for a parametrized pod.
    """
    if parametrized and spec.topology is not Topology.HOST:
        raise SpecError(
            "parametrized=True for a pod: its addresses are computed before it starts",
            hint="render a host topology, or leave parametrized off",
        )
    renderer = _Renderer(
        spec,
        dict(labels or {}),
        Values(parametrized=parametrized),
        off=frozenset((*off, *spare)),
        spare=frozenset(spare),
        build=build and spec.topology is Topology.HOST,
    )
    body = yaml_text(renderer.document(), comments=comments, spread=frozenset({"services"}))
    text = doc.head(spec, renderer.values, builds=renderer.build) + body if comments else body
    return ComposeFile(text, dict(renderer.values.variables))


class _Renderer:
    """Builds the tree of one file; lives for one call."""

    def __init__(
        self,
        spec: ClusterSpec,
        labels: Mapping[str, str],
        values: Values,
        *,
        off: frozenset[str],
        spare: frozenset[str],
        build: bool,
    ) -> None:
        self.spec = spec
        self.values = values
        self.off = off
        self.spare = spare
        self.build = build
        self.pod = spec.topology is Topology.POD
        self.limit = rules.store_limit(spec.store)
        self.named = spec.store == "volume" or bool(self.limit)
        self.labels: dict[str, Node] = {key: literal(value) for key, value in labels.items()}

    def document(self) -> Mapping[str, Node]:
        """The whole file."""
        tree: dict[str, Node] = {
            "name": self.spec.name,
            "x-process": Note(Anchor("process", self._process()), doc.PROCESS),
            "x-nameserver-environment": Note(
                Anchor("nameserver-environment", self._nameserver_environment()), doc.NAMESERVER_ENVIRONMENT
            ),
        }
        for group in self.spec.groups:
            anchor = self._anchor(group)
            shared = Anchor(anchor, self._group_environment(group))
            tree[f"x-{anchor}"] = Note(shared, doc.GROUP_ENVIRONMENT)
        services: dict[str, Node] = {}
        if self.pod:
            services[NET_SERVICE] = self._net()
        for number, server in enumerate(self.spec.nameservers):
            services[server.name] = self._nameserver(server, builds=number == 0 and self.build)
        for group, peer in self.spec.all_peers():
            services[self.spec.service_of(group, peer)] = self._broker(group, peer)
        tree["services"] = services
        if self.pod:
            tree["networks"] = {"default": {"labels": self._labels(names.ROLE_NET)}}
        if self.named:
            tree["volumes"] = Note(self._volumes(), doc.SHARED_STORE)
        if self.build:
            tree["secrets"] = Note(host.secrets(self.values), doc.SECRETS)
        return tree

    # What every process has

    def _process(self) -> dict[str, Node]:
        common: dict[str, Node] = {
            "image": host.image(self.spec, self.values),
            "cap_drop": Note(["ALL"], doc.CAPABILITIES),
            "security_opt": ["no-new-privileges:true"],
        }
        if not self.pod:
            return common | host.process(self.spec, self.values)
        return common | {
            "pull_policy": Note("never", doc.PULL_POLICY),
            "network_mode": f"service:{NET_SERVICE}",
            "stop_grace_period": "1s",
            "healthcheck": Note({"disable": True}, doc.POD_NO_HEALTHCHECK),
        }

    def _labels(self, role: str, more: Mapping[str, str] | None = None) -> Mapping[str, Node]:
        """Labels of one thing; ``more`` is text for the file already."""
        edition = host.edition(self.spec, self.values)
        return {**self.labels, names.LABEL_EDITION: edition, names.LABEL_ROLE: role, **(more or {})}

    def _peer_labels(self, group: GroupSpec, peer: PeerSpec) -> Mapping[str, str]:
        return {
            names.LABEL_GROUP: self._broker_value(group, peer, "brokerName", group.name),
            names.LABEL_PEER: self._broker_value(group, peer, "dLegerSelfId", peer.id),
        }

    # Services

    def _net(self) -> Node:
        addresses = [LOOPBACK]
        if self.spec.advertise != LOOPBACK and _is_ipv4(self.spec.advertise):
            addresses.append(self.spec.advertise)
        own = self._process()
        del own["network_mode"]
        service: dict[str, Node] = {
            **own,
            "command": ["idle"],
            "user": str(NET_UID),
            "ports": [f"{address}:{port}:{port}" for address in addresses for port in self.spec.ports()],
            "tmpfs": Note([DATA_DIR], doc.POD_NET_TMPFS),
            "labels": self._labels(names.ROLE_NET),
        }
        if self.limit:
            stores = [self.spec.service_of(group, peer) for group, peer in self.spec.all_peers()]
            held: list[Node] = [f"{volume_name(store)}:{HOLD_DIR}/{store}" for store in stores]
            service["volumes"] = Note(held, doc.POD_HOLDS)
        return Note(service, doc.POD_NET)

    def _nameserver(self, server: NameServerSpec, *, builds: bool) -> Node:
        prefix = variable_prefix(server.name)
        limits = {} if self.pod else host.limits(self.values, prefix, "NAMESRV", runs=server.name not in self.off)
        environment: dict[str, Node] = {"<<": Merge(("nameserver-environment",))}
        for key, value in nameserver_config(self.spec, server).items():
            environment[f"RMQ_CONF_{key}"] = self._port_of(server) if key == "listenPort" else literal(value)
        service: dict[str, Node] = {"<<": Merge(("process",))}
        if builds:
            service["build"] = Note(host.build(self.spec, self.values), doc.BUILD)
        service |= {
            "command": ["namesrv"],
            "user": self.values(f"{prefix}_UID", server.uid, doc.UID),
            "environment": environment,
            "volumes": [self._volume(server.name, prefix)],
            "labels": self._labels(names.ROLE_NAMESERVER, {names.LABEL_PEER: server.name}),
        }
        return service | limits

    def _broker(self, group: GroupSpec, peer: PeerSpec) -> Node:
        name = self.spec.service_of(group, peer)
        prefix = variable_prefix(name)
        limits = {} if self.pod else host.limits(self.values, prefix, "BROKER", runs=name not in self.off)
        config = broker_config(self.spec, group, peer)
        environment: dict[str, Node] = {"<<": Merge((self._anchor(group),))}
        for key in _PER_PEER_KEYS:
            environment[f"RMQ_CONF_{key}"] = self._broker_value(group, peer, key, config[key])
        environment |= {f"RMQ_CONF_{key}": literal(value) for key, value in peer.config.items()}
        if self.spec.own_clocks:
            environment["RMQ_FAKETIME"] = "yes"
        servers = [server.name for server in self.spec.nameservers]
        service: dict[str, Node] = {
            "<<": Merge(("process",)),
            "command": ["broker"],
            "user": self.values(f"{prefix}_UID", peer.uid, doc.UID),
            "depends_on": servers if self.pod else host.after(servers),
            "environment": environment,
            "volumes": [self._volume(name, prefix)],
            "labels": self._labels(names.ROLE_BROKER, self._peer_labels(group, peer)),
        }
        return service | limits

    # Environment

    def _nameserver_environment(self) -> dict[str, Node]:
        heap = self.values("RMQ_NAMESRV_HEAP", self.spec.nameserver_heap, doc.NAMESRV_HEAP)
        environment: dict[str, Node] = {"RMQ_HEAP": heap}
        if not self.pod:
            environment["RMQ_JAVA_OPTS"] = self.values("RMQ_NAMESRV_JAVA_OPTS", self.spec.java_opts, doc.JAVA_OPTS)
        elif self.spec.java_opts:
            environment["RMQ_JAVA_OPTS"] = literal(self.spec.java_opts)
        return environment

    def _group_environment(self, group: GroupSpec) -> dict[str, Node]:
        """What all brokers of ``group`` have; a peer's own keys are left to the peer."""
        first = replace(group.peers[0], config={})
        heap = self.values("RMQ_BROKER_HEAP", self.spec.broker_heap, doc.BROKER_HEAP)
        environment: dict[str, Node] = {"RMQ_HEAP": heap}
        if not self.pod:
            environment["RMQ_DIRECT"] = self.values("RMQ_BROKER_DIRECT", "", doc.BROKER_DIRECT)
            environment["RMQ_JAVA_OPTS"] = self.values("RMQ_BROKER_JAVA_OPTS", self.spec.java_opts, doc.JAVA_OPTS)
        elif self.spec.java_opts:
            environment["RMQ_JAVA_OPTS"] = literal(self.spec.java_opts)
        reasons = {"namesrvAddr": doc.NAMESRV_ADDRESSES, "dLegerPeers": doc.RAFT_PEERS}
        for key, value in broker_config(self.spec, group, first).items():
            if key not in _PER_PEER_KEYS:
                text = self._broker_value(group, first, key, value)
                environment[f"RMQ_CONF_{key}"] = Note(text, reasons[key]) if key in reasons else text
        return environment

    def _broker_value(self, group: GroupSpec, peer: PeerSpec, key: str, value: str) -> str:
        """One key of broker.conf, as text for the file: its variable where it has one."""
        if key == "namesrvAddr" and not self.pod:
            return self._namesrv_addr()
        if not self.values.parametrized:
            return literal(value)
        prefix = variable_prefix(self.spec.service_of(group, peer))
        one = len(self.spec.groups) == 1
        group_variable = "RMQ_GROUP" if one else f"{variable_prefix(group.name)}_NAME"
        variables = {
            "listenPort": (f"{prefix}_PORT", doc.PORT),
            "brokerIP1": (f"{prefix}_HOST", doc.HOST),
            "dLegerSelfId": (f"{prefix}_ID", doc.PEER_ID),
            "brokerClusterName": ("RMQ_CLUSTER_NAME", doc.CLUSTER_NAME),
            "brokerName": (group_variable, doc.GROUP),
            "dLegerGroup": (group_variable, doc.GROUP),
            "sendMessageThreadPoolNums": ("RMQ_SEND_THREADS", doc.SEND_THREADS),
        }
        if key == "dLegerPeers":
            return ";".join(self._raft_peer(group, member) for member in group.peers)
        if key in variables:
            variable, meaning = variables[key]
            return self.values(variable, value, meaning)
        return literal(value)

    def _namesrv_addr(self) -> str:
        addresses = []
        for server in self.spec.nameservers:
            if server.name in self.spare:
                continue
            address = self.values(f"{variable_prefix(server.name)}_HOST", server.host, doc.NAMESRV_HOST)
            addresses.append(f"{address}:{self._port_of(server)}")
        return self.values("RMQ_NAMESRV_ADDR", ";".join(addresses), doc.NAMESRV_ADDR, nested=True)

    def _raft_peer(self, group: GroupSpec, peer: PeerSpec) -> str:
        prefix = variable_prefix(self.spec.service_of(group, peer))
        peer_id = self.values(f"{prefix}_ID", peer.id, doc.PEER_ID)
        address = self.values(f"{prefix}_HOST", peer.host, doc.HOST)
        raft = peer.raft_host or address
        raft = self.values(f"{prefix}_RAFT_HOST", raft, doc.RAFT_HOST, nested=True)
        port = self.values(f"{prefix}_RAFT_PORT", peer.raft_port, doc.RAFT_PORT)
        return f"{peer_id}-{raft}:{port}"

    def _port_of(self, server: NameServerSpec) -> str:
        return self.values(f"{variable_prefix(server.name)}_PORT", server.port, doc.NAMESRV_PORT)

    def _anchor(self, group: GroupSpec) -> str:
        return "broker-environment" if len(self.spec.groups) == 1 else f"{group.name.lower()}-environment"

    # Stores

    def _volume(self, service: str, prefix: str) -> str:
        stored = volume_name(service)
        if not self.named:
            stored = f"{literal(self.spec.store)}/{service}"
        return f"{self.values(f'{prefix}_STORE', stored, doc.STORE, nested=True)}:{DATA_DIR}"

    def _volumes(self) -> dict[str, Node]:
        tree: dict[str, Node] = {}
        for server in self.spec.nameservers:
            labels = self._labels(names.ROLE_NAMESERVER, {names.LABEL_PEER: server.name})
            tree[volume_name(server.name)] = {"labels": labels}
        for group, peer in self.spec.all_peers():
            labels = self._labels(names.ROLE_BROKER, self._peer_labels(group, peer))
            limited: dict[str, Node] = {}
            if self.limit:
                options = f"size={self.limit},mode=1777"
                limited = {"driver_opts": {"type": "tmpfs", "device": "tmpfs", "o": options}}
            tree[volume_name(self.spec.service_of(group, peer))] = {**limited, "labels": labels}
        return tree


def variable_prefix(service: str) -> str:
    """``raftnode01-n0`` as the beginning of a variable: ``RMQ_RAFTNODE01_N0``."""
    return "RMQ_" + service.upper().replace("-", "_")


def _is_ipv4(address: str) -> bool:
    try:
        ipaddress.IPv4Address(address)
    except ValueError:
        return False
    return True
