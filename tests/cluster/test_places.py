"""Where a message is, asked of real brokers: what only a consumer missed, and what only one peer has not got."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rmqkit.checks import lost_ids
from rmqkit.cli import EXIT_FAILED, main
from rmqkit.cluster import Cluster
from rmqkit.cluster.stores import beside, copy_store
from rmqkit.errors import EngineError
from rmqkit.faults import kill_peers
from rmqkit.fixtures.helpers import RmqProducer
from rmqkit.forensics import Kind, locate
from rmqkit.history import History, Outcome, ReceiveRecord, SendRecord
from rmqkit.topology.brokerconf import STORE_DIR
from rmqkit.topology.names import LABEL_RUN

pytestmark = pytest.mark.cluster


def sent(producer: RmqProducer, topic: str, history: History, count: int = 5) -> list[str]:
    """Acknowledged messages, in the history as well."""
    receipts = [producer.send_acked(topic, b"where am I?", retries=3) for _ in range(count)]
    for receipt in receipts:
        place = (receipt.queue_id, receipt.queue_offset, receipt.address, "")
        history.add_send(SendRecord(receipt.message_id, topic, 0, 1, Outcome.ACKNOWLEDGED, *place))
    return [receipt.message_id for receipt in receipts]


def test_what_every_replica_would_deliver_only_the_consumer_missed(
    healthy_cluster: Cluster,
    copied_topic: str,
    rmq_producer: RmqProducer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    history = History()
    ids = sent(rmq_producer, copied_topic, history)
    for message_id in ids[1:]:
        history.add_receive(ReceiveRecord("group/0", message_id, copied_topic, -1, -1, 2))
    history.consumer_done("group", drained=True)
    healthy_cluster.wait_caught_up()
    assert lost_ids(history) == (ids[0],)
    places = locate(healthy_cluster, [*ids, "never-sent-1"], history, topic=copied_topic)
    assert places.of(Kind.CONSUMER_MISSED) == (ids[0],), str(places)
    assert places.of(Kind.PRESENT) == tuple(ids[1:])
    assert places.of(Kind.DATA_LOSS) == ("never-sent-1",)
    for view in places.places[0].views:
        assert (view.served, view.keyed, view.unread, view.unasked) == (True, True, "", ""), str(places)
        (entry,) = view.log
        assert (entry.committed, entry.dispatched) == (True, True)
    assert len({view.log[0].position for view in places.places[0].views}) == 1, "replicas hold the identical bytes"
    history.export_jsonl(tmp_path / "history.jsonl")
    argv = ["locate", "--run", healthy_cluster.run, "--history", str(tmp_path / "history.jsonl"), "--json"]
    assert main(argv) == EXIT_FAILED
    assert json.loads(capsys.readouterr().out)["kinds"] == {"consumer missed it": 1}


def test_a_cluster_that_is_only_attached_to_is_asked_and_its_files_are_not_read(
    healthy_cluster: Cluster, copied_topic: str, rmq_producer: RmqProducer
) -> None:
    history = History()
    ids = sent(rmq_producer, copied_topic, history, count=2)
    healthy_cluster.wait_caught_up()
    with Cluster.attach(healthy_cluster.namesrv_addr) as attached:
        places = locate(attached, [*ids, "never-sent-1"], history, topic=copied_topic)
    assert places.of(Kind.PRESENT) == tuple(ids), str(places)
    assert places.of(Kind.UNDECIDED) == ("never-sent-1",), str(places)
    assert all("attached to" in view.unread for view in places.places[0].views)


def test_a_container_beside_a_broker_says_why_it_failed_and_changes_nothing_unless_it_may(
    healthy_cluster: Cluster, tmp_path: Path
) -> None:
    peer = healthy_cluster.peers[0]
    with pytest.raises(EngineError, match="exit code 3") as caught:
        beside(healthy_cluster, peer, ["sh", "-c", "echo not today >&2; exit 3"])
    assert "not today" in str(caught.value)
    with pytest.raises(EngineError, match="Read-only file system"):
        beside(healthy_cluster, peer, ["touch", f"{STORE_DIR}/mine"])
    assert healthy_cluster.engine is not None
    left = healthy_cluster.engine.containers({LABEL_RUN: healthy_cluster.run})
    assert not [container.name for container in left if "-beside-" in container.name]
    copied = copy_store(healthy_cluster, peer, tmp_path / "copy")
    assert {path.name for path in copied.iterdir()} >= {f"dledger-{peer.id}", "config"}
    written = sum(path.stat().st_blocks * 512 for path in copied.rglob("*") if path.is_file())
    whole = sum(path.stat().st_size for path in copied.rglob("*") if path.is_file())
    assert written < whole / 10, "the holes were filled"


@pytest.mark.long
@pytest.mark.failover
def test_what_a_follower_that_is_down_has_not_is_lost_on_it_alone_until_it_is_back(
    healthy_cluster: Cluster, copied_topic: str, rmq_producer: RmqProducer
) -> None:
    history = History()
    follower = healthy_cluster.followers()[0]
    with kill_peers(healthy_cluster, [follower]):
        ids = sent(rmq_producer, copied_topic, history)
        places = locate(healthy_cluster, ids, history)
        assert places.of(Kind.LOST_ON) == tuple(ids), str(places)
        assert {place.peers for place in places.places} == {(follower.id,)}
    places = locate(healthy_cluster, ids, history)
    assert places.of(Kind.PRESENT) == tuple(ids), str(places)
