"""Commands of the kit as its users run them, and specifications for the hosts of a test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hosts import Host

EDITION = "4.9.8"
"""A killed broker is back as a follower within 2 s, on the 4.5 line within 17 s."""


@dataclass(frozen=True)
class Ran:
    """What a command said."""

    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"exit code {self.code}\n{self.out}\n{self.err}"


def rmqkit(*arguments: object, timeout_s: float = 540, environment: Mapping[str, str] | None = None) -> Ran:
    """A command of the kit, as a user runs it."""
    done = subprocess.run(
        [sys.executable, "-m", "rmqkit", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
        env={**os.environ, "COLUMNS": "200", **(environment or {})},
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def write_spec(path: Path, over: Sequence[Host], **changes: Any) -> Path:
    """A cluster.yaml for these hosts; ``changes`` are keys of it."""
    host_changes = changes.pop("host_changes", {})
    spec: dict[str, Any] = {
        "name": "orders",
        "edition": EDITION,
        "environment": "staging",
        "hosts": [
            {
                "name": host.name,
                "address": host.address,
                "cores": 2,
                "memory": "4g",
                "engine": host.engine,
                **host_changes,
            }
            for host in over
        ],
        "groups": 1,
        "nameservers": {"heap": "256m"},
        "brokers": {
            "heap": "512m",
            "direct": "256m",
            "nofile": 16384,
            # A broker tells NameServers that it is there every 10 s, not every 30: tests wait for that.
            "config": {"registerNameServerPeriod": "10000"},
        },
    }
    path.write_text(yaml.safe_dump(spec | changes, sort_keys=False), encoding="utf-8")
    return path
