"""Addresses and making a connection to one.

What belongs here: ``host:port`` texts, name resolution and connecting within one deadline. What does not: what
is sent over the connection (``channel``).
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack

from rmqkit.errors import ConnectFailedError, UsageError
from rmqkit.waiting import Deadline


def parse_address(address: str) -> tuple[str, int]:
    """``(host, port)`` of ``host:port`` or ``[ipv6]:port``. Raises :class:`UsageError` for anything else."""
    host, separator, port_text = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    valid_port = port_text.isascii() and port_text.isdigit() and len(port_text) <= 5
    port = int(port_text) if valid_port else 0
    if not separator or not host or not 0 < port < 65_536 or any(c.isspace() or c in "/[]" for c in host):
        raise UsageError(
            f"not an address: {address!r}", hint="write host:port, for example 127.0.0.1:9876 or [::1]:9876"
        )
    return host, port


def dial(address: str, *, timeout_s: float) -> socket.socket:
    """A connected socket. Raises :class:`ConnectFailedError`, with the reason, within the time given."""
    host, port = parse_address(address)
    started = time.monotonic()
    try:
        return _connect(host, port, Deadline.after(max(timeout_s, 0.001)))
    except (OSError, UnicodeError) as error:
        raise _connect_failed(address, error, time.monotonic() - started) from error


def dial_all(addresses: Iterable[str], *, timeout_s: float) -> Mapping[str, socket.socket | ConnectFailedError]:
    """:func:`dial` for many at once: hosts that are powered off cost ``timeout_s`` together, not each."""
    deadline = Deadline.after(max(timeout_s, 0.001))
    with ExitStack() as unfinished:
        begun = {address: _begin(address, unfinished) for address in dict.fromkeys(addresses)}
        # The system goes on connecting all of them while one is waited for.
        out = {address: _finish(address, stream, deadline, timeout_s) for address, stream in begun.items()}
        unfinished.pop_all()
    return out


def reason(error: Exception) -> str:
    """The system's own words for a failure of a socket."""
    if isinstance(error, socket.gaierror | UnicodeError):
        return f"the host name does not resolve: {error.args[-1]}"
    if isinstance(error, TimeoutError) and not error.errno:
        return "no answer to the connection request"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _connect(host: str, port: int, deadline: Deadline) -> socket.socket:
    """Try every address of the host until one takes the connection."""
    last = OSError("the host name has no address")
    for family, kind, protocol, _, target in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        stream = socket.socket(family, kind, protocol)
        try:
            stream.settimeout(max(deadline.left_s, 0.001))
            stream.connect(target)
            return _made(stream)
        except OSError as error:
            stream.close()
            last = error
        except BaseException:
            stream.close()
            raise
    raise last


def _begin(address: str, unfinished: ExitStack) -> socket.socket | None:
    """A socket that is connecting to the first address of the host, closed with ``unfinished``; None where none can."""
    host, port = parse_address(address)
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        stream = unfinished.enter_context(socket.socket(family, kind, protocol))
        stream.settimeout(0.0)
        return stream if stream.connect_ex(target) in (0, errno.EINPROGRESS) else None
    except (OSError, UnicodeError):
        return None


def _finish(
    address: str, stream: socket.socket | None, deadline: Deadline, timeout_s: float
) -> socket.socket | ConnectFailedError:
    """What came of a connection that was begun: the socket, or why there is none."""
    error: OSError = TimeoutError()
    if stream is not None:
        poll = select.poll()
        poll.register(stream, select.POLLOUT)
        try:
            if poll.poll(deadline.left_s * 1000):
                if not (code := stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
                    return _made(stream)
                error = OSError(code, os.strerror(code))
        except OSError as seen:
            error = seen
        stream.close()
    if deadline.passed:
        return _connect_failed(address, error, timeout_s)
    try:
        # The host may have further addresses; and this says why it fails.
        return dial(address, timeout_s=deadline.left_s)
    except ConnectFailedError as error:
        return error


def _made(stream: socket.socket) -> socket.socket:
    """A connection that was just made, ready for use; raises where it is one to itself."""
    if stream.getsockname() == stream.getpeername():
        # A port in the ephemeral range with no listener: TCP lets a socket connect to itself.
        raise ConnectionRefusedError(errno.ECONNREFUSED, "nothing listens there")
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return stream


def _connect_failed(address: str, error: Exception, waited_s: float) -> ConnectFailedError:
    return ConnectFailedError(
        f"cannot connect to {address} ({reason(error)}, after {waited_s:.2f} s)",
        address=address,
        request_sent=False,
        hint="is the process running, and does it listen on this port and interface?",
    )
