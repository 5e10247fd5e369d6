"""Standard numbers: which ports, users and settings a stock or test cluster gets.

What belongs here: constants and arithmetic, each with its reason. What does not: the specification's own
rules (``spec.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

LOOPBACK: Final = "127.0.0.1"

VIP_OFFSET: Final = 2
"""A broker that listens on L opens its fast port on L-2."""
HA_OFFSET: Final = 1
"""… and advertises L+1 for classic replication; not opened in DLedger mode, but set at start all the same."""

NET_UID: Final = 21000
NAMESERVER_UID: Final = 21001
BROKER_UID: Final = 21101
"""Users counted up from here: nobody's account on a host, and within remapped ranges of users."""

BLOCK_SIZE: Final = 100
"""Pods take ports in blocks of this size: ten for NameServers, then ten for each of up to nine peers."""
SLOT_SIZE: Final = 10

PRODUCTION_CONFIG: Final[Mapping[str, str]] = {
    # The tutorial's advice: as many as the machine has cores. The image's entrypoint resolves `auto`.
    "sendMessageThreadPoolNums": "auto",
}

TEST_CONFIG: Final[Mapping[str, str]] = {
    # The lowest that the broker accepts (it clamps to 10 s..60 s): a lost role registration heals sooner.
    "registerNameServerPeriod": "10000",
    # conf/dledger's own value. With the two cores of a small machine, 2 threads carry a fifth to a third
    # less.
    "sendMessageThreadPoolNums": "16",
    # 64 MiB data files instead of 1 GiB, so that a store can be copied as evidence. The key was renamed
    # after 4.5; a broker ignores the one that it does not know (MixAll.properties2Object goes by its own
    # setters).
    "mapedFileSizeCommitLog": "67108864",
    "mappedFileSizeCommitLog": "67108864",
    # Each replica is read back directly. From 5.0 on a follower refuses pulls without it
    # (PullMessageProcessor.rejectRequest); before, it only changes the advice in an answer.
    "slaveReadEnable": "true",
    # 42 MB index files (by key and id) instead of 420 MB, for the same reason; a full one is followed by
    # the next.
    "maxHashSlotNum": "500000",
    "maxIndexNum": "2000000",
}


TEST_JAVA_OPTS: Final = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""JVM options of test clusters: the quick compiler only, and a collector without threads of its own, so that four JVMs
that start side by side on a small machine need less of it. The price is throughput at the peak."""


@dataclass(frozen=True, slots=True)
class Slot:
    """The ports of one broker in a pod."""

    listen: int
    raft: int


def slot(base_port: int, number: int) -> Slot:
    """Ports of broker ``number`` in a pod: +0 fast port, +2 listen, +3 HA, +5 Raft, the rest kept free."""
    first = base_port + SLOT_SIZE * (number + 1)
    return Slot(listen=first + VIP_OFFSET, raft=first + 5)


def pod_ports_needed(*, peers: int = 3, groups: int = 1, nameservers: int = 1) -> int:
    """How many ports from ``base_port`` on a pod of that size claims; ``BLOCK_SIZE`` holds nine brokers."""
    del nameservers  # the first ten ports are theirs, however many there are
    return SLOT_SIZE * (peers * groups + 1)
