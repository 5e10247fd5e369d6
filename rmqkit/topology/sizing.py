"""How many hosts, disks, groups and how much network a load needs: arithmetic with its sources, no measuring.

What belongs here: the formula. What does not: printing it (``cli/size.py``), and why one would believe it
(``docs/scaling.md``).

Sources of the figures: DLedgerEntry.BODY_OFFSET (48), MessageDecoder (91 bytes of a stored message beside body, topic
and properties), ConsumeQueue.CQ_STORE_UNIT_SIZE (20), DLedgerMmapFileStore.INDEX_UNIT_SIZE (32), IndexFile (20 for each
key; UNIQ_KEY is always one), DLedgerConfig (0.70 and 0.85 of the disk).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from rmqkit.errors import UsageError

ENTRY_HEADER_BYTES: Final = 48
MESSAGE_HEADER_BYTES: Final = 91
CONSUME_QUEUE_BYTES: Final = 20
RAFT_INDEX_BYTES: Final = 32
KEY_INDEX_BYTES: Final = 20
USUAL_TOPIC_BYTES: Final = 20
USUAL_PROPERTIES_BYTES: Final = 100
"""UNIQ_KEY with its 32 digits, WAIT, CLUSTER, a key, a tag. `--properties-bytes` takes your own."""
DISK_SHARE: Final = 0.70
"""Fuller than that, DLedger deletes expired files at once; fuller than 0.85, the oldest, expired or not."""
FIXED_STORE_BYTES: Final = 4 * 2**30
MEASURED_GROUP_TPS: Final = 4_400
"""4.9.8, 128 B, 10 threads, synchronous, three brokers and the client together on two cores: what was measured with
this kit. A group on machines of its own does more; measure, and give --group-tps."""
NAMESERVERS: Final = 3
_GIB: Final = 2**30
_MBIT: Final = 1_000_000 / 8
RETENTION_SLACK_HOURS: Final = 25
"""Files are whole (1 GiB) and are deleted once a day (deleteWhen), an hour later than asked (fileReservedTime + 1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is asked for. ``tps``: messages a second at the peak; ``average``: share of it over the day (0 to 1)."""

    tps: float
    message_bytes: int
    retention_hours: float
    replicas: int = 3
    average: float = 1.0
    consumers: int = 1
    keys: int = 1
    topic_bytes: int = USUAL_TOPIC_BYTES
    properties_bytes: int = USUAL_PROPERTIES_BYTES
    group_tps: float = MEASURED_GROUP_TPS
    brokers_per_host: int = 1

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("tps", self.tps, 0.001, 1e9),
            ("message-bytes", self.message_bytes, 1, 4 * 2**20),
            ("retention", self.retention_hours, 0.01, 24 * 365 * 10),
            ("replicas", self.replicas, 1, 9),
            ("average", self.average, 0.0001, 1.0),
            ("consumers", self.consumers, 0, 10_000),
            ("keys", self.keys, 0, 1000),
            ("topic-bytes", self.topic_bytes, 1, 127),
            ("properties-bytes", self.properties_bytes, 0, 32_767),
            ("group-tps", self.group_tps, 0.001, 1e9),
            ("brokers-per-host", self.brokers_per_host, 1, 100),
        ):
            if not low <= value <= high:
                raise UsageError(f"--{name} {value:g} is not between {low:g} and {high:g}", hint="rmqkit size --help")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizing:
    """What it takes. Bytes, and bytes a second at the peak; ``lines`` is the working, one step a line."""

    groups: int
    brokers: int
    hosts: int
    nameservers: int
    stored_bytes: int
    replica_bytes_per_message: int
    disk_per_broker: int
    disk_per_host: int
    leader_in: float
    leader_out: float
    follower_in: float
    host_out: float
    lines: tuple[str, ...]


def stored_bytes(load: Load) -> int:
    """What one message takes in the log of one replica, bytes."""
    return ENTRY_HEADER_BYTES + MESSAGE_HEADER_BYTES + load.message_bytes + load.topic_bytes + load.properties_bytes


def size(load: Load) -> Sizing:
    """Hosts, disks, network and groups for ``load``."""
    entry = stored_bytes(load)
    each = entry + RAFT_INDEX_BYTES + CONSUME_QUEUE_BYTES + KEY_INDEX_BYTES * load.keys
    groups = max(1, math.ceil(load.tps / load.group_tps))
    brokers = groups * load.replicas
    hosts = max(load.replicas, math.ceil(brokers / load.brokers_per_host))
    per_host = math.ceil(brokers / hosts)
    group_tps = load.tps / groups
    hours = load.retention_hours + RETENTION_SLACK_HOURS
    kept = group_tps * load.average * hours * 3600 * each
    disk = math.ceil((kept + FIXED_STORE_BYTES) / DISK_SHARE)
    leader_in = group_tps * entry
    leader_out = leader_in * (load.replicas - 1 + load.consumers)
    lines = _working(load, groups=groups, hosts=hosts, disk=disk, leader_in=leader_in, leader_out=leader_out)
    return Sizing(
        groups=groups,
        brokers=brokers,
        hosts=hosts,
        nameservers=NAMESERVERS,
        stored_bytes=entry,
        replica_bytes_per_message=each,
        disk_per_broker=disk,
        disk_per_host=disk * per_host,
        leader_in=leader_in,
        leader_out=leader_out,
        follower_in=leader_in,
        host_out=leader_out * per_host,
        lines=lines,
    )


def _working(load: Load, *, groups: int, hosts: int, disk: int, leader_in: float, leader_out: float) -> tuple[str, ...]:
    """The formula with its numbers, one step a line."""
    entry, tps = stored_bytes(load), load.tps / groups
    each = entry + RAFT_INDEX_BYTES + CONSUME_QUEUE_BYTES + KEY_INDEX_BYTES * load.keys
    brokers, per_host = groups * load.replicas, math.ceil(groups * load.replicas / hosts)
    parts = f"{MESSAGE_HEADER_BYTES} message header + {load.message_bytes} body + {load.topic_bytes} topic"
    log = f"{ENTRY_HEADER_BYTES} DLedger entry + {parts} + {load.properties_bytes} properties"
    index = f"{RAFT_INDEX_BYTES} Raft index + {CONSUME_QUEUE_BYTES} consume queue + {KEY_INDEX_BYTES} x {load.keys} key"
    time = f"({load.retention_hours:g} + {RETENTION_SLACK_HOURS}) h x 3600"
    kept = f"{tps:g}/s x {load.average:g} average x {time} x {each} B + {FIXED_STORE_BYTES // _GIB} GiB"
    readers = f"{load.replicas - 1} followers and {load.consumers} consumer groups"
    return (
        f"one message in the log: {log} = {entry} B",
        f"with indexes: + {index} = {each} B on each replica",
        f"groups: {load.tps:g} messages/s / {load.group_tps:g} for each group, rounded up = {groups}",
        f"brokers: {groups} groups x {load.replicas} replicas = {brokers}",
        f"hosts: {brokers} / {load.brokers_per_host} for each, at least {load.replicas} = {hosts}",
        f"disk of a broker: ({kept}) / {DISK_SHARE:.2f} = {disk / _GIB:.1f} GiB",
        f"into a leader at the peak: {tps:g}/s x {entry} B = {leader_in / _MBIT:.1f} Mbit/s",
        f"out of it, to {readers}: {leader_out / _MBIT:.1f} Mbit/s",
        f"a host whose {per_host} brokers all lead: out {leader_out * per_host / _MBIT:.1f} Mbit/s",
    )
