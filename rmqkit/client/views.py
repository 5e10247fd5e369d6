"""Joins of several answers into rows: pure, nothing is asked here.

What belongs here: what ``mqadmin clusterList`` shows, what a broker's configuration says about its role.
What does not: asking (``nameserver``, ``broker``), judging (``rmqkit.cluster``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rmqkit.client.runtime import RuntimeInfo
from rmqkit.errors import WireError
from rmqkit.wire.bodies import ClusterInfo


@dataclass(frozen=True, slots=True)
class BrokerRole:
    """What a broker believes to be, from its live configuration: SYNC_MASTER with broker id 0, or SLAVE."""

    broker_id: int
    role: str

    @property
    def is_master(self) -> bool:
        """Whether it serves sends as the leader of a DLedger group (a starting 4.5 broker says
        ASYNC_MASTER).
        """
        return self.broker_id == 0 and self.role == "SYNC_MASTER"


@dataclass(frozen=True, slots=True)
class ClusterRow:
    """One registered broker; ``runtime`` is None where it did not answer."""

    cluster: str
    broker_name: str
    broker_id: int
    address: str
    runtime: RuntimeInfo | None


def role_of(config: Mapping[str, str]) -> BrokerRole:
    """The role in a broker's configuration. Raises :class:`WireError` where brokerId is missing or no
    number.
    """
    try:
        return BrokerRole(broker_id=int(config["brokerId"]), role=config.get("brokerRole", ""))
    except (KeyError, ValueError) as error:
        raise WireError(f"a broker's configuration has no usable brokerId ({error})") from error


def cluster_rows(info: ClusterInfo, runtimes: Mapping[str, RuntimeInfo]) -> tuple[ClusterRow, ...]:
    """The rows of ``mqadmin clusterList``, in its order; ``runtimes`` is by address."""
    return tuple(
        ClusterRow(
            cluster=cluster,
            broker_name=name,
            broker_id=broker_id,
            address=address,
            runtime=runtimes.get(address),
        )
        for cluster, names in info.clusters.items()
        for name in sorted(names)
        if name in info.brokers
        for broker_id, address in info.brokers[name].addresses.items()
    )
