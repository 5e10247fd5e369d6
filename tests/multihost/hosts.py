"""Several hosts on one machine: a network namespace each, with a Docker engine of its own, joined by a switch.

What belongs here: making them, powering one off and on, and taking everything away, also after Ctrl-C and SIGKILL.
What does not: RocketMQ, and what is deployed there.

A host is one process tree below ``unshare``, in a network, mount and process namespace of its own: killing its first
process ends its daemon and every container at once, as a power cut does, and its mounts go with it. The switch is a
bridge in a namespace of its own, so that no rule of this machine's firewall is changed or met. Needs root, iproute2,
util-linux and dockerd. ``ip netns exec`` will not do: it hides the cgroup mounts.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rmqkit.cluster.signals import held_back, sigterm_unwinds
from rmqkit.waiting import Pending, wait_until

PREFIX: Final = "rmqkit-hosts-"
"""Folders and network namespaces are named by this and by the process that made them."""
_NAMED = re.compile(rf"{PREFIX}(\d+)(?:-.*)?")
_CGROUPS: Final = Path("/sys/fs/cgroup")
_DETACH: Final = 2
"""MNT_DETACH of umount2(2)."""


@dataclass(slots=True)
class Host:
    """One host: its name, its address on the switch, and where its engine listens."""

    name: str
    address: str
    folder: Path
    namespace: str
    cgroup: str
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def engine(self) -> str:
        """Its engine, as DOCKER_HOST."""
        return f"unix://{self.folder}/docker.sock"

    def docker(self, *arguments: str, check: bool = True) -> str:
        """What a docker command on its engine prints."""
        done = subprocess.run(
            ["docker", "--host", self.engine, *arguments], capture_output=True, text=True, check=False, timeout=60
        )
        assert not check or done.returncode == 0, f"{self.name}: docker {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def power_on(self) -> None:
        """Plug the network in, start the daemon, and wait until it answers."""
        assert self.process is None, f"{self.name} is on"
        _ip("-n", self.namespace, "link", "set", "eth0", "up")
        for left in ("docker.pid", "docker.sock"):
            (self.folder / left).unlink(missing_ok=True)
        shutil.rmtree(self.folder / "exec", ignore_errors=True)  # sockets of what a power cut ended
        command = [
            *("setpriv", "--pdeathsig", "KILL", "nsenter", f"--net=/run/netns/{self.namespace}"),
            *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
            *("dockerd", "--host", self.engine, "--data-root", str(self.folder / "data")),
            *("--exec-root", str(self.folder / "exec"), "--pidfile", str(self.folder / "docker.pid")),
            *("--iptables=false", "--bridge=none", "--ip-masq=false", f"--cgroup-parent={self.cgroup}"),
        ]
        with (self.folder / "dockerd.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        wait_until(
            self._answers,
            label=f"the engine of {self.name} answers",
            timeout_s=60,
            every_s=0.1,
            tolerate=(subprocess.TimeoutExpired,),
        )

    def _answers(self) -> bool | Pending:
        assert self.process is not None
        ping = ["docker", "--host", self.engine, "version"]
        if self.process.poll() is None:
            asked = subprocess.run(ping, capture_output=True, check=False, timeout=20)
            if asked.returncode == 0:
                return True
        log = (self.folder / "dockerd.log").read_text(encoding="utf-8", errors="replace").splitlines()
        return Pending(f"exit code {self.process.poll()}", details=tuple(log[-15:]))

    def power_off(self) -> None:
        """A power cut: daemon, containers and network end at once. What was written stays."""
        if self.process is None:
            return
        with suppress(subprocess.CalledProcessError):
            _ip("-n", self.namespace, "link", "set", "eth0", "down")
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=30)
        self.process = None
        wait_until(self._empty, label=f"nothing of {self.name} runs any more", timeout_s=30)

    def _empty(self) -> bool | Pending:
        left = _members(self.cgroup)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return Pending(f"processes {left}") if left else True


@contextmanager
def hosts(names: Sequence[str]) -> Iterator[tuple[Host, ...]]:
    """As many hosts as there are names, powered on; nothing of them is left at the end, whatever happens."""
    remove_leftovers()
    mark = f"{os.getpid()}"
    with ExitStack() as stack:
        stack.enter_context(sigterm_unwinds())
        stack.callback(_removed, mark)
        folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{mark}-"))
        net = _free_network()
        with held_back():
            switch = f"{PREFIX}{mark}-switch"
            _ip("netns", "add", switch)
            _ip("-n", switch, "link", "add", "br0", "type", "bridge")
            _ip("-n", switch, "link", "set", "br0", "up")
            _plug(switch, port="root", inside=f"rmqh{mark}", namespace=None, address=f"{net}.254/24")
            made = []
            for number, name in enumerate(names, 1):
                namespace = f"{PREFIX}{mark}-{name}"
                _ip("netns", "add", namespace)
                _ip("-n", namespace, "link", "set", "lo", "up")
                _plug(switch, port=name, inside="eth0", namespace=namespace, address=f"{net}.{number}/24")
                (folder / name).mkdir()
                made.append(Host(name, f"{net}.{number}", folder / name, namespace, f"/{PREFIX}{mark}-{name}"))
        for host in made:
            stack.callback(host.power_off)
            host.power_on()
        yield tuple(made)


def remove_leftovers() -> None:
    """What a process that was killed could not take away."""
    for mark in _marks():
        if not Path(f"/proc/{mark}").exists():
            _removed(mark)


def leftovers(mark: str) -> list[str]:
    """Everything that is named after a process that made hosts."""
    found = [f"folder {path}" for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}{mark}-*")]
    found += [f"namespace {name}" for name in _namespaces() if name.startswith(f"{PREFIX}{mark}-")]
    found += [f"cgroup {path}" for path in _CGROUPS.glob(f"*/{PREFIX}{mark}-*")]
    found += [f"cgroup {path}" for path in _CGROUPS.glob(f"{PREFIX}{mark}-*")]
    found += [f"link rmqh{mark}"] if Path(f"/sys/class/net/rmqh{mark}").exists() else []
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    return found + [f"mount {line.split()[1]}" for line in mounts if f"{PREFIX}{mark}-" in line.split()[1]]


def _removed(mark: str) -> None:
    """Take away everything that is named after a process; its hosts are off, or it is dead and they with it.

    What a host that was just killed still holds is tried again.
    """

    def probe() -> bool | Pending:
        _remove_once(mark)
        left = leftovers(mark)
        return Pending(", ".join(left)) if left else True

    with held_back():
        wait_until(probe, label=f"nothing of {PREFIX}{mark} is left", timeout_s=30, every_s=0.2)


def _remove_once(mark: str) -> None:
    for namespace in _namespaces():
        if namespace.startswith(f"{PREFIX}{mark}-"):
            _ip("netns", "delete", namespace)
    with suppress(subprocess.CalledProcessError):
        _ip("link", "delete", f"rmqh{mark}")
    for group in [*_CGROUPS.glob(f"*/{PREFIX}{mark}-*"), *_CGROUPS.glob(f"{PREFIX}{mark}-*")]:
        for pid in _members(f"/{group.name}"):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _remove_cgroup(group)
    libc = ctypes.CDLL(None)
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}{mark}-*"):
        for line in reversed(Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()):
            mount = line.split()[1]
            if mount.startswith(f"{folder}/"):
                libc.umount2(mount.encode(), _DETACH)
        shutil.rmtree(folder, ignore_errors=True)


def _remove_cgroup(group: Path) -> None:
    for below in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
        with suppress(OSError):
            below.rmdir()
    with suppress(OSError):
        group.rmdir()


def _members(cgroup: str) -> list[int]:
    """Processes below a cgroup, whatever the controller."""
    found: set[int] = set()
    for top in [*_CGROUPS.glob(f"*{cgroup}"), _CGROUPS / cgroup.lstrip("/")]:
        for procs in top.rglob("cgroup.procs"):
            with suppress(OSError):
                found.update(int(line) for line in procs.read_text(encoding="ascii").split())
    return sorted(found - {0})


def _plug(switch: str, *, port: str, inside: str, namespace: str | None, address: str) -> None:
    """A cable from the switch to a namespace (None: this machine's own), with an address at its far end."""
    _ip("-n", switch, "link", "add", port, "type", "veth", "peer", "name", inside)
    _ip("-n", switch, "link", "set", inside, "netns", namespace if namespace is not None else str(os.getpid()))
    _ip("-n", switch, "link", "set", port, "master", "br0", "up")
    there = ("-n", namespace) if namespace is not None else ()
    _ip(*there, "address", "add", address, "dev", inside)
    _ip(*there, "link", "set", inside, "up")


def _free_network() -> str:
    """The first three numbers of a /24 to which this machine has no route of its own."""
    routes = subprocess.run(["ip", "-4", "route"], capture_output=True, text=True, check=True, timeout=10).stdout
    for third in range(1, 255):
        network = f"10.213.{(os.getpid() + third) % 254 + 1}"
        if f"{network}." not in routes:
            return network
    raise AssertionError("no free network in 10.213.0.0/16")


def _namespaces() -> list[str]:
    return sorted(path.name for path in Path("/run/netns").glob(f"{PREFIX}*"))


def _marks() -> set[str]:
    names = [*_namespaces(), *(path.name for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"))]
    names += [path.name for path in _CGROUPS.glob(f"*/{PREFIX}*")]
    return {match[1] for name in names if (match := _NAMED.fullmatch(name))}


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False, timeout=30)
    if done.returncode != 0:
        raise subprocess.CalledProcessError(done.returncode, ["ip", *arguments], done.stdout, done.stderr)
