"""Promises about the requests that a peer makes of us, against real sockets on loopback."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from loopback_peer import LoopbackPeer, commands_from, until

from rmqkit.errors import ConnectFailedError, ConnectionLostError, UsageError
from rmqkit.transport.channel import Channel
from rmqkit.transport.pool import ChannelPool
from rmqkit.transport.scripted import ScriptedPool
from rmqkit.wire.frames import FLAG_ONEWAY, Command, encode

Start = Callable[[Callable[[socket.socket], None]], LoopbackPeer]


class Asker:
    """A peer that makes requests of its own: one for each oneway that it gets, and keeps what was answered."""

    def __init__(self, *own: Command) -> None:
        self.own = own
        self.answers: list[Command] = []

    def __call__(self, stream: socket.socket) -> None:
        for command in commands_from(stream):
            if command.is_response:
                self.answers.append(command)
            elif command.is_oneway:
                for own in self.own:
                    stream.sendall(encode(own))
            else:
                stream.sendall(encode(Command.answer(command, ext=command.ext)))


def agree(address: str, command: Command) -> Command:
    return Command.answer(command, remark=f"{command.code} of {address}")


def test_a_peers_request_is_answered_while_nobody_waits_for_an_answer(start_peer: Start) -> None:
    asker = Asker(Command(39, opaque=77), Command(307, opaque=78))
    address = start_peer(asker).address
    with ChannelPool(on_request=agree) as pool:
        pool.oneway(address, Command.request(34), timeout_s=2)
        with ThreadPoolExecutor(1) as threads:
            listening = threads.submit(pool.listen, address, timeout_s=1.0)
            until(lambda: len(asker.answers) == 2)
            listening.result(5)
    assert [(a.code, a.opaque, a.remark) for a in asker.answers] == [
        (0, 77, f"39 of {address}"),
        (0, 78, f"307 of {address}"),
    ]


def test_whoever_waits_for_an_answer_takes_the_peers_requests_too(start_peer: Start) -> None:
    def behave(stream: socket.socket) -> None:
        held: list[Command] = []
        for command in commands_from(stream):
            if command.is_response:
                stream.sendall(encode(Command.answer(held[0], ext={"said": command.remark})))
            else:
                held.append(command)
                stream.sendall(encode(Command(39, opaque=1)))

    address = start_peer(behave).address
    with ChannelPool(on_request=agree) as pool:
        answer = pool.request(address, Command.request(1), timeout_s=5)
    assert answer.ext["said"] == f"39 of {address}"


def test_a_oneway_of_the_peer_is_handled_and_never_answered(start_peer: Start) -> None:
    seen: list[int] = []

    def note(_address: str, command: Command) -> Command:
        seen.append(command.code)
        return Command.answer(command)

    asker = Asker(Command(40, opaque=5, flag=FLAG_ONEWAY), Command(307, opaque=6))
    address = start_peer(asker).address
    with ChannelPool(on_request=note) as pool:
        pool.oneway(address, Command.request(34), timeout_s=2)
        pool.listen(address, timeout_s=0.3)
        until(lambda: bool(asker.answers))
    assert seen == [40, 307]
    assert [a.opaque for a in asker.answers] == [6]


@pytest.mark.parametrize("handler", [None, lambda _address, _command: None])
def test_what_nobody_answers_is_refused(start_peer: Start, handler: None) -> None:
    asker = Asker(Command(307, opaque=9))
    address = start_peer(asker).address
    with ChannelPool(on_request=handler) as pool:
        pool.oneway(address, Command.request(34), timeout_s=2)
        pool.listen(address, timeout_s=0.3)
        until(lambda: bool(asker.answers))
    assert [(a.code, a.opaque) for a in asker.answers] == [(3, 9)]
    assert "307 GET_CONSUMER_RUNNING_INFO" in asker.answers[0].remark


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_handler_that_fails_is_told_to_the_peer_and_harms_no_request(start_peer: Start) -> None:
    def broken(_address: str, _command: Command) -> Command:
        raise ValueError("no idea")

    asker = Asker(Command(39, opaque=9))
    address = start_peer(asker).address
    shown: list[threading.ExceptHookArgs] = []
    hook, threading.excepthook = threading.excepthook, shown.append
    try:
        with ChannelPool(on_request=broken) as pool:
            pool.oneway(address, Command.request(34), timeout_s=2)
            pool.listen(address, timeout_s=0.3)
            until(lambda: bool(asker.answers))
            assert pool.request(address, Command.request(1, ext={"a": "b"}), timeout_s=2).ext == {"a": "b"}
    finally:
        threading.excepthook = hook
    assert [(a.code, a.opaque) for a in asker.answers] == [(1, 9)]
    assert "ValueError: no idea" in asker.answers[0].remark
    assert str(shown[0].exc_value) == "no idea"
    assert "39 CHECK_TRANSACTION_STATE" in shown[0].exc_value.__notes__[0]  # type: ignore[union-attr]


def test_a_handler_may_send_oneway_over_the_same_pool(start_peer: Start) -> None:
    got: list[int] = []

    def behave(stream: socket.socket) -> None:
        for command in commands_from(stream):
            got.append(command.code)
            if command.code == 34:
                stream.sendall(encode(Command(39, opaque=3)) + encode(Command.answer(command)))

    def end_it(address: str, command: Command) -> Command:
        pool.oneway(address, Command.request(37), timeout_s=2)
        return Command.answer(command)

    address = start_peer(behave).address
    with ChannelPool(on_request=end_it) as pool:
        pool.request(address, Command.request(34), timeout_s=5)
        pool.listen(address, timeout_s=0.2)
        pool.oneway(address, Command.request(1), timeout_s=2)  # reads what lies there before it writes
        until(lambda: 1 in got)
    assert got.count(37) == 1


def test_an_answer_is_not_lost_behind_a_request_that_is_being_written(start_peer: Start) -> None:
    asker = Asker(Command(39, opaque=3))
    with Channel.open(start_peer(asker).address, on_request=agree) as channel:
        channel.oneway(Command.request(34), timeout_s=2)
        with channel._writer:
            channel.listen(timeout_s=0.3)
            assert asker.answers == []
        channel.oneway(Command.request(1), timeout_s=2)
        until(lambda: bool(asker.answers))


def test_listening_ends_with_its_time(start_peer: Start) -> None:
    address = start_peer(Asker()).address
    with ChannelPool() as pool:
        started = time.monotonic()
        pool.listen(address, timeout_s=0.2)
        assert 0.2 <= time.monotonic() - started < 2


def test_listening_to_a_connection_that_breaks_raises(start_peer: Start, dead_address: str) -> None:
    def behave(stream: socket.socket) -> None:
        stream.recv(1)

    with ChannelPool() as pool:
        address = start_peer(behave).address
        pool.oneway(address, Command.request(1), timeout_s=2)
        with pytest.raises(ConnectionLostError):
            pool.listen(address, timeout_s=5)
        with pytest.raises(ConnectFailedError):
            pool.listen(dead_address, timeout_s=5)


def test_closing_the_pool_ends_the_listening(start_peer: Start) -> None:
    address = start_peer(Asker()).address
    pool = ChannelPool()
    with ThreadPoolExecutor(1) as threads:
        listening = threads.submit(pool.listen, address, timeout_s=30)
        until(lambda: bool(pool._channels))
        pool.close()
        assert isinstance(listening.exception(5), ConnectionLostError)
    with pytest.raises(UsageError):
        pool.listen(address, timeout_s=1)


def test_listening_to_a_connection_that_was_replaced_ends_early(start_peer: Start) -> None:
    address = start_peer(Asker()).address
    with ChannelPool() as pool, ThreadPoolExecutor(1) as threads:
        listening = threads.submit(pool.listen, address, timeout_s=30)
        until(lambda: bool(pool._channels))
        pool.forget(address)
        listening.result(5)


def test_requests_are_answered_while_another_thread_listens(start_peer: Start) -> None:
    address = start_peer(Asker()).address
    with ChannelPool() as pool, ThreadPoolExecutor(1) as threads:
        listening = threads.submit(pool.listen, address, timeout_s=1.0)
        until(lambda: bool(pool._channels))
        for number in range(20):
            answer = pool.request(address, Command.request(1, ext={"n": number}), timeout_s=2)
            assert answer.ext == {"n": str(number)}
        listening.result(5)


def test_a_script_can_ask_too() -> None:
    pool = ScriptedPool(on_request=agree)
    pool.peer_asks("a:1", Command(39, opaque=4))
    pool.peer_asks("b:1", Command(39, opaque=5))
    pool.listen("a:1", timeout_s=1)
    assert [(each.address, each.command.opaque, each.command.remark) for each in pool.answered] == [
        ("a:1", 4, "39 of a:1")
    ]
    pool.on("a:1", 34, Command.answer)
    pool.oneway("a:1", Command.request(34), timeout_s=1)
    assert pool.asked[-1].command.is_oneway
