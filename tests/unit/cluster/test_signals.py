"""Promises of rmqkit.cluster.signals, each held by a process that really gets the signal."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rmqkit.cluster.signals import Terminated, held_back, sigterm_unwinds

UNWINDS = """
import sys, time
from rmqkit.cluster.signals import sigterm_unwinds
try:
    with sigterm_unwinds():
        try:
            print("ready", flush=True)
            time.sleep(60)
        finally:
            print("cleaned", flush=True)
except KeyboardInterrupt as error:
    print(type(error).__name__, flush=True)
"""

HELD_BACK = """
import sys
from rmqkit.cluster.signals import held_back, sigterm_unwinds
try:
    with sigterm_unwinds():
        with held_back():
            print("ready", flush=True)
            sys.stdin.readline()
            print("cleaned", flush=True)
        print("not reached", flush=True)
except KeyboardInterrupt as error:
    print(type(error).__name__, flush=True)
"""


@contextmanager
def running(script: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process that has printed ``ready``."""
    command = [sys.executable, "-c", script]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, text=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(("number", "name"), [(signal.SIGTERM, "Terminated"), (signal.SIGINT, "KeyboardInterrupt")])
def test_a_signal_runs_every_finally(number: signal.Signals, name: str) -> None:
    with running(UNWINDS) as process:
        process.send_signal(number)
        out, _ = process.communicate(timeout=20)
    assert out == f"cleaned\n{name}\n"
    assert process.returncode == 0


@pytest.mark.parametrize(("number", "name"), [(signal.SIGTERM, "Terminated"), (signal.SIGINT, "KeyboardInterrupt")])
def test_a_signal_during_clean_up_waits_for_its_end(number: signal.Signals, name: str) -> None:
    with running(HELD_BACK) as process:
        process.send_signal(number)
        process.send_signal(number)
        out, _ = process.communicate("go on\n", timeout=20)
    assert out == f"cleaned\n{name}\n"


def test_what_cleans_up_after_ctrl_c_does_so_after_sigterm() -> None:
    assert issubclass(Terminated, KeyboardInterrupt)


def test_the_handlers_from_before_come_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with sigterm_unwinds(), held_back():
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] != before
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_both_do_nothing_outside_the_main_thread() -> None:
    """Python sets handlers in the main thread only; a cluster may be started in another."""
    reached: list[bool] = []

    def work() -> None:
        with sigterm_unwinds(), held_back():
            reached.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert reached == [True]
