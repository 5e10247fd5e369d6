"""Promises of rmqkit.transport.channel, against real sockets on loopback."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from loopback_peer import LoopbackPeer, commands_from, echo, until

from rmqkit.errors import (
    ConnectionLostError,
    FrameTooLargeError,
    RequestTimeoutError,
    TransportError,
    WireError,
)
from rmqkit.transport.channel import Channel
from rmqkit.wire.frames import FLAG_ONEWAY, Command, encode

Start = Callable[[Callable[[socket.socket], None]], LoopbackPeer]


def ask(channel: Channel, text: str = "x", *, timeout_s: float = 5.0) -> str:
    return channel.request(Command.request(1, ext={"text": text}), timeout_s=timeout_s).ext["text"]


def reset(stream: socket.socket) -> None:
    """Close with a TCP reset, as Docker's port proxy does in front of a dead process."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.close()


def test_a_request_gets_its_answer(start_peer: Start) -> None:
    with Channel.open(start_peer(echo).address) as channel:
        assert [ask(channel, text) for text in "abc"] == ["a", "b", "c"]


def test_answers_reach_their_callers_in_whatever_order_they_come(start_peer: Start) -> None:
    def answer_backwards(stream: socket.socket) -> None:
        kept: list[Command] = []
        for command in commands_from(stream):
            kept.append(command)
            if len(kept) == 8:
                for held in reversed(kept):
                    stream.sendall(encode(Command.answer(held, ext=held.ext)))

    with Channel.open(start_peer(answer_backwards).address) as channel, ThreadPoolExecutor(8) as threads:
        texts = [str(number) for number in range(8)]
        assert list(threads.map(lambda text: ask(channel, text), texts)) == texts


def test_a_long_poll_does_not_hold_up_other_requests(start_peer: Start) -> None:
    released = threading.Event()

    def behave(stream: socket.socket) -> None:
        held: list[Command] = []
        for command in commands_from(stream):
            if command.ext["text"] == "poll":
                held.append(command)
                continue
            stream.sendall(encode(Command.answer(command, ext=command.ext)))
            if command.ext["text"] == "last":
                released.wait(5)
                stream.sendall(encode(Command.answer(held[0], ext=held[0].ext)))

    with Channel.open(start_peer(behave).address) as channel, ThreadPoolExecutor(1) as threads:
        poll = threads.submit(ask, channel, "poll")
        assert [ask(channel, text) for text in ("a", "b", "last")] == ["a", "b", "last"]
        assert not poll.done()
        released.set()
        assert poll.result(5) == "poll"


def test_many_threads_share_one_channel(start_peer: Start) -> None:
    def work(worker: int) -> list[str]:
        return [ask(channel, f"{worker}.{number}") for number in range(50)]

    with Channel.open(start_peer(echo).address) as channel, ThreadPoolExecutor(12) as threads:
        for worker, got in enumerate(threads.map(work, range(12))):
            assert got == [f"{worker}.{number}" for number in range(50)]


def test_answers_that_nobody_asked_for_are_dropped(start_peer: Start) -> None:
    def behave(stream: socket.socket) -> None:
        for command in commands_from(stream):
            stray = Command.answer(Command(1, opaque=999_999), code=2, remark="[REJECTREQUEST]")
            stream.sendall(encode(stray) + encode(Command.answer(command, ext=command.ext)))

    with Channel.open(start_peer(behave).address) as channel:
        assert [ask(channel, text) for text in "abc"] == ["a", "b", "c"]
        assert channel._tickets == {}, "they are not kept either"


def test_a_peers_own_request_is_refused_and_its_oneway_ignored(start_peer: Start) -> None:
    refusals: list[Command] = []
    answered = threading.Event()

    def behave(stream: socket.socket) -> None:
        for command in commands_from(stream):
            if command.is_response:
                refusals.append(command)
                answered.set()
                continue
            oneway = Command(40, opaque=5, flag=FLAG_ONEWAY)
            own = Command(307, opaque=command.opaque)
            stream.sendall(encode(oneway) + encode(own) + encode(Command.answer(command, ext=command.ext)))

    with Channel.open(start_peer(behave).address) as channel:
        assert ask(channel, "a") == "a"
        assert answered.wait(5)
    assert [(refusal.code, refusal.opaque) for refusal in refusals] == [(3, 1)]


