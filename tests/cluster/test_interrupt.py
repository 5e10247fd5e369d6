"""Whenever a run ends, and however, nothing of it stays; what was asked to stay does, until it is taken down."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from leftovers import things_of

from rmqkit.cluster import Cluster
from rmqkit.cluster.ports import reserve_block
from rmqkit.errors import PortInUseError
from rmqkit.fixtures.hooks import editions
from rmqkit.topology.spec import ClusterSpec
from rmqkit.waiting import Pending, wait_until

pytestmark = pytest.mark.cluster

DOCKER_CONFIG = os.environ.get("DOCKER_CONFIG") or str(Path.home() / ".docker")


class Command:
    """``rmqkit`` in a process of its own, which leads a process group, as one that a shell started does."""

    def __init__(self, *argv: str) -> None:
        self.output = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed by close()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rmqkit", *argv],
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.pid = self.process.pid

    def said(self) -> str:
        """Everything that it printed so far."""
        self.output.flush()
        return Path(f"/proc/self/fd/{self.output.fileno()}").read_text(encoding="utf-8")

    def ctrl_c(self) -> None:
        """What a terminal does: the signal goes to the whole group, Compose included."""
        os.killpg(self.pid, signal.SIGINT)

    def terminate(self) -> None:
        """What a supervisor does: the signal goes to the one process that it started."""
        self.process.send_signal(signal.SIGTERM)

    def close(self) -> None:
        """End it, if it has not ended."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.output.close()

    # ---- moments

    def after(self, seconds: float) -> None:
        """Wait for a time, in which it may do what it wants."""
        try:
            self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return
        pytest.fail(f"it ended by itself: {self.said()}")

    def until_compose_may_start(self) -> None:
        """Somewhere between the first look at the engine and the first container."""
        self._until("it begins", lambda: "starting a cluster" in self.said())
        self.after(0.7)

    def until_containers_appear(self) -> None:
        """Compose is in the middle of its work: the first container is there, the last is not yet."""
        self._until("its first container is there", lambda: any("container" in each for each in things_of(self.pid)))

    def until_ready(self) -> None:
        """The cluster serves."""
        self._until("its cluster is ready", lambda: "all agree" in self.said())

    def _until(self, label: str, holds: Callable[[], bool]) -> None:
        def probe() -> bool | Pending:
            if self.process.poll() is not None:
                pytest.fail(f"it ended before {label}: {self.said()}")
            return holds() or Pending(self.said()[-200:])

        wait_until(probe, label=label, timeout_s=120, every_s=0.05)


@pytest.fixture
def edition(pytestconfig: pytest.Config) -> str:
    return editions(pytestconfig)[0]


@pytest.fixture
def drill(edition: str) -> Iterator[Command]:
    command = Command("drill", "--edition", edition)
    yield command
    command.close()


def rmqkit(*argv: str) -> subprocess.CompletedProcess[str]:
    """A command that works."""
    command = [sys.executable, "-m", "rmqkit", *argv]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)


MOMENTS = {
    "while Python starts": lambda command: command.after(0.3),
    "while Compose starts": Command.until_compose_may_start,
    "while containers appear": Command.until_containers_appear,
    "when the cluster serves": Command.until_ready,
}


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda name: name.replace(" ", "-"))
@pytest.mark.parametrize("interrupt", [Command.ctrl_c, Command.terminate], ids=["ctrl-c", "sigterm"])
def test_interrupted_at_any_moment_nothing_stays(
    drill: Command, interrupt: Callable[[Command], None], moment: str
) -> None:
    MOMENTS[moment](drill)
    interrupt(drill)
    code = drill.process.wait(timeout=60)
    assert things_of(drill.pid) == set()
    if moment == "while Python starts":
        # Before there is anything to undo, the signal may end Python itself.
        assert code in (130, 1, -signal.SIGINT, -signal.SIGTERM)
        return
    assert code == 130, drill.said()
    assert "rmqkit: interrupted; what this command had started was taken down" in drill.said()
    assert "Traceback" not in drill.said()
    # Compose may have had one more container under way when it was ended.
    still_nothing(drill.pid)


