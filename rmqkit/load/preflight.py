"""What only the cluster knows, asked before anything is sent: its limits, its topics, what its edition can do.

What belongs here: questions to NameServers and masters, the errors that their answers mean, and the one act that a
producer would cause anyway, making a topic where brokers make topics by themselves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rmqkit.client.broker import BrokerClient
from rmqkit.client.capabilities import BATCH, Capabilities
from rmqkit.client.message import OutgoingMessage
from rmqkit.client.nameserver import NameServerClient
from rmqkit.errors import ClusterError, NoLeaderError, NotFoundError, RmqkitError, UsageError
from rmqkit.load.plan import SendPlan
from rmqkit.transport.dial import parse_address
from rmqkit.transport.pool import Requester
from rmqkit.waiting import Pending, wait_until
from rmqkit.wire.bodies import ClusterInfo

ROUTED_WITHIN_S = 30.0
_STOCK_LIMIT = 4_194_304
_STOCK_QUEUES = 8
_STORED_BESIDES = 91
"""What a stored message has besides body, topic and properties (IPv4)."""


@dataclass(frozen=True, slots=True)
class Master:
    """One master: its group's name, address, version and live configuration."""

    name: str
    address: str
    version: str
    config: Mapping[str, str]

    @property
    def release(self) -> tuple[int, ...]:
        """``V4_5_1`` as (4, 5, 1); empty where it says something else."""
        found = re.match(r"V(\d+)_(\d+)_(\d+)", self.version)
        return tuple(map(int, found.groups())) if found else ()

    @property
    def largest_message(self) -> int:
        """maxMessageSize: of the body, and up to 4.5 of the message as it is stored (DLedgerCommitLog)."""
        return int(self.config.get("maxMessageSize", _STOCK_LIMIT))

    @property
    def makes_topics(self) -> bool:
        """Whether a send to an unknown topic makes it (autoCreateTopicEnable)."""
        return self.config.get("autoCreateTopicEnable", "true") == "true"


@dataclass(frozen=True, slots=True)
class Ground:
    """What a load stands on: the masters, the queues of its topic by master, and the group of every address."""

    nameservers: tuple[str, ...]
    masters: tuple[Master, ...]
    queues: Mapping[str, int]
    made_topic: bool = False
    peers: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """What the summary tells of it."""
        return {
            "nameservers": list(self.nameservers),
            "brokers": {each.name: {"address": each.address, "version": each.version} for each in self.masters},
            "queues": dict(self.queues),
            "made_topic": self.made_topic,
        }


def survey(pool: Requester, nameservers: Sequence[str], *, topic: str, plan: SendPlan | None) -> Ground:
    """Ask, and refuse what cannot be. ``plan`` is what will be sent; None where messages are only received.

    Raises ClusterError (no NameServer answers), NoLeaderError (no master is registered), NotFoundError (no such topic,
    and none is made), UsageError (a body too large), NotSupportedError (a batch that this edition refuses).
    """
    if not nameservers:
        raise UsageError("no NameServer is named", hint="name one or more: host:port;host:port (stock port 9876)")
    for address in nameservers:
        parse_address(address)
    info = _cluster_info(pool, nameservers)
    masters = tuple(
        _master(pool, broker.name, broker.master) for broker in info.brokers.values() if broker.master is not None
    )
    if not masters:
        known = {broker.name: dict(broker.addresses) for broker in info.brokers.values()}
        raise NoLeaderError(
            f"no master is registered at {', '.join(nameservers)}; registered: {known or 'nothing'}",
            hint="wait for a leader: `rmqkit status --watch`",
        )
    if plan is not None:
        capabilities = Capabilities(pool)
        for master in masters:
            _check_size(master, plan)
            facts = capabilities.of(master.address) if plan.batch > 1 else None
            if facts is not None:
                facts.need(BATCH)
    queues = _queues(pool, nameservers, topic)
    made = False
    if not queues:
        if plan is None:
            raise NotFoundError(f"there is no topic {topic!r}", hint="name one that exists, or send to it first")
        _make_topic(pool, masters, topic)
        made = True
        queues = _wait_routed(pool, nameservers, topic, {master.name for master in masters})
    peers = {address: broker.name for broker in info.brokers.values() for address in broker.addresses.values()}
    return Ground(tuple(nameservers), masters, queues, made, peers)


def _cluster_info(pool: Requester, nameservers: Sequence[str]) -> ClusterInfo:
    errors: list[str] = []
    for address in nameservers:
        try:
            return NameServerClient(pool, address).cluster_info()
        except RmqkitError as error:
            errors.append(f"NameServer {address}: {str(error).splitlines()[0]}")
    raise ClusterError(
        f"no NameServer answers at {', '.join(nameservers)}",
        details=errors,
        hint="is the cluster up, and is this its NameServer's address (stock port 9876)?",
    )


def _master(pool: Requester, name: str, address: str) -> Master:
    broker = BrokerClient(pool, address)
    return Master(name, address, broker.runtime_info().version, broker.config())


def _check_size(master: Master, plan: SendPlan) -> None:
    limit, body = master.largest_message, plan.body
    # The longest id that a run gives, so that the last message fits as the first does.
    longest = OutgoingMessage(plan.topic, b"x", tags=plan.tag, message_id="F" * 40)
    besides = _STORED_BESIDES + len(plan.topic) + len(longest.encoded_properties)
    each = len(body) if master.release[:2] > (4, 5) else len(body) + besides
    whole = each if plan.batch == 1 else plan.batch * (len(body) + besides)
    if whole <= limit:
        return
    what = f"--size {len(body)}" if plan.batch == 1 else f"--batch {plan.batch} of --size {len(body)}"
    raise UsageError(
        f"{what}: {whole} bytes, and {master.name} at {master.address} takes {limit} (its maxMessageSize)",
        hint="send less at once, or raise maxMessageSize in broker.conf",
    )


def _queues(pool: Requester, nameservers: Sequence[str], topic: str) -> dict[str, int]:
    """Queues by master; empty where no NameServer has a route."""
    for address in nameservers:
        try:
            route = NameServerClient(pool, address).topic_route(topic)
        except RmqkitError:
            continue
        return {queue.broker_name: queue.read_queues for queue in route.queues}
    return {}


def _make_topic(pool: Requester, masters: Sequence[Master], topic: str) -> None:
    closed = [master for master in masters if not master.makes_topics]
    if closed:
        raise NotFoundError(
            f"there is no topic {topic!r}, and {closed[0].name} at {closed[0].address} makes none by itself"
            " (autoCreateTopicEnable=false)",
            hint=f"make it first: mqadmin updateTopic -n NAMESERVER -b {closed[0].address} -t {topic}",
        )
    for master in masters:
        queues = int(master.config.get("defaultTopicQueueNums", _STOCK_QUEUES))
        BrokerClient(pool, master.address).create_topic(topic, queues=queues)


def _wait_routed(pool: Requester, nameservers: Sequence[str], topic: str, masters: set[str]) -> dict[str, int]:
    def routed() -> dict[str, int] | Pending:
        for address in nameservers:
            there = _queues(pool, [address], topic)
            if not masters.issubset(there):
                return Pending(f"NameServer {address} routes to {', '.join(sorted(there)) or 'nothing'}")
        return _queues(pool, nameservers, topic)

    return wait_until(routed, label=f"topic {topic} has a route", timeout_s=ROUTED_WITHIN_S, every_s=0.02)
