"""What the service's tests share. The ``rmq_*`` fixtures come from rmqkit's pytest plugin, which needs no line here."""

from __future__ import annotations

import pytest
from rmqkit_gateway import RmqkitGateway

from rmqkit.fixtures.helpers import RmqConsumer, RmqProducer
from rmqkit.topology.spec import ClusterSpec


@pytest.fixture(scope="session")
def rmq_spec(rmq_spec: ClusterSpec) -> ClusterSpec:
    """The cluster that the tests run on: like production, where topics are made by an operator, not by a typo."""
    return rmq_spec.replace(config={**rmq_spec.config, "autoCreateTopicEnable": "false"})


@pytest.fixture
def gateway(rmq_producer: RmqProducer, rmq_consumer: RmqConsumer, rmq_topic: str) -> RmqkitGateway:
    """A gateway to a topic of this test alone, on the real cluster."""
    return RmqkitGateway(rmq_producer, rmq_consumer, topic=rmq_topic)
