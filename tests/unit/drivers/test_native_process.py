"""Promises about the native client's process: whatever it does, there is an outcome, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from second_generation import TARGET, Second

from rmqkit.client.message import OutgoingMessage
from rmqkit.client.outcomes import OutcomeUnknown, Receipt, Refused, SendOutcome
from rmqkit.drivers.native import NativeProducer
from rmqkit.errors import DriverError, DriverMissingError, UsageError
from rmqkit.waiting import Pending, wait_until


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def until(condition: Callable[[], bool], what: str) -> None:
    wait_until(lambda: condition() or Pending("not yet"), label=what, timeout_s=15)


def test_a_process_killed_in_mid_send_is_an_unknown_outcome_and_the_next_send_has_another(second: Second) -> None:
    with second.producer() as producer:
        first = producer.pid
        outcomes: list[SendOutcome] = []
        thread = threading.Thread(target=lambda: outcomes.append(producer.send(OutgoingMessage("hang", b"x"))))
        thread.start()
        until(lambda: bool(second.calls("SendMessageSync")), "the send is in the library")
        os.kill(first, signal.SIGKILL)
        thread.join(10)
        (outcome,) = outcomes
        assert isinstance(outcome, OutcomeUnknown)
        assert outcome.reason.startswith(f"in flight when the native client's process {first} was ended by signal 9")
        assert isinstance(producer.send(OutgoingMessage("T", b"x")), Receipt)
        assert producer.pid != first
        assert producer.processes_started == 2


@pytest.mark.parametrize(
    ("topic", "how"),
    [("abort", "signal 6 (SIGABRT)"), ("segfault", "signal 11 (SIGSEGV)"), ("end", "ended with code 3")],
)
def test_native_code_that_ends_its_process_ends_nothing_else(second: Second, topic: str, how: str) -> None:
    with second.producer() as producer:
        outcome = producer.send(OutgoingMessage(topic, b"x"))
        assert isinstance(outcome, OutcomeUnknown)
        assert how in outcome.reason
        assert isinstance(producer.send(OutgoingMessage("T", b"x")), Receipt)


def test_a_send_that_hangs_in_the_library_is_unknown_and_holds_up_no_other(second: Second) -> None:
    with second.producer() as producer:
        pid = producer.pid
        outcome = producer.send(OutgoingMessage("hang", b"x"), timeout_s=0.3)
        assert isinstance(outcome, OutcomeUnknown)
        assert outcome.reason == "no answer in time; the native client still works on it"
        assert isinstance(producer.send(OutgoingMessage("T", b"x")), Receipt)
        assert producer.pid == pid, "it answers pings: no reason to end what others have in flight"


def test_calls_that_never_come_back_cost_the_process_its_place(second: Second) -> None:
    with second.producer(stuck_after_s=0.2) as producer:
        pid = producer.pid
        producer.send(OutgoingMessage("hang", b"x"), timeout_s=0.1)

        def replaced() -> bool:
            return isinstance(producer.send(OutgoingMessage("T", b"x")), Receipt) and producer.pid != pid

        until(replaced, "another process")


def test_a_process_that_is_stopped_is_found_out_and_replaced(second: Second) -> None:
    with second.producer() as producer:
        pid = producer.pid
        os.kill(pid, signal.SIGSTOP)
        outcome = producer.send(OutgoingMessage("T", b"x"), timeout_s=0.2)
        assert isinstance(outcome, OutcomeUnknown)
        assert "hung: no answer in time, nor to a ping; it was killed" in outcome.reason
        assert is_gone(pid)
        assert isinstance(producer.send(OutgoingMessage("T", b"x")), Receipt)


def test_a_message_that_a_stopped_process_does_not_take_in_was_certainly_not_sent(second: Second) -> None:
    """More than a pipe holds: the write itself must be bounded, too."""
    with second.producer(max_body_bytes=4 << 20) as producer:
        pid = producer.pid
        os.kill(pid, signal.SIGSTOP)
        outcome = producer.send(OutgoingMessage("T", b"x" * 1_000_000), timeout_s=0.2)
        assert isinstance(outcome, Refused)
        assert f"process {pid} took no input for 5 s; it was killed" in outcome.reason
        assert isinstance(producer.send(OutgoingMessage("T", b"x" * 1_000_000)), Receipt)
    assert len(second.calls("SetByteMessageBody")) == 1


def test_a_consumers_dead_or_stopped_process_is_an_error_then_a_new_one(second: Second) -> None:
    with second.consumer() as consumer:
        while len(consumer.poll(1)):
            pass
        os.kill(consumer.pid, signal.SIGKILL)
        with pytest.raises(DriverError, match=r"was ended by signal 9 \(SIGKILL\)"):
            consumer.poll(5)
        assert consumer.poll(5), "what was not acknowledged comes again"
        while len(consumer.poll(0.2)):
            pass
        os.kill(consumer.pid, signal.SIGSTOP)
        with pytest.raises(DriverError, match="does not answer a ping; it was killed"):
            consumer.poll(0.1)
        assert consumer.poll(5)


def test_the_process_ends_with_its_parent_and_leaves_no_file(second: Second, tmp_path: Path) -> None:
    program = f"""
