"""The whole exception tree, on one screen.

What belongs here: classes that carry data and turn it into text. Every error says who is at fault, what was
seen, how long was waited, and what to do next. What does not: logic, I/O, imports of the kit.
"""

from __future__ import annotations

from collections.abc import Sequence


class RmqkitError(Exception):
    """Root of every error that the kit raises on purpose.

    ``what`` names the thing and what was seen; ``hint`` says what to do next; ``details`` are further lines
    (the last log lines of a broker, the view of each peer).
    """

    def __init__(self, what: str, *, hint: str = "", details: Sequence[str] = ()) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.details = tuple(details)

    def __str__(self) -> str:
        lines = [self.what]
        lines += [f"  {line}" for line in self.details]
        if self.hint:
            lines.append(f"What to do: {self.hint}")
        return "\n".join(lines)


class UsageError(RmqkitError):
    """The caller asked for something that cannot be: a bad option, an unknown name, a refused act."""


class SpecError(UsageError):
    """A cluster specification breaks a rule; ``what`` names the field and the value."""


class NotFoundError(UsageError):
    """A group, peer, topic or NameServer of that name does not exist; the text lists those that do."""


class NotSupportedError(UsageError):
    """The brokers' version cannot do what is asked; ``what`` names the version, and the one that can."""


class OtherSubscriptionError(UsageError):
    """A consumer group has online members that subscribe otherwise; ``details`` are the differences."""


class ReadOnlyClusterError(UsageError):
    """An act on a cluster that the kit did not start and has no access to the engine of."""


class MachineError(RmqkitError):
    """Something of the machine is missing or refuses: engine, Compose, image, port."""


class EngineError(MachineError):
    """No Docker engine answers, or it refused a request."""


class ComposeError(MachineError):
    """Compose v2 is missing, or a Compose command failed; the last lines of its output are in ``details``."""


class ImageError(MachineError):
    """An image is missing, or its build failed; Maven's last lines are in ``details``."""


class PortInUseError(MachineError):
    """A port that the cluster needs is taken by something else."""


class DriverMissingError(MachineError):
    """The client behind a driver is not on this machine: package, library or image; ``details`` say what was tried."""


class DriverError(RmqkitError):
    """The client behind a driver failed as a program: it ended, hung, or said what it cannot mean."""


class WireError(RmqkitError):
    """Bytes that are not what the protocol says: bad frame, header, body or message."""


class FrameTooLargeError(WireError):
    """A frame announces more bytes than the protocol's limit (16 MiB)."""


class StoreError(RmqkitError):
    """A broker's store files cannot be read, or are not there; what is damaged in them is a value, not an error."""


class TransportError(RmqkitError):
    """The connection to a peer failed.

    ``request_sent`` is True when the request may have reached the peer, so that its effect is unknown.
    """

    def __init__(
        self,
        what: str,
        *,
        address: str,
        request_sent: bool,
        hint: str = "",
        details: Sequence[str] = (),
    ) -> None:
        super().__init__(what, hint=hint, details=details)
        self.address = address
        self.request_sent = request_sent


class ConnectFailedError(TransportError):
    """No connection could be made; nothing was sent."""


class ConnectionLostError(TransportError):
    """The connection broke while an answer was awaited."""


class RequestTimeoutError(TransportError):
    """No answer in time. A peer that does not know a request code gives none at all (ROCKETMQ: #3109)."""


class RemoteError(RmqkitError):
    """The peer answered, and refused: ``code`` is its response code, ``remark`` its own words."""

    def __init__(self, what: str, *, address: str, code: int, remark: str, hint: str = "") -> None:
        super().__init__(what, hint=hint)
        self.address = address
        self.code = code
        self.remark = remark


class WaitTimeoutError(RmqkitError):
    """A condition did not become true in time: ``label`` names it, ``last_seen`` is what the last probe saw."""

    def __init__(
        self, label: str, *, waited_s: float, last_seen: str, hint: str = "", details: Sequence[str] = ()
    ) -> None:
        super().__init__(f"waited {waited_s:.1f} s for: {label}; last seen: {last_seen}", hint=hint, details=details)
        self.label = label
        self.waited_s = waited_s
        self.last_seen = last_seen


class ClusterError(RmqkitError):
    """The cluster is at fault: a broker exited, no leader, not ready in time."""


class NotReadyError(ClusterError):
    """The cluster did not become ready in time; ``details`` hold the failing condition and each peer's view."""


class BrokerExitedError(ClusterError):
    """A broker or NameServer container ended by itself; its last log lines are in ``details``."""


class NoLeaderError(ClusterError):
    """A group has no leader that a majority of its peers agree on."""


class StoppedError(RmqkitError):
    """Ctrl-C or SIGTERM came while something was done that is not undone; the text says how things stand."""


class FaultError(RmqkitError):
    """A fault could not be injected, did not happen, or could not be undone."""
