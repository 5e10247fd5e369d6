"""Promises of attaching: whatever listens at the address, the answer comes in time and in words."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from rmqkit.cluster import Cluster
from rmqkit.cluster.peers import discover
from rmqkit.errors import ClusterError, UsageError
from rmqkit.transport.pool import ChannelPool


@contextmanager
def listener(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Something that takes connections and does ``answer`` with each; gives its address."""
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)

        def serve() -> None:
            while not done.is_set():
                try:
                    stream, _ = server.accept()
                except TimeoutError:
                    continue
                with stream:
                    answer(stream)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            done.set()
            thread.join()


def web_server(stream: socket.socket) -> None:
    stream.recv(4096)
    stream.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")


def silence(stream: socket.socket) -> None:
    stream.settimeout(2)
    try:
        while stream.recv(4096):
            pass
    except TimeoutError:
        pass


def oversized(stream: socket.socket) -> None:
    stream.recv(4096)
    stream.sendall((2**31 - 1).to_bytes(4, "big") + b"x" * 100)


@pytest.mark.parametrize(
    ("answer", "said"),
    [(web_server, "HTTP"), (silence, "gave no answer"), (oversized, "2147483647")],
    ids=["a web server", "silence", "an oversized frame"],
)
def test_what_is_no_nameserver_is_told_from_what_it_said(answer: Callable[[socket.socket], None], said: str) -> None:
    with listener(answer) as address, ChannelPool() as pool:
        started = time.monotonic()
        with pytest.raises(ClusterError, match=f"no NameServer answers at {address}") as caught:
            discover(pool, [address], timeout_s=0.3 if answer is silence else 3.0)
        assert time.monotonic() - started < 5
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 5


def test_an_address_is_refused_before_anybody_is_asked() -> None:
    for wrong in ("", " ; ", "localhost", "tcp://127.0.0.1:9876"):
        with pytest.raises(UsageError), Cluster.attach(wrong):
            pytest.fail("attached")
