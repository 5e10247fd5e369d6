"""Frames of real clusters, decoded: see tests/vectors/README.md for how they were recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from rmqkit.wire import bodies
from rmqkit.wire.frames import Command, decode, encode
from rmqkit.wire.messages import decode_messages
from rmqkit.wire.properties import parse_properties

VECTORS = Path(__file__).parents[2] / "vectors"
VERSIONS = ("4.5.1", "4.9.8")
ORDINALS = {"4.5.1": 315, "4.9.8": 409}
ADDRESSES = {0: "127.0.0.1:21011", 2: "127.0.0.1:21021", 3: "127.0.0.1:21031"}

pytestmark = pytest.mark.parametrize("version", VERSIONS)


def answer(version: str, name: str) -> Command:
    return decode((VECTORS / version / f"{name}.answer.bin").read_bytes())


def test_every_answer_decodes_and_says_who_sent_it(version: str) -> None:
    files = sorted((VECTORS / version).glob("*.answer.bin"))
    assert len(files) > 40
    for file in files:
        command = decode(file.read_bytes())
        assert (command.opaque, command.is_response, command.language) == (7, True, "JAVA"), file.name
        assert command.version == ORDINALS[version], file.name


def test_every_request_is_encoded_again_to_the_same_bytes(version: str) -> None:
    files = sorted((VECTORS / version).glob("*.request.bin"))
    assert len(files) > 40
    for file in files:
        frame = file.read_bytes()
        assert encode(decode(frame), binary_header=frame[4] == 1) == frame, file.name


def test_a_server_that_is_told_to_answers_with_binary_headers(version: str) -> None:
    frame = (VECTORS / version / "route_unknown_binary.answer.bin").read_bytes()
    command = decode(frame)
    assert (frame[4], command.code) == (1, 17)
    assert command.remark.startswith("No topic route info in name server for the topic: VectorTopic")
    assert encode(command, binary_header=True) == frame


def test_cluster_info_has_broker_ids_as_numbers(version: str) -> None:
    info = bodies.parse_cluster_info(answer(version, "cluster_info").body)
    leader = info.brokers["RaftNode00"]
    assert leader.cluster == "RaftCluster"
    assert sorted(leader.addresses.values()) == sorted(ADDRESSES.values())
    assert 0 in leader.addresses
    assert dict(info.clusters) == {"RaftCluster": ("RaftNode00",)}
    assert dict(bodies.parse_cluster_info(answer(version, "cluster_info_empty").body).brokers) == {}


@pytest.mark.parametrize("name", ["route", "route_plain"])
def test_routes_read_alike_in_fastjsons_and_in_standard_json(version: str, name: str) -> None:
    route = bodies.parse_route(answer(version, name).body)
    assert [(q.broker_name, q.read_queues, q.write_queues, q.perm) for q in route.queues] == [("RaftNode00", 2, 2, 6)]
    broker = route.broker("RaftNode00")
    assert broker is not None
    assert broker.master in ADDRESSES.values()
    assert route.broker("other") is None


def test_topics_and_their_settings_are_listed(version: str) -> None:
    assert "VectorTopic" in bodies.parse_topic_list(answer(version, "topics").body)
    topic = bodies.parse_topic_configs(answer(version, "topic_configs").body)["VectorTopic"]
    assert (topic.read_queues, topic.write_queues, topic.perm, topic.order) == (2, 2, 6, False)


def test_topic_stats_are_by_queue(version: str) -> None:
    stats = bodies.parse_topic_stats(answer(version, "topic_stats").body)
    assert {queue: (held.min_offset, held.max_offset) for queue, held in stats.items()} == {0: (0, 4), 1: (0, 0)}


def test_consumer_offsets_and_groups_are_listed(version: str) -> None:
    offsets = bodies.parse_consumer_offsets(answer(version, "consumer_offsets").body)
    assert {key: dict(value) for key, value in offsets.items()} == {("VectorTopic", "vector_group"): {0: 3}}
    groups = bodies.parse_subscription_groups(answer(version, "subscription_groups").body)
    assert groups["rmqkit_reader"].consume_enable


def test_live_configurations_name_the_role(version: str) -> None:
    leader = parse_properties(answer(version, "config_leader").body.decode())
    follower = parse_properties(answer(version, "config_follower").body.decode())
    assert (leader["brokerId"], leader["brokerRole"]) == ("0", "SYNC_MASTER")
    assert follower["brokerRole"] == "SLAVE"
    assert int(follower["brokerId"]) > 0
    assert leader["dLegerPeers"] == "n0-127.0.0.1:21041;n1-127.0.0.1:21042;n2-127.0.0.1:21043"


@pytest.mark.parametrize("peer", ["leader", "follower"])
def test_pulled_messages_are_what_was_sent(version: str, peer: str) -> None:
    found = decode_messages(answer(version, f"pull_found_{peer}").body)
    assert [message.queue_offset for message in found] == [0, 1, 2, 3]
    first, packed = found[0], found[3]
    assert first.body.decode() == "body 0: 你好"
    assert first.unique_key == f"KIT{0:029d}"
    assert first.keys == (first.unique_key, "order-0")
    assert (first.tags, first.properties["colour"], first.topic) == ("TagA", "blue", "VectorTopic")
    assert first.msg_id == answer(version, "send").ext["msgId"]
    assert all(message.body_is_intact for message in found)
    assert (packed.body, packed.flag) == (b"squeezed " * 100, 5)


def test_replicas_hold_identical_bytes(version: str) -> None:
    assert answer(version, "pull_found_leader").body == answer(version, "pull_found_follower").body


def test_a_message_viewed_by_position_is_the_one_pulled(version: str) -> None:
    (viewed,) = decode_messages(answer(version, "view_message").body)
    assert viewed == decode_messages(answer(version, "pull_found_leader").body)[0]


def test_dledger_answers_carry_their_code_in_the_body(version: str) -> None:
    known = bodies.parse_raft_answer(answer(version, "raft_metadata").body)
    assert (known.code, known.group, known.term) == (200, "RaftNode00", -1)
    assert known.leader_id in known.peers
    electing = bodies.parse_raft_answer(answer(version, "raft_metadata_electing").body)
    assert (electing.leader_id, set(electing.peers)) == (None, {"n0", "n1", "n2"})
    refused = bodies.parse_raft_answer(answer(version, "raft_term").body)
    assert refused.code == 403
    assert refused.term >= 0
    assert answer(version, "raft_term").code == 200
