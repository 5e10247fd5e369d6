"""What a broker of a given version can do, so that what it cannot is said before it is tried.

What belongs here: the table of abilities by version, and the facts about a broker behind it, asked for once. What does
not: the requests that use an ability.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass

from rmqkit.client.broker import BrokerClient
from rmqkit.errors import NotSupportedError, RemoteError, TransportError, UsageError, WireError
from rmqkit.transport.pool import Requester

Version = tuple[int, ...]

_VERSION = re.compile(r"V?(\d+)[._](\d+)[._](\d+)")


@dataclass(frozen=True, slots=True)
class Ability:
    """Something that brokers can do from a version on; ``only_dledger`` where the others always could."""

    name: str
    since: Version
    source: str
    only_dledger: bool = True


BATCH = Ability(
    "batches (SEND_BATCH_MESSAGE)",
    (4, 8, 0),
    "DLedgerCommitLog.putMessages answers MESSAGE_ILLEGAL to every batch before (4.5.1); rocketmq PR #2406",
)

ABILITIES: tuple[Ability, ...] = (BATCH,)


@dataclass(frozen=True, slots=True)
class BrokerFacts:
    """What one broker said about itself: version (4, 9, 8), whether it is in DLedger mode, its delay levels."""

    address: str
    version: Version
    is_dledger: bool
    delay_levels: tuple[str, ...]

    def can(self, ability: Ability) -> bool:
        """Whether it has ``ability``."""
        return (ability.only_dledger and not self.is_dledger) or self.version >= ability.since

    def need(self, ability: Ability) -> None:
        """Raise :class:`NotSupportedError` where it has not."""
        if not self.can(ability):
            raise NotSupportedError(
                f"{self.address} runs RocketMQ {_text(self.version)}, whose DLedger mode has no {ability.name}",
                hint=f"use {_text(ability.since)} or later, or send the messages one by one",
            )

    def check_delay_level(self, level: int) -> None:
        """Raise :class:`UsageError` for a level beyond the broker's last, which it would take for its last."""
        if level > len(self.delay_levels):
            raise UsageError(
                f"delay level {level} of {len(self.delay_levels)}: {self.address} has {' '.join(self.delay_levels)}",
                hint="a broker silently takes its longest delay instead (messageDelayLevel in broker.conf)",
            )


class Capabilities:
    """Facts about brokers by address, each asked once; safe for use by several threads."""

    def __init__(self, pool: Requester, *, timeout_s: float = 3.0) -> None:
        self._pool = pool
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._known: dict[str, BrokerFacts] = {}

    def of(self, address: str) -> BrokerFacts | None:
        """The facts about the broker at ``address``; None while it does not answer: then only trying can tell."""
        known = self._known.get(address)
        if known is not None:
            return known
        with self._lock:
            if address not in self._known:
                try:
                    self._known[address] = self._ask(address)
                except (TransportError, RemoteError, WireError):
                    return None
            return self._known[address]

    def forget(self, address: str) -> None:
        """Ask again at the next use: the broker may have been replaced by one of another version."""
        self._known.pop(address, None)

    def _ask(self, address: str) -> BrokerFacts:
        broker = BrokerClient(self._pool, address, timeout_s=self._timeout_s)
        version, config = broker.runtime_info().version, broker.config()
        found = _VERSION.match(version)
        if found is None:
            raise WireError(f"{address} says that its version is {version!r}")
        return BrokerFacts(
            address=address,
            version=tuple(map(int, found.groups())),
            is_dledger=config.get("enableDLegerCommitLog", "").lower() == "true",
            delay_levels=tuple(config.get("messageDelayLevel", "").split()),
        )


def _text(version: Version) -> str:
    return ".".join(map(str, version))
