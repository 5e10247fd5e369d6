"""The real 2.0.0 package, unpacked, on a library whose functions are replaced."""

from __future__ import annotations

import hashlib
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rmqkit.drivers.interface import Target
from rmqkit.drivers.native import NativeConsumer, NativeProducer

SDIST = Path(__file__).parents[2] / "vectors" / "native" / "rocketmq-client-python-2.0.0.tar.gz"
SHA256 = "692324adaa8107eebd0369117043871d90035ddb1562f9999c5681136f16f738"
TARGET = Target(nameservers=("127.0.0.1:1", "127.0.0.1:2"))


@dataclass
class Second:
    """The 2.x package of a test, and what its library was asked."""

    path: list[str]
    log: Path

    def calls(self, name: str = "") -> list[list[Any]]:
        lines = self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []
        found = [json.loads(line) for line in lines]
        return [call for call in found if call[0] == name] if name else found

    def producer(self, **options: Any) -> NativeProducer:
        return NativeProducer(TARGET, path=self.path, **options)

    def consumer(self, topic: str = "T", **options: Any) -> NativeConsumer:
        return NativeConsumer(TARGET, topic=topic, group="g", path=self.path, **options)


@pytest.fixture
def second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Second:
    """rocketmq-client-python 2.0.0 with the library's calls replaced."""
    assert hashlib.sha256(SDIST.read_bytes()).hexdigest() == SHA256
    with tarfile.open(SDIST) as packed:
        packed.extractall(tmp_path, filter="data")
    root = tmp_path / "rocketmq-client-python-2.0.0"
    with (root / "rocketmq" / "__init__.py").open("a", encoding="utf-8") as module:
        module.write("\nimport fake_librocketmq\n")
    log = tmp_path / "calls"
    monkeypatch.setenv("FAKE_ROCKETMQ_LOG", str(log))
    return Second([str(root), str(Path(__file__).parent)], log)
