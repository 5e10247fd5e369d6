"""The Java driver's process: a container of the cluster's own image that speaks JSON lines.

What belongs here: its start and end, requests and their answers, what it says by itself. What does not: what an
answer means (``java_outcomes``), the drivers' interface (``java``). The program is in images/rocketmq/driver, its
lines are described in docs/java-driver.md.

It is run by ``docker run -i --rm``: the end of our end of the pipe is the end of the program, and the engine removes
its container then, so that a kit that is killed leaves nothing. The labels are those of the cluster.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from types import TracebackType
from typing import Any, Self

from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.owner import LABEL_KEPT, Owner
from rmqkit.drivers.java_outcomes import said
from rmqkit.errors import DriverError, DriverMissingError, ReadOnlyClusterError, UsageError
from rmqkit.topology.names import LABEL_HOST, LABEL_OWNER_PID, LABEL_ROLE, LABEL_RUN
from rmqkit.topology.spec import NET_SERVICE
from rmqkit.waiting import Deadline

PROTOCOL = 1
CLIENT_UID = 21900
"""A user of its own, so that the traffic of clients can be told from that of brokers and NameServers."""
START_S = 60.0
END_S = 12.0
"""The program takes up to 8 s for its goodbyes, then ends itself."""

_DATA = PurePosixPath("/var/lib/rocketmq")
_LAST_WORDS = 40
_OWNERSHIP = (LABEL_RUN, LABEL_OWNER_PID, LABEL_HOST, LABEL_KEPT)


class NotGivenError(DriverError):
    """The program had ended before it was given a command: it has certainly not carried it out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the driver runs: an image of the kit's, a network (docker's ``--network``), the labels it carries."""

    image: str
    network: str
    labels: Mapping[str, str] = field(default_factory=dict)
    name: str = "rmqkit"

    @classmethod
    def inside(cls, cluster: Cluster, *, network: str | None = None) -> Place:
        """In the cluster's network, with its image and its labels: what removes the cluster removes the driver.

        ``network`` names another one: ``host`` reaches a pod through its published ports. Raises
        ReadOnlyClusterError for a cluster that the kit did not start.
        """
        network = network or cluster.network_mode
        any_of_it = cluster.container_of((*cluster.services, NET_SERVICE)[0])
        assert cluster.engine is not None  # else container_of has raised
        if cluster.spec is None:
            raise ReadOnlyClusterError(
                "the image of a cluster that the kit did not start is unknown", hint="give image="
            )
        theirs = cluster.engine.state(any_of_it).labels
        # The owner too is the cluster's: who owns a run is read from whichever of its containers comes first.
        labels = {name: theirs[name] for name in _OWNERSHIP if name in theirs}
        return cls(
            image=cluster.spec.image_ref, network=network, labels={**labels, LABEL_ROLE: "client"}, name=cluster.run
        )

    @classmethod
    def of(cls, image: str, *, network: str = "host") -> Place:
        """Anywhere: for clusters that were not started by the kit."""
        name = f"rmqkit-java-{os.getpid()}-{secrets.token_hex(3)}"
        return cls(image=image, network=network, labels=Owner.myself().labels(name, kept=False), name=name)

    def command(self, name: str, *, heap: str, java_options: str) -> list[str]:
        """What is run. The log driver is none, since every line would be kept on disk a second time."""
        labels = [word for key, value in self.labels.items() for word in ("--label", f"{key}={value}")]
        return [
            *("docker", "run", "--interactive", "--rm", "--pull=never", "--name", name, "--network", self.network),
            *("--user", f"{CLIENT_UID}:{CLIENT_UID}", "--tmpfs", f"{_DATA}:mode=1777,size=64m"),
            *("--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--log-driver", "none", "--no-healthcheck"),
            *("--env", f"RMQ_HEAP={heap}", "--env", f"RMQ_JAVA_OPTS={java_options}", *labels, self.image, "driver"),
        ]


QUICK_START = "-XX:TieredStopAtLevel=1"
"""The JVM's quick compiler only: a client that lives for one test would be compiled twice. Not for throughput."""


