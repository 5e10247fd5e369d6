"""What the seam to the engine promises when it is interrupted; the rest of it meets a real engine in tests/cluster."""

from __future__ import annotations

import io
import signal
import tarfile
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rmqkit.cluster.engine import Engine


def archive(name: str, content: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


class InterruptedWhileCreating:
    """An engine's API: Ctrl-C comes when the container is there and nobody knows its id yet."""

    def __init__(self) -> None:
        self.there: set[str] = set()

    def create_container(self, image: str, **_: Any) -> dict[str, str]:
        self.there.add("c1")
        signal.raise_signal(signal.SIGINT)
        return {"Id": "c1"}

    def get_archive(self, container: str, path: str) -> tuple[Iterable[bytes], dict[str, Any]]:
        assert container in self.there
        return [archive("info.json", b"{}")], {}

    def remove_container(self, container: str, **_: Any) -> None:
        self.there.remove(container)


def test_a_ctrl_c_while_a_file_is_read_out_of_an_image_leaves_no_container() -> None:
    api = InterruptedWhileCreating()
    engine = Engine(cast("Any", SimpleNamespace(api=api)))
    with pytest.raises(KeyboardInterrupt):
        engine.file_from_image("image", "/info.json", labels={})
    assert api.there == set()
