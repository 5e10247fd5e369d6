"""What every driver looks like: a producer, a consumer, a received message, and what a driver says it can do.

What belongs here: the interface. What does not: a client (``builtin``, ``native``, ``java``), choosing one
(``registry``).

For who writes a driver: trouble of the cluster or of the client process is an *outcome* of a send, and an empty poll
or an :class:`~rmqkit.errors.RmqkitError` of a consumer, after which one may poll again; a mistake of the caller is a
:class:`~rmqkit.errors.UsageError`; a client that is not on this machine is a
:class:`~rmqkit.errors.DriverMissingError` when the driver is made. Making one starts the client: an object that exists
is usable. ``close`` is bounded in time, may be called twice, and leaves no process, container, thread or file behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

from rmqkit.client.message import OutgoingMessage
from rmqkit.client.outcomes import SendOutcome
from rmqkit.errors import UsageError
from rmqkit.wire.messages import UNIQUE_KEY

if TYPE_CHECKING:
    from rmqkit.cluster.cluster import Cluster

BUILT_IN = "built-in"
NATIVE = "native"
JAVA = "java"
DRIVERS = (BUILT_IN, NATIVE, JAVA)

KIT_ID = "rmqkit-id"
"""The property in which the kit's own message id travels where the client gives UNIQ_KEY itself."""

# What a driver may be able to do. A message that asks for more than its driver can do is a UsageError that names the
# capability, before anything is sent.
ONEWAY = "oneway"  # send_oneway
ORDERLY = "orderly"  # messages of one sharding key go to one queue
DELAY = "delay"  # delay levels
RECEIPT_NAMES_QUEUE = "receipt-names-queue"  # else a Receipt has queue_id -1
OWN_MESSAGE_ID = "own-message-id"  # UNIQ_KEY is the kit's own id, the same for every attempt; else see KIT_ID
HIDDEN_RETRIES = "hidden-retries"  # the client tries again by itself, so one send may be stored several times; an
# outcome without attempts on record is one of which the client does not tell how many there were
LATER = "later"  # DriverConsumer.later
SHARED_GROUP = "shared-group"  # consumers of one group share the queues
TAG_FILTER = "tag-filter"  # a subscription by tags
LARGE_BODIES = "large-bodies"  # more than 128 KiB
BINARY_RECEIVE = "binary-receive"  # a received body may contain NUL bytes

CAPABILITIES = frozenset(
    {
        ONEWAY,
        ORDERLY,
        DELAY,
        RECEIPT_NAMES_QUEUE,
        OWN_MESSAGE_ID,
        HIDDEN_RETRIES,
        LATER,
        SHARED_GROUP,
        TAG_FILTER,
        LARGE_BODIES,
        BINARY_RECEIVE,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a driver talks to. ``cluster`` is there for drivers that run inside it (java); None where only the
    NameServers' addresses are known."""

    nameservers: tuple[str, ...]
    cluster: Cluster | None = None

    def __post_init__(self) -> None:
        if isinstance(self.nameservers, str) or not self.nameservers:
            raise UsageError(
                f"nameservers is {self.nameservers!r}", hint='give a sequence of addresses: ["127.0.0.1:9876"]'
            )
        object.__setattr__(self, "nameservers", tuple(self.nameservers))

    @classmethod
    def of(cls, cluster: Cluster) -> Target:
        """The target for a cluster at hand."""
        return cls(nameservers=tuple(cluster.nameservers), cluster=cluster)


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One message as a consumer was given it.

    ``message_id`` is the kit's own id (:func:`message_id_of`), or an empty text for a message of somebody else that has
    none. ``queue_id`` and ``queue_offset`` are None where the client does not tell. ``token`` is the driver's own, for
    ``ack`` and ``later``.
    """

    topic: str
    body: bytes
    message_id: str
    keys: tuple[str, ...] = ()
    tags: str = ""
    properties: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    queue_id: int | None = None
    queue_offset: int | None = None
    reconsume_times: int = 0
    born_ms: int | None = None
    store_ms: int | None = None
    broker_name: str = ""
    token: str = field(default="", compare=False, repr=False)

    @property
    def unique_key(self) -> str:
        """UNIQ_KEY as the message carries it: the kit's own id, unless a client with hidden retries sent it."""
        return self.properties.get(UNIQUE_KEY, "")


def message_id_of(properties: Mapping[str, str]) -> str:
    """The kit's own id of a message: property rmqkit-id where a driver had to put it there, else UNIQ_KEY, else ""."""
    return properties.get(KIT_ID) or properties.get(UNIQUE_KEY, "")


def cannot(capabilities: frozenset[str], *, driver: str, what: str) -> UsageError:
    """The error for what a driver's capabilities do not hold."""
    return UsageError(f"the {driver} driver cannot do this: {what}", hint=f"it can: {', '.join(sorted(capabilities))}")


def require(capabilities: frozenset[str], needed: str, *, driver: str, what: str) -> None:
    """Raise UsageError unless the driver can do it."""
    if needed not in capabilities:
        raise cannot(capabilities, driver=driver, what=what)


@runtime_checkable
class DriverProducer(Protocol):
    """Sends through one client; safe for use by several threads.

    A driver's class is made with ``(target, *, group: str, ...)``.
    """

    @property
    def name(self) -> str:
        """One of :data:`DRIVERS`."""
        ...

    @property
    def client(self) -> str:
        """Which client this is, with its version: ``rocketmq 0.4.4``."""
        ...

    @property
    def capabilities(self) -> frozenset[str]:
        """What it can do, of :data:`CAPABILITIES`."""
        ...

    def send(self, message: OutgoingMessage, *, timeout_s: float | None = None) -> SendOutcome:
        """Send once, as this client does it, its own retries included; answers within ``timeout_s`` (None: what suits
        the client) and a few seconds. A Receipt of a client that does not tell the queue has queue_id and queue_offset
        -1.
        """
        ...

    def send_oneway(self, message: OutgoingMessage, *, timeout_s: float | None = None) -> SendOutcome:
        """Send without an answer: OutcomeUnknown when it was given to the network, Refused when certainly not."""
        ...

    def close(self) -> None:
        """End the client. Bounded; what is still in flight ends as unknown."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@runtime_checkable
class DriverConsumer(Protocol):
    """Receives one topic through one client; for one thread.

    A driver's class is made with ``(target, *, topic: str, group: str, expression: str = "*", ...)``. A group that is
    new begins at the topic's first message.
    """

    @property
    def name(self) -> str:
        """One of :data:`DRIVERS`."""
        ...

    @property
    def client(self) -> str:
        """Which client this is, with its version."""
        ...

    @property
    def capabilities(self) -> frozenset[str]:
        """What it can do, of :data:`CAPABILITIES`."""
        ...

    def poll(self, timeout_s: float) -> tuple[Received, ...]:
        """What has come, waiting up to ``timeout_s`` for the first; empty when nothing came. What was handed out
        counts as consumed once it is given to :meth:`ack`; a client may hand out nothing more until then. Trouble that
        lasts for the whole time is an empty poll, or an RmqkitError where the client says what it is."""
        ...

    def ack(self, messages: Sequence[Received]) -> None:
        """These are consumed. The group's position follows when the client and the cluster get to it."""
        ...

    def later(self, messages: Sequence[Received]) -> None:
        """Give these again later (RECONSUME_LATER). Raises UsageError without the capability ``later``."""
        ...

    def close(self) -> None:
        """End the client; what was handed out and not acknowledged is given again to whoever consumes next."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
