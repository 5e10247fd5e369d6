"""The sizing helper's bytes, held against what a real broker's log grows by."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from rmqkit.client.pull import read_topic_from
from rmqkit.cluster import Cluster
from rmqkit.fixtures.helpers import RmqProducer
from rmqkit.topology.sizing import Load, stored_bytes

pytestmark = pytest.mark.cluster

BODY = b"x" * 777
MESSAGES = 20


def test_a_message_takes_as_many_bytes_of_the_log_as_the_sizing_helper_says(
    healthy_cluster: Cluster, rmq_topic: str, rmq_producer: RmqProducer
) -> None:
    for _ in range(MESSAGES):
        rmq_producer.send_acked(rmq_topic, BODY)
    healthy_cluster.wait_caught_up()
    leader = healthy_cluster.leader().address
    assert leader is not None
    there = read_topic_from(healthy_cluster.pool, leader, rmq_topic)
    stored = sorted(there, key=lambda message: message.physical_offset)
    assert len(stored) == MESSAGES
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
