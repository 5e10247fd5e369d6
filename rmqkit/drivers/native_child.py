"""The native client's process: run as a program, never imported by the kit. JSON lines in, JSON lines out.

Standard library only, so that any interpreter that has the native package can run it, and so that it starts
quickly. One process is one producer or one consumer. It ends when its parent does: the pipe closes, or the parent's
pidfd fires.

In, first line: what to be. Out, first line: ``hello`` (which package it is), or ``missing`` (what is not here).
Then in: ``{"id", "op": send | oneway | ping | close}``, ``{"op": "answer", "token", "ok"}``; out: ``{"id", …}`` answers
in any order, and ``{"message": …}``.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import ctypes.util
import importlib
import importlib.metadata
import itertools
import json
import os
import platform
import select
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

SENDERS = 32
CALLBACKS_END_S = 2.0
CONSUME_SUCCESS, RECONSUME_LATER = 0, 1
KNOWN_PROPERTIES = ("UNIQ_KEY", "KEYS", "TAGS", "DELAY", "RETRY_TOPIC", "ORIGIN_MESSAGE_ID", "REAL_TOPIC", "rmqkit-id")


class Missing(Exception):  # noqa: N818 - it is an answer, not an error
    """The package or its library is not usable; ``tried`` are lines that say what was looked for and where."""

    def __init__(self, kind: str, what: str, tried: list[str] | None = None) -> None:
        super().__init__(what)
        self.kind, self.what, self.tried = kind, what, list(tried or [])


class Binding:
    """The one place that knows the two generations of the package apart: 0.4.x, and 2.x."""

    def __init__(self, client: Any, ffi: Any, *, package: str, version: str) -> None:
        self.client, self.dll = client, ffi.dll
        self.package, self.version = package, version
        self.second = hasattr(client.Producer, "set_name_server_address")
        self.library = getattr(ffi.dll, "_name", "") or getattr(ffi, "_DYLIB_PATH", "") or ""

    def describe(self) -> dict[str, Any]:
        return {
            "package": self.package,
            "version": self.version,
            "generation": 2 if self.second else 0,
            "library": str(self.library),
            "python": platform.python_version(),
        }

    def set_nameservers(self, member: Any, addresses: str) -> None:
        (member.set_name_server_address if self.second else member.set_namesrv_addr)(addresses)

    def producer(self, job: dict[str, Any], *, orderly: bool = False) -> Any:
        """A started producer. Only 2.x has another kind of it for messages in order."""
        made = self.client.Producer(job["group"], orderly=True) if orderly else self.client.Producer(job["group"])
        self.set_nameservers(made, job["nameservers"])
        # Neither package offers this by a method; both bind the function. Two in one process need two names.
        self.dll.SetProducerInstanceName(_handle(made), f"{job['instance']}{'-o' if orderly else ''}".encode())
        if job.get("attempt_ms"):
            made.set_timeout(job["attempt_ms"])
        if job.get("max_body_bytes"):
            made.set_max_message_size(job["max_body_bytes"])
        if job.get("compress_over_bytes") is not None:
            with contextlib.suppress(AttributeError):  # exported by 1.x and 2.x of the library, bound by no package
                self.dll.SetProducerCompressMsgBodyOverHowmuch(
                    ctypes.c_void_p(_handle(made)), ctypes.c_int(job["compress_over_bytes"])
                )
        made.start()
        return made

    def message(self, command: dict[str, Any]) -> Any:
        made = self.client.Message(command["topic"])
        body = base64.b64decode(command["body"])
        # Not set_body: it hands over a C string, which ends at the first NUL byte.
        status = self.dll.SetByteMessageBody(_handle(made), body, len(body))
        if int(status or 0):
            raise RuntimeError(f"SetByteMessageBody returned {status}")
        if command["tags"]:
            made.set_tags(command["tags"])
        made.set_keys(command["keys"])
        for name, value in command["properties"].items():
            made.set_property(name, value)
        if command.get("delay_level"):
            made.set_delay_time_level(command["delay_level"])
        return made

    def discard(self, message: Any) -> None:
        """2.x never frees a message; 0.4.x does so when the object goes."""
        if self.second:
            self.dll.DestroyMessage(_handle(message))

    def send_orderly(self, producer: Any, message: Any, command: dict[str, Any]) -> Any:
        """2.x takes the key and hashes it itself; 0.4.x asks for the queue."""
        if self.second:
            return producer.send_orderly_with_sharding_key(message, command["sharding_key"])
        # No retries: sendAutoRetrySelectImpl takes *another* queue for the second attempt, which is no order any more.
        chosen = command["sharding_hash"]
        return producer.send_orderly(message, 0, retry_times=0, queue_selector=lambda size, _msg, _arg: chosen % size)


def load() -> Binding:
    """The binding, or :class:`Missing` that says exactly what is."""
    try:
        package = importlib.import_module("rocketmq")
    except ModuleNotFoundError as error:
        if error.name != "rocketmq":
            raise Missing("package", f"the package rocketmq does not import: {error}") from error
        raise Missing(
            "package", "no package named rocketmq", [f"looked in {each}" for each in sys.path if each]
        ) from error
    folder = (list(getattr(package, "__path__", [])) or [""])[0]
    name, version = _distribution(folder)
    label = f"{name} {version} in {folder}"
    try:
        ffi = importlib.import_module("rocketmq.ffi")
        client = importlib.import_module("rocketmq.client")
    except ModuleNotFoundError as error:
        raise Missing("package", f"{label} is another package: it has no {error.name}") from error
    except ImportError as error:  # both packages: "rocketmq dynamic library not found"
        raise Missing("library", f"{label} finds no librocketmq: {error}", _looked(folder)) from error
    except OSError as error:
        raise Missing("library", f"the library of {label} cannot be loaded: {error}", _looked(folder)) from error
    except AttributeError as error:
        what = f"the library that {label} found does not fit to it: {error}"
        raise Missing("library", what, _looked(folder)) from error
    except NotImplementedError as error:
        raise Missing("library", f"{label}: {error}") from error
    if not any(hasattr(client.Producer, each) for each in ("set_namesrv_addr", "set_name_server_address")):
        raise Missing("package", f"{label} is a generation that the kit does not know: no way to name a NameServer")
    return Binding(client, ffi, package=name, version=version)


def _distribution(folder: str) -> tuple[str, str]:
    """Name and version of what ``folder`` was installed by: more than one distribution may own the import name."""
    for name in importlib.metadata.packages_distributions().get("rocketmq", []):
        found = importlib.metadata.distribution(name)
        if Path(str(found.locate_file("rocketmq"))) == Path(folder):
            return name, found.version
    return "rocketmq", "of unknown version"


def _looked(folder: str) -> list[str]:
    found = ctypes.util.find_library("rocketmq") or "nothing"
    suffix = ".dylib" if sys.platform == "darwin" else ".so"
    return [
        f"beside the package: {Path(folder) / f'librocketmq{suffix}'}",
        f"by the system's loader (ldconfig; LD_LIBRARY_PATH is {os.environ.get('LD_LIBRARY_PATH', '')!r}): {found}",
        f"on {sys.platform} {platform.machine()}, {os.path.realpath(sys.executable)}",
    ]


class Pipe:
    """Lines to the parent, from any thread."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)  # what the library prints must not come between the lines
        self._lock = threading.Lock()

    def say(self, line: dict[str, Any]) -> None:
        data = json.dumps(line).encode() + b"\n"
        with self._lock:
            try:
                self._out.write(data)
                self._out.flush()
            except OSError:
                os._exit(0)  # nobody listens any more


