"""The native client's process, as its parent sees it: start it, talk with it, know when it is gone.

What belongs here: pipes, threads and the process's end. What does not: what is said (``native``), the program itself
(``native_child``).

Two threads a process, one for each pipe that it writes to; both end with the process.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from typing import Any

from rmqkit.errors import DriverError, DriverMissingError
from rmqkit.waiting import Deadline

PROGRAM = Path(__file__).with_name("native_child.py")

PING_S = 2.0
_END_S = 5.0  # a process that was killed is gone by then, and its threads with it
_WRITE_S = 5.0
_LAST_LINES = 8

EXTRAS_HINT = (
    "pip install 'rmqkit[native-bundled]' (Linux x86-64, brings its library), or 'rmqkit[native]' where librocketmq 2.x"
    " is installed; both own the import name rocketmq, so only one of them"
)
LIBRARY_HINT = (
    "install librocketmq 2.x so that the system's loader finds it; or, on Linux x86-64, pip uninstall"
    " rocketmq-client-python and pip install 'rmqkit[native-bundled]', which brings a library"
)


class ProcessEndedError(Exception):
    """The process ended before it answered: whether it did what it was asked is unknown."""


class NotWrittenError(Exception):
    """The request never reached the process."""


class NativeProcess:
    """One running child. Made with :meth:`start`; safe for use by several threads."""

    def __init__(self, process: subprocess.Popen[bytes], home: Path) -> None:
        assert process.stdin is not None
        os.set_blocking(process.stdin.fileno(), False)
        self._process = process
        self._home = home
        self._lock = threading.Lock()
        self._writing = threading.Lock()  # another one: who reads must not wait for who writes
        self._number = 0
        self._pending: dict[int, Future[dict[str, Any]]] = {}
        self._ended = False
        self._closed = False
        self.first: Future[dict[str, Any]] = Future()
        self.messages: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._threads = [
            threading.Thread(target=work, name=f"rmqkit-native-{process.pid}-{name}", daemon=True)
            for name, work in (("out", self._read), ("err", self._read_errors))
        ]
        for thread in self._threads:
            thread.start()

    @classmethod
    def start(cls, job: Mapping[str, Any], *, python: str = sys.executable, timeout_s: float = 20.0) -> NativeProcess:
        """Start the child with ``job`` and wait until its client runs.

        Raises DriverMissingError where the package or its library is not usable, DriverError where the client does not
        start within ``timeout_s``.
        """
        # The library writes its log to ~/logs/rocketmq-cpp whatever one asks of it: it is given a home of its own.
        home = Path(tempfile.mkdtemp(prefix="rmqkit-native-"))
        try:
            process = subprocess.Popen(
                [python, "-P", str(PROGRAM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, "HOME": str(home), "RMQKIT_CHILD_HOME": str(home), "PYTHONUNBUFFERED": "1"},
                start_new_session=True,  # a Ctrl-C is for the parent, which then closes
            )
        except OSError as error:
            shutil.rmtree(home, ignore_errors=True)
            raise DriverMissingError(
                f"the interpreter for the native client does not start: {python}: {error}", hint=EXTRAS_HINT
            ) from error
        child = cls(process, home)
        try:
            child.tell(job)
            child._check_first(timeout_s, python)
        except BaseException:
            child.kill()
            raise
        return child

    def _check_first(self, timeout_s: float, python: str) -> None:
        try:
            line = self.first.result(timeout_s)
        except FutureTimeoutError:
            raise DriverError(
                f"the native client did not start within {timeout_s:g} s",
                hint="is a NameServer reachable? the process was killed",
                details=self.last_lines,
            ) from None
        except ProcessEndedError as error:
            raise DriverError(f"the native client's process ended at its start: {error}", hint=EXTRAS_HINT) from None
        if "missing" in line:
            kind = line["missing"]
            raise DriverMissingError(
                f"the native driver has no usable client: {line['what']}",
                hint=LIBRARY_HINT if kind == "library" else EXTRAS_HINT,
                details=[*line["tried"], f"asked: {python}"],
            )
        if "failed" in line:
            raise DriverError(f"the native client does not start: {line['failed']}", details=self.last_lines)

    @property
    def hello(self) -> dict[str, Any]:
        """What the child said of itself: package, version, generation, library."""
        found: dict[str, Any] = self.first.result(0)["hello"]
        return found

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs and can be asked."""
        return not self._ended and self._process.poll() is None

    @property
    def last_lines(self) -> Sequence[str]:
        """What it last wrote to its standard error: the library's own words, or Python's."""
        return tuple(self._last_lines)

    def ask(self, command: Mapping[str, Any]) -> Future[dict[str, Any]]:
        """Write one command; its answer is in the future, or :class:`ProcessEndedError`.

        Raises :class:`NotWrittenError` when it certainly did not reach the process.
        """
        answer: Future[dict[str, Any]] = Future()
        with self._lock:
            if self._ended:
                raise NotWrittenError(self.epitaph)
            self._number += 1
            number = self._number
            self._pending[number] = answer
        try:
            self._write(json.dumps({**command, "id": number}).encode() + b"\n")
        except NotWrittenError:
            with self._lock:
                self._pending.pop(number, None)
            raise
        return answer

    def tell(self, command: Mapping[str, Any]) -> None:
        """Write one command that has no answer; one that does not arrive is of no consequence."""
        try:
            self._write(json.dumps(dict(command)).encode() + b"\n")
        except NotWrittenError:
            return

    def answers(self, timeout_s: float = PING_S) -> bool:
        """Whether it answers a ping: one that does not is stopped or stuck as a whole."""
        try:
            self.ask({"op": "ping"}).result(timeout_s)
        except (FutureTimeoutError, ProcessEndedError, NotWrittenError):
            return False
        return True

    def close(self, timeout_s: float) -> None:
        """Ask it to shut its client down; kill it when it has not ended within ``timeout_s``."""
        if not self._closed and self.alive:
            # A shutdown that hangs is the native client's habit; the process ends all the same.
            with contextlib.suppress(FutureTimeoutError, ProcessEndedError, NotWrittenError):
                self.ask({"op": "close"}).result(timeout_s)
        self.kill()

    def kill(self) -> None:
        """End it now, and all that belongs to it."""
        self._closed = True
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(_END_S)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(_END_S)
        with self._writing:  # not under somebody who writes: the number of a closed pipe is soon another file's
            for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
                if stream is not None:
                    with contextlib.suppress(OSError):  # what could not be written any more
                        stream.close()
        shutil.rmtree(self._home, ignore_errors=True)

    def _write(self, data: bytes) -> None:
        """Write one line whole. A process that takes no input is stuck: it is killed, so that the part of a line that
        it may have got can come to nothing."""
        stream = self._process.stdin
        assert stream is not None
        deadline = Deadline.after(_WRITE_S)
        waiter = select.poll()
        with self._writing:
            try:
                waiter.register(stream.fileno(), select.POLLOUT)
                while data:
                    with contextlib.suppress(BlockingIOError):
                        data = data[os.write(stream.fileno(), data) :]
                        continue
                    if not waiter.poll(deadline.left_s * 1000) and deadline.passed:
                        self._end_now()
                        raise NotWrittenError(f"process {self.pid} took no input for {_WRITE_S:g} s; it was killed")
            except (OSError, ValueError) as error:
                self._end_now()
                raise NotWrittenError(f"the pipe to process {self.pid} is closed: {error}") from error

    def _end_now(self) -> None:
        """Kill it and wait until it is gone: the next caller must not take it for alive."""
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                said = json.loads(line)
            except ValueError:
                self._last_lines.append(f"not the protocol: {line[:200]!r}")
                continue
            self._take(said)
        self._process.wait()
        with self._lock:
            self._ended = True
            left, self._pending = list(self._pending.values()), {}
        error = ProcessEndedError(self.epitaph)
        for answer in (self.first, *left):
            if not answer.done():
                answer.set_exception(error)
        self.messages.put(None)

    def _take(self, said: dict[str, Any]) -> None:
        if "message" in said:
            self.messages.put(said["message"])
        elif "id" in said:
            with self._lock:
                answer = self._pending.pop(said["id"], None)
            if answer is not None:
                answer.set_result(said)
        elif not self.first.done():
            self.first.set_result(said)
        else:
            self._last_lines.append(str(said.get("trouble", said)))

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._last_lines.append(line.decode(errors="replace").rstrip())

    @property
    def epitaph(self) -> str:
        """How it ended, with its last words."""
        code = self._process.poll()
        if code is None:
            how = "closed its pipe"
        elif code < 0:
            how = f"was ended by signal {-code} ({signal.Signals(-code).name})"
        else:
            how = f"ended with code {code}"
        words = f"; its last words: {' | '.join(self.last_lines)}" if self.last_lines else ""
        return f"the native client's process {self.pid} {how}{words}"
