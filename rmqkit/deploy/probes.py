"""Asks this machine and the network for what the doctor judges: addresses, ports, disks, memory, limits, clocks, peers.

What belongs here: how each fact is asked for. What does not: what is wrong with it (``topology/doctor/machine.py``).
Linux only: the facts come from /proc, statvfs and adjtimex.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import re
import resource
import time
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Final, Protocol

from rmqkit.client.broker import BrokerClient
from rmqkit.errors import MachineError, RmqkitError
from rmqkit.topology.doctor.model import MachineFacts, Member, NetworkFacts, StoreFacts, identity
from rmqkit.transport.dial import parse_address
from rmqkit.transport.pool import ChannelPool

_TIME_ERROR: Final = 5
"""What adjtimex returns while the clock is not synchronised (adjtimex(2))."""
_LISTEN: Final = "0A"
ENGINE_ROOT: Final = "/var/lib/docker"
_RUNTIME = re.compile(r"(\d+) days, (\d+) hours, (\d+) minutes, (\d+) seconds")


class Machine(Protocol):
    """One machine that can be asked."""

    def facts(self, members: Sequence[Member]) -> MachineFacts:
        """What the checks want to know, for the members that are meant for it."""
        ...


class Network(Protocol):
    """A place from which peers can be asked."""

    def facts(self, members: Sequence[Member]) -> NetworkFacts:
        """Who is reached, and how far brokers' clocks are off."""
        ...


class LocalMachine:
    """This machine. ``proc`` is where the kernel's files are, the others Docker's own."""

    def __init__(
        self,
        proc: Path = Path("/proc"),
        engine_pid: Path = Path("/var/run/docker.pid"),
        engine_settings: Path = Path("/etc/docker/daemon.json"),
    ) -> None:
        self._proc = proc
        self._engine_pid = engine_pid
        self._engine_settings = engine_settings

    def facts(self, members: Sequence[Member]) -> MachineFacts:
        """Everything at once; raises :class:`MachineError` where this is not Linux."""
        if not (self._proc / "meminfo").is_file():
            raise MachineError(
                "this machine has no /proc", hint="run the doctor with --machine on the Linux host itself"
            )
        stores = {store_of(member) for member in members} - {""}
        return MachineFacts(
            name=platform.node() or "this machine",
            addresses=self.addresses(),
            memory_mb=self.memory_mb(),
            cores=len(os.sched_getaffinity(0)),
            nofile_hard=file_limit(),
            engine_nofile=self.engine_file_limit(),
            ephemeral=self.ephemeral(),
            reserved=self.reserved(),
            listening=self.listening(),
            stores={store: facts for store in sorted(stores) if (facts := self.store(self._place(store))) is not None},
            clock_synchronised=clock_synchronised(),
            here=frozenset(identity(member) for member in members),
        )

    def addresses(self) -> frozenset[str]:
        """Every IPv4 address of this machine's interfaces (in this network namespace)."""
        found: set[str] = set()
        last = ""
        for line in self._read("net/fib_trie").splitlines():
            match = re.search(r"\|-- ([0-9.]+)", line)
            if match:
                last = match[1]
            elif "/32 host LOCAL" in line:
                found.add(last)
        return frozenset(found)

    def memory_mb(self) -> int:
        """All of the machine's memory, MiB."""
        match = re.search(r"^MemTotal:\s+(\d+) kB", self._read("meminfo"), re.MULTILINE)
        return int(match[1]) // 1024 if match else 0

    def ephemeral(self) -> tuple[int, int]:
        """The range from which the kernel takes ports for outgoing connections."""
        low, high = self._read("sys/net/ipv4/ip_local_port_range").split()
        return int(low), int(high)

    def reserved(self) -> frozenset[int]:
        """The ports that are kept out of that range."""
        found: set[int] = set()
        for part in self._read("sys/net/ipv4/ip_local_reserved_ports").strip().split(","):
            if part:
                low, _, high = part.partition("-")
                found.update(range(int(low), int(high or low) + 1))
        return frozenset(found)

    def listening(self) -> frozenset[int]:
        """Every TCP port that something listens on."""
        found = set()
        for table in ("net/tcp", "net/tcp6"):
            for line in self._read(table, missing="").splitlines()[1:]:
                fields = line.split()
                if len(fields) > 3 and fields[3] == _LISTEN:
                    found.add(int(fields[1].rpartition(":")[2], 16))
        return frozenset(found)

    def engine_file_limit(self) -> int | None:
        """The hard limit of open files of Docker's engine, which its containers cannot exceed; None without it."""
        try:
            pid = self._engine_pid.read_text(encoding="ascii").strip()
        except OSError:
            return None
        match = re.search(r"^Max open files\s+\S+\s+(\d+)", self._read(f"{pid}/limits", missing=""), re.MULTILINE)
        return int(match[1]) if match else None

    def store(self, path: str) -> StoreFacts | None:
        """The file system that ``path`` is on, or will be on; None where nothing of it can be asked."""
        folder = Path(path)
        try:
            while not folder.exists() and folder != folder.parent:
                folder = folder.parent
            real = folder.resolve()
            room = os.statvfs(real)
        except OSError:
            return None
        return StoreFacts(self._fstype(real), room.f_blocks * room.f_frsize, room.f_bavail * room.f_frsize)

    def _place(self, store: str) -> str:
        """The directory of a store; a named volume lies below the engine's own."""
        if store.startswith("/"):
            return store
        try:
            known = json.loads(self._engine_settings.read_text(encoding="utf-8"))
            root = str(known.get("data-root") or ENGINE_ROOT)
        except (OSError, ValueError, AttributeError):
            root = ENGINE_ROOT
        return f"{root}/volumes"

    def _fstype(self, real: Path) -> str:
        best, fstype = "", "unknown"
        for line in self._read("self/mountinfo").splitlines():
            left, _, right = line.partition(" - ")
            mount = left.split()[4].encode().decode("unicode_escape")
            inside = mount == "/" or str(real) == mount or str(real).startswith(f"{mount}/")
            if inside and len(mount) >= len(best):  # the last one of a place is what is seen there
                best, fstype = mount, right.split()[0]
        return fstype

    def _read(self, name: str, *, missing: str | None = None) -> str:
        try:
            return (self._proc / name).read_text(encoding="ascii", errors="replace")
        except OSError as error:
            if missing is not None:
                return missing
            raise MachineError(
                f"{self._proc / name} cannot be read: {error}", hint="run it on the host itself"
            ) from None