class ProducerRole:
    """Sends in threads of its own, so that one that hangs holds up nobody."""

    def __init__(self, binding: Binding, job: dict[str, Any], pipe: Pipe) -> None:
        self._binding, self._job, self._pipe = binding, job, pipe
        self._producer = binding.producer(job)
        self._orderly = None if binding.second else self._producer
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(max_workers=SENDERS, thread_name_prefix="send")

    def do(self, command: dict[str, Any]) -> None:
        self._threads.submit(self._send, command)

    def _send(self, command: dict[str, Any]) -> None:
        answer = {"id": command["id"]}
        try:
            message = self._binding.message(command)
            try:
                answer.update(self._given(command, message))
            finally:
                self._binding.discard(message)
        except BaseException as error:  # noqa: BLE001 - every end of a send is an answer
            answer.update(error=type(error).__name__, text=str(error))
        self._pipe.say(answer)

    def _given(self, command: dict[str, Any], message: Any) -> dict[str, Any]:
        if command["op"] == "oneway":
            self._producer.send_oneway(message)
            return {"oneway": True}
        if command.get("sharding_key"):
            result = self._binding.send_orderly(self._for_order(), message, command)
        else:
            result = self._producer.send_sync(message)
        return {"status": int(result.status), "msg_id": result.msg_id, "offset": result.offset}

    def _for_order(self) -> Any:
        with self._lock:
            if self._orderly is None:
                self._orderly = self._binding.producer(self._job, orderly=True)
            return self._orderly

    def close(self) -> None:
        for each in {id(p): p for p in (self._producer, self._orderly) if p is not None}.values():
            each.shutdown()


class _Waiting:
    """A message that the parent has not answered for."""

    def __init__(self) -> None:
        self.answered = threading.Event()
        self.ok = False


