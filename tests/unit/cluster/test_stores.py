"""What the container beside a broker promises when it is interrupted; the rest of it meets a real engine."""

from __future__ import annotations

import io
import signal
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.engine import Engine
from rmqkit.cluster.owner import LABEL_KEPT
from rmqkit.cluster.peers import Members, Peer
from rmqkit.cluster.stores import beside
from rmqkit.errors import EngineError
from rmqkit.topology.names import LABEL_HOST, LABEL_OWNER_PID, LABEL_RUN, LABEL_SPEC
from rmqkit.transport.pool import ChannelPool

OWNED = {LABEL_RUN: "run-1", LABEL_OWNER_PID: "7@8", LABEL_HOST: "here", LABEL_KEPT: "yes"}


class ScriptedApi:
    """An engine's API with one container beside another; Ctrl-C comes in the call that is named."""

    def __init__(self, *, interrupted: str = "", code: int = 0) -> None:
        self.interrupted = interrupted
        self.code = code
        self.there: set[str] = set()
        self.labels: dict[str, str] = {}
        self.host: dict[str, Any] = {}

    def _maybe(self, name: str) -> None:
        if name == self.interrupted:
            signal.raise_signal(signal.SIGINT)

    def inspect_container(self, container: str) -> dict[str, Any]:
        labels = {**OWNED, LABEL_SPEC: "{}", "com.docker.compose.service": "n0"}
        return {"Image": "sha256:1", "Config": {"User": "21101", "Labels": labels}}

    def create_host_config(self, **options: Any) -> dict[str, Any]:
        return options

    def create_container(self, image: str, *, labels: dict[str, str], host_config: Any, **_: Any) -> dict[str, str]:
        self.there.add("beside")
        self.labels, self.host = labels, host_config
        self._maybe("create")
        return {"Id": "beside"}

    def attach(self, container: str, **_: Any) -> Iterator[tuple[bytes | None, bytes | None]]:
        assert container in self.there
        yield b"out", None
        self._maybe("attach")
        yield None, b"one\ntwo\n"
        yield b"put", None

    def start(self, container: str) -> None:
        self._maybe("start")

    def wait(self, container: str) -> dict[str, int]:
        return {"StatusCode": self.code}

    def remove_container(self, container: str, **_: Any) -> None:
        self._maybe("remove")
        self.there.remove(container)


def cluster(api: ScriptedApi) -> tuple[Cluster, Peer]:
    peer = Peer("g", "n0", "127.0.0.1:1", "127.0.0.1:2", "n0")
    engine = Engine(cast("Any", SimpleNamespace(api=api)))
    made = Cluster(
        members=Members((peer,)),
        nameservers=["127.0.0.1:3"],
        pool=ChannelPool(),
        engine=engine,
        run="run-1",
        containers={"n0": "c0"},
    )
    return made, peer


@pytest.mark.parametrize("when", ["create", "start", "attach", "remove"])
def test_a_ctrl_c_leaves_no_container_beside_a_broker(when: str) -> None:
    api = ScriptedApi(interrupted=when)
    with pytest.raises(KeyboardInterrupt):
        beside(*cluster(api), ["true"])
    assert api.there == set()


def test_its_output_comes_whole_and_it_belongs_to_whoever_owns_the_broker() -> None:
    api, output = ScriptedApi(), io.BytesIO()
    beside(*cluster(api), ["true"], output=output)
    assert output.getvalue() == b"output"
    assert api.there == set()
    assert api.labels == OWNED, "a kept cluster must not look like a leftover because of it"
    assert (api.host["volumes_from"], api.host["network_mode"]) == (["c0:ro"], "none")
    beside(*cluster(api), ["true"], writable=True)
    assert api.host["volumes_from"] == ["c0:rw"]


def test_a_failure_is_told_in_its_own_words() -> None:
    with pytest.raises(EngineError, match="`tar` beside n0 failed") as caught:
        beside(*cluster(ScriptedApi(code=2)), ["tar"])
    assert caught.value.details == ("one", "two", "exit code 2")
