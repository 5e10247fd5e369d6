"""The rules that one field of a specification can break, each with the reason and the mend in its text.

What belongs here: checks of a single value, raising :class:`SpecError`. What does not: rules that compare
several parts of a specification (``spec.py`` and ``ports.py``).
"""

from __future__ import annotations

import re

from rmqkit.errors import SpecError

_PROJECT = re.compile(r"[a-z0-9][a-z0-9_-]*")
_ROCKETMQ_NAME = re.compile(r"[A-Za-z0-9_-]{1,127}")
_PEER_ID = re.compile(r"[A-Za-z](0|[1-9][0-9]{0,5})")
_SERVICE = re.compile(r"[a-z][a-z0-9_-]*")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_HEAP = re.compile(r"[1-9][0-9]*[mg]")
_ENGINE = re.compile(r"(ssh|tcp)://[^\s/]+(/\S*)?|unix:///\S+|[A-Za-z0-9][A-Za-z0-9_.+-]*")
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")

HIGHEST_PORT = 65535
HIGHEST_UID = 2**31 - 1
DASH_SAFE_SINCE = (4, 9, 5)
"""First RocketMQ whose DLedger (0.3.1.2) cuts a peer after its id instead of splitting at each dash."""


def check_project_name(field: str, value: str) -> None:
    """Compose's rule for a project name, checked before Compose is asked."""
    if not _PROJECT.fullmatch(value):
        raise SpecError(
            f"{field}={value!r} cannot be a Compose project name",
            hint="use lower-case letters, digits, '-' and '_', beginning with a letter or digit",
        )


def check_rocketmq_name(field: str, value: str) -> None:
    """Cluster and broker names go into file names and tables: letters, digits, '-' and '_'."""
    if not _ROCKETMQ_NAME.fullmatch(value):
        raise SpecError(
            f"{field}={value!r} cannot be a cluster or broker name",
            hint="use 1 to 127 letters, digits, '-' and '_', such as RaftNode00",
        )


def check_peer_id(field: str, value: str) -> None:
    """One letter and a number: RocketMQ cuts the first letter off and reads the rest as a number."""
    if not _PEER_ID.fullmatch(value):
        raise SpecError(
            f"{field}={value!r} is not one letter followed by a number",
            hint="use ids such as n0, n1, n2: a follower's brokerId is the number after the letter, plus 1 "
            "(DLedgerCommitLog); anything else ends in a NumberFormatException",
        )


def check_service_name(field: str, value: str) -> None:
    """A NameServer's name is the name of its Compose service."""
    if not _SERVICE.fullmatch(value):
        raise SpecError(
            f"{field}={value!r} cannot be a service name",
            hint="use lower-case letters, digits, '-' and '_', such as namesrv0",
        )


def check_host(field: str, value: str) -> None:
    """An IPv4 address or a host name: addresses are split at ':', so IPv6 cannot be written."""
    if not _HOST.fullmatch(value):
        raise SpecError(
            f"{field}={value!r} is not an IPv4 address or host name",
            hint="give the host alone, no port, no scheme; IPv6 cannot be used (addresses are split at ':')",
        )


def check_engine(field: str, value: str) -> None:
    """A DOCKER_HOST, or the name of a Docker context (docker/cli's own rule for those)."""
    if not _ENGINE.fullmatch(value):
        raise SpecError(
            f"{field}={value!r} is neither a DOCKER_HOST nor the name of a Docker context",
            hint="write ssh://user@host, unix:///run/docker.sock, tcp://host:2376, or a name of `docker context ls`",
        )


def check_dash_free(field: str, value: str, *, edition: str) -> None:
    """DLedger 0.1 splits ``n0-host:port`` at every '-', so a dashed host is cut short (MemberState)."""
    if "-" in value and not _cuts_peers_after_the_id(edition):
        raise SpecError(
            f"{field}={value!r} contains '-', which the DLedger of edition {edition!r} may cut off",
            hint="use the IP address: DLedger 0.1 splits each peer 'id-host:port' at every '-' and takes the "
            "second part, so that it looks for the peer at a wrong host; RocketMQ 4.9.5 and later do not",
        )


def check_port(field: str, value: int, *, lowest: int = 1) -> None:
    """A TCP port that is one."""
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= HIGHEST_PORT:
        raise SpecError(f"{field}={value!r} is not a port", hint=f"use {lowest} to {HIGHEST_PORT}")


def check_uid(field: str, value: int) -> None:
    """Never root, and never none: partitions of a Raft link are told apart by the initiator's uid."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= HIGHEST_UID:
        raise SpecError(
            f"{field}={value!r} is not a user that may run here",
            hint="use a number above 0: nothing of the cluster runs as root",
        )


def check_heap(field: str, value: str) -> None:
    """A JVM size with its unit: ``-Xmx512`` would mean 512 bytes."""
    if not _HEAP.fullmatch(value):
        raise SpecError(f"{field}={value!r} is not a heap size", hint="write it as 512m or 8g")


def check_java_opts(field: str, value: str) -> None:
    """JVM options as the entrypoint splits them: words that begin with a dash, on one line."""
    wrong = next((word for word in value.split() if not word.startswith("-")), None)
    if wrong is not None or "\n" in value:
        raise SpecError(
            f"{field}={value!r} are not JVM options" + (f": {wrong!r} begins with no dash" if wrong else ""),
            hint="write them as on a java command line, separated by blanks; no option may have one in itself",
        )


def check_edition(field: str, value: str) -> None:
    """An edition is the tag of the kit's image."""
    if not _TAG.fullmatch(value):
        raise SpecError(
            f"{field}={value!r} cannot be an image tag",
            hint="use letters, digits, '_', '.' and '-', at most 128; give a ref with '/' another name as an "
            "edition, and build that from the ref",
        )


def store_limit(value: str) -> str:
    """The size in ``limited:256m``, as the kernel takes it; empty for every other store."""
    return value.removeprefix("limited:") if value.startswith("limited:") else ""


def check_store(field: str, value: str) -> None:
    """Where stores live: named volumes, limited ones of a pod, or directories below an absolute path of the host."""
    if value == "volume":
        return
    if value.startswith("limited"):
        if not _HEAP.fullmatch(store_limit(value)):
            raise SpecError(f"{field}={value!r} has no size", hint="write it as limited:256m or limited:2g")
        return
    if not value.startswith("/") or value == "/" or any(mark in value for mark in ":\r\n\0"):
        raise SpecError(
            f"{field}={value!r} is neither 'volume' nor 'limited:SIZE' nor an absolute path",
            hint="use 'volume' (a named one for each process) or a directory such as /srv/rocketmq; a tmpfs "
            "will not do: it is empty after kill and start, and the peer returns without vote and messages "
            "(the limited stores of a pod, 'limited:256m', are held in memory by its net container)",
        )


def _cuts_peers_after_the_id(edition: str) -> bool:
    version = _VERSION.fullmatch(edition)
    return version is not None and tuple(int(part) for part in version.groups()) >= DASH_SAFE_SINCE
