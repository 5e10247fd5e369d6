"""Findings about what brokers of one machine may not share: ports, stores, users."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rmqkit.topology.doctor.model import Case, Member
from rmqkit.topology.doctor.registry import Register, Seen, Severity
from rmqkit.topology.layout import HA_OFFSET, VIP_OFFSET

finding: Final = Register()
_VOLATILE = ("/dev/shm", "/run", "/var/run")  # noqa: S108 - looked for, not used
_SWEPT = ("/tmp", "/var/tmp")  # noqa: S108 - looked for, not used


def claimed_ports(member: Member) -> dict[int, str]:
    """The ports that a broker takes, with what for."""
    listen = member.listen_port
    ports = {
        listen: "listenPort",
        listen - VIP_OFFSET: f"listenPort-{VIP_OFFSET}",
        listen + HA_OFFSET: f"listenPort+{HA_OFFSET}",
    }
    own = member.own_peer
    if own is not None and own.port in ports:
        ports[own.port] += " and the Raft port"
    elif own is not None:
        ports[own.port] = "the Raft port"
    return ports


@finding(
    "port-clash",
    Severity.ERROR,
    what="two processes of one machine claim one port",
    why="a broker opens listenPort and listenPort-2, keeps listenPort+1, and opens its Raft port: the one that starts "
    "second ends with a BindException (NettyRemotingServer; fastListenPort in BrokerController)",
    mend="keep listen ports 10 apart, and Raft ports away from them",
)
def _clash(case: Case) -> Iterator[Seen]:
    taken: dict[tuple[str, str | None, int], str] = {}
    for server in case.servers:
        key = (server.view, server.host, server.port)
        if key in taken:
            yield server.where, f"port {server.port} is that of {taken[key]} too"
        taken.setdefault(key, server.name)
    for member in case.members:
        for port, what in claimed_ports(member).items():
            if " and " in what:
                yield member.where("listenPort"), f"port {port} is {what}"
            key = (member.view, member.machine, port)
            if key in taken:
                yield member.where("listenPort"), f"port {port} ({what}) is that of {taken[key]} too"
            taken.setdefault(key, f"{member.name} ({what})")


@finding(
    "port-invalid",
    Severity.ERROR,
    what="listenPort is no port that leaves room for the ones beside it",
    why="listenPort-2 and listenPort+1 are ports too; what is no number is skipped, and the broker listens on 10911 "
    "(MixAll.properties2Object)",
    mend="use 3 to 65534, such as 30911",
)
def _invalid(case: Case) -> Iterator[Seen]:
    for member in case.members:
        text = member.get("listenPort")
        if text and not (text.isascii() and text.isdigit() and VIP_OFFSET < int(text) < 65535):
            yield member.where("listenPort"), f"listenPort={text}"


@finding(
    "store-shared",
    Severity.ERROR,
    what="two brokers of one machine have one store",
    why="the second ends with «Lock failed,MQ already started» (DefaultMessageStore.start); where the lock does not "
    "hold, both write one consume queue",
    mend="give each broker a storePathRootDir (a volume) of its own",
)
def _shared(case: Case) -> Iterator[Seen]:
    taken: dict[tuple[str, str | None, str], str] = {}
    for member in case.members:
        volume = member.process.get("@store")
        path = volume.value if volume else member.get("storePathRootDir").rstrip("/")
        where = volume.where if volume else member.where("storePathRootDir")
        if path:
            key = (member.view, member.machine, path)
            if key in taken:
                yield where, f"{path} is the store of {taken[key]} too"
            taken.setdefault(key, member.name)


@finding(
    "store-default",
    Severity.WARNING,
    what="storePathRootDir is not set",
    why="the store is then ~/store of whoever starts the broker: another user, or sudo, begins with an empty one, and "
    "two brokers of one user share it (MessageStoreConfig)",
    mend="set storePathRootDir to a directory of this broker alone",
)
def _default(case: Case) -> Iterator[Seen]:
    for member in case.members:
        if not member.get("storePathRootDir"):
            yield member.where("storePathRootDir"), "no storePathRootDir"


@finding(
    "store-volatile",
    Severity.ERROR,
    what="the store lies in memory (/dev/shm, /run)",
    why="it is empty after a reboot: the peer returns without its votes and messages, and can elect a leader that "
    "lacks what was acknowledged (MemberState.loadTerm reads currterm from there)",
    mend="put it on a disk",
)
def _volatile(case: Case) -> Iterator[Seen]:
    yield from _below(case, _VOLATILE)


@finding(
    "store-in-tmp",
    Severity.WARNING,
    what="the store lies below /tmp",
    why="the tutorial's store (rmqstore) lies there: reboots and sweepers of old files (systemd-tmpfiles) empty it, "
    "and votes and messages go with it",
    mend="use a directory such as /srv/rocketmq/n0",
)
def _in_tmp(case: Case) -> Iterator[Seen]:
    yield from _below(case, _SWEPT)


@finding(
    "dledger-off",
    Severity.ERROR,
    what="dLeger keys are set, but enableDLegerCommitLog is not true",
    why="the broker then runs without Raft, as a master of its own: three of them accept and lose messages each for "
    "itself (MessageStoreConfig: the default is false)",
    mend="set enableDLegerCommitLog=true",
)
def _off(case: Case) -> Iterator[Seen]:
    for member in case.members:
        if member.get("dLegerPeers") and member.get("enableDLegerCommitLog").lower() != "true":
            seen = member.get("enableDLegerCommitLog") or "not set"
            yield member.where("enableDLegerCommitLog"), f"enableDLegerCommitLog: {seen}"


def _below(case: Case, folders: tuple[str, ...]) -> Iterator[Seen]:
    for member in case.members:
        volume = member.process.get("@store")
        path = volume.value if volume else member.get("storePathRootDir")
        if any(path == folder or path.startswith(f"{folder}/") for folder in folders):
            yield (volume.where if volume else member.where("storePathRootDir")), path
