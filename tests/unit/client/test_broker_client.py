"""Promises of rmqkit.client.broker and rmqkit.client.runtime."""

from __future__ import annotations

import pytest
from captured_answers import VERSIONS, play, request, say

from rmqkit.client.broker import BrokerClient
from rmqkit.client.runtime import RuntimeInfo
from rmqkit.errors import RemoteError, WaitTimeoutError, WireError
from rmqkit.transport.scripted import ScriptedPool
from rmqkit.wire.codes import RequestCode
from rmqkit.wire.frames import encode
from rmqkit.wire.messages import StoredMessage, encode_properties, encode_stored, host_bytes

ADDRESS = "127.0.0.1:30911"
TOPIC = "VectorTopic"


@pytest.fixture
def pool() -> ScriptedPool:
    return ScriptedPool()


def sent(pool: ScriptedPool) -> bytes:
    return encode(pool.asked[-1].command, opaque=7)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("name", "code", "call"),
    [
        ("runtime_info_leader", 28, lambda broker: broker.runtime_info()),
        ("config_leader", 26, lambda broker: broker.config()),
        ("topic_configs", 21, lambda broker: broker.topic_configs()),
        ("topic_stats", 202, lambda broker: broker.topic_stats(TOPIC)),
        ("max_offset", 30, lambda broker: broker.max_offset(TOPIC, 0)),
        ("min_offset", 31, lambda broker: broker.min_offset(TOPIC, 0)),
        ("consumer_offsets", 43, lambda broker: broker.consumer_offsets()),
        ("subscription_groups", 201, lambda broker: broker.subscription_groups()),
        ("delete_topic", 215, lambda broker: broker.delete_topic(TOPIC)),
        (
            "query_consumer_offset",
            14,
            lambda broker: broker.query_consumer_offset(TOPIC, 0, group="vector_group"),
        ),
        (
            "update_consumer_offset",
            15,
            lambda broker: broker.update_consumer_offset(TOPIC, 0, 3, group="vector_group"),
        ),
    ],
)
def test_requests_are_byte_for_byte_those_that_real_brokers_answered(
    pool: ScriptedPool, version: str, name: str, code: int, call: object
) -> None:
    pool.on(ADDRESS, code, play(version, name))
    call(BrokerClient(pool, ADDRESS))  # type: ignore[operator]
    assert sent(pool) == request(version, name)


@pytest.mark.parametrize("version", VERSIONS)
def test_offsets_are_numbers(pool: ScriptedPool, version: str) -> None:
    broker = BrokerClient(pool, ADDRESS)
    pool.on(ADDRESS, RequestCode.GET_MAX_OFFSET, play(version, "max_offset"))
    pool.on(ADDRESS, RequestCode.GET_MIN_OFFSET, play(version, "min_offset"))
    pool.on(ADDRESS, RequestCode.QUERY_CONSUMER_OFFSET, play(version, "query_consumer_offset"), say(code=22))
    assert (broker.max_offset(TOPIC, 0), broker.min_offset(TOPIC, 0)) == (4, 0)
    assert broker.query_consumer_offset(TOPIC, 0, group="g") == 3
    assert broker.query_consumer_offset(TOPIC, 0, group="g") is None


def test_an_answer_without_its_number_is_a_wire_error(pool: ScriptedPool) -> None:
    pool.on(ADDRESS, RequestCode.GET_MAX_OFFSET, say(ext={"offset": "many"}))
    with pytest.raises(WireError, match="offset='many'"):
        BrokerClient(pool, ADDRESS).max_offset(TOPIC, 0)


@pytest.mark.parametrize("version", VERSIONS)
def test_runtime_figures_have_names_types_and_units(version: str) -> None:
    pool = ScriptedPool()
    pool.on(ADDRESS, RequestCode.GET_BROKER_RUNTIME_INFO, play(version, "runtime_info_leader"))
    info = BrokerClient(pool, ADDRESS).runtime_info()
    assert info.version == f"V{version.replace('.', '_')}"
    assert info.boot_ms > 1_700_000_000_000
    assert (info.committed_position, info.min_position, info.dispatch_behind_bytes) == (0, 0, 0)
    assert (info.put_tps, info.get_tps) == (0.0, 0.0)
    assert (info.send_queue_size, info.pull_queue_size, info.page_cache_lock_ms) == (0, 0, 0)
    assert (info.send_head_wait_ms, info.pull_head_wait_ms) == (0, 0)
    assert info.earliest_message_ms is None
    assert info.disk_ratio is None if version == "4.5.1" else 0 < (info.disk_ratio or 0) < 1


def test_a_rate_is_the_first_of_three_averages_and_blank_ones_are_zero() -> None:
    assert RuntimeInfo({"putTps": "12.5 3.0 1.0"}).put_tps == 12.5
    assert RuntimeInfo({"getTransferedTps": "  "}).get_tps == 0.0
    assert RuntimeInfo({"getTransferredTps": "2.0 1.0 1.0"}).get_tps == 2.0


def test_a_missing_figure_is_named() -> None:
    with pytest.raises(WireError, match="putTps"):
        _ = RuntimeInfo({}).put_tps
    with pytest.raises(WireError, match="bootTimestamp=''"):
        _ = RuntimeInfo({}).boot_ms