class ReachedNetwork:
    """The network as seen from here: TCP connections, and brokers' own words for the time."""

    def __init__(self, *, timeout_s: float = 3.0) -> None:
        self._timeout_s = timeout_s

    def facts(self, members: Sequence[Member]) -> NetworkFacts:
        """Connect to every Raft address, NameServer and broker of ``members`` at once; ask those brokers the time."""
        brokers = _valid({f"{member.get('brokerIP1')}:{member.listen_port}" for member in members})
        others = {peer.address for member in members for peer in member.peers or ()}
        others |= {address for member in members for address in member.get("namesrvAddr").split(";")}
        wanted = sorted(_valid(others) | brokers)
        with ChannelPool(connect_timeout_s=self._timeout_s) as pool:
            failed = pool.connect_all(wanted, timeout_s=self._timeout_s)
            offsets = {}
            for address in sorted(brokers - set(failed)):
                offset = clock_offset(pool, address, timeout_s=self._timeout_s)
                if offset is not None:
                    offsets[address] = offset
        failures = {address: error.what.partition("(")[2].rpartition(",")[0] for address, error in failed.items()}
        return NetworkFacts(frozenset(wanted), failures, offsets)


def clock_offset(pool: ChannelPool, address: str, *, timeout_s: float) -> tuple[float, float] | None:
    """How far a broker's clock may be ahead of ours, least and most, in seconds; None where it does not say.

    Its time is bootTimestamp plus runtime, which it writes in whole seconds (StoreStatsService.getFormatRuntime).
    """
    before = time.time()
    try:
        info = BrokerClient(pool, address, timeout_s=timeout_s).runtime_info()
        after = time.time()
        match = _RUNTIME.search(info.table.get("runtime", ""))
        if match is None:
            return None
        days, hours, minutes, seconds = map(int, match.groups())
        now = info.boot_ms / 1000 + ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    except RmqkitError:
        return None
    return now - after, now + 1 - before


def store_of(member: Member) -> str:
    """A member's store: a directory, or the name of a volume."""
    volume = member.process.get("@store")
    return volume.value if volume else member.get("storePathRootDir")


def file_limit() -> int:
    """The hard limit of open files that a process started here has."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return 2**31 - 1 if hard == resource.RLIM_INFINITY else hard


def clock_synchronised() -> bool | None:
    """Whether the kernel calls its clock synchronised; None where it cannot be asked."""
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return None
    room = ctypes.create_string_buffer(512)  # struct timex is 208 bytes on 64-bit Linux; modes 0 only reads
    state = adjtimex(room)
    return None if state < 0 else state != _TIME_ERROR


def members_of_this_machine(members: Sequence[Member], *, host: str | None, addresses: Collection[str]) -> list[Member]:
    """The members that are meant for this machine: of the named host, or the only ones, or those with its address."""
    if host is not None:
        return [member for member in members if host in (member.host, member.machine)]
    if len({(member.view, member.machine) for member in members}) <= len({member.view for member in members}):
        return list(members)
    return [member for member in members if (own := member.own_peer) is not None and own.host in addresses]


def _valid(addresses: Iterable[str]) -> set[str]:
    found = set()
    for address in addresses:
        try:
            parse_address(address)
        except RmqkitError:
            continue
        found.add(address)
    return found
