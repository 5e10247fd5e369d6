"""What the client's and the transport's tests use serves here too: a broker in memory, peers on loopback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

for room in ("client", "transport"):
    sys.path.append(str(Path(__file__).parents[1] / room))


@pytest.fixture
def loopback_cluster() -> Iterator[object]:
    """A NameServer and one broker on one loopback port; see there."""
    from loopback_cluster import LoopbackCluster

    with LoopbackCluster() as cluster:
        yield cluster
