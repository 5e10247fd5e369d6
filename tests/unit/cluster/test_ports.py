"""Promises of rmqkit.cluster.ports: a block is nobody else's, and is free again with its owner."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from rmqkit.cluster import ports
from rmqkit.cluster.ports import PortBlock, ports_in_use, reserve_block
from rmqkit.errors import PortInUseError

HOLDER = """
import sys
from rmqkit.cluster.ports import reserve_block
with reserve_block(int(sys.argv[1]), seed=int(sys.argv[2])) as block:
    print(block.base, flush=True)
    sys.stdin.read()
"""


@contextmanager
def other_process(size: int, *, seed: int) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Another process that holds a block; gives it with the block's base."""
    command = [sys.executable, "-c", HOLDER, str(size), str(seed)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


def spans(*blocks: PortBlock) -> set[int]:
    return {port for block in blocks for port in range(block.base, block.base + block.size)}


def test_two_processes_never_hold_the_same_ports() -> None:
    """With the same seed both want the same block first."""
    with other_process(40, seed=7) as (_, theirs), reserve_block(40, seed=7) as mine:
        assert not spans(mine) & spans(PortBlock(theirs, 40))


def test_blocks_of_different_sizes_exclude_each_other_too() -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(reserve_block(size, seed=3)) for size in (100, 40, 70, 40)]
        assert len(spans(*held)) == 250


def test_a_block_is_free_again_when_its_owner_lets_go() -> None:
    with reserve_block(40, seed=11) as first:
        pass
    with reserve_block(40, seed=11) as second:
        assert second == first


def test_a_block_is_free_again_when_its_owner_was_killed() -> None:
    with other_process(40, seed=13) as (process, theirs):
        process.kill()
        process.wait()
        with reserve_block(40, seed=13) as mine:
            assert mine.base == theirs


def test_a_block_with_a_busy_port_is_passed_over() -> None:
    with reserve_block(40, seed=17) as block:
        wanted = block.base
    with socket.create_server(("127.0.0.1", wanted + 39)), reserve_block(40, seed=17) as block:
        assert block.base != wanted


def test_blocks_lie_where_no_outgoing_connection_takes_a_port() -> None:
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:  # noqa: PTH123
        lowest = int(file.read().split()[0])
    with reserve_block(100) as block:
        assert block.base >= ports.FIRST_PORT
        assert block.base + block.size <= min(ports.LAST_PORT, lowest)


def test_when_no_block_is_left_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "FIRST_PORT", 18_000)
    monkeypatch.setattr(ports, "LAST_PORT", 18_090)
    with (
        reserve_block(40, seed=1),
        reserve_block(40, seed=1),
        pytest.raises(PortInUseError, match="no 40 consecutive free ports"),
        reserve_block(40, seed=1),
    ):
        pass


def test_a_port_in_use_is_found_whatever_address_its_listener_took() -> None:
    for host in ("127.0.0.1", "0.0.0.0"):
        with socket.create_server((host, 0)) as listener:
            port = listener.getsockname()[1]
            assert ports_in_use((port,)) == [port]
        assert ports_in_use((port,)) == []


def test_a_connection_that_only_lingers_does_not_make_a_port_busy() -> None:
    """A cluster was just taken down: its clients' connections are in TIME_WAIT for a minute."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = listener.accept()
        accepted.close()
        client.close()
    assert ports_in_use((port,)) == []
