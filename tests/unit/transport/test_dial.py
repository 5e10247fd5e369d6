"""Promises of rmqkit.transport.dial."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from rmqkit.errors import ConnectFailedError, UsageError
from rmqkit.transport.dial import dial, dial_all, parse_address


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:9876", ("127.0.0.1", 9876)),
        ("broker-a.example:10911", ("broker-a.example", 10911)),
        ("[::1]:9876", ("::1", 9876)),
    ],
)
def test_addresses_are_taken_apart(address: str, expected: tuple[str, int]) -> None:
    assert parse_address(address) == expected


@pytest.mark.parametrize(
    "address",
    ["", "localhost", ":9876", "host:", "host:x", "host:0", "host:65536", "::1:9876", "http://h:1", "a b:1", "h:-1"],
)
def test_what_is_no_address_is_refused_with_an_example(address: str) -> None:
    with pytest.raises(UsageError, match=r"127\.0\.0\.1:9876"):
        parse_address(address)


def test_a_refused_connection_says_so(dead_address: str) -> None:
    with pytest.raises(ConnectFailedError) as caught:
        dial(dead_address, timeout_s=1)
    assert f"cannot connect to {dead_address} (Connection refused" in str(caught.value)
    assert not caught.value.request_sent


def test_a_host_name_that_does_not_resolve_says_so() -> None:
    with pytest.raises(ConnectFailedError, match="does not resolve"):
        dial("no-such-host.invalid:9876", timeout_s=5)


@pytest.mark.parametrize("host", ["a" * 70, "a..b"])
def test_an_impossible_host_name_says_so(host: str) -> None:
    with pytest.raises(ConnectFailedError, match="does not resolve"):
        dial(f"{host}:9876", timeout_s=5)


def test_a_socket_that_reached_itself_is_not_a_connection(monkeypatch: pytest.MonkeyPatch, dead_address: str) -> None:
    class ReachesItself(socket.socket):
        """Takes the target as its own address first, as the kernel may choose for an ephemeral port."""

        def connect(self, target: Any) -> None:
            self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.bind(target)
            super().connect(target)

    monkeypatch.setattr(socket, "socket", ReachesItself)
    with pytest.raises(ConnectFailedError, match="nothing listens there"):
        dial(dead_address, timeout_s=1)


@pytest.fixture
def silent_addresses() -> Iterator[list[str]]:
    """Three addresses that drop connection requests, as hosts do that are powered off: their queues are full."""
    with ExitStack() as stack:
        addresses = []
        for _ in range(3):
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
            for _ in range(8):
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
            addresses.append(f"127.0.0.1:{listener.getsockname()[1]}")
        yield addresses


def test_silent_hosts_cost_one_time_out_together(silent_addresses: list[str], dead_address: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        alive = f"127.0.0.1:{listener.getsockname()[1]}"
        began = time.monotonic()
        found = dial_all([*silent_addresses, dead_address, alive, alive], timeout_s=1.0)
        took = time.monotonic() - began
    assert list(found) == [*silent_addresses, dead_address, alive]
    for silent in silent_addresses:
        assert "no answer to the connection request, after 1.00 s" in str(found[silent])
    assert "Connection refused" in str(found[dead_address])
    made = found[alive]
    assert isinstance(made, socket.socket)
    made.close()
    assert 1.0 <= took < 2.9, "three times the time-out if they were tried one after the other"


def test_a_host_whose_first_address_refuses_is_tried_at_its_next(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_server(("127.0.0.1", 0)) as other:
        port, dead_port = listener.getsockname()[1], other.getsockname()[1]
        other.close()
        targets = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", number)) for number in (dead_port, port)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: targets)
        made = dial_all([f"two-addresses:{port}"], timeout_s=5)[f"two-addresses:{port}"]
        assert isinstance(made, socket.socket)
        assert made.getpeername() == ("127.0.0.1", port)
        made.close()
