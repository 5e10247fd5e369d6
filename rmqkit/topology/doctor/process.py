"""Findings about what Docker is told of a process: memory, limits, user, stop time, and the files that it needs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from rmqkit.topology.doctor.model import Case, Member, Server, Setting
from rmqkit.topology.doctor.registry import Register, Seen, Severity, noted

finding: Final = Register()
_SIZE = re.compile(r"([0-9]{1,18})([kmgb]?)b?", re.IGNORECASE | re.ASCII)
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_UNITS: Final = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30}
SLOWEST_STOP_S: Final = 15
USUAL_FILES: Final = 16384
ROOM_FOR_CACHE: Final = 0.25
_OWN_FILES: Final = ("tls.config.file", "tls.server.certPath", "tls.server.keyPath", "tls.server.trustCertPath")


def size_bytes(text: str) -> int | None:
    """``512m``, ``8g``, ``28gb``, ``1024`` in bytes; None where it is none."""
    match = _SIZE.fullmatch(text.strip())
    return int(match[1]) * _UNITS[match[2].lower()] if match else None


def seconds(text: str) -> float | None:
    """``30s``, ``1m30s``; None where it is none."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def whole(text: str) -> int | None:
    """A whole number; None where it is none."""
    return int(text) if text.isascii() and text.isdigit() else None


def wanted_bytes(process: Mapping[str, Setting]) -> int:
    """Heap and direct memory of one process; direct memory is like the heap where nothing is said (image's rule)."""
    heap = _value(process, "@heap")
    direct = _value(process, "@direct")
    return heap + (direct or heap)


def _value(process: Mapping[str, Setting], key: str) -> int:
    return (size_bytes(process[key].value) or 0) if key in process else 0


def _processes(case: Case) -> Iterator[Member | Server]:
    yield from case.members
    yield from case.servers


@finding(
    "heap-over-limit",
    Severity.ERROR,
    what="heap and direct memory are more than the process' memory limit",
    why="the kernel kills it (exit code 137) under load, not at start: pages of the heap count when they are touched",
    mend="raise the memory limit, or lower heap and direct memory",
)
def _over_limit(case: Case) -> Iterator[Seen]:
    for item in _processes(case):
        limit, wanted = _value(item.process, "@memory"), wanted_bytes(item.process)
        if limit and wanted > limit:
            yield item.process["@heap"].where, f"{item.name}: {_mb(wanted)} of heap and direct memory in {_mb(limit)}"


@finding(
    "heap-over-memory",
    Severity.ERROR,
    what="heap and direct memory of a host's processes are more than its memory",
    why="the machine swaps, and a JVM that swaps misses Raft heartbeats: elections without a failure (DLedgerConfig: "
    "6 s)",
    mend="lower heaps, or put fewer brokers on the host",
)
def _over_memory(case: Case) -> Iterator[Seen]:
    for name, memory_mb, where, wanted in _sums(case):
        if wanted > memory_mb * 2**20:
            yield where, f"host {name}: {_mb(wanted)} of {memory_mb} MB"


@finding(
    "no-page-cache",
    Severity.WARNING,
    what="heap and direct memory leave less than a quarter of the memory for page cache",
    why="messages are written to and read from mapped files: without cache every consumer that lags reads from disk, "
    "in eights instead of thirty-twos (DefaultMessageStore.checkInDiskByCommitOffset)",
    mend="lower the heap: 8g is enough for any broker",
)
def _no_cache(case: Case) -> Iterator[Seen]:
    for item in case.members:
        limit, wanted = _value(item.process, "@memory"), wanted_bytes(item.process)
        if limit and limit * (1 - ROOM_FOR_CACHE) < wanted <= limit:
            yield item.process["@heap"].where, f"{item.name}: {_mb(wanted)} of {_mb(limit)}"
    for name, memory_mb, where, wanted in _sums(case):
        total = memory_mb * 2**20
        if total * (1 - ROOM_FOR_CACHE) < wanted <= total:
            yield where, f"host {name}: {_mb(wanted)} of {memory_mb} MB"


def _sums(case: Case) -> Iterator[tuple[str, int, str, int]]:
    """Each host of known size with what its processes want, in one view."""
    for host in case.hosts:
        for view in dict.fromkeys(item.view for item in _processes(case)):
            here = [item for item in _processes(case) if item.view == view and item.host == host.name]
            wanted = sum(wanted_bytes(item.process) for item in here)
            if wanted:
                yield host.name, host.memory_mb, host.where, wanted


@finding(
    "few-open-files",
    Severity.WARNING,
    what="the limit of open files is low",
    why="each store file, consume queue and connection takes one; beyond it the broker refuses connections and cannot "
    "roll its files (bin/os.sh of the distribution sets 655350)",
    mend="set RMQ_NOFILE=655350 (production), 16384 at least",
)
def _files(case: Case) -> Iterator[Seen]:
    for item in _processes(case):
        setting = item.process.get("@nofile")
        limit = whole(setting.value) if setting else None
        if setting and limit is not None and limit < USUAL_FILES:
            yield setting.where, f"{item.name}: {setting.value}"


@finding(
    "short-stop",
    Severity.WARNING,
    what="the stop grace period is shorter than a clean stop",
    why="a broker stops in 4 to 5 s, 5.3.2 in some 14 s; after that Docker kills it: the abort file stays, and the "
    "next start checks its last files and rebuilds their index (DefaultMessageStore.isTempFileExist)",
    mend="set RMQ_STOP_GRACE=30s",
)
def _stop(case: Case) -> Iterator[Seen]:
    for member in case.members:
        setting = member.process.get("@grace")
        given = seconds(setting.value) if setting else None
        if setting and given is not None and given < SLOWEST_STOP_S:
            yield setting.where, f"{member.name}: {setting.value}"


