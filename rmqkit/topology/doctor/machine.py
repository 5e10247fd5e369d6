"""Findings about a machine and the network, judged from facts that probes gathered (``deploy/probes.py``)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rmqkit.topology.doctor.model import Case, is_loopback
from rmqkit.topology.doctor.ports import claimed_ports
from rmqkit.topology.doctor.process import USUAL_FILES, wanted_bytes, whole
from rmqkit.topology.doctor.registry import Register, Seen, Severity
from rmqkit.topology.layout import HA_OFFSET

finding: Final = Register()
_IN_MEMORY: Final = ("tmpfs", "ramfs", "devtmpfs", "hugetlbfs")
SMALLEST_STORE: Final = 4 * 2**30
"""Two log files of 1 GiB, two index files of 160 MB, the message index, consume queues, offsets."""
CHECK_RATIO: Final = 0.70
CLEAN_RATIO: Final = 0.85
SKEW_S: Final = 2.0


@finding(
    "broker-ip-not-here",
    Severity.ERROR,
    what="brokerIP1 is no address of this machine",
    why="copied from another host: clients and followers go to that host, and it works until this one leads",
    mend="set brokerIP1 to an address that `ip addr` shows here",
)
def _not_here(case: Case) -> Iterator[Seen]:
    for member in case.members_here():
        address = member.get("brokerIP1")
        numeric = address.replace(".", "").isdigit()
        if case.machine and numeric and address not in case.machine.addresses and not is_loopback(address):
            yield member.where("brokerIP1"), f"{address}; here are {', '.join(sorted(case.machine.addresses))}"


@finding(
    "port-in-use",
    Severity.ERROR,
    what="something else listens on a port that the broker needs",
    why="the broker ends with a BindException. (Where all its ports are open, it is taken to be running already.)",
    mend="find it with `ss -tlnp`, and stop it or move the broker",
)
def _in_use(case: Case) -> Iterator[Seen]:
    for member in case.members_here():
        own = {port: what for port, what in claimed_ports(member).items() if port != member.listen_port + HA_OFFSET}
        open_ports = [port for port in own if case.machine and port in case.machine.listening]
        if open_ports and len(open_ports) < len(own):
            shown = ", ".join(f"{port} ({own[port]})" for port in open_ports)
            yield member.where("listenPort"), f"in use: {shown}"


@finding(
    "ephemeral-port",
    Severity.WARNING,
    what="a port lies in the range from which the kernel takes ports for outgoing connections",
    why="now and then such a connection has it when the broker starts: BindException, and with a restart policy a peer "
    "that comes late (40911-40913 of the tutorial lie in Linux' range)",
    mend="sysctl -w net.ipv4.ip_local_reserved_ports=40911-40913 (and in /etc/sysctl.d), or other ports",
)
def _ephemeral(case: Case) -> Iterator[Seen]:
    for member in case.members_here():
        assert case.machine is not None
        low, high = case.machine.ephemeral
        ports = [p for p in claimed_ports(member) if low <= p <= high and p not in case.machine.reserved]
        if ports:
            yield member.where("dLegerPeers"), f"{', '.join(map(str, ports))} in {low}-{high}"


@finding(
    "store-on-tmpfs",
    Severity.ERROR,
    what="the store's file system lives in memory",
    why="it is empty after a reboot, and under Docker after kill and start: the peer returns without votes and "
    "messages, and can make the group forget what was acknowledged (MemberState.loadTerm)",
    mend="put it on a disk",
)
def _tmpfs(case: Case) -> Iterator[Seen]:
    for where, path, fstype, _, _ in _stores(case):
        if fstype in _IN_MEMORY:
            yield where, f"{path} is on {fstype}"


@finding(
    "store-full",
    Severity.ERROR,
    what="the store's disk is fuller than 85 %",
    why="DLedger deletes its oldest files by force from 85 % on, acknowledged or not, consumed or not; from 90 % on "
    "appends are refused (DLedgerConfig.diskSpaceRatioToForceClean, DLedgerMmapFileStore.CleanSpaceService)",
    mend="make room, or move the store; `rmqkit size` says how much it wants",
)
def _full(case: Case) -> Iterator[Seen]:
    for where, path, _, total, free in _stores(case):
        if total and 1 - free / total > CLEAN_RATIO:
            yield where, f"{path}: {100 * (1 - free / total):.0f} % used"


@finding(
    "store-filling",
    Severity.WARNING,
    what="the store's disk is fuller than 70 %",
    why="expired files are deleted at once from there on, not at the hour of deleteWhen, in the middle of the traffic "
    "(DLedgerConfig.diskSpaceRatioToCheckExpired)",
    mend="make room, or shorten fileReservedTime",
)
def _filling(case: Case) -> Iterator[Seen]:
    for where, path, _, total, free in _stores(case):
        if total and CHECK_RATIO < 1 - free / total <= CLEAN_RATIO:
            yield where, f"{path}: {100 * (1 - free / total):.0f} % used"


@finding(
    "store-small",
    Severity.ERROR,
    what="less than 4 GiB are free for the store",
    why="log files of 1 GiB and index files of 160 MB are made ahead, sparse: the disk fills while all looks reserved, "
    "and a mapped write to a full disk ends the JVM with SIGBUS",
    mend="give it a disk of its own; `rmqkit size` says how much it wants",
)
def _small(case: Case) -> Iterator[Seen]:
    for where, path, _, _, free in _stores(case):
        if free < SMALLEST_STORE:
            yield where, f"{path}: {free // 2**20} MB free"


def _stores(case: Case) -> Iterator[tuple[str, str, str, int, int]]:
    for member in case.members_here():
        volume = member.process.get("@store")
        path = volume.value if volume else member.get("storePathRootDir")
        facts = case.machine.stores.get(path) if case.machine else None
        if facts:
            where = volume.where if volume else member.where("storePathRootDir")
            yield where, path, facts.fstype, facts.total, facts.free


@finding(
    "memory-short",
    Severity.ERROR,
    what="this machine has less memory than its brokers' heap and direct memory",
    why="it swaps or kills; a JVM that swaps misses Raft heartbeats, and elections follow",
    mend="lower RMQ_BROKER_HEAP and RMQ_BROKER_DIRECT",
)
def _memory(case: Case) -> Iterator[Seen]:
    for view in dict.fromkeys(member.view for member in case.members_here()):
        members = [member for member in case.members_here() if member.view == view and "@heap" in member.process]
        wanted = sum(wanted_bytes(member.process) for member in members)
        if case.machine and members and wanted > case.machine.memory_mb * 2**20:
            seen = f"{wanted // 2**20} MB wanted, {case.machine.memory_mb} MB there"
            yield members[0].process["@heap"].where, seen


@finding(
    "file-limit",
    Severity.ERROR,
    what="the limit of open files here is below what is asked for",
    why="a container that asks for more than its engine may give does not start; a broker started by hand runs out of "
    "files under load (bin/os.sh sets 655350)",
    mend="raise nofile in /etc/security/limits.conf (or LimitNOFILE of docker.service), or lower RMQ_NOFILE",
)
def _limit(case: Case) -> Iterator[Seen]:
    for member in case.members_here():
        setting = member.process.get("@nofile")
        wanted = (whole(setting.value) if setting else None) or USUAL_FILES
        assert case.machine is not None
        limit = case.machine.engine_nofile if setting else case.machine.nofile_hard
        if limit is not None and limit < wanted:
            where = setting.where if setting else f"{member.source}:1"
            yield where, f"{wanted} wanted, {limit} is the limit of {'the engine' if setting else 'this shell'}"


@finding(
    "clock-free-running",
    Severity.WARNING,
    what="this machine's clock is not synchronised",
    why="the kernel says so (adjtimex). Elections measure time by the wall clock (DLedgerUtils.elapsed), delayed "
    "messages and retention go by it: it must neither drift nor be set by hand",
    mend="run chrony or another NTP client on every host",
)
def _clock(case: Case) -> Iterator[Seen]:
    if case.machine and case.machine.clock_synchronised is False:
        yield case.machine.name, "not synchronised"


@finding(
    "peer-unreachable",
    Severity.ERROR,
    what="a peer's Raft address cannot be reached from here",
    why="a firewall, a wrong address, or a peer that is down: with two of three unreachable nobody is elected",
    mend="try `nc -vz HOST PORT`; open the Raft port between the hosts, and start the peer",
)
def _peer(case: Case) -> Iterator[Seen]:
    for member in case.members:
        for peer in member.peers or ():
            if case.network and peer.address in case.network.failures:
                yield member.where("dLegerPeers"), f"{peer.id} at {peer.address}: {case.network.failures[peer.address]}"


@finding(
    "namesrv-unreachable",
    Severity.ERROR,
    what="a NameServer cannot be reached from here",
    why="brokers do not register there, and clients that ask it get nothing",
    mend="try `nc -vz HOST 9876`; open the port, and start it",
)
def _namesrv(case: Case) -> Iterator[Seen]:
    for member in case.members:
        for address in member.get("namesrvAddr").split(";"):
            if case.network and address in case.network.failures:
                yield member.where("namesrvAddr"), f"{address}: {case.network.failures[address]}"


@finding(
    "clock-offset",
    Severity.ERROR,
    what="a broker's clock is more than 2 s off",
    why="store times, delayed messages, retention and reads by time go by the leader's clock: after a failover they "
    "jump by the difference (bootTimestamp and runtime of GET_BROKER_RUNTIME_INFO tell, within a second)",
    mend="synchronise all hosts with one NTP source",
)
def _offset(case: Case) -> Iterator[Seen]:
    for member in case.members:
        address = f"{member.get('brokerIP1')}:{member.listen_port}"
        if case.network and address in case.network.clock_offsets:
            low, high = case.network.clock_offsets[address]
            if low > SKEW_S or high < -SKEW_S:
                yield member.where("brokerIP1"), f"{address}: between {low:+.1f} and {high:+.1f} s"
