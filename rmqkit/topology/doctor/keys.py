"""Findings about single keys of broker.conf: misspelt, unreadable, ignored, or harmful together with DLedger."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Final

from rmqkit.topology.doctor.brokerkeys import KEYS, Kind, nearest_release
from rmqkit.topology.doctor.model import Case, Member
from rmqkit.topology.doctor.registry import Register, Seen, Severity, noted

finding: Final = Register()
_BY_LOWER: Final = {name.lower(): name for name in KEYS}
_WORDS_OF_THE_IMAGE: Final = {("sendMessageThreadPoolNums", "auto")}
"""Values that the image's entrypoint resolves before RocketMQ sees them."""
_OTHER_READERS: Final = frozenset({"rocketmqHome", "configStorePath", "productEnvName"})


def meant_key(key: str) -> str | None:
    """The key that a misspelt one is meant to be: RocketMQ spells it DLeger, people write DLedger."""
    lowered = key.lower()
    for candidate in (lowered, lowered.replace("dledger", "dleger")):
        if candidate in _BY_LOWER:
            return _BY_LOWER[candidate]
    near = difflib.get_close_matches(key, KEYS, n=1, cutoff=0.85)
    return near[0] if near else None


def _strange(member: Member) -> Iterator[str]:
    for key in member.settings:
        if key not in KEYS and key not in _OTHER_READERS and not key.startswith("tls."):
            yield key


@finding(
    "misspelt-key",
    Severity.ERROR,
    what="a key that RocketMQ does not know, and that is almost one it knows",
    why="a key without a setter is skipped without a word (MixAll.properties2Object): enableDLedgerCommitLog=true, "
    "with the d, starts a broker without Raft",
    mend="write the key as RocketMQ spells it; DLeger has one d",
)
def _misspelt(case: Case) -> Iterator[Seen]:
    for member in case.members:
        for key in _strange(member):
            meant = meant_key(key)
            if meant:
                yield member.where(key), f"{key}: did you mean {meant}?"


@finding(
    "unknown-key",
    Severity.WARNING,
    what="a key that no release of RocketMQ known to the doctor has",
    why="it is skipped without a word (MixAll.properties2Object), whatever was meant by it",
    mend="look it up in BrokerConfig and MessageStoreConfig of your release, or take it out",
)
def _unknown(case: Case) -> Iterator[Seen]:
    for member in case.members:
        for key in _strange(member):
            if not meant_key(key):
                yield member.where(key), key or "a line without a key"


@finding(
    "key-of-another-release",
    Severity.ERROR,
    what="a key that the edition does not have",
    why="the specification asks for a feature that this release lacks, or by a name that it no longer has "
    "(mapedFileSizeCommitLog became mappedFileSizeCommitLog): it is skipped without a word (MixAll.properties2Object)",
    mend="use an edition that has it, or the name that this one knows",
)
def _another_release(case: Case) -> Iterator[Seen]:
    for member in case.members:
        release = nearest_release(member.edition) if member.edition else None
        for key in member.settings:
            if release and key in KEYS and release not in KEYS[key].releases:
                known = ", ".join(KEYS[key].releases)
                yield member.where(key), f"{key} is known by {known}, not by {member.edition}"


finding(
    "key-twice",
    Severity.WARNING,
    what="a key is there twice",
    why="the last one wins without a word (java.util.Properties): who edits the first one changes nothing",
    mend="keep one",
)(noted("key-twice"))


@finding(
    "value-unreadable",
    Severity.ERROR,
    what="a value is not of its key's kind",
    why="what does not parse is skipped, and the default stays (MixAll.properties2Object swallows the exception): "
    "listenPort=30911 # mine is port 10911; for a flag everything but true is false, «true » with a blank too",
    mend="write a plain number, or true or false, with nothing after it; a comment needs a line of its own",
)
def _unreadable(case: Case) -> Iterator[Seen]:
    for member in case.members:
        for key, setting in member.settings.items():
            if (
                key in KEYS
                and not _readable(KEYS[key].kind, setting.value)
                and (key, setting.value) not in _WORDS_OF_THE_IMAGE
            ):
                yield setting.where, f"{key}={setting.value!r} is not a {KEYS[key].kind}"


@finding(
    "trailing-blank",
    Severity.ERROR,
    what="a text value ends with a blank",
    why="java.util.Properties keeps it: «n0 » is not n0, and a path with it is another directory",
    mend="take the blank away",
)
def _blank(case: Case) -> Iterator[Seen]:
    for member in case.members:
        for key, setting in member.settings.items():
            text = key not in KEYS or KEYS[key].kind is Kind.TEXT
            if text and setting.value != setting.value.rstrip():
                yield setting.where, f"{key}={setting.value!r}"


@finding(
    "sync-flush-ignored",
    Severity.WARNING,
    what="flushDiskType=SYNC_FLUSH together with DLedger",
    why="DLedger's store flushes every 10 ms by itself and never asks for it (DLedgerCommitLog, DLedgerMmapFileStore): "
    "an acknowledged message is in the page cache of a majority, not on a disk",
    mend="take it out, and count on replicas with power of their own",
)
def _flush(case: Case) -> Iterator[Seen]:
    for member in case.members:
        if member.get("flushDiskType") == "SYNC_FLUSH" and member.get("enableDLegerCommitLog") == "true":
            yield member.where("flushDiskType"), "flushDiskType=SYNC_FLUSH"


