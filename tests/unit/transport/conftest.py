"""Fixtures of the transport's tests."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest
from loopback_peer import Behaviour, LoopbackPeer


@pytest.fixture
def start_peer() -> Iterator[Callable[[Behaviour], LoopbackPeer]]:
    """Start peers that are closed after the test; a failure inside one fails the test."""
    peers: list[LoopbackPeer] = []

    def start(behave: Behaviour) -> LoopbackPeer:
        peers.append(LoopbackPeer(behave))
        return peers[-1]

    yield start
    for peer in peers:
        peer.close()
    assert [failure for peer in peers for failure in peer.failures] == []


@pytest.fixture
def dead_address() -> str:
    """An address that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"
