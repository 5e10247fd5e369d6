"""A worker process: started anew (never forked), told what to do, and ended with its parent.

What belongs here: the child's side, the parent's handle of it, and what they say to each other. What does not: what
is sent (``worker``), or who counts it (``crew``).

They speak over one socket pair, in pickled tuples: the parent ("work", Assignment), ("go", start_ns), ("stop", None);
the child ("ready", None), ("sends", SendBatch), ("done", Account), ("failed", words). The end of the socket is the end
of the other side: a child whose parent was killed ends at once, and a child that was killed is found out without a
time-out.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from rmqkit.errors import MachineError, RmqkitError
from rmqkit.load.batches import SendBatch
from rmqkit.load.clients import built_in_senders
from rmqkit.load.squad import Account, Assignment, Squad
from rmqkit.waiting import Deadline

SHIP_EVERY_S = 0.2
_LAST_LINES = 10
_CHILD = "import sys; from rmqkit.load.process import main; sys.exit(main(sys.argv[1:]))"
_GONE = (EOFError, BrokenPipeError, ConnectionResetError)


class WorkerProcess:
    """A parent's handle of one worker process. It starts with the object; :meth:`close` ends it, whatever happens."""

    def __init__(self, number: int, assignment: Assignment) -> None:
        self.assignment = assignment
        self.account: Account | None = None
        self.is_ready = False
        self._number = number
        ours, theirs = socket.socketpair()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _CHILD, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                pass_fds=(theirs.fileno(),),
                env={**os.environ, "PYTHONPATH": path},
                process_group=0,  # Ctrl-C goes to the terminal's group: the parent says when to stop, not the signal
            )
        self.connection = Connection(ours.detach())
        self._say("work", assignment)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has more to tell."""
        return self.account is None

    def start(self, start_ns: int) -> None:
        """Begin at ``start_ns`` of the monotonic clock, which all processes of a machine share."""
        self._say("go", start_ns)

    def stop(self) -> None:
        """Send no more; what is under way comes to its outcome."""
        self._say("stop", None)

    def take(self) -> list[SendBatch]:
        """What it shipped since the last call. Raises MachineError when it has died, RmqkitError when it failed."""
        batches: list[SendBatch] = []
        try:
            while self.running and self.connection.poll():
                kind, value = self.connection.recv()
                if kind == "sends":
                    batches.append(value)
                elif kind == "ready":
                    self.is_ready = True
                elif kind == "done":
                    self.account = value
                else:
                    raise RmqkitError(
                        f"{self} failed: {value[0]}",
                        details=value[1].splitlines()[-_LAST_LINES:],
                        hint="this is a bug of the kit: a cluster's trouble is an outcome of a send, not an error",
                    )
        except _GONE as error:
            raise self._died(batches) from error
        return batches

    def close(self) -> None:
        """End it if it has not ended, and let go of everything of it."""
        if self._process.poll() is None and self.running:
            self._process.kill()
        self.connection.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stderr.close()

    def __str__(self) -> str:
        return f"worker process {self._number} (pid {self.pid}, {self.assignment})"

    def _say(self, kind: str, value: Any) -> None:
        # Whether it is still there is found out by take(), with the reason.
        with contextlib.suppress(OSError):
            self.connection.send((kind, value))

    def _died(self, batches: list[SendBatch]) -> DiedError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        code = self._process.returncode
        how = f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").splitlines()[-_LAST_LINES:]
        self.account = Account()
        return DiedError(
            f"{self} ended by itself: {how}",
            details=lines,
            hint="for want of memory? What it had under way may be stored and is not in the record; run it again",
            batches=batches,
        )


class DiedError(MachineError):
    """A worker process ended that nobody ended; ``batches`` is what it still told."""

    def __init__(self, what: str, *, hint: str, details: list[str], batches: list[SendBatch]) -> None:
        super().__init__(what, hint=hint, details=details)
        self.batches = batches


# ---- the child's side --------------------------------------------------------------------------------------------


def main(argv: list[str]) -> int:
    """The worker process: ``argv`` is the number of the socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = Connection(int(argv[0]))
    try:
        connection.send(("done", _work(connection)))
    except _GONE:
        os._exit(1)  # The parent is gone, and threads may be in the middle of sends that nobody will hear of.
    except BaseException as error:  # noqa: BLE001 - told to the parent
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        with contextlib.suppress(OSError):
            connection.send(("failed", (what, traceback.format_exc())))
        os._exit(1)
    return 0


def _work(connection: Connection) -> Account:
    _, assignment = connection.recv()
    squad = Squad(assignment, built_in_senders(assignment.nameservers, assignment.plan, shared=True))
    connection.send(("ready", None))
    kind, start_ns = connection.recv()
    if kind == "stop":
        return Account()
    squad.start(start_ns)
    give_up: Deadline | None = None
    while squad.running and not (give_up and give_up.passed):
        if connection.poll(SHIP_EVERY_S):
            connection.recv()
            squad.stop()
            give_up = Deadline.after(assignment.longest_end_s)
        _ship(connection, squad)
    account = squad.finish()
    _ship(connection, squad)
    return account


def _ship(connection: Connection, squad: Squad) -> None:
    for batch in squad.take():
        connection.send(("sends", batch))