@finding(
    "transient-store-pool",
    Severity.ERROR,
    what="transientStorePoolEnable=true together with DLedger",
    why="the pool belongs to the log without Raft: with DLedger it takes the direct memory of five files for nothing, "
    "and is reported to break the broker (DefaultMessageStore, TransientStorePool, #2457)",
    mend="take it out",
)
def _pool(case: Case) -> Iterator[Seen]:
    for member in case.members:
        if member.get("transientStorePoolEnable") == "true" and member.get("enableDLegerCommitLog") == "true":
            yield member.where("transientStorePoolEnable"), "transientStorePoolEnable=true"


@finding(
    "preferred-leader",
    Severity.WARNING,
    what="preferredLeaderId is set",
    why="the leadership goes back by itself a moment after a failover: two outages instead of one, and its hand-over "
    "has known bugs (dledger #85, #106, #247, #248)",
    mend="leave it out unless one host must lead",
)
def _preferred(case: Case) -> Iterator[Seen]:
    for member in case.members:
        if member.get("preferredLeaderId"):
            yield member.where("preferredLeaderId"), f"preferredLeaderId={member.get('preferredLeaderId')}"


@finding(
    "role-not-registered",
    Severity.ERROR,
    what="forceRegister=false together with DLedger",
    why="a change of role does not change the data version, so that it is not registered at all: clients go on to the "
    "dead leader until the next full registration (BrokerController.registerBrokerAll, #3381; 4.9.8 ignores the key)",
    mend="take it out: the default is true",
)
def _force(case: Case) -> Iterator[Seen]:
    for member in case.members:
        if member.get("forceRegister") == "false" and member.get("enableDLegerCommitLog") == "true":
            yield member.where("forceRegister"), "forceRegister=false"


@finding(
    "classic-role",
    Severity.WARNING,
    what="brokerRole or brokerId is set together with DLedger",
    why="both follow from who leads (DLedgerRoleChangeHandler); brokerRole=SLAVE without a brokerId even ends the "
    "broker with -3 (BrokerStartup)",
    mend="take both out",
)
def _role(case: Case) -> Iterator[Seen]:
    for member in case.members:
        if member.get("enableDLegerCommitLog") == "true":
            for key in ("brokerRole", "brokerId"):
                if member.get(key):
                    yield member.where(key), f"{key}={member.get(key)}"


@finding(
    "tls-in-broker-conf",
    Severity.ERROR,
    what="tls.* keys in broker.conf",
    why="they are read from the JVM's properties and from tls.config.file (/etc/rocketmq/tls.properties) alone; here "
    "they are skipped without a word, and the broker speaks plain text (TlsSystemConfig, TlsHelper)",
    mend="put them into a file and name it with -Dtls.config.file=… in RMQ_BROKER_JAVA_OPTS or JAVA_OPT_EXT",
)
def _tls(case: Case) -> Iterator[Seen]:
    for member in case.members:
        for key in member.settings:
            if key.startswith("tls."):
                yield member.where(key), f"{key}={member.get(key)}"


@finding(
    "few-send-threads",
    Severity.WARNING,
    what="sendMessageThreadPoolNums is missing or 1",
    why="4.5.x has one such thread, which blocks for the quorum of every message; later ones have 4 at most "
    "(BrokerConfig, SendMessageProcessor)",
    mend="set it to the number of cores",
)
def _few(case: Case) -> Iterator[Seen]:
    for member in case.members:
        text = member.get("sendMessageThreadPoolNums")
        if text in ("", "1", "0"):
            yield member.where("sendMessageThreadPoolNums"), f"sendMessageThreadPoolNums: {text or 'not set'}"


@finding(
    "many-send-threads",
    Severity.WARNING,
    what="sendMessageThreadPoolNums is far above any machine's cores",
    why="sends are appended one after the other under one lock: threads beyond the cores wait for it and turn over "
    "each other's caches (DLedgerCommitLog.putMessageLock)",
    mend="set it to the number of cores",
)
def _many(case: Case) -> Iterator[Seen]:
    sizes = {host.name: host.cores for host in case.hosts}
    for member in case.members:
        cores = sizes.get(member.host or "", 64)
        threads = member.number("sendMessageThreadPoolNums", 0)
        if threads > 4 * cores:
            yield member.where("sendMessageThreadPoolNums"), f"{threads} threads"


def _readable(kind: Kind, text: str) -> bool:
    if kind is Kind.FLAG:
        return text in ("true", "false")
    if kind is Kind.WHOLE:
        try:
            return text.isascii() and text == text.strip() and "_" not in text and int(text) is not None
        except ValueError:
            return False
    if kind is Kind.DECIMAL:
        try:
            return float(text) is not None
        except ValueError:
            return False
    return True
