"""The real 2.0.0 package, unpacked, on a library whose functions are replaced."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmqkit.drivers.interface import Target
from rmqkit.drivers.native import NativeConsumer, NativeProducer

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
