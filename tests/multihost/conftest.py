"""Three hosts for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hosts import Host, hosts


@pytest.fixture(scope="session")
def three_hosts() -> Iterator[tuple[Host, ...]]:
    """Three hosts that are on; nothing runs there."""
    with hosts(["rmq-a", "rmq-b", "rmq-c"]) as made:
        yield made
