"""Promises of rmqkit.transport.pool."""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from loopback_peer import LoopbackPeer, commands_from, echo, until

from rmqkit.errors import ConnectFailedError, ConnectionLostError, RequestTimeoutError, UsageError, WireError
from rmqkit.transport.pool import ChannelPool
from rmqkit.transport.ticket import Done
from rmqkit.wire.frames import Command, encode

Start = Callable[[Callable[[socket.socket], None]], LoopbackPeer]


def ask(pool: ChannelPool, address: str, text: str = "x", *, timeout_s: float = 5.0) -> str:
    return pool.request(address, Command.request(1, ext={"text": text}), timeout_s=timeout_s).ext["text"]


def test_a_connection_is_opened_once_and_kept(start_peer: Start) -> None:
    peer = start_peer(echo)
    with ChannelPool() as pool:
        assert peer.connections == 0
        assert [ask(pool, peer.address, text) for text in "abc"] == ["a", "b", "c"]
    assert peer.connections == 1


def test_threads_that_start_together_share_one_connection(start_peer: Start) -> None:
    peer = start_peer(echo)
    with ChannelPool() as pool, ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda text: ask(pool, peer.address, text), "abcdefgh")) == list("abcdefgh")
    assert peer.connections == 1


def test_a_connection_that_died_while_idle_is_replaced_without_a_word(start_peer: Start) -> None:
    def one_answer(stream: socket.socket) -> None:
        command = next(commands_from(stream))
        stream.sendall(encode(Command.answer(command, ext=command.ext)))

    peer = start_peer(one_answer)
    with ChannelPool() as pool:
        for number, text in enumerate("abc", start=1):
            assert ask(pool, peer.address, text) == text
            until(lambda number=number: peer.ended == number)  # type: ignore[misc]
    assert peer.connections == 3


def test_a_request_that_may_have_arrived_is_not_sent_again(start_peer: Start) -> None:
    seen: list[str] = []

    def take_and_close(stream: socket.socket) -> None:
        for command in commands_from(stream):
            seen.append(command.ext["text"])
            if command.ext["text"] == "lost":
                return
            stream.sendall(encode(Command.answer(command, ext=command.ext)))

    with ChannelPool() as pool:
        address = start_peer(take_and_close).address
        assert ask(pool, address, "kept") == "kept"
        with pytest.raises(ConnectionLostError) as caught:
            ask(pool, address, "lost")
    assert caught.value.request_sent
    assert seen == ["kept", "lost"]


def test_after_a_failure_the_next_request_connects_again(start_peer: Start) -> None:
    calls: list[int] = []

    def fail_once(stream: socket.socket) -> None:
        calls.append(1)
        if len(calls) > 1:
            echo(stream)
        else:
            next(commands_from(stream))

    peer = start_peer(fail_once)
    with ChannelPool() as pool:
        with pytest.raises(ConnectionLostError):
            ask(pool, peer.address)
        assert ask(pool, peer.address, "again") == "again"


def test_a_peer_that_comes_back_is_found_again(start_peer: Start, dead_address: str) -> None:
    with ChannelPool() as pool:
        with pytest.raises(ConnectFailedError) as caught:
            ask(pool, dead_address)
        assert not caught.value.request_sent
        with socket.create_server(("127.0.0.1", int(dead_address.rpartition(":")[2]))) as listener:

            def serve() -> None:
                with listener.accept()[0] as stream:
                    echo(stream)

            server = threading.Thread(target=serve)
            server.start()
            assert ask(pool, dead_address, "back") == "back"
            pool.close()
            server.join(5)


def test_after_a_timeout_a_new_connection_is_used_and_the_old_ones_answers_still_count(
    start_peer: Start,
) -> None:
    release, polled = threading.Event(), threading.Event()

    def behave(stream: socket.socket) -> None:
        for command in commands_from(stream):
            if command.ext["text"] == "poll":
                polled.set()
                release.wait(5)
            if command.ext["text"] != "lost":
                stream.sendall(encode(Command.answer(command, ext=command.ext)))

    peer = start_peer(behave)
    with ChannelPool() as pool, ThreadPoolExecutor(1) as threads:
        poll = threads.submit(ask, pool, peer.address, "poll")
        assert polled.wait(5)
        with pytest.raises(RequestTimeoutError):
            ask(pool, peer.address, "lost", timeout_s=0.1)
        assert ask(pool, peer.address, "new") == "new"
        assert peer.connections == 2
        release.set()
        assert poll.result(5) == "poll"


