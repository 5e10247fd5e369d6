"""rocketmq #690, #1304, #2139: every batch is refused. 4.5.0 to 4.7.x; batches came with 4.8.0 (PR #2406).

DLedgerCommitLog.putMessages answers MESSAGE_ILLEGAL (13) to each batch, whatever is in it.

Seen on 4.5.1:
    the same leader acknowledged one message alone, at offset 0
    the batch: 3 of 3 refused: 13 MESSAGE_ILLEGAL
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

import pytest
from known_bug import BugFinding, Seen, red_and_green

from rmqkit.client.batch import batch_to
from rmqkit.client.outcomes import Receipt, Refused
from rmqkit.client.send import OutgoingMessage, Target, send_once
from rmqkit.cluster import Cluster
from rmqkit.cluster.topics import create_topic

pytestmark = [pytest.mark.cluster, pytest.mark.long]


def send_a_batch(cluster: Cluster) -> BugFinding:
    topic = f"batch-{secrets.token_hex(4)}"
    create_topic(cluster, topic, queues=1)
    leader = cluster.leader()
    assert leader.address is not None
    messages = [OutgoingMessage(topic, f"{n}".encode()) for n in range(3)]
    alone = send_once(cluster.pool, leader.address, OutgoingMessage(topic, b"alone"), queue_id=0)
    assert isinstance(alone, Receipt), f"even a single message is not taken: {alone}"
    target = Target.of(leader.address, topic=topic, queue_id=0, group="known_bugs")
    outcomes = batch_to(cluster.pool, target, messages, group="known_bugs", timeout_s=5)
    refused = [outcome for outcome in outcomes if isinstance(outcome, Refused) and outcome.attempts[0].code == 13]
    stored = [outcome for outcome in outcomes if isinstance(outcome, Receipt)]
    assert len(messages) in (len(refused), len(stored)), f"neither refused nor taken: {outcomes}"
    said = (
        f"{len(refused)} of {len(messages)} refused: {refused[0].reason}"
        if refused
        else f"{len(stored)} of {len(messages)} acknowledged, at offsets {[each.queue_offset for each in stored]}"
    )
    return BugFinding(
        "rocketmq #690, #1304",
        "every batch is refused",
        Seen.REPRODUCED if refused else Seen.NOT_SEEN,
        (f"the same leader acknowledged one message alone, at offset {alone.queue_offset}", f"the batch: {said}"),
    )


@red_and_green("4.5.1", "4.9.8")
def test_every_batch_is_refused(cluster: Cluster, check: Callable[[BugFinding], None]) -> None:
    check(send_a_batch(cluster))