def test_silence_ends_at_the_deadline_and_the_request_counts_as_sent(start_peer: Start) -> None:
    with Channel.open(start_peer(lambda stream: list(commands_from(stream)) and None).address) as channel:
        started = time.monotonic()
        with pytest.raises(RequestTimeoutError) as caught:
            channel.request(Command.request(28), timeout_s=0.2)
        assert 0.2 <= time.monotonic() - started < 2
        assert caught.value.request_sent
        assert "28 GET_BROKER_RUNTIME_INFO within 0.2 s" in str(caught.value)
        assert "does not know a request code gives no answer" in str(caught.value)


def test_an_answer_that_came_in_time_is_taken_by_who_asks_for_it_late(start_peer: Start) -> None:
    """As when somebody waited for a frozen peer's answer before: the others' have been here for long."""
    with Channel.open(start_peer(echo).address) as channel:
        early = [channel.begin(Command.request(1, ext={"text": text}), timeout_s=0.1) for text in "ab"]
        until(lambda: time.monotonic() > early[1].deadline and bool(channel._readable.poll(0)))
        assert [ticket.answer().ext["text"] for ticket in early] == ["a", "b"]


def test_a_connection_that_was_lost_in_time_is_no_time_out_for_who_asks_late(start_peer: Start) -> None:
    with Channel.open(start_peer(lambda stream: reset(stream) if stream.recv(1) else None).address) as channel:
        early = channel.begin(Command.request(1), timeout_s=0.1)
        until(lambda: time.monotonic() > early.deadline and bool(channel._readable.poll(0)))
        with pytest.raises(ConnectionLostError):
            early.answer()


def test_a_late_answer_is_dropped_and_the_channel_goes_on(start_peer: Start) -> None:
    def behave(stream: socket.socket) -> None:
        late: list[Command] = []
        for command in commands_from(stream):
            if command.ext["text"] == "slow":
                late.append(command)
                continue
            for held in late:
                stream.sendall(encode(Command.answer(held, ext={"text": "too late"})))
            stream.sendall(encode(Command.answer(command, ext=command.ext)))

    with Channel.open(start_peer(behave).address) as channel:
        with pytest.raises(RequestTimeoutError):
            ask(channel, "slow", timeout_s=0.1)
        assert ask(channel, "quick") == "quick"
        assert not channel.is_broken


def test_a_connection_lost_after_the_request_leaves_its_effect_unknown(start_peer: Start) -> None:
    def behave(stream: socket.socket) -> None:
        next(commands_from(stream))
        reset(stream)

    with Channel.open(start_peer(behave).address) as channel:
        with pytest.raises(ConnectionLostError) as caught:
            ask(channel)
        assert caught.value.request_sent
        assert channel.is_broken
        with pytest.raises(ConnectionLostError) as again:
            ask(channel)
        assert not again.value.request_sent


def test_a_connection_closed_while_idle_is_noticed_before_anything_is_sent(start_peer: Start) -> None:
    def behave(stream: socket.socket) -> None:
        command = next(commands_from(stream))
        stream.sendall(encode(Command.answer(command, ext=command.ext)))

    peer = start_peer(behave)
    with Channel.open(peer.address) as channel:
        assert ask(channel) == "x"
        until(lambda: peer.ended == 1)
        with pytest.raises(ConnectionLostError) as caught:
            ask(channel)
        assert not caught.value.request_sent


def test_every_caller_learns_that_the_connection_is_lost(start_peer: Start) -> None:
    def behave(stream: socket.socket) -> None:
        commands = commands_from(stream)
        for _ in range(5):
            next(commands)
        reset(stream)

    def attempt(_: int) -> bool:
        with pytest.raises(ConnectionLostError) as caught:
            ask(channel)
        return caught.value.request_sent

    with Channel.open(start_peer(behave).address) as channel, ThreadPoolExecutor(5) as threads:
        assert list(threads.map(attempt, range(5))) == [True] * 5


def test_a_frame_cut_off_by_the_end_of_the_connection_is_told(start_peer: Start) -> None:
    def behave(stream: socket.socket) -> None:
        command = next(commands_from(stream))
        stream.sendall(encode(Command.answer(command))[:-3])

    with (
        Channel.open(start_peer(behave).address) as channel,
        pytest.raises(ConnectionLostError, match="in the middle of a frame"),
    ):
        ask(channel)


