"""Fixtures of the kit's own cluster tests."""

from __future__ import annotations

import secrets

import pytest

from rmqkit.cluster import Cluster
from rmqkit.fixtures.helpers import RmqAdmin


@pytest.fixture
def healthy_cluster(rmq_cluster: Cluster) -> Cluster:
    """The shared cluster, ready at the start of the test, whatever the test before did to it."""
    rmq_cluster.wait_ready()
    return rmq_cluster


@pytest.fixture
def copied_topic(healthy_cluster: Cluster, rmq_admin: RmqAdmin, rmq_topic: str) -> str:
    """A topic that every follower has copied from its leader: one that must survive a failover."""
    rmq_admin.wait_topic_everywhere(rmq_topic)
    return rmq_topic


@pytest.fixture
def group() -> str:
    """A consumer group of the test's own."""
    return f"group-{secrets.token_hex(4)}"
