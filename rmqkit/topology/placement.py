"""Who runs where: a deployment's NameServers and brokers on its hosts, with ports, users and memory.

What belongs here: the choice of hosts, deterministic and balanced, and the numbers that follow from it. What does
not: the text of files (``hostfiles.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rmqkit.errors import SpecError
from rmqkit.topology import layout
from rmqkit.topology.deployment import AUTO, Deployment, Group, HostSpec, Role, megabytes
from rmqkit.topology.parts import GroupSpec, NameServerSpec, PeerSpec, Topology
from rmqkit.topology.spec import LISTEN_PORT_GAP, ClusterSpec

USUAL_NAMESERVERS = 3
LARGEST_BROKER_HEAP_MB = 8192
"""bin/runbroker.sh's own; what a broker gains beyond it, it gains from page cache, not from heap."""
LARGEST_NAMESERVER_HEAP_MB = 4096
SMALLEST_HEAP_MB = 256


@dataclass(frozen=True, slots=True)
class Plan:
    """A deployment with every process in its place: ``host_of`` maps each service to its host's name."""

    deployment: Deployment
    spec: ClusterSpec
    host_of: Mapping[str, str]

    def brokers_on(self, host: HostSpec) -> tuple[tuple[GroupSpec, PeerSpec], ...]:
        """The brokers of a host, in order."""
        return tuple(
            (group, peer)
            for group, peer in self.spec.all_peers()
            if self.host_of[self.spec.service_of(group, peer)] == host.name
        )

    def nameservers_on(self, host: HostSpec) -> tuple[NameServerSpec, ...]:
        """The NameServers of a host."""
        return tuple(server for server in self.spec.nameservers if self.host_of[server.name] == host.name)

    def broker_heap_mb(self, host: HostSpec) -> int:
        """Heap of each broker of a host, MiB. ``auto``: a quarter of the memory is shared by all their heaps."""
        asked = self.deployment.brokers.heap
        if asked != AUTO:
            return megabytes("brokers.heap", asked)
        share = host.memory_mb // 4 // max(1, len(self.brokers_on(host)))
        return max(SMALLEST_HEAP_MB, min(LARGEST_BROKER_HEAP_MB, share))

    def broker_direct_mb(self, host: HostSpec) -> int:
        """Direct memory of each broker of a host, MiB. ``auto``: as much as its heap."""
        asked = self.deployment.brokers.direct
        return self.broker_heap_mb(host) if asked == AUTO else megabytes("brokers.direct", asked)

    def nameserver_heap_mb(self, host: HostSpec) -> int:
        """Heap of a host's NameServer, MiB. ``auto``: a quarter of a NameServer's host; beside brokers a 32nd."""
        asked = self.deployment.nameservers.heap
        if asked != AUTO:
            return megabytes("nameservers.heap", asked)
        part = 32 if self.brokers_on(host) else 4
        return max(SMALLEST_HEAP_MB, min(LARGEST_NAMESERVER_HEAP_MB, host.memory_mb // part))

    def threads(self, host: HostSpec) -> int:
        """sendMessageThreadPoolNums of a host's brokers: as many as it has cores, unless said otherwise."""
        asked = self.deployment.brokers.threads
        return host.cores if asked == AUTO else int(asked)


def placed(deployment: Deployment) -> Plan:
    """Every process of ``deployment`` on a host. Same input, same result; a group added at the end moves nobody.

    Each group goes to the hosts that have the fewest brokers so far, the first ones first. Raises
    :class:`SpecError` where there are too few hosts, or a name is unknown.
    """
    nameserver_hosts = _nameserver_hosts(deployment)
    load = {host.name: 0 for host in deployment.hosts if Role.BROKER in host.runs}
    chosen = [_hosts_of(deployment, group, load) for group in deployment.groups]
    servers = tuple(
        NameServerSpec(
            name=f"namesrv{i}",
            host=host.address,
            port=deployment.nameservers.port,
            uid=layout.NAMESERVER_UID + i,
        )
        for i, host in enumerate(nameserver_hosts)
    )
    groups, number = [], 0
    for group, hosts in zip(deployment.groups, chosen, strict=True):
        peers = []
        for place, host in enumerate(hosts):
            peers.append(
                PeerSpec(
                    id=f"n{place}",
                    listen_port=deployment.listen_port + LISTEN_PORT_GAP * number,
                    raft_port=deployment.raft_port + number,
                    host=host.address,
                    uid=layout.BROKER_UID + number,
                    config=group.config,
                )
            )
            number += 1
        groups.append(GroupSpec(name=group.name, peers=tuple(peers)))
    spec = ClusterSpec(
        name=deployment.name,
        topology=Topology.HOST,
        nameservers=servers,
        groups=tuple(groups),
        cluster_name=deployment.cluster_name,
        edition=deployment.edition,
        image=deployment.image,
        config={**layout.PRODUCTION_CONFIG, **deployment.brokers.config},
        nameserver_config=deployment.nameservers.config,
        restart=True,
        long_names=True,
    )
    host_of = {server.name: host.name for server, host in zip(servers, nameserver_hosts, strict=True)}
    for group_spec, hosts in zip(groups, chosen, strict=True):
        for peer, host in zip(group_spec.peers, hosts, strict=True):
            host_of[spec.service_of(group_spec, peer)] = host.name
    return Plan(deployment, spec, host_of)


def _nameserver_hosts(deployment: Deployment) -> list[HostSpec]:
    asked = deployment.nameservers.on
    if asked:
        return [_named(deployment, name, Role.NAMESERVER, "nameservers.on") for name in asked]
    able = [host for host in deployment.hosts if Role.NAMESERVER in host.runs][:USUAL_NAMESERVERS]
    if not able:
        raise SpecError("no host may run a NameServer", hint="put nameserver into `runs` of one host or more")
    return able


def _hosts_of(deployment: Deployment, group: Group, load: dict[str, int]) -> list[HostSpec]:
    if group.on:
        hosts = [_named(deployment, name, Role.BROKER, f"group {group.name}: on") for name in group.on]
        if len(set(group.on)) < len(group.on) and not deployment.share_hosts:
            twice = next(name for name in group.on if group.on.count(name) > 1)
            raise SpecError(
                f"group {group.name}: on names {twice} more than once: that host's end would take several replicas",
                hint="name different hosts, or set share_hosts: true",
            )
    else:
        if len(load) < group.replicas and not deployment.share_hosts:
            raise SpecError(
                f"group {group.name}: {group.replicas} replicas on {len(load)} hosts that may run brokers",
                hint="add hosts, ask for fewer replicas, or set share_hosts: true (a host's end then takes several)",
            )
        if not load:
            raise SpecError("no host may run a broker", hint="put broker into `runs` of one host or more")
        order = [host for host in deployment.hosts if host.name in load]
        ranked = sorted(order, key=lambda host: load[host.name])  # stable: ties in the order of the file
        hosts = [ranked[place % len(ranked)] for place in range(group.replicas)]
    for host in hosts:
        load[host.name] += 1
    return hosts


def _named(deployment: Deployment, name: str, role: Role, where: str) -> HostSpec:
    host = deployment.host(name)
    if host is None:
        known = ", ".join(each.name for each in deployment.hosts)
        raise SpecError(f"{where}: there is no host {name!r}", hint=f"the hosts are {known}")
    if role not in host.runs:
        raise SpecError(f"{where}: host {name} does not run a {role}", hint=f"put {role} into its `runs`")
    return host
