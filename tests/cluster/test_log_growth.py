"""The sizing helper's bytes, held against what a real broker's log grows by."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from rmqkit.cluster import Cluster
from rmqkit.fixtures.helpers import RmqConsumer, RmqProducer
from rmqkit.topology.sizing import Load, stored_bytes

pytestmark = pytest.mark.cluster

BODY = b"x" * 777
MESSAGES = 20


def test_a_message_takes_as_many_bytes_of_the_log_as_the_sizing_helper_says(
    healthy_cluster: Cluster, rmq_topic: str, rmq_producer: RmqProducer, rmq_consumer: RmqConsumer
) -> None:
    for _ in range(MESSAGES):
        rmq_producer.send_acked(rmq_topic, BODY)
    stored = sorted(rmq_consumer.expect(MESSAGES), key=lambda message: message.physical_offset)
    properties = {len(message.properties_bytes) for message in stored}
    assert len(properties) == 1, "messages that differ in nothing have properties of one length"
    load = Load(
        tps=1,
        message_bytes=len(BODY),
        retention_hours=1,
        topic_bytes=len(rmq_topic),
        properties_bytes=properties.pop(),
    )
    steps = Counter(later.physical_offset - earlier.physical_offset for earlier, later in itertools.pairwise(stored))
    # Nothing but these messages is written meanwhile, or hardly: the usual step is one message.
    step, times = steps.most_common(1)[0]
    assert times >= MESSAGES - 3, steps
    assert step == stored_bytes(load)
