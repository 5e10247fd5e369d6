"""What a guard's life promises when it is interrupted, hangs or fails; what it does meets real brokers elsewhere."""

from __future__ import annotations

import signal
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.engine import ContainerState
from rmqkit.cluster.guard import LEFT, Guard, Task, tried
from rmqkit.errors import EngineError, FaultError

TASK = Task(what="t", do="do", undo="undo", gone="gone")


class FakeEngine:
    """Containers that are only remembered. ``hangs`` do not end when they are told to; ``codes`` are exit codes.

    ``interrupted`` is the act during which Ctrl-C comes: what it made is there, and nobody knows its id yet.
    """

    def __init__(self, *, interrupted: str = "") -> None:
        self.interrupted = interrupted
        self.refuses = ""
        self.there: list[str] = []
        self.did: list[str] = []
        self.over: set[str] = set()
        self.hangs: set[str] = set()
        self.codes: dict[str, int] = {}
        self.exec_code = 0
        self.said = ""
        self.client = SimpleNamespace(api=self)

    # ---- the engine's API

    def _act(self, act: str) -> None:
        self.did.append(act)
        if act == self.refuses:
            raise EngineError(f"refused: {act}")
        if act.split(maxsplit=1)[0] == self.interrupted:
            self.interrupted = ""
            signal.raise_signal(signal.SIGINT)

    def create_host_config(self, **_: Any) -> dict[str, Any]:
        return {}

    def create_container(self, _image: str, **_: Any) -> dict[str, str]:
        made = f"c{sum(act.startswith('create') for act in self.did) + 1}"
        self.there.append(made)
        self._act(f"create {made}")
        return {"Id": made}

    def start(self, container: str) -> None:
        self._act(f"start {container}")
        if container in self.codes:
            self.over.add(container)

    def remove_container(self, container: str, **_: Any) -> None:
        self._act(f"remove {container}")
        self.there.remove(container)

    def exec_create(self, container: str, _command: list[str], **_: Any) -> dict[str, str]:
        self._act(f"exec {container}")
        return {"Id": "e"}

    def exec_start(self, _id: str) -> bytes:
        return b"its own words"

    def exec_inspect(self, _id: str) -> dict[str, int]:
        return {"ExitCode": self.exec_code}

    # ---- the seam

    def state(self, container: str) -> ContainerState:
        running = container not in self.over
        return ContainerState(container, container, running, False, self.codes.get(container, 0), False, "", {})

    def kill(self, container: str, *, signal: str) -> None:
        self._act(f"{signal} {container}")
        if container not in self.hangs:
            self.over.add(container)

    def logs(self, container: str, *, tail: int | None = 40) -> list[str]:
        del tail
        return [self.said, f"said by {container}"]


def cluster_with(engine: FakeEngine) -> Cluster:
    cluster = SimpleNamespace(
        engine=engine,
        run="t",
        network_mode="none",
        members=SimpleNamespace(peers=("n0",)),
        container_of=lambda _peer: "broker",
        spec=SimpleNamespace(image_ref="image"),
    )
    return cast("Cluster", cluster)


@pytest.mark.parametrize("act", ["create", "start"])
def test_a_ctrl_c_while_something_is_tried_leaves_no_container(act: str) -> None:
    engine = FakeEngine(interrupted=act)
    engine.codes["c1"] = 0
    with pytest.raises(KeyboardInterrupt):
        tried(cluster_with(engine), TASK, "true")
    assert "create c1" in engine.did
    assert engine.there == []


@pytest.mark.parametrize("act", ["create", "start", "exec"])
def test_a_ctrl_c_while_a_guard_is_posted_takes_its_work_back_and_leaves_no_container(act: str) -> None:
    engine = FakeEngine(interrupted=act)
    with pytest.raises(KeyboardInterrupt):
        Guard.posted(cluster_with(engine), TASK, dead_man_s=30)
    assert engine.did[-2:] == ["SIGTERM c1", "remove c1"]
    assert engine.there == []


def test_a_guard_whose_command_fails_is_removed_and_its_words_are_told() -> None:
    engine = FakeEngine()
    engine.exec_code = 7
    with pytest.raises(FaultError, match="exit code 7") as caught:
        Guard.posted(cluster_with(engine), TASK, dead_man_s=30)
    assert caught.value.details == ("its own words",)
    assert engine.there == []


@pytest.mark.parametrize(
    ("said", "taken"), [("packets taken: 12", 12), ("packets taken: 0", 0), ("packets taken: ", None)]
)
def test_a_guard_tells_how_many_packets_it_took_and_does_not_guess(said: str, taken: int | None) -> None:
    engine = FakeEngine()
    engine.said = said
    guard = Guard.posted(cluster_with(engine), replace(TASK, taken="count"), dead_man_s=30)
    assert guard.relieve() == taken


def test_a_guard_that_hangs_goes_only_when_another_has_taken_its_work_back() -> None:
    engine = FakeEngine()
    guard = Guard.posted(cluster_with(engine), TASK, dead_man_s=30)
    engine.hangs.add("c1")
    engine.codes["c2"] = 0
    guard.relieve(within_s=0.1)
    assert engine.did[-4:] == ["create c2", "start c2", "remove c2", "remove c1"]


def test_a_guard_that_hangs_keeps_its_timer_where_no_other_could_take_its_work_back() -> None:
    for refuses, code in (("start c2", 0), ("", LEFT)):
        engine = FakeEngine()
        guard = Guard.posted(cluster_with(engine), TASK, dead_man_s=30)
        engine.hangs.add("c1")
        engine.refuses, engine.codes["c2"] = refuses, code
        with pytest.raises(FaultError, match="could not be taken back"):
            guard.relieve(within_s=0.1)
        assert engine.there == ["c1"], "whoever would have taken it back at the deadline is gone"


def test_a_guard_that_ended_without_taking_its_work_back_does_not_stay() -> None:
    engine = FakeEngine()
    guard = Guard.posted(cluster_with(engine), TASK, dead_man_s=30)
    engine.over.add("c1")
    engine.codes.update({"c1": LEFT, "c2": LEFT})
    with pytest.raises(FaultError, match="could not be taken back"):
        guard.relieve(within_s=0.1)
    assert engine.there == []