def test_an_http_server_is_recognised(start_peer: Start) -> None:
    def behave(stream: socket.socket) -> None:
        stream.recv(4096)
        stream.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    peer = start_peer(behave)
    with Channel.open(peer.address) as channel, pytest.raises(WireError) as caught:
        ask(channel)
    assert peer.address in str(caught.value)
    assert "HTTP/1.1 400" in str(caught.value)
    assert "an HTTP server answered" in str(caught.value)


def test_an_oversized_frame_breaks_the_channel(start_peer: Start) -> None:
    def behave(stream: socket.socket) -> None:
        stream.recv(4096)
        stream.sendall((64 << 20).to_bytes(4, "big"))
        stream.recv(1)

    with Channel.open(start_peer(behave).address) as channel:
        with pytest.raises(FrameTooLargeError, match="67108864 bytes"):
            ask(channel)
        with pytest.raises(FrameTooLargeError):
            ask(channel)


def test_a_peer_that_takes_no_bytes_ends_at_the_deadline(start_peer: Start) -> None:
    done = threading.Event()
    big = Command.request(10, body=bytes(12_000_000))
    try:
        with Channel.open(start_peer(lambda _stream: done.wait(10) and None).address) as channel:
            with pytest.raises(RequestTimeoutError) as caught:
                channel.request(big, timeout_s=0.3)
            assert caught.value.request_sent, "a part of the frame was written"
            assert channel.is_broken, "half a frame cannot be taken back"
    finally:
        done.set()


def test_a_request_behind_a_stuck_one_counts_as_not_sent(start_peer: Start) -> None:
    done = threading.Event()
    big = Command.request(10, body=bytes(12_000_000))
    try:
        with (
            Channel.open(start_peer(lambda _stream: done.wait(10) and None).address) as channel,
            ThreadPoolExecutor(1) as threads,
        ):
            stuck = threads.submit(channel.request, big, timeout_s=2.0)
            until(channel._writer.locked)
            with pytest.raises(RequestTimeoutError, match="still being written") as caught:
                ask(channel, timeout_s=0.2)
            assert not caught.value.request_sent
            assert isinstance(stuck.exception(5), TransportError)
    finally:
        done.set()


def test_closing_wakes_who_waits(start_peer: Start) -> None:
    with ThreadPoolExecutor(1) as threads:
        channel = Channel.open(start_peer(lambda stream: list(commands_from(stream)) and None).address)
        waiting = threads.submit(ask, channel)
        until(lambda: bool(channel._tickets) and channel._reader.locked())
        time.sleep(0.1)  # now it waits for bytes
        started = time.monotonic()
        channel.close()
        error = waiting.exception(5)
        assert isinstance(error, ConnectionLostError)
        assert "closed by its owner" in str(error)
        assert time.monotonic() - started < 1


def test_closing_gives_the_socket_back_and_may_be_repeated(start_peer: Start) -> None:
    channel = Channel.open(start_peer(echo).address)
    assert ask(channel) == "x"
    channel.close()
    channel.close()
    assert channel._socket.fileno() == -1
    with pytest.raises(ConnectionLostError):
        ask(channel)


def test_a_retired_channel_lets_its_requests_finish(start_peer: Start) -> None:
    release = threading.Event()

    def behave(stream: socket.socket) -> None:
        command = next(commands_from(stream))
        release.wait(5)
        stream.sendall(encode(Command.answer(command, ext=command.ext)))
        stream.recv(1)

    channel = Channel.open(start_peer(behave).address)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(ask, channel)
        until(lambda: bool(channel._tickets))
        channel.retire()
        release.set()
        assert waiting.result(5) == "x"
    assert channel._socket.fileno() == -1


def test_a_oneway_request_is_marked_and_waits_for_nothing(start_peer: Start) -> None:
    seen: list[Command] = []
    came = threading.Event()

    def behave(stream: socket.socket) -> None:
        for command in commands_from(stream):
            seen.append(command)
            came.set()

    with Channel.open(start_peer(behave).address) as channel:
        channel.oneway(Command.request(15, ext={"a": 1}), timeout_s=1)
        assert came.wait(5)
    assert [(command.code, command.is_oneway, dict(command.ext)) for command in seen] == [(15, True, {"a": "1"})]