class JavaProcess:
    """The running program. Making one starts it and waits for its first line; ``with`` or :meth:`close` ends it.

    Safe for use by several threads. Raises DriverMissingError where there is no docker, no such image or no driver in
    it, DriverError when the program does not start or speaks another protocol.
    """

    def __init__(
        self, place: Place, *, heap: str = "128m", java_options: str = QUICK_START, start_s: float = START_S
    ) -> None:
        self.place = place
        self.container = f"{place.name}-java-{secrets.token_hex(3)}"
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[dict[str, Any]]] = {}
        self._listeners: dict[str, Callable[[dict[str, Any]], None]] = {}
        self._last_id = 0
        self._ended = ""
        self._closing = False
        self._words: deque[str] = deque(maxlen=_LAST_WORDS)
        self._hello: Future[dict[str, Any]] = Future()
        command = place.command(self.container, heap=heap, java_options=java_options)
        try:
            # A session of its own: a terminal's Ctrl-C is the kit's affair, which then ends this in order.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise DriverMissingError(
                "the Java driver runs in a container, and there is no `docker` in the PATH",
                hint="install Docker's command line (Debian: docker.io or docker-cli)",
            ) from error
        self._threads = [
            threading.Thread(target=target, name=f"{self.container}-{what}", daemon=True)
            for what, target in (("lines", self._read), ("words", self._read_words))
        ]
        for thread in self._threads:
            thread.start()
        try:
            self._greet(start_s)
        except BaseException:
            self.kill()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def client(self) -> str:
        """The Java client and its version: ``rocketmq-client 4.9.8 (Java 1.8.0_504)``."""
        hello = self._hello.result()
        version = str(hello.get("client", "?")).removeprefix("V").replace("_", ".")
        return f"rocketmq-client {version} (Java {hello.get('java', '?')})"

    @property
    def alive(self) -> bool:
        """Whether the program still speaks."""
        return not self._ended

    # ---- asking -----------------------------------------------------------------------------------------

    def submit(
        self, verb: str, *, _listener: Callable[[dict[str, Any]], None] | None = None, **fields: Any
    ) -> Future[dict[str, Any]]:
        """Send a command; its answer comes in time. ``_listener`` hears what the program says of it meanwhile.

        Raises NotGivenError when the program had ended, DriverError when it ends now.
        """
        answer: Future[dict[str, Any]] = Future()
        with self._lock:
            self._raise_if_ended(verb)
            self._last_id += 1
            number = self._last_id
            self._waiting[number] = answer
            if _listener is not None:
                self._listeners[f"{verb}-{number}"] = _listener
            line = json.dumps({"id": number, "do": verb, **fields}, separators=(",", ":")).encode() + b"\n"
            assert self._process.stdin is not None
            try:
                self._process.stdin.write(line)
                self._process.stdin.flush()
            except (OSError, ValueError) as error:
                del self._waiting[number]
                raise self._failure(f"it takes no {verb}: {error}") from error
        answer.number = number  # type: ignore[attr-defined]
        return answer

    def ask(self, verb: str, *, timeout_s: float, **fields: Any) -> dict[str, Any]:
        """Send a command and wait for a good answer. Raises DriverError with the Java client's words for a bad one."""
        future = self.submit(verb, **fields)
        answer = self.answer(future, timeout_s=timeout_s, what=verb)
        if not answer.get("ok"):
            raise DriverError(
                f"the Java client refused {verb}: {said(answer.get('error'))}",
                hint="the words are the client's own",
            )
        return answer

    def answer(self, future: Future[dict[str, Any]], *, timeout_s: float, what: str) -> dict[str, Any]:
        """The answer of a command that was submitted. Raises DriverError when none comes in time."""
        try:
            return future.result(timeout=timeout_s)
        except FutureTimeoutError as error:
            self.forget(future)
            raise DriverError(
                f"the Java driver gave no answer to {what} within {timeout_s:g} s",
                hint=f"`docker top {self.container}` shows whether it runs; is the machine overloaded?",
                details=self._last_words(),
            ) from error

    def forget(self, future: Future[dict[str, Any]]) -> None:
        """Nobody waits for this answer any more."""
        with self._lock:
            self._waiting.pop(getattr(future, "number", -1), None)

    def listen(self, name: str, listener: Callable[[dict[str, Any]], None]) -> None:
        """What the program says by itself of the consumer, producer or load ``name`` goes to ``listener``, called by
        the reading thread; it must not wait."""
        with self._lock:
            self._listeners[name] = listener

    def unlisten(self, name: str) -> None:
        """The end of :meth:`listen`."""
        with self._lock:
            self._listeners.pop(name, None)

    def clock_offset_ns(self) -> int:
        """What to add to the Java process's nanoseconds to have ``time.monotonic_ns()`` of this one.

        0 where both read one clock (System.nanoTime is CLOCK_MONOTONIC on Linux, and a container has its host's);
        elsewhere the middle of a question and its answer, so good to half of the time between.
        """
        began = time.monotonic_ns()
        theirs = int(self.ask("ping", timeout_s=10)["nanos"])
        ended = time.monotonic_ns()
        return 0 if began <= theirs <= ended else (began + ended) // 2 - theirs

    def cpu_ns(self) -> int:
        """Processor time that the Java process has used."""
        return int(self.ask("ping", timeout_s=10)["cpuNanos"])

    # ---- ending -----------------------------------------------------------------------------------------

    def close(self) -> None:
        """Let the program say goodbye to its brokers and end; kill it if it does not. May be called twice."""
        self._closing = True
        self._close_input()
        try:
            self._process.wait(timeout=END_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._join()

    def kill(self) -> None:
        """SIGKILL, at once: the client says no goodbye to anybody."""
        self._closing = True
        # By name: the container is there even when its command line was interrupted while it started.
        subprocess.run(["docker", "rm", "--force", "--volumes", self.container], check=False, capture_output=True)
        self._close_input()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._join()

    def _close_input(self) -> None:
        with self._lock:
            if self._process.stdin is not None:
                with suppress(OSError):  # it has ended already
                    self._process.stdin.close()

    def _join(self) -> None:
        for thread in self._threads:
            thread.join(timeout=5)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with suppress(OSError):
                    stream.close()

    # ---- the other side ---------------------------------------------------------------------------------

    def _greet(self, start_s: float) -> None:
        deadline = Deadline.after(start_s)
        try:
            hello = self._hello.result(timeout=deadline.left_s)
        except FutureTimeoutError as error:
            raise DriverError(
                f"the Java driver said nothing within {start_s:g} s of its start",
                details=self._last_words(),
                hint="is the machine overloaded?",
            ) from error
        if hello.get("protocol") != PROTOCOL:
            raise DriverMissingError(
                f"the Java driver in {self.place.image} speaks protocol {hello.get('protocol')}, this kit {PROTOCOL}",
                hint=self._rebuild(),
            )

    def _rebuild(self) -> str:
        return f"build the image again, with this kit: rmqkit build {self.place.image.rpartition(':')[2]}"

    def _read(self) -> None:
        assert self._process.stdout is not None
        with suppress(ValueError):  # closed
            for line in self._process.stdout:
                self._take(line)
        self._process.wait()
        self._threads[1].join(timeout=5)
        failure = self._over()
        with self._lock:
            self._ended = failure.what
            waiting, self._waiting = self._waiting, {}
        for future in [*waiting.values(), self._hello]:
            with suppress(InvalidStateError):
                future.set_exception(failure)

    def _take(self, line: bytes) -> None:
        try:
            said_now = json.loads(line)
        except ValueError:
            self._words.append(f"(no JSON) {line[:200].decode('utf-8', 'replace')}")
            return
        event = said_now.get("event")
        if event == "hello":
            self._hello.set_result(said_now)
        elif event is None:
            with self._lock:
                future = self._waiting.pop(int(said_now.get("id", -1)), None)
            if future is not None:
                future.set_result(said_now)
        else:
            name = said_now.get("consumer") or said_now.get("producer") or f"load-{said_now.get('load')}"
            with self._lock:
                listener = self._listeners.get(str(name))
            if listener is not None:
                listener(said_now)

    def _read_words(self) -> None:
        assert self._process.stderr is not None
        with suppress(ValueError):  # closed
            for line in self._process.stderr:
                self._words.append(line.decode("utf-8", "replace").rstrip())

    def _last_words(self) -> list[str]:
        return list(self._words)[-20:]

    def _raise_if_ended(self, verb: str) -> None:
        if self._ended or self._closing:
            raise NotGivenError(f"the Java driver takes no {verb}: {self._ended or 'it was closed'}")

    def _failure(self, what: str) -> DriverError:
        return DriverError(f"the Java driver failed: {what}", details=self._last_words())

    def _over(self) -> DriverError | DriverMissingError:
        """The error for a program that is over; before its first line the reason is usually the image."""
        words = "\n".join(self._words)
        code = self._process.returncode
        if not self._hello.done():
            if "unknown command: driver" in words or "has no Java driver" in words:
                return DriverMissingError(
                    f"the image {self.place.image} has no Java driver",
                    details=self._last_words()[-3:],
                    hint=self._rebuild(),
                )
            if "No such image" in words or "Unable to find image" in words:
                return DriverMissingError(f"there is no image {self.place.image}", hint=self._rebuild())
            return DriverMissingError(
                f"the Java driver did not start: exit code {code}",
                details=self._last_words(),
                hint="the lines above are docker's or Java's own; does `docker info` answer?",
            )
        how = "was closed" if self._closing else f"ended by itself with exit code {code}"
        return DriverError(
            f"the Java driver {how}",
            details=() if self._closing else self._last_words(),
            hint="" if self._closing else "137 is a kill, 3 an out-of-memory error of the JVM (raise heap)",
        )


def place_for(cluster: Cluster | None, *, image: str | None = None, network: str | None = None) -> Place:
    """Where to run for a cluster, or for an image and a network that the caller names."""
    if image is not None:
        return Place.of(image, network=network or "host")
    if cluster is None:
        raise UsageError(
            "the Java driver runs in a container, and it is not known in which image and network",
            hint="give the cluster (Target.of(cluster)), or image= (an image that `rmqkit build` made) and network=",
        )
    return Place.inside(cluster, network=network)