def still_nothing(pid: int) -> None:
    """For a second, nothing appears any more."""
    looks = 0

    def probe() -> bool | Pending:
        nonlocal looks
        assert things_of(pid) == set()
        looks += 1
        return looks > 4 or Pending("nothing yet")

    wait_until(probe, label="a second has passed", timeout_s=30, every_s=0.2)


def killed_in_the_middle(drill: Command) -> None:
    """kill -9 when containers are there: nobody cleans up, and Compose goes on for a moment without its caller."""
    drill.until_containers_appear()
    drill.process.kill()
    drill.process.wait()

    def group_is_empty() -> bool | Pending:
        try:
            os.killpg(drill.pid, 0)
        except ProcessLookupError:
            return True
        return Pending("Compose still runs")

    wait_until(group_is_empty, label="Compose has ended", timeout_s=60)


def test_what_a_killed_owner_left_is_removed_by_hand(drill: Command) -> None:
    killed_in_the_middle(drill)
    rmqkit("down", "--stale")
    assert things_of(drill.pid) == set()


def test_what_a_killed_owner_left_is_removed_at_the_next_start(drill: Command, edition: str) -> None:
    killed_in_the_middle(drill)
    with reserve_block(100) as block:
        spec = ClusterSpec.pod(base_port=block.base, name="never-started", edition=edition)
        # A start that gets no further than its ports is enough, and needs no time.
        taken = spec.ports()[0]
        with (
            socket.create_server(("127.0.0.1", taken)),
            pytest.raises(PortInUseError),
            Cluster.start(spec),
        ):
            pytest.fail("it started")
    assert things_of(drill.pid) == set()


@pytest.mark.long
def test_two_clusters_stand_side_by_side_and_fall_alone(rmq_cluster: Cluster, edition: str) -> None:
    with Cluster.start(edition=edition) as other:
        assert other.run != rmq_cluster.run
        assert not {peer.address for peer in other.peers} & {peer.address for peer in rmq_cluster.peers}
        assert other.wait_ready().healthy
        assert rmq_cluster.wait_ready().healthy
    assert rmq_cluster.wait_ready().healthy
    assert {thing.rpartition(" ")[2] for thing in things_of(os.getpid())} == {rmq_cluster.run}


def test_up_survives_its_process_until_down(edition: str) -> None:
    up = Command("up", "--json", "--edition", edition)
    run = ""
    try:
        assert up.process.wait(timeout=180) == 0, up.said()
        answer = json.loads(up.said()[up.said().index("{") :])
        run = answer["run"]
        kept = things_of(up.pid)
        assert {thing.split()[0] for thing in kept} == {"container", "network", "volume"}
        assert all(thing.endswith(f"of run {run}") for thing in kept)

        rmqkit("down", "--stale")
        assert things_of(up.pid) == kept, "kept on purpose is not left behind"
        status = json.loads(rmqkit("status", "--run", run, "--json").stdout)
        assert status["healthy"]
        assert run in rmqkit("status", "--list").stdout
        with Cluster.attach(answer["namesrv"]) as attached:
            assert attached.wait_ready().healthy

        assert rmqkit("down", run).stdout == f"took down {run}\n"
        assert things_of(up.pid) == set()
    finally:
        up.close()
        if run and things_of(up.pid):
            rmqkit("down", run)


def test_a_kept_cluster_of_a_test_run_is_named_and_survives_until_down(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, edition: str
) -> None:
    # Pytester gives its runs an empty home; Compose is a plugin in the real one.
    monkeypatch.setenv("DOCKER_CONFIG", DOCKER_CONFIG)
    pytester.makepyfile(
        """
        import os

        def test_it(rmq_cluster):
            assert rmq_cluster.status().groups
            print(f"pid {os.getpid()}")
        """
    )
    result = pytester.runpytest_subprocess("-s", "--rmq-keep", "--rmq-edition", edition, timeout=180)
    result.assert_outcomes(passed=1)
    text = result.stdout.str()
    said = re.search(
        r"^rmqkit kept (\S+): NameServer 127\.0\.0\.1:\d+; take it down: rmqkit down \1$", text, re.MULTILINE
    )
    number = re.search(r"pid (\d+)", text)
    assert said, text
    assert number
    pid = int(number[1])
    try:
        assert any(thing.startswith("container") for thing in things_of(pid))
    finally:
        rmqkit("down", said[1])
    assert things_of(pid) == set()
