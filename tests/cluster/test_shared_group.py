"""One consumer group of Java and built-in members: eight queues, each with exactly one owner, whoever dies."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from rmqkit.client.groupconsumer import GroupConsumer
from rmqkit.cluster import Cluster
from rmqkit.drivers import Target
from rmqkit.drivers.java import JavaConsumer
from rmqkit.drivers.java_process import JavaProcess, Place
from rmqkit.fixtures.helpers import RmqProducer
from rmqkit.waiting import Pending, wait_until

pytestmark = pytest.mark.cluster

QUEUES = list(range(8))

MEMBER = """
import json, os, sys
from rmqkit.client.groupconsumer import GroupConsumer
servers, group, topic = sys.argv[1:]
parent, last = os.getppid(), None
with GroupConsumer(servers.split(";"), group=group, topics={topic: "*"}) as member:
    while os.getppid() == parent:
        came = [message.unique_key for message in member.poll(0.1)]
        held = sorted(queue.queue_id for queue in member.assignment if queue.topic == topic)
        if came or held != last:
            print(json.dumps({"held": held, "came": came}), flush=True)
            last = held
"""


class Child:
    """A built-in member in a process of its own, that can be killed."""

    def __init__(self, cluster: Cluster, *, group: str, topic: str) -> None:
        words = [";".join(cluster.nameservers), group, topic]
        self.process = subprocess.Popen([sys.executable, "-c", MEMBER, *words], stdout=subprocess.PIPE, text=True)
        self.held: list[int] = []
        self.came: list[str] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            said = json.loads(line)
            self.came += said["came"]
            self.held = said["held"]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._thread.join(timeout=5)


@pytest.fixture
def group() -> str:
    return f"shared-{secrets.token_hex(4)}"


@pytest.fixture
def child(healthy_cluster: Cluster, rmq_topic: str, group: str) -> Iterator[Child]:
    member = Child(healthy_cluster, group=group, topic=rmq_topic)
    yield member
    member.kill()


def wait_shared(*shares: Callable[[], list[int]], within_s: float) -> None:
    """Until every queue has exactly one owner among the members, and no member is without one."""

    def shared() -> bool | Pending:
        held = [share() for share in shares]
        fair = all(8 // len(held) <= len(each) <= 8 // len(held) + 1 for each in held)
        return (fair and sorted(queue for each in held for queue in each) == QUEUES) or Pending(str(held))

    wait_until(shared, label="each queue has exactly one owner", timeout_s=within_s, every_s=0.05)


def test_java_and_built_in_members_share_eight_queues_also_after_one_is_killed(
    healthy_cluster: Cluster, rmq_topic: str, rmq_producer: RmqProducer, group: str, child: Child
) -> None:
    with (
        JavaProcess(Place.inside(healthy_cluster)) as process,
        JavaConsumer(Target.of(healthy_cluster), topic=rmq_topic, group=group, process=process) as java,
        GroupConsumer(healthy_cluster.nameservers, group=group, topics={rmq_topic: "*"}) as ours,
    ):

        def of_java() -> list[int]:
            return [queue_id for _, queue_id in java.assignment()]

        def of_ours() -> list[int]:
            return [queue.queue_id for queue in ours.assignment if queue.topic == rmq_topic]

        wait_shared(of_java, of_ours, lambda: child.held, within_s=60)
        places = {}
        for number in range(200):
            receipt = rmq_producer.send_acked(rmq_topic, f"{number}".encode(), retries=3)
            places[receipt.message_id] = receipt.queue_id
        owners = {"java": of_java(), "ours": of_ours(), "child": child.held}
        came: dict[str, list[str]] = {"java": [], "ours": [], "child": child.came}

        def all_of_them() -> bool | Pending:
            messages = java.poll(0.1)
            java.ack(messages)
            came["java"] += [message.message_id for message in messages]
            came["ours"] += [message.unique_key for message in ours.poll(0.1)]
            count = sum(map(len, came.values()))
            return count >= 200 or Pending(f"{count} of 200")

        wait_until(all_of_them, label="every message has come", timeout_s=30)
        assert Counter(key for each in came.values() for key in each) == Counter(places.keys())
        for name, keys in came.items():
            assert {places[key] for key in keys} == set(owners[name]), f"{name} was given other queues than its own"

        child.kill()
        wait_shared(of_java, of_ours, within_s=60)
        process.kill()
        wait_shared(of_ours, within_s=60)

        late = [rmq_producer.send_acked(rmq_topic, b"late", retries=3).message_id for _ in range(50)]
        heirs: list[str] = []

        def inherited() -> bool | Pending:
            heirs.extend(message.unique_key for message in ours.poll(0.1))
            return set(late) <= set(heirs) or Pending(f"{len(heirs)} of {len(late)}")

        wait_until(inherited, label="what is sent after the kills comes to the one that is left", timeout_s=30)
        assert Counter(key for key in heirs if key in set(late)) == Counter(late), "each once"