import os, sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from rmqkit.drivers.native import NativeProducer
from rmqkit.drivers.interface import Target
producer = NativeProducer(Target(nameservers=("127.0.0.1:1",)), path={second.path!r})
print(producer.pid, flush=True)
time.sleep(3600)
"""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, env={**os.environ, "TMPDIR": str(temporary)}
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until(lambda: is_gone(pid), "the child is gone too")
    assert list(temporary.iterdir()) == []


def test_closing_ends_the_process_and_removes_its_home(
    second: Second, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = set(tmp_path.iterdir())
    producer = second.producer()
    pid = producer.pid
    producer.close()
    producer.close()
    assert is_gone(pid)
    assert {path.name for path in set(tmp_path.iterdir()) - before} <= {"calls"}
    with pytest.raises(UsageError, match="this driver is closed"):
        producer.send(OutgoingMessage("T", b"x"))


# ---- what is missing


def test_no_package_is_said_with_the_extras_to_install(tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    with pytest.raises(DriverMissingError) as caught:
        NativeProducer(TARGET, python=str(bare / "bin" / "python"))
    text = str(caught.value)
    assert text.startswith("the native driver has no usable client: no package named rocketmq\n")
    assert f"asked: {bare}/bin/python" in text
    assert "rmqkit[native-bundled]" in text
    assert "rmqkit[native]" in text


def test_no_library_is_said_with_where_it_was_looked_for(second: Second, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_ROCKETMQ_FOUND", "")
    with pytest.raises(DriverMissingError) as caught:
        second.producer()
    text = str(caught.value)
    assert "rocketmq-client-python 2.0.0 in " in text
    assert "finds no librocketmq: rocketmq dynamic library not found" in text
    assert f"beside the package: {second.path[0]}/rocketmq/librocketmq.so" in text
    assert "by the system's loader (ldconfig; LD_LIBRARY_PATH is " in text
    assert "What to do: install librocketmq 2.x" in text


def test_a_library_of_another_generation_is_said(second: Second, monkeypatch: pytest.MonkeyPatch) -> None:
    """2.0.0's module on the library that 0.4.4 brings: that one has no CreateOrderlyProducer."""
    monkeypatch.setenv("FAKE_ROCKETMQ_WITHOUT", "CreateOrderlyProducer")
    with pytest.raises(DriverMissingError, match=r"does not fit to it: .*undefined symbol: CreateOrderlyProducer"):
        second.producer()


def test_another_package_of_that_name_is_said(tmp_path: Path) -> None:
    """The client of the 5.x proxies is imported as rocketmq, too."""
    package = tmp_path / "rocketmq"
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    with pytest.raises(DriverMissingError, match=r"is another package: it has no rocketmq\.ffi"):
        NativeProducer(TARGET, path=[str(tmp_path)])


def test_an_interpreter_that_is_not_there_is_said() -> None:
    with pytest.raises(DriverMissingError, match="the interpreter for the native client does not start: /no/python"):
        NativeProducer(TARGET, python="/no/python")


def test_an_interpreter_that_is_no_python_is_said() -> None:
    with pytest.raises(DriverError, match="ended at its start"):
        NativeProducer(TARGET, python="/bin/false")


@pytest.mark.parametrize("group", ["", "no spaces here", "x" * 256])
def test_a_group_that_cannot_be_is_refused_before_anything_starts(group: str) -> None:
    with pytest.raises(UsageError, match="not a group name"):
        NativeProducer(TARGET, group=group, python="/no/python")