@finding(
    "no-restart",
    Severity.WARNING,
    what="processes are not started again after a reboot or an end",
    why="a peer that stays away unnoticed leaves a group of two, which the next failure stops",
    mend="set RMQ_RESTART=unless-stopped; `no` is for failover drills",
)
def _restart(case: Case) -> Iterator[Seen]:
    if case.staging:
        return
    for item in _processes(case):
        setting = item.process.get("@restart")
        if setting and setting.value in ("no", "false", ""):
            yield setting.where, f"{item.name}: restart {setting.value or 'not set'}"


@finding(
    "runs-as-root",
    Severity.ERROR,
    what="a process runs as root",
    why="with the host's network and a writable store; the image is made to run as any other user",
    mend="set its RMQ_…_UID to a number above 0",
)
def _root(case: Case) -> Iterator[Seen]:
    for item in _processes(case):
        setting = item.process.get("@user")
        if setting and setting.value.split(":")[0] in ("0", "root"):
            yield setting.where, f"{item.name}: user {setting.value}"


@finding(
    "shared-user",
    Severity.WARNING,
    what="two processes of one machine run as one user",
    why="each can write the other's store; and Raft links are told apart by user where partitions are tested",
    mend="give each its own RMQ_…_UID",
)
def _shared_user(case: Case) -> Iterator[Seen]:
    taken: dict[tuple[str, str | None, str], str] = {}
    items: list[Member | Server] = [*case.servers, *case.members]
    for item in items:
        setting = item.process.get("@user")
        machine = item.machine if isinstance(item, Member) else item.host
        if setting:
            key = (item.view, machine, setting.value)
            if key in taken:
                yield setting.where, f"{item.name} and {taken[key]}: user {setting.value}"
            taken.setdefault(key, item.name)


finding(
    "unknown-variable",
    Severity.ERROR,
    what="a RMQ_ variable in .env that the Compose file does not read",
    why="Compose says nothing about it, and the default stays: a mistyped RMQ_N1_HOST leaves the broker at 127.0.0.1",
    mend="write it as in compose/.env.example",
)(noted("unknown-variable"))

finding(
    "not-a-switch",
    Severity.ERROR,
    what="a variable that switches a process on or off is neither 0 nor 1",
    why="it is the number of replicas: two of them share one host's ports and one store (BindException, «Lock "
    "failed,MQ already started»)",
    mend="write 1 on the host that it runs on, and 0 on the others",
)(noted("not-a-switch"))

finding(
    "runs-nowhere",
    Severity.ERROR,
    what="a peer is in the group, but no host runs it",
    why="the group begins with one vote missing: the next failure leaves no majority",
    mend="set its variable to 1 on its host",
)(noted("runs-nowhere"))

finding(
    "runs-twice",
    Severity.ERROR,
    what="two hosts run the same peer",
    why="both vote and store under one id, each with a store of its own; peers reach only the one whose address they "
    "have (DLedgerServer), and both register under one broker id (RouteInfoManager)",
    mend="set its variable to 1 on one host alone",
)(noted("runs-twice"))

finding(
    "files-disagree",
    Severity.ERROR,
    what="broker.conf and .env of one host say different things of one broker",
    why="one of them was changed by hand: who starts from the other file gets a member with other peers or addresses",
    mend="change the specification and render both again",
)(noted("files-disagree"))

finding(
    "secret-readable",
    Severity.ERROR,
    what="a file with secrets can be read by everyone",
    why="whoever has an account on the host has the cluster's keys (plain_acl.yml, a private key, a password in .env)",
    mend="chmod 600, or 640 with the broker's group",
)(noted("secret-readable"))

finding(
    "nothing-runs",
    Severity.WARNING,
    what="a .env that switches every process off",
    why="`docker compose up` does nothing there, and says so in no way",
    mend="set what shall run on this host to 1, or take the host out of the specification",
)(noted("nothing-runs"))


@finding(
    "acl-file-missing",
    Severity.ERROR,
    what="aclEnable=true, and no plain_acl.yml of your own",
    why="RocketMQ's own conf/plain_acl.yml is then in force: accounts RocketMQ and rocketmq2 with the published "
    "password 12345678; without any file 4.5.x ends at its start (PlainPermissionLoader; PlainPermissionManager later)",
    mend="put plain_acl.yml beside broker.conf, or mount it at /opt/rocketmq/conf/plain_acl.yml",
)
def _acl(case: Case) -> Iterator[Seen]:
    for member in case.members:
        files = member.process.get("@files")
        present = files.value.split("\n") if files else []
        if member.get("aclEnable") == "true" and not any(path.endswith("plain_acl.yml") for path in present):
            yield member.where("aclEnable"), "aclEnable=true"


@finding(
    "tls-file-missing",
    Severity.ERROR,
    what="JVM options name a TLS file that is not there",
    why="a missing configuration file is skipped with a line in the log, and a missing certificate leaves the server "
    "without a context: clients with TLS are refused, those without are not (TlsHelper, tls.server.mode=permissive)",
    mend="mount the file under the path that the option names",
)
def _tls_file(case: Case) -> Iterator[Seen]:
    for item in _processes(case):
        options = item.process.get("@java-opts")
        files = item.process.get("@files")
        present = files.value.split("\n") if files else []
        for name in _OWN_FILES:
            for path in re.findall(rf"-D{re.escape(name)}=(\S+)", options.value if options else ""):
                if options and not any(path == known or path.startswith(f"{known}/") for known in present):
                    yield options.where, f"-D{name}={path}"


def _mb(size: int) -> str:
    return f"{size // 2**20} MB"
