"""Addresses and making a connection to one.

What belongs here: ``host:port`` texts, name resolution and connecting within one deadline. What does not: what
is sent over the connection (``channel``).
"""

from __future__ import annotations

import errno
import socket
import time

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
        raise ConnectFailedError(
            f"cannot connect to {address} ({reason(error)}, after {time.monotonic() - started:.2f} s)",
            address=address,
            request_sent=False,
            hint="is the process running, and does it listen on this port and interface?",
        ) from error


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
            if stream.getsockname() == stream.getpeername():
                # A port in the ephemeral range with no listener: TCP lets a socket connect to itself.
                raise ConnectionRefusedError(errno.ECONNREFUSED, "nothing listens there")
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            stream.close()
            last = error
        except BaseException:
            stream.close()
            raise
        else:
            return stream
    raise last
