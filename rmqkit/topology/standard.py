"""The two standard clusters: the tutorial's on a host, and a pod of any size in a block of ports.

What belongs here: the parts of each. What does not: rules (``parts.py``, ``spec.py``) and numbers
(``layout.py``).
"""

from __future__ import annotations

from rmqkit.errors import SpecError
from rmqkit.topology import layout, rules
from rmqkit.topology.parts import GroupSpec, NameServerSpec, PeerSpec


def stock_parts() -> tuple[tuple[NameServerSpec, ...], tuple[GroupSpec, ...]]:
    """One NameServer and RaftNode00 of n0, n1, n2, on the ports of conf/dledger in every release."""
    peers = tuple(
        PeerSpec(id=f"n{i}", listen_port=30911 + 10 * i, raft_port=40911 + i, uid=layout.BROKER_UID + i)
        for i in range(3)
    )
    return (NameServerSpec(uid=layout.NAMESERVER_UID),), (GroupSpec(peers=peers),)


def spare_nameservers() -> tuple[NameServerSpec, ...]:
    """namesrv1 and namesrv2 of the committed Compose file: off, for two other hosts, hence on the same port.

    Their hosts are placeholders, which nothing is rendered from.
    """
    return tuple(
        NameServerSpec(name=f"namesrv{i}", host=f"other-host-{i}", uid=layout.NAMESERVER_UID + i) for i in (1, 2)
    )


def pod_parts(
    *, base_port: int, peers: int, groups: int, nameservers: int, advertise: str
) -> tuple[tuple[NameServerSpec, ...], tuple[GroupSpec, ...]]:
    """``groups`` × ``peers`` brokers and their NameServers, upwards from ``base_port``."""
    rules.check_port("base_port", base_port)
    for what, number in (("peers", peers), ("groups", groups), ("nameservers", nameservers)):
        if number < 1:
            raise SpecError(f"{what}={number} leaves nothing to start", hint=f"give {what} of 1 or more")
    if nameservers > layout.SLOT_SIZE:
        raise SpecError(f"nameservers={nameservers} in a pod", hint=f"give at most {layout.SLOT_SIZE}")
    top = base_port + layout.pod_ports_needed(peers=peers, groups=groups, nameservers=nameservers) - 1
    rules.check_port(f"base_port={base_port}: the last port of {groups} × {peers} brokers", top)
    servers = tuple(
        NameServerSpec(name=f"namesrv{i}", host=advertise, port=base_port + i, uid=layout.NAMESERVER_UID + i)
        for i in range(nameservers)
    )
    group_specs = tuple(
        GroupSpec(
            name=f"RaftNode{g:02d}",
            peers=tuple(_pod_peer(base_port, p, g * peers + p, advertise) for p in range(peers)),
        )
        for g in range(groups)
    )
    return servers, group_specs


def _pod_peer(base_port: int, place: int, number: int, advertise: str) -> PeerSpec:
    slot = layout.slot(base_port, number)
    return PeerSpec(
        id=f"n{place}",
        listen_port=slot.listen,
        raft_port=slot.raft,
        host=advertise,
        raft_host=layout.LOOPBACK,  # the group's own traffic never leaves the pod
        uid=layout.BROKER_UID + number,
    )
