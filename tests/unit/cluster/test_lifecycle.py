"""Promises of rmqkit.cluster.lifecycle that need no engine: what Compose's failures say, and how clean-up ends."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rmqkit.cluster import lifecycle
from rmqkit.cluster.engine import Engine
from rmqkit.cluster.lifecycle import compose_failure, find_containers, take_down
from rmqkit.errors import ComposeError, EngineError
from rmqkit.topology.names import LABEL_RUN


def failed(output: str, *, code: int = 1) -> ComposeError:
    return compose_failure(subprocess.CalledProcessError(code, ["docker", "compose"], b"", output.encode()))


@pytest.mark.parametrize(
    "output",
    [
        "docker: 'compose' is not a docker command.\nSee 'docker --help'",
        "unknown shorthand flag: 'f' in -f\nSee 'docker --help'.\n\nUsage:  docker [OPTIONS] COMMAND",
    ],
)
def test_a_docker_without_compose_v2_is_told_from_a_failure_of_it(output: str) -> None:
    """What docker 20.10 and docker 24 say where the plugin is missing."""
    error = failed(output, code=125)
    assert error.what == f"Docker Compose v2 is missing: {output.splitlines()[0]}"
    assert "docker compose version" in error.hint


def test_a_failure_shows_composes_own_last_lines() -> None:
    output = "\n".join(f"line {n}" for n in range(40)) + "\n\nservice n0: no such image  \n"
    error = failed(output, code=14)
    assert error.what == "docker compose up ended with exit code 14"
    assert error.details[-1] == "service n0: no such image"
    assert len(str(error).splitlines()) <= 15, "one screen"


@pytest.mark.parametrize(
    "line",
    [
        "Bind for 127.0.0.1:20000 failed: port is already allocated",
        "listen tcp4 127.0.0.1:20000: bind: address already in use",
    ],
)
def test_a_port_that_was_taken_in_the_last_moment_is_recognised(line: str) -> None:
    assert "a port was taken" in failed(line).hint


def test_bytes_that_are_no_text_do_not_hide_the_failure() -> None:
    error = compose_failure(subprocess.CalledProcessError(1, ["docker"], None, b"\xff broken"))
    assert "broken" in error.details[0]


class BusyEngine:
    """An engine whose removals do what ``answers`` say, one after the other; the last one stays."""

    def __init__(self, *answers: int | Exception) -> None:
        self._answers = list(answers)
        self.asked = 0

    def remove_project(self, labels: dict[str, str]) -> int:
        assert labels == {LABEL_RUN: "r"}
        self.asked += 1
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


IN_USE = EngineError("network r_default has active endpoints")


def taken_down(engine: Any, *, interrupted: bool) -> None:
    take_down(engine, "r", interrupted=interrupted)


def test_a_cluster_that_came_up_is_taken_down_at_once() -> None:
    engine = BusyEngine(6)
    taken_down(engine, interrupted=False)
    assert engine.asked == 1


def test_after_an_interrupted_start_it_looks_until_nothing_comes_any_more() -> None:
    """Compose, killed, may have asked the engine for one more container, which is made after the first look."""
    engine = BusyEngine(3, 0, 1, 0)
    taken_down(engine, interrupted=True)
    assert engine.asked == 3 + 4


def test_a_network_that_just_got_another_container_is_tried_again() -> None:
    engine = BusyEngine(2, IN_USE, IN_USE, 1, 0)
    taken_down(engine, interrupted=True)
    assert engine.asked == 4 + 4


def test_what_cannot_be_removed_is_named_with_the_command_for_later(monkeypatch: pytest.MonkeyPatch) -> None:
    wait_until = lifecycle.wait_until
    monkeypatch.setattr(lifecycle, "wait_until", lambda *a, **k: wait_until(*a, **{**k, "timeout_s": 0.1}))
    with pytest.raises(ComposeError, match=r"what is left of run r could not be removed: .*active endpoints") as caught:
        taken_down(BusyEngine(IN_USE), interrupted=True)
    assert caught.value.hint.endswith("rmqkit down r")


def test_a_runs_clients_are_no_services_of_it() -> None:
    entries = [
        {"Id": "a", "Labels": {LABEL_RUN: "r", "com.docker.compose.service": "n0"}},
        {"Id": "b", "Labels": {LABEL_RUN: "r"}},
    ]
    api = SimpleNamespace(containers=lambda **_: entries)
    found = find_containers(Engine(cast("Any", SimpleNamespace(api=api))), "r")
    assert found.by_service == {"n0": "a"}
