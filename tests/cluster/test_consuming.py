"""What a consumer group may rely on: each test is one promise, held against real brokers."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from consuming import gather, send_all

from rmqkit.client.broker import BrokerClient
from rmqkit.client.groupconsumer import GroupConsumer
from rmqkit.client.handling import Later
from rmqkit.client.messagequeue import MessageQueue, dead_letter_topic, retry_topic
from rmqkit.client.offsets import FIRST, LAST, Begin
from rmqkit.client.subscription import Sql92
from rmqkit.cluster import Cluster
from rmqkit.errors import NotFoundError, OtherSubscriptionError, TransportError, UsageError
from rmqkit.fixtures.helpers import RmqProducer
from rmqkit.waiting import Deadline, Pending, wait_until
from rmqkit.wire.codes import RequestCode
from rmqkit.wire.frames import Command
from rmqkit.wire.messages import StoredMessage

pytestmark = [pytest.mark.cluster]

QUEUES = set(range(8))


@pytest.fixture
def leader(healthy_cluster: Cluster) -> BrokerClient:
    return healthy_cluster.broker(healthy_cluster.leader())


@pytest.fixture
def bodies() -> list[bytes]:
    return [f"message {number}".encode() for number in range(1000)]


def held_by(*members: GroupConsumer) -> list[set[int]]:
    return [
        {queue.queue_id for queue in member.assignment if not queue.topic.startswith("%RETRY%")} for member in members
    ]


def wait_shared(shares: object, *, within_s: float = 10.0) -> None:
    """Until the shares (a callable) are disjoint and together all eight queues, two or three for each of three."""

    def shared() -> bool | Pending:
        now: list[set[int]] = shares()  # type: ignore[operator]
        fair = all(8 // len(now) <= len(share) <= 8 // len(now) + 1 for share in now)
        return (fair and sorted(q for share in now for q in share) == sorted(QUEUES)) or Pending(str(now))

    wait_until(shared, label="each queue has exactly one owner", timeout_s=within_s, every_s=0.02)


def test_three_members_share_eight_queues_and_get_every_message_once(
    healthy_cluster: Cluster, rmq_topic: str, rmq_producer: RmqProducer, group: str, bodies: list[bytes]
) -> None:
    with ExitStack() as stack:
        members = [
            stack.enter_context(GroupConsumer(healthy_cluster.nameservers, group=group, topics={rmq_topic: "*"}))
            for _ in range(3)
        ]
        wait_shared(lambda: held_by(*members))
        shares = held_by(*members)
        send_all(rmq_producer, rmq_topic, bodies)
        got = gather(members, len(bodies))
        assert Counter(message.body for mine in got for message in mine) == Counter(bodies)
        for share, mine in zip(shares, got, strict=True):
            assert {message.queue_id for message in mine} == share
        for member in members:
            member.commit()
        members[0].wait_drained(5)
        assert sum(each.committed for each in members[0].lag()) == len(bodies)


def test_a_member_that_leaves_is_replaced_at_once_and_nothing_comes_twice(
    healthy_cluster: Cluster, rmq_topic: str, rmq_producer: RmqProducer, group: str, bodies: list[bytes]
) -> None:
    with GroupConsumer(healthy_cluster.nameservers, group=group, topics={rmq_topic: "*"}) as stays:
        with GroupConsumer(healthy_cluster.nameservers, group=group, topics={rmq_topic: "*"}) as leaves:
            wait_shared(lambda: held_by(stays, leaves))
            send_all(rmq_producer, rmq_topic, bodies[:200])
            first = gather([stays, leaves], 200)
        wait_shared(lambda: held_by(stays), within_s=10)  # not at the next rebalance of 20 s
        send_all(rmq_producer, rmq_topic, bodies[200:300])
        second = gather([stays], 100)
    assert Counter(m.body for mine in (*first, *second) for m in mine) == Counter(bodies[:300])


def test_a_killed_member_is_replaced_by_the_others(
    healthy_cluster: Cluster, rmq_topic: str, rmq_producer: RmqProducer, group: str, bodies: list[bytes], tmp_path: Path
) -> None:
    file = tmp_path / "held.json"
    arguments = [";".join(healthy_cluster.nameservers), group, rmq_topic, str(file)]
    child = subprocess.Popen([sys.executable, str(Path(__file__).with_name("group_member.py")), *arguments])
    try:
        with (
            GroupConsumer(healthy_cluster.nameservers, group=group, topics={rmq_topic: "*"}) as one,
            GroupConsumer(healthy_cluster.nameservers, group=group, topics={rmq_topic: "*"}) as two,
        ):

            def shares() -> list[set[int]]:
                return [*held_by(one, two), set(json.loads(file.read_text()) if file.exists() else [])]

            wait_shared(shares, within_s=20)
            child.kill()
            child.wait(10)
            wait_shared(lambda: held_by(one, two), within_s=15)
            send_all(rmq_producer, rmq_topic, bodies[:80])
            got = gather([one, two], 80)
            assert {m.body for mine in got for m in mine} == set(bodies[:80])
    finally:
        child.kill()
        child.wait(10)


def test_only_the_wanted_tags_come(
    healthy_cluster: Cluster, rmq_topic: str, rmq_producer: RmqProducer, group: str
) -> None:
    # AaAa and BBBB have one hash code: a broker passes both, and the exact filter is ours.
    for tag in ("AaAa", "BBBB", "C", "D", ""):
        send_all(rmq_producer, rmq_topic, [f"{tag} {number}".encode() for number in range(20)], tags=tag)
    with GroupConsumer(healthy_cluster.nameservers, group=group, topics={rmq_topic: "AaAa || C"}) as consumer:
        ((*got,),) = gather([consumer], 40)
        consumer.wait_drained(5)  # what was filtered out counts as consumed
    assert Counter(message.tags for message in got) == {"AaAa": 20, "C": 20}


def test_a_message_sent_back_comes_again_and_ends_among_the_dead_letters(
    healthy_cluster: Cluster, rmq_topic: str, rmq_producer: RmqProducer, group: str, leader: BrokerClient
) -> None:
    seen: list[tuple[bytes, str, int]] = []

    def handle(message: StoredMessage) -> Later | None:
        seen.append((message.body, message.topic, message.reconsume_times))
        return Later(delay_level=1) if message.body == b"no good" else None

    with GroupConsumer(
        healthy_cluster.nameservers, group=group, topics={rmq_topic: "*"}, on_message=handle, max_reconsume_times=1
    ) as consumer:
        send_all(rmq_producer, rmq_topic, [b"no good", b"good"])

        def buried() -> bool | Pending:
            dead = leader.topic_configs().get(dead_letter_topic(group))
            found = dead is not None and leader.max_offset(dead.name, 0) == 1
            return found or Pending(f"seen {seen}")

        wait_until(buried, label="the dead letter", timeout_s=20)
        consumer.wait_drained(5)
        assert consumer.trouble is None
    assert Counter(seen) == {
        (b"no good", rmq_topic, 0): 1,
        (b"no good", rmq_topic, 1): 1,
        (b"good", rmq_topic, 0): 1,
    }


def test_what_poll_gave_can_be_sent_back_too(
    healthy_cluster: Cluster, rmq_topic: str, rmq_producer: RmqProducer, group: str
) -> None:
    with GroupConsumer(healthy_cluster.nameservers, group=group, topics={rmq_topic: "*"}) as consumer:
        send_all(rmq_producer, rmq_topic, [b"again"])
        (first,) = gather([consumer], 1, settle_s=0)[0]
        assert consumer.poll(0) == ()
        with pytest.raises(UsageError, match="not a message of the last poll"):
            consumer.send_back(first)
        consumer.seek_to(FIRST)
        deadline = Deadline.after(5)
        while not (found := consumer.poll(0.2)):
            assert not deadline.passed
        consumer.send_back(found[0], delay_level=1)
        (again,) = gather([consumer], 1)[0]
        assert (again.body, again.topic, again.reconsume_times) == (b"again", rmq_topic, 1)
        assert retry_topic(group) in {queue.topic for queue in consumer.assignment}


def test_in_a_broadcast_every_member_gets_everything_and_goes_on_where_it_was(
    healthy_cluster: Cluster, rmq_topic: str, rmq_producer: RmqProducer, group: str, bodies: list[bytes], tmp_path: Path
) -> None:
    def member(file: Path | None) -> GroupConsumer:
        return GroupConsumer(
            healthy_cluster.nameservers, group=group, topics={rmq_topic: "*"}, broadcast=True, offsets_file=file
        )

    with member(tmp_path / "one") as one, member(None) as two:
        assert held_by(one, two) == [QUEUES, QUEUES]
        send_all(rmq_producer, rmq_topic, bodies[:100])
        for mine in gather([one, two], 200):
            assert Counter(message.body for message in mine) == Counter(bodies[:100])
        with pytest.raises(UsageError, match="cannot send a message back"):
            one._send_back_from(one.assignment[0], mine[0], Later())
    send_all(rmq_producer, rmq_topic, bodies[100:120])
    with member(tmp_path / "one") as one:
        assert Counter(m.body for m in gather([one], 20)[0]) == Counter(bodies[100:120])


def poll_and_fail(consumer: GroupConsumer) -> None:
    with consumer:
        while not consumer.poll(0.1):
            pass
        _ = 1 / 0


def test_a_new_member_goes_on_at_what_was_committed(
    healthy_cluster: Cluster, rmq_topic: str, rmq_producer: RmqProducer, group: str, bodies: list[bytes]
) -> None:
    send_all(rmq_producer, rmq_topic, bodies[:50])
    with GroupConsumer(
        healthy_cluster.nameservers, group=group, topics={rmq_topic: "*"}, auto_commit=False
    ) as consumer:
        assert len(gather([consumer], 50)[0]) == 50
        consumer.commit()
        send_all(rmq_producer, rmq_topic, bodies[50:100])
        with pytest.raises(ZeroDivisionError):  # a failing block does not count what it had in hand
            poll_and_fail(GroupConsumer(healthy_cluster.nameservers, group=f"{group}-x", topics={rmq_topic: "*"}))
    with GroupConsumer(healthy_cluster.nameservers, group=group, topics={rmq_topic: "*"}) as consumer:
        assert Counter(m.body for m in gather([consumer], 50)[0]) == Counter(bodies[50:100])
    with GroupConsumer(healthy_cluster.nameservers, group=f"{group}-x", topics={rmq_topic: "*"}) as consumer:
        assert Counter(m.body for m in gather([consumer], 100)[0]) == Counter(bodies[:100])


def test_a_group_begins_first_last_or_at_a_time_and_can_be_moved(
    healthy_cluster: Cluster, rmq_topic: str, rmq_producer: RmqProducer, group: str, bodies: list[bytes]
) -> None:
    early = send_all(rmq_producer, rmq_topic, bodies[:40])
    time.sleep(0.05)  # the border between two milliseconds of the broker's clock must be seen
    border = time.time_ns() // 1_000_000
    send_all(rmq_producer, rmq_topic, bodies[40:80])
    with ExitStack() as stack:
        first, last, at = (
            stack.enter_context(
                GroupConsumer(healthy_cluster.nameservers, group=f"{group}-{n}", topics={rmq_topic: "*"}, begin=begin)
            )
            for n, begin in enumerate((FIRST, LAST, Begin.at(border)))
        )
        send_all(rmq_producer, rmq_topic, bodies[80:90])
        got = [{m.body for m in mine} for mine in gather([first, last, at], 90 + 10 + 50)]
        assert got == [set(bodies[:90]), set(bodies[80:90]), set(bodies[40:90])]
        last.seek_to(Begin.at(border))
        assert {m.body for m in gather([last], 50)[0]} == set(bodies[40:90])
        last.seek_to(FIRST, topic=rmq_topic)
        assert Counter(m.body for m in gather([last], 90)[0]) == Counter(bodies[:90])
        one = MessageQueue(rmq_topic, last.assignment[0].broker_name, early[0].queue_id)
        last.seek(one, early[0].queue_offset)
        assert bodies[0] in {m.body for m in gather([last], 1)[0]}
        with pytest.raises(UsageError, match="is not held by this member"):
            last.seek(MessageQueue(rmq_topic, "nowhere", 0), 0)


def test_an_operator_can_reset_a_group_that_is_online(
    healthy_cluster: Cluster, rmq_topic: str, rmq_producer: RmqProducer, group: str, leader: BrokerClient
) -> None:
    sent = [f"{number}".encode() for number in range(24)]
    with GroupConsumer(healthy_cluster.nameservers, group=group, topics={rmq_topic: "*"}) as consumer:
        send_all(rmq_producer, rmq_topic, sent)
        assert len(gather([consumer], 24)[0]) == 24
        consumer.commit()
        command = Command.request(
            RequestCode.INVOKE_BROKER_TO_RESET_OFFSET,
            ext={"topic": rmq_topic, "group": group, "timestamp": 0, "isForce": True},
        )
        assert healthy_cluster.pool.request(leader.address, command, timeout_s=5).code == 0
        assert Counter(m.body for m in gather([consumer], 24)[0]) == Counter(sent)


def test_another_subscription_of_the_same_group_is_refused_by_name(
    healthy_cluster: Cluster, rmq_topic: str, group: str
) -> None:
    with GroupConsumer(healthy_cluster.nameservers, group=group, topics={rmq_topic: "A || B"}) as there:
        with GroupConsumer(healthy_cluster.nameservers, group=group, topics={rmq_topic: "B||A"}):
            pass  # the same, said otherwise
        with pytest.raises(OtherSubscriptionError, match=r"online .* with another subscription") as caught:
            GroupConsumer(healthy_cluster.nameservers, group=group, topics={rmq_topic: "A"}).__enter__()
        assert f"{rmq_topic}: they have A || B, this consumer A" in str(caught.value)
        assert there.client_id in str(caught.value)
        with pytest.raises(OtherSubscriptionError, match="BROADCASTING"):
            GroupConsumer(
                healthy_cluster.nameservers, group=group, topics={rmq_topic: "A || B"}, broadcast=True
            ).__enter__()
        with (
            pytest.warns(UserWarning, match="another subscription"),
            GroupConsumer(
                healthy_cluster.nameservers, group=group, topics={rmq_topic: "A"}, on_other_subscription="warn"
            ),
            pytest.raises(OtherSubscriptionError),
        ):
            gather([there], 1, within_s=30)  # the one that was there hears of it, too


def test_what_cannot_be_consumed_is_a_named_error(healthy_cluster: Cluster, rmq_topic: str, group: str) -> None:
    def enter(*, topics: dict[str, str | Sql92], nameservers: Sequence[str] = healthy_cluster.nameservers) -> None:
        GroupConsumer(nameservers, group=group, topics=topics, join_timeout_s=1.5, timeout_s=1).__enter__()

    with pytest.raises(NotFoundError, match="no route for topic 'NoSuchTopic'"):
        enter(topics={rmq_topic: "*", "NoSuchTopic": "*"})
    with pytest.raises(UsageError, match="does not take the SQL92 expression"):
        enter(topics={rmq_topic: Sql92("a > 1")})
    with pytest.raises(TransportError, match=r"127\.0\.0\.1:9"):
        enter(topics={rmq_topic: "*"}, nameservers=["127.0.0.1:9"])
    assert not [thread.name for thread in threading.enumerate() if group in thread.name]


def test_an_error_of_a_handler_reaches_the_user_and_the_message_is_not_consumed(
    healthy_cluster: Cluster, rmq_topic: str, rmq_producer: RmqProducer, group: str
) -> None:
    def bad(message: StoredMessage) -> None:
        raise ZeroDivisionError(message.body.decode())

    send_all(rmq_producer, rmq_topic, [b"spoilt"])
    with (
        pytest.raises(ZeroDivisionError, match="spoilt"),
        GroupConsumer(healthy_cluster.nameservers, group=group, topics={rmq_topic: "*"}, on_message=bad) as consumer,
    ):
        consumer.wait_drained(10)
    assert not [thread.name for thread in threading.enumerate() if group in thread.name]
    with GroupConsumer(healthy_cluster.nameservers, group=group, topics={rmq_topic: "*"}) as consumer:
        assert [m.body for m in gather([consumer], 1)[0]] == [b"spoilt"]
