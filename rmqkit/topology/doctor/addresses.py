"""Findings about addresses: what a broker advertises, which NameServers it knows, and names that must agree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from rmqkit.topology.doctor.model import Case, is_bridge, is_loopback
from rmqkit.topology.doctor.registry import Register, Seen, Severity

finding: Final = Register()
_ADDRESS = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?:[0-9]{1,5}")


@finding(
    "broker-ip-missing",
    Severity.ERROR,
    what="brokerIP1 is not set",
    why="the broker then advertises the first interface that it finds, often docker0's; followers fetch topics and "
    "offsets from there, so that they are lost at the first failover (RemotingUtil.getLocalAddress, SlaveSynchronize, "
    "#1057)",
    mend="set brokerIP1 to the address of this host that clients and the other hosts reach",
)
def _missing(case: Case) -> Iterator[Seen]:
    for member in case.members:
        if not member.get("brokerIP1"):
            yield member.where("brokerIP1"), "no brokerIP1"


@finding(
    "broker-ip-loopback",
    Severity.ERROR,
    what="brokerIP1 is a loopback address, while the group lies on several hosts",
    why="messages still replicate (dLegerPeers is another path) and all looks well; but clients elsewhere get an "
    "address of their own machine, and followers fetch no topics and offsets (SlaveSynchronize)",
    mend="set brokerIP1 to this host's address in dLegerPeers",
)
def _loopback(case: Case) -> Iterator[Seen]:
    for member in case.members:
        address = member.get("brokerIP1")
        if is_loopback(address) and member.spans_hosts:
            yield member.where("brokerIP1"), f"brokerIP1={address}"


@finding(
    "broker-ip-bridge",
    Severity.ERROR,
    what="brokerIP1 is docker0's address, or none that can be reached",
    why="172.17.0.0/16 is a bridge inside each machine: from any other host it leads to that host's own containers, "
    "or nowhere; clients hang until their time-out",
    mend="set brokerIP1 to the address of the host's own interface",
)
def _bridge(case: Case) -> Iterator[Seen]:
    for member in case.members:
        address = member.get("brokerIP1")
        if is_bridge(address):
            yield member.where("brokerIP1"), f"brokerIP1={address}"


@finding(
    "broker-ip-of-another-peer",
    Severity.ERROR,
    what="brokerIP1 is another peer's address",
    why="copied with the file: two brokers register one address, the NameServer drops one of them "
    "(RouteInfoManager.registerBroker), and it works until the first failover",
    mend="set brokerIP1 to this member's own address in dLegerPeers",
)
def _another(case: Case) -> Iterator[Seen]:
    for member in case.members:
        address, own = member.get("brokerIP1"), member.own_peer
        if own is None or address == own.host:
            continue
        for peer in member.peers or ():
            if peer.host == address:
                yield member.where("brokerIP1"), f"brokerIP1={address} is {peer.id}'s; {own.id} is at {own.host}"
                break


@finding(
    "namesrv-missing",
    Severity.ERROR,
    what="namesrvAddr is not set",
    why="the broker starts and elects a leader, and registers nowhere: no client finds it (BrokerOuterAPI)",
    mend="set namesrvAddr to all NameServers: a:9876;b:9876;c:9876 (or NAMESRV_ADDR in its environment)",
)
def _namesrv_missing(case: Case) -> Iterator[Seen]:
    for member in case.members:
        if not member.get("namesrvAddr"):
            yield member.where("namesrvAddr"), "no namesrvAddr"


@finding(
    "namesrv-malformed",
    Severity.ERROR,
    what="namesrvAddr is not host:port;host:port",
    why="only ';' separates; a comma passes the check at start, as it looks at the last ':' alone "
    "(RemotingUtil.string2SocketAddress), and then no NameServer is ever reached; without a port it exits with -3",
    mend="write 10.0.0.1:9876;10.0.0.2:9876;10.0.0.3:9876",
)
def _namesrv_malformed(case: Case) -> Iterator[Seen]:
    for member in case.members:
        text = member.get("namesrvAddr")
        if text and not all(_ADDRESS.fullmatch(address) for address in text.split(";")):
            yield member.where("namesrvAddr"), f"namesrvAddr={text}"


@finding(
    "namesrv-loopback",
    Severity.ERROR,
    what="namesrvAddr is a loopback address, while the group lies on several hosts",
    why="each broker registers with its own machine's NameServer alone: clients see one broker of three, and after a "
    "failover the wrong one",
    mend="list every NameServer by the address that all hosts reach",
)
def _namesrv_loopback(case: Case) -> Iterator[Seen]:
    for member in case.members:
        hosts = [address.rpartition(":")[0] for address in member.get("namesrvAddr").split(";")]
        if member.spans_hosts and any(is_loopback(host) for host in hosts):
            yield member.where("namesrvAddr"), f"namesrvAddr={member.get('namesrvAddr')}"


@finding(
    "namesrv-differ",
    Severity.ERROR,
    what="brokers know different NameServers",
    why="NameServers do not talk to each other: one that a broker does not register with sends clients to the others "
    "only, so that what they see depends on whom they ask (BrokerOuterAPI.registerBrokerAll)",
    mend="give every broker the whole list",
)
def _namesrv_differ(case: Case) -> Iterator[Seen]:
    for view in dict.fromkeys(member.view for member in case.members):
        members = [member for member in case.members if member.view == view and member.get("namesrvAddr")]
        lists = [set(member.get("namesrvAddr").split(";")) for member in members]
        whole = set().union(*lists)
        for member, known in zip(members, lists, strict=True):
            if known != whole:
                yield member.where("namesrvAddr"), f"not in it: {', '.join(sorted(whole - known))}"


@finding(
    "namesrv-one-of-several",
    Severity.ERROR,
    what="namesrvAddr lacks a NameServer that there is",
    why="that NameServer never hears of the broker, and clients that ask it find none (RouteInfoManager)",
    mend="list every NameServer, ';' between them",
)
def _one_of_several(case: Case) -> Iterator[Seen]:
    for member in case.members:
        known = [address for address in member.get("namesrvAddr").split(";") if address]
        servers = [server for server in case.servers if server.view == member.view]
        if known and len(known) < len(servers):
            yield member.where("namesrvAddr"), f"{len(known)} of {len(servers)}: {';'.join(known)}"


@finding(
    "namesrv-single",
    Severity.WARNING,
    what="a group on several hosts knows one NameServer",
    why="with its host down no client gets a route, and no change of leader is published, however healthy the group",
    mend="run a NameServer on three hosts and list all three",
)
def _single(case: Case) -> Iterator[Seen]:
    for members in case.groups().values():
        for member in members[:1]:
            known = [address for address in member.get("namesrvAddr").split(";") if address]
            if member.spans_hosts and len(known) == 1:
                yield member.where("namesrvAddr"), f"namesrvAddr={known[0]}"


@finding(
    "group-is-not-broker-name",
    Severity.WARNING,
    what="dLegerGroup is not brokerName",
    why="RocketMQ's guide wants them alike; apart, logs and METADATA name one, routes and mqadmin the other, and a "
    "copied file joins the wrong group by a line that nobody compares",
    mend="set both to the same, such as RaftNode00",
)
def _group_name(case: Case) -> Iterator[Seen]:
    for member in case.members:
        group, name = member.get("dLegerGroup"), member.get("brokerName")
        if group and name and group != name:
            yield member.where("dLegerGroup"), f"dLegerGroup={group}, brokerName={name}"


@finding(
    "broker-names-differ",
    Severity.ERROR,
    what="members of one group have different brokerName",
    why="a route names the brokerName: after a failover the queues are under another name, consumers start anew there "
    "and producers' queues are gone (RouteInfoManager)",
    mend="give every member of the group one brokerName",
)
def _names_differ(case: Case) -> Iterator[Seen]:
    for members in case.groups().values():
        for member in members[1:]:
            if member.get("brokerName") != members[0].get("brokerName"):
                first = members[0]
                seen = (
                    f"brokerName={member.get('brokerName')}, {first.where('brokerName')} has {first.get('brokerName')}"
                )
                yield member.where("brokerName"), seen


@finding(
    "cluster-names-differ",
    Severity.ERROR,
    what="brokers have different brokerClusterName",
    why="mqadmin and clients that ask by cluster see a part of the brokers; after a failover a group may move to "
    "another cluster (RouteInfoManager.clusterAddrTable)",
    mend="give every broker of the cluster one brokerClusterName",
)
def _clusters_differ(case: Case) -> Iterator[Seen]:
    for view in dict.fromkeys(member.view for member in case.members):
        members = [member for member in case.members if member.view == view]
        first = members[0]
        for member in members[1:]:
            mine, other = (
                member.get("brokerClusterName", "DefaultCluster"),
                first.get("brokerClusterName", "DefaultCluster"),
            )
            if mine != other:
                yield member.where("brokerClusterName"), f"{mine}, {first.where('brokerClusterName')} has {other}"