class ConsumerRole:
    """Hands each message to the parent and holds the library's thread until the parent has answered for it."""

    def __init__(self, binding: Binding, job: dict[str, Any], pipe: Pipe) -> None:
        self._binding, self._pipe = binding, pipe
        self._names = [*KNOWN_PROPERTIES, *job.get("properties", ())]
        self._tokens = itertools.count(1)
        self._waiting: dict[str, _Waiting] = {}
        self._lock = threading.Lock()
        self._closing = False
        self._under_way = 0
        self._idle = threading.Condition(self._lock)
        self._consumer = binding.client.PushConsumer(job["group"])
        binding.set_nameservers(self._consumer, job["nameservers"])
        self._consumer.set_instance_name(job["instance"])
        self._consumer.set_thread_count(job["threads"])
        self._consumer.set_message_batch_max_size(1)
        # Not subscribe(): a callback that raises there counts as CONSUME_SUCCESS, for ctypes returns 0 when a callback
        # raises, and 0.4.x knows no other way to say "later".
        status = binding.dll.Subscribe(_handle(self._consumer), job["topic"].encode(), job["expression"].encode())
        if int(status or 0):
            raise RuntimeError(f"Subscribe returned {status}")
        self._consumer._register_callback(self._on_message)  # noqa: SLF001 - see above
        self._consumer.start()

    def _on_message(self, _consumer: Any, handle: Any) -> int:
        with self._lock:
            self._under_way += 1
        try:
            return CONSUME_SUCCESS if self._asked(handle) else RECONSUME_LATER
        except BaseException as error:  # noqa: BLE001 - must not reach ctypes
            with contextlib.suppress(Exception):
                self._pipe.say({"trouble": f"{type(error).__name__}: {error}"})
            return RECONSUME_LATER
        finally:
            with self._idle:
                self._under_way -= 1
                self._idle.notify_all()

    def _asked(self, handle: Any) -> bool:
        kind = getattr(self._binding.client, "RecvMessage", None) or self._binding.client.ReceivedMessage
        message = kind(handle)
        entry = _Waiting()
        with self._lock:
            if self._closing:
                return False
            token = str(next(self._tokens))
            self._waiting[token] = entry
        self._pipe.say({"message": self._plain(message, token)})
        entry.answered.wait()
        return entry.ok

    def _plain(self, message: Any, token: str) -> dict[str, Any]:
        found = {name: message.get_property(name) for name in self._names}
        return {
            "token": token,
            "topic": message.topic,
            "body": base64.b64encode(message.body or b"").decode(),
            "properties": {name: _text(value) for name, value in found.items() if value},
            "tags": _text(message.tags or b""),
            "keys": _text(message.keys or b""),
            "queue_id": message.queue_id,
            "queue_offset": message.queue_offset,
            "reconsume_times": message.reconsume_times,
            "born_ms": message.born_timestamp,
            "store_ms": message.store_timestamp,
        }

    def do(self, command: dict[str, Any]) -> None:
        with self._lock:
            entry = self._waiting.pop(command["token"], None)
        if entry is not None:
            entry.ok = bool(command["ok"])
            entry.answered.set()

    def close(self) -> None:
        """What nobody answered for goes back to the broker, as a service that stops would do; then shut down.

        The library commits what its callbacks have returned from, so they are waited for: else what was acknowledged a
        moment ago would come again. It moves its position right after, and has no word for that.
        """
        with self._idle:
            self._closing = True
            left, self._waiting = list(self._waiting.values()), {}
            for entry in left:
                entry.answered.set()
            self._idle.wait_for(lambda: not self._under_way, timeout=CALLBACKS_END_S)
        self._consumer.shutdown()


def _handle(member: Any) -> Any:
    return member._handle  # noqa: SLF001 - for what the library can do and the packages have no method for


def _text(value: Any) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)


def _end_with_parent() -> None:
    """The pipe's end tells too, but not while a fork of the parent holds its other end."""
    with contextlib.suppress(OSError, AttributeError):
        parent = os.pidfd_open(os.getppid())
        waiter = select.poll()
        waiter.register(parent, select.POLLIN)

        def wait() -> NoReturn:
            waiter.poll()
            os._exit(0)

        threading.Thread(target=wait, name="parent", daemon=True).start()


def main() -> None:
    pipe = Pipe()
    _end_with_parent()
    job = json.loads(sys.stdin.buffer.readline())
    sys.path[:0] = job.get("path", [])
    try:
        binding = load()
    except Missing as missing:
        pipe.say({"missing": missing.kind, "what": missing.what, "tried": missing.tried})
        return
    try:
        role = (ProducerRole if job["role"] == "producer" else ConsumerRole)(binding, job, pipe)
    except Exception as error:  # noqa: BLE001 - the parent says it better than a traceback
        pipe.say({"failed": f"{type(error).__name__}: {error}", "hello": binding.describe()})
        os._exit(1)
    # The library has its log open and needs the folder no more: nothing is left behind, however this process ends.
    shutil.rmtree(os.environ.get("RMQKIT_CHILD_HOME") or "/nonexistent", ignore_errors=True)
    pipe.say({"hello": binding.describe()})
    for line in sys.stdin.buffer:
        command = json.loads(line)
        if command["op"] == "ping":
            pipe.say({"id": command["id"], "pong": True})
        elif command["op"] == "close":
            role.close()
            pipe.say({"id": command["id"], "closed": True})
            break
        else:
            role.do(command)
    os._exit(0)  # not by the interpreter's end: the library's threads and destructors may hang or crash there


if __name__ == "__main__":
    main()
