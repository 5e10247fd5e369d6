"""Findings about a Raft group: its peers, their ids, and whether its members agree."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from rmqkit.errors import SpecError
from rmqkit.topology import rules
from rmqkit.topology.doctor.model import Case, is_loopback
from rmqkit.topology.doctor.registry import Register, Seen, Severity

finding: Final = Register()
_ID = re.compile(r"[A-Za-z](0|[1-9][0-9]*)")


@finding(
    "peers-missing",
    Severity.ERROR,
    what="dLegerPeers, dLegerGroup or dLegerSelfId is not set",
    why="with enableDLegerCommitLog the broker takes all three as they are; without one it ends with a "
    "NullPointerException at start, or stands alone (DLedgerCommitLog, MemberState)",
    mend="set dLegerGroup, dLegerPeers and dLegerSelfId",
)
def _peers_missing(case: Case) -> Iterator[Seen]:
    for member in case.members:
        if member.get("enableDLegerCommitLog") == "true":
            for key in ("dLegerGroup", "dLegerPeers", "dLegerSelfId"):
                if not member.get(key):
                    yield member.where(key), f"{key} is not set"


@finding(
    "malformed-peers",
    Severity.ERROR,
    what="dLegerPeers is not id-host:port;id-host:port;…",
    why="MemberState splits it at ';' and '-', the address at ':': the broker ends at its start with an "
    "ArrayIndexOutOfBoundsException or StringIndexOutOfBoundsException that names no key (MemberState)",
    mend="write n0-10.0.0.1:40911;n1-10.0.0.2:40912;n2-10.0.0.3:40913: a '-' after each id, a port for each, no blanks",
)
def _malformed(case: Case) -> Iterator[Seen]:
    for member in case.members:
        text = member.get("dLegerPeers")
        if text and member.peers is None:
            yield member.where("dLegerPeers"), f"dLegerPeers={text}"


@finding(
    "duplicate-peer-id",
    Severity.ERROR,
    what="two peers of dLegerPeers have one id",
    why="the peers are put into a map by id: the last one wins, and the group is smaller than it looks, with a "
    "smaller quorum (MemberState.peerMap)",
    mend="give each peer its own id: n0, n1, n2",
)
def _duplicate_id(case: Case) -> Iterator[Seen]:
    for member in case.members:
        counted = Counter(peer.id for peer in member.peers or ())
        for peer_id, times in counted.items():
            if times > 1:
                yield member.where("dLegerPeers"), f"{peer_id} is there {times} times"


@finding(
    "duplicate-peer-address",
    Severity.ERROR,
    what="two peers of dLegerPeers have one address",
    why="one process would be counted as two votes, the other never gets an entry (DLedgerEntryPusher sends by "
    "address): a majority is then no majority of stores",
    mend="give each peer the address and port that it alone listens on",
)
def _duplicate_address(case: Case) -> Iterator[Seen]:
    for member in case.members:
        counted = Counter(peer.address for peer in member.peers or ())
        for address, times in counted.items():
            if times > 1:
                yield member.where("dLegerPeers"), f"{address} is there {times} times"


@finding(
    "self-id-malformed",
    Severity.ERROR,
    what="dLegerSelfId is not one letter and a number",
    why="a follower's brokerId is the number after the first character, plus one: anything else ends the broker at its "
    "start with a NumberFormatException that names no key (DLedgerCommitLog)",
    mend="use n0, n1, n2, …",
)
def _self_id_malformed(case: Case) -> Iterator[Seen]:
    for member in case.members:
        text = member.get("dLegerSelfId")
        if text and not _ID.fullmatch(text):
            yield member.where("dLegerSelfId"), f"dLegerSelfId={text}"


@finding(
    "self-id-not-a-peer",
    Severity.ERROR,
    what="dLegerSelfId is none of the ids in dLegerPeers",
    why="the broker looks its own address up by that id, and ends at its start: with a NullPointerException that names "
    "no key (DLedger 0.1, MemberState.getSelfAddr), later with «fail to init self address» (DLedgerConfig)",
    mend="set dLegerSelfId to the id that this machine's address has in dLegerPeers",
)
def _self_id_not_a_peer(case: Case) -> Iterator[Seen]:
    for member in case.members:
        own = member.get("dLegerSelfId")
        if own and member.peers and member.own_peer is None:
            ids = ", ".join(peer.id for peer in member.peers)
            yield member.where("dLegerSelfId"), f"dLegerSelfId={own}, the peers are {ids}"


@finding(
    "duplicate-self-id",
    Severity.ERROR,
    what="two members of a group have one dLegerSelfId",
    why="both vote and take entries under one name, on one host even with one Raft port (BindException); their peers "
    "talk to whichever has the address (DLedgerServer, by remoteId)",
    mend="give each member its own id; it is the line that has to differ after copying a file",
)
def _duplicate_self_id(case: Case) -> Iterator[Seen]:
    for members in case.groups().values():
        first: dict[str, str] = {}
        for member in members:
            own = member.get("dLegerSelfId")
            if own and own in first:
                yield member.where("dLegerSelfId"), f"dLegerSelfId={own}, as in {first[own]}"
            first.setdefault(own, member.where("dLegerSelfId"))


@finding(
    "peers-differ",
    Severity.ERROR,
    what="members of one group have different dLegerPeers",
    why="each counts its own majority: two leaders can be elected, or none, and no error says so (MemberState, "
    "DLedgerLeaderElector)",
    mend="copy one text into every member's file",
)
def _peers_differ(case: Case) -> Iterator[Seen]:
    for members in case.groups().values():
        for member in members[1:]:
            mine, first = (set(each.get("dLegerPeers").split(";")) for each in (member, members[0]))
            if mine != first:
                there = members[0].where("dLegerPeers")
                only = f"only here: {';'.join(sorted(mine - first)) or 'none'}"
                yield (
                    member.where("dLegerPeers"),
                    f"{only}; only at {there}: {';'.join(sorted(first - mine)) or 'none'}",
                )


@finding(
    "even-replicas",
    Severity.WARNING,
    what="a group has an even number of replicas",
    why="four stand no more failures than three, and two none: a majority of 4 is 3, of 2 is 2 (MemberState.isQuorum)",
    mend="use three replicas, or five",
)
def _even(case: Case) -> Iterator[Seen]:
    for members in case.groups().values():
        for member in members[:1]:
            peers = member.peers or ()
            if peers and len(peers) % 2 == 0:
                yield member.where("dLegerPeers"), f"{len(peers)} replicas"


@finding(
    "single-replica",
    Severity.WARNING,
    what="a group has one replica",
    why="with it down nothing of the group works, and its disk is the only copy: Raft brings nothing",
    mend="use three replicas on three hosts",
)
def _single(case: Case) -> Iterator[Seen]:
    for members in case.groups().values():
        for member in members[:1]:
            if len(member.peers or ()) == 1:
                yield member.where("dLegerPeers"), "one replica"


@finding(
    "replicas-share-a-host",
    Severity.WARNING,
    what="two replicas of a group lie on one host",
    why="that host's end takes both: of three replicas the third alone is no majority, and the group stops",
    mend="put each replica on a host of its own (`share_hosts` in a specification is for staging)",
)
def _share(case: Case) -> Iterator[Seen]:
    for members in case.groups().values():
        for member in members[:1]:
            counted = Counter(peer.host for peer in member.peers or () if not is_loopback(peer.host))
            for host, times in counted.items():
                if times > 1:
                    yield member.where("dLegerPeers"), f"{times} replicas on {host}"


@finding(
    "loopback-beside-addresses",
    Severity.ERROR,
    what="dLegerPeers has a loopback address beside others",
    why="each member takes it for itself: nobody else ever reaches that peer, and the group lacks it from the start",
    mend="write the address that all other hosts reach it at",
)
def _mixed(case: Case) -> Iterator[Seen]:
    for member in case.members:
        local = [peer for peer in member.peers or () if is_loopback(peer.host)]
        if local and member.spans_hosts:
            yield member.where("dLegerPeers"), ", ".join(f"{peer.id}-{peer.address}" for peer in local)


@finding(
    "dashed-host",
    Severity.ERROR,
    what="a host in dLegerPeers contains '-' and the edition's DLedger cuts it there",
    why="DLedger 0.1 splits each peer at every '-' and takes the second part: it looks for the peer at a wrong host "
    "(MemberState; mended in RocketMQ 4.9.5)",
    mend="write the IP address",
)
def _dashed(case: Case) -> Iterator[Seen]:
    for member in case.members:
        for peer in member.peers or ():
            try:
                rules.check_dash_free("host", peer.host, edition=member.edition or "unknown")
            except SpecError:
                version = member.edition or "unknown edition"
                yield member.where("dLegerPeers"), f"{peer.host} ({version})"