@pytest.mark.parametrize("version", VERSIONS)
def test_the_role_is_read_from_the_live_configuration(version: str) -> None:
    pool = ScriptedPool()
    pool.on(
        ADDRESS,
        RequestCode.GET_BROKER_CONFIG,
        play(version, "config_leader"),
        play(version, "config_follower"),
    )
    broker = BrokerClient(pool, ADDRESS)
    leader, follower = broker.config(), broker.config()
    assert (leader["brokerId"], leader["brokerRole"]) == ("0", "SYNC_MASTER")
    assert (int(follower["brokerId"]) > 0, follower["brokerRole"]) == (True, "SLAVE")


def test_a_created_topic_is_believed_only_when_the_broker_shows_it(pool: ScriptedPool) -> None:
    pool.on(ADDRESS, RequestCode.UPDATE_AND_CREATE_TOPIC, play("4.5.1", "create_topic"))
    pool.on(
        ADDRESS,
        RequestCode.GET_ALL_TOPIC_CONFIG,
        say(body=b'{"topicConfigTable":{}}'),
        play("4.5.1", "topic_configs"),
    )
    config = BrokerClient(pool, ADDRESS).create_topic(TOPIC, queues=2)
    assert (config.name, config.write_queues) == (TOPIC, 2)
    assert pool.codes(ADDRESS) == (17, 21, 21)
    assert encode(pool.asked[0].command, opaque=7) == request("4.5.1", "create_topic")


@pytest.mark.parametrize(
    ("queues", "seen"), [(2, "not in the broker's table"), (5, "write_queues=2")], ids=["absent", "different"]
)
def test_a_topic_that_does_not_appear_as_asked_ends_in_an_error(pool: ScriptedPool, queues: int, seen: str) -> None:
    pool.on(ADDRESS, RequestCode.UPDATE_AND_CREATE_TOPIC, say())
    absent = say(body=b'{"topicConfigTable":{}}')
    pool.on(ADDRESS, RequestCode.GET_ALL_TOPIC_CONFIG, absent if queues == 2 else play("4.5.1", "topic_configs"))
    with pytest.raises(WaitTimeoutError, match=seen):
        BrokerClient(pool, ADDRESS, timeout_s=0.2).create_topic(TOPIC, queues=queues)


def test_a_refused_topic_is_not_waited_for(pool: ScriptedPool) -> None:
    pool.on(ADDRESS, RequestCode.UPDATE_AND_CREATE_TOPIC, say(code=1, remark="Can't modify topic from slave"))
    with pytest.raises(RemoteError, match="from slave"):
        BrokerClient(pool, ADDRESS).create_topic(TOPIC)
    assert pool.codes(ADDRESS) == (17,)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_message_is_viewed_by_its_position(pool: ScriptedPool, version: str) -> None:
    pool.on(ADDRESS, RequestCode.VIEW_MESSAGE_BY_ID, play(version, "view_message"))
    assert BrokerClient(pool, ADDRESS).view_message(48).body.decode() == "body 0: 你好"
    assert sent(pool) == request(version, "view_message")
    pool.on(ADDRESS, RequestCode.VIEW_MESSAGE_BY_ID, play(version, "view_message_none"))
    with pytest.raises(RemoteError, match="can not find message"):
        BrokerClient(pool, ADDRESS).view_message(10**12)


def test_configuration_is_updated_as_properties_text(pool: ScriptedPool) -> None:
    pool.on(ADDRESS, RequestCode.UPDATE_BROKER_CONFIG, say())
    BrokerClient(pool, ADDRESS).update_config({"waitTimeMillsInSendQueue": "1000"})
    assert pool.asked[0].command.body == b"waitTimeMillsInSendQueue=1000\n"


def message_with(key: str, *, unique: str, topic: str = TOPIC, store_ms: int = 1) -> bytes:
    properties = encode_properties({"KEYS": f"{unique} {key}", "UNIQ_KEY": unique}).encode()
    return encode_stored(
        StoredMessage(
            queue_id=0,
            queue_offset=0,
            physical_offset=store_ms,
            sys_flag=0,
            born_ms=0,
            store_ms=store_ms,
            born_host_bytes=host_bytes("127.0.0.1", 1),
            store_host_bytes=host_bytes("127.0.0.1", 2),
            reconsume_times=0,
            prepared_offset=0,
            stored_body=b"x",
            body_crc=0,
            topic=topic,
            properties_bytes=properties,
        )
    )


def test_a_query_gives_what_has_the_key_and_not_what_hashes_alike(pool: ScriptedPool) -> None:
    records = (
        message_with("k", unique="u2", store_ms=5),
        message_with("k", unique="u1", store_ms=3),
        message_with("k", unique="u1", store_ms=3),
        message_with("other", unique="u3", store_ms=1),
        message_with("k", unique="u4", topic="Elsewhere", store_ms=7),
    )
    pool.on(ADDRESS, RequestCode.QUERY_MESSAGE, say(body=b"".join(records)))
    broker = BrokerClient(pool, ADDRESS)
    assert [message.unique_key for message in broker.query_messages(TOPIC, "k")] == ["u1", "u2"]
    assert "_UNIQUE_KEY_QUERY" not in pool.asked[-1].command.ext
    assert [message.unique_key for message in broker.query_messages(TOPIC, "u3", unique=True)] == ["u3"]
    assert pool.asked[-1].command.ext["_UNIQUE_KEY_QUERY"] == "true"


def test_a_query_that_finds_nothing_is_no_error(pool: ScriptedPool) -> None:
    pool.on(ADDRESS, RequestCode.QUERY_MESSAGE, say(code=22, remark="can not find message"))
    assert BrokerClient(pool, ADDRESS).query_messages(TOPIC, "k") == ()