def test_garbage_drops_the_connection(start_peer: Start) -> None:
    def garbage(stream: socket.socket) -> None:
        stream.recv(4096)
        stream.sendall(b"HTTP/1.1 404 Not Found\r\n\r\n")

    peer = start_peer(garbage)
    with ChannelPool() as pool:
        for _ in range(2):
            with pytest.raises(WireError, match="HTTP server"):
                ask(pool, peer.address)
    assert peer.connections == 2


def test_connecting_counts_into_the_time_of_the_request() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:  # a full backlog: further connections get no answer
                filler.setblocking(False)
                filler.connect_ex(address)
            with ChannelPool() as pool:
                started = time.monotonic()
                with pytest.raises(ConnectFailedError, match="no answer to the connection request"):
                    ask(pool, f"127.0.0.1:{address[1]}", timeout_s=0.3)
                assert time.monotonic() - started < 2
        finally:
            for filler in fillers:
                filler.close()


def test_a_closed_pool_says_so(start_peer: Start) -> None:
    peer = start_peer(echo)
    with ChannelPool() as pool:
        ask(pool, peer.address)
    with pytest.raises(UsageError, match="pool is closed"):
        ask(pool, peer.address)


def test_forgetting_an_address_makes_the_next_request_connect(start_peer: Start) -> None:
    peer = start_peer(echo)
    with ChannelPool() as pool:
        ask(pool, peer.address)
        pool.forget(peer.address)
        until(lambda: peer.ended == 1)
        pool.forget("127.0.0.1:1")
        ask(pool, peer.address)
    assert peer.connections == 2


def test_a_oneway_request_survives_a_stale_connection(start_peer: Start) -> None:
    seen: list[str] = []
    came = threading.Event()

    def one_command(stream: socket.socket) -> None:
        command = next(commands_from(stream))
        seen.append(command.ext["text"])
        if command.is_oneway:
            came.set()
        else:
            stream.sendall(encode(Command.answer(command, ext=command.ext)))

    peer = start_peer(one_command)
    with ChannelPool() as pool:
        ask(pool, peer.address, "first")
        until(lambda: peer.ended == 1)
        pool.oneway(peer.address, Command.request(1, ext={"text": "oneway"}), timeout_s=1)
        assert came.wait(5)
    assert seen == ["first", "oneway"]


def test_several_requests_go_out_in_one_write_and_come_back_through_one_queue(start_peer: Start) -> None:
    done: Done = deque()
    with ChannelPool() as pool:
        address = start_peer(echo).address
        commands = [Command.request(1, ext={"n": number}) for number in range(10)]
        tickets = pool.begin_all(address, commands, timeout_s=2, done=done)
        while len(done) < 10:
            tickets[0].channel.drive(timeout_s=1)
        assert [ticket.got.ext["n"] for ticket in done if ticket.got is not None] == [str(n) for n in range(10)]
        for ticket in tickets:
            ticket.abandon()


def test_a_lost_connection_comes_back_through_the_queue_too(start_peer: Start) -> None:
    done: Done = deque()
    with ChannelPool() as pool:
        address = start_peer(lambda stream: stream.recv(1) and None).address
        tickets = pool.begin_all(address, [Command.request(1)] * 3, timeout_s=5, done=done)
        while not done:
            tickets[0].channel.drive(timeout_s=1)
        assert set(done) == set(tickets)
        with pytest.raises(ConnectionLostError) as caught:
            tickets[0].answer()
        assert caught.value.request_sent


def test_sync_requests_and_gathered_ones_share_a_connection(start_peer: Start) -> None:
    done: Done = deque()
    with ChannelPool() as pool, ThreadPoolExecutor(4) as threads:
        peer = start_peer(echo)
        assert ask(pool, peer.address, "0") == "0"
        asked = [threads.submit(ask, pool, peer.address, str(n)) for n in range(200)]
        tickets = []
        for _ in range(20):
            tickets += pool.begin_all(peer.address, [Command.request(2)] * 10, timeout_s=5, done=done)
            tickets[0].channel.drive(timeout_s=0.001)
        while len(set(done)) < len(tickets):
            tickets[0].channel.drive(timeout_s=0.1)
        assert [each.result(5) for each in asked] == [str(n) for n in range(200)]
        assert peer.connections == 1
