"""Promises of rmqkit.wire.messages."""

from __future__ import annotations

import zlib
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmqkit.errors import UsageError, WireError
from rmqkit.wire.messages import (
    MAGIC_FILLER,
    MAGIC_V1,
    MAGIC_V2,
    StoredMessage,
    decode_messages,
    decode_properties,
    encode_properties,
    encode_stored,
    host_bytes,
    iter_messages,
    offset_id,
    parse_offset_id,
)

BODY = b"hello"
MESSAGE = StoredMessage(
    queue_id=3,
    queue_offset=12,
    physical_offset=4096,
    sys_flag=0,
    born_ms=1_700_000_000_000,
    store_ms=1_700_000_000_005,
    born_host_bytes=host_bytes("10.0.0.7", 50_000),
    store_host_bytes=host_bytes("127.0.0.1", 30_911),
    reconsume_times=0,
    prepared_offset=0,
    stored_body=BODY,
    body_crc=zlib.crc32(BODY) & 0x7FFFFFFF,
    topic="Orders",
    properties_bytes=encode_properties({"KEYS": "ID k1", "TAGS": "TagA", "UNIQ_KEY": "ID"}).encode(),
)

int32 = st.integers(-(2**31), 2**31 - 1)
int64 = st.integers(-(2**63), 2**63 - 1)
hosts = st.ip_addresses(v=4).map(lambda ip: host_bytes(str(ip), 9876))
hosts6 = st.ip_addresses(v=6).map(lambda ip: host_bytes(str(ip), 9876))


@st.composite
def messages(draw: st.DrawFn) -> StoredMessage:
    born6, store6 = draw(st.booleans()), draw(st.booleans())
    magic = draw(st.sampled_from([MAGIC_V1, MAGIC_V2]))
    topic = draw(st.text(st.characters(codec="ascii"), max_size=127 if magic == MAGIC_V1 else 300))
    return StoredMessage(
        queue_id=draw(int32),
        queue_offset=draw(int64),
        physical_offset=draw(int64),
        sys_flag=(0x10 if born6 else 0) | (0x20 if store6 else 0) | draw(st.sampled_from([0, 2, 4, 8])),
        born_ms=draw(int64),
        store_ms=draw(int64),
        born_host_bytes=draw(hosts6 if born6 else hosts),
        store_host_bytes=draw(hosts6 if store6 else hosts),
        reconsume_times=draw(int32),
        prepared_offset=draw(int64),
        stored_body=draw(st.binary(max_size=80)),
        body_crc=draw(st.integers(0, 2**31 - 1)),
        topic=topic,
        properties_bytes=draw(st.binary(max_size=80)),
        flag=draw(int32),
        magic=magic,
    )


@given(st.lists(messages(), max_size=4))
def test_messages_survive_encoding_one_after_the_other(sent: list[StoredMessage]) -> None:
    records = [encode_stored(message) for message in sent]
    got = decode_messages(b"".join(records))
    assert [replace(message, stored_bytes=0) for message in got] == sent
    assert [message.stored_bytes for message in got] == [len(record) for record in records]


@given(messages(), st.data())
def test_a_damaged_record_raises_nothing_but_wire_errors(message: StoredMessage, data: st.DataObject) -> None:
    record = bytearray(encode_stored(message))
    for at in data.draw(st.lists(st.integers(0, len(record) - 1), min_size=1, max_size=4)):
        record[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(record)))
    try:
        for got in iter_messages(bytes(record[:cut])):
            assert got.properties is not None
            assert got.born_host
    except WireError:
        pass


@given(st.dictionaries(st.text(min_size=1, max_size=10), st.text(max_size=10), max_size=5))
def test_properties_survive_encoding_or_are_refused(properties: dict[str, str]) -> None:
    joined = "".join([*properties, *properties.values()])
    if "\x01" in joined or "\x02" in joined:
        with pytest.raises(UsageError):
            encode_properties(properties)
    else:
        assert decode_properties(encode_properties(properties)) == properties


def test_an_ipv4_record_has_the_91_bytes_of_the_layout() -> None:
    record = encode_stored(replace(MESSAGE, stored_body=b"", topic="", properties_bytes=b""))
    assert len(record) == 91


def test_the_parts_of_a_message_are_where_users_look_for_them() -> None:
    (message,) = decode_messages(encode_stored(MESSAGE))
    assert (message.topic, message.queue_id, message.queue_offset) == ("Orders", 3, 12)
    assert (message.keys, message.tags, message.unique_key) == (("ID", "k1"), "TagA", "ID")
    assert message.body == BODY
    assert message.body_is_intact
    assert (message.born_host, message.store_host) == ("10.0.0.7:50000", "127.0.0.1:30911")
    assert message.msg_id == "7F000001000078BF0000000000001000"


def test_a_changed_body_is_not_intact() -> None:
    assert not replace(MESSAGE, stored_body=b"hellp").body_is_intact


def test_an_offset_id_names_broker_and_position_and_reads_back() -> None:
    four = offset_id(host_bytes("127.0.0.1", 10_911), 500)
    six = offset_id(host_bytes("::1", 10_911), 500)
    assert (len(four), len(six)) == (32, 56)
    assert parse_offset_id(four) == ("127.0.0.1:10911", 500)
    assert parse_offset_id(six) == ("[::1]:10911", 500)


@pytest.mark.parametrize("text", ["", "xyz", "7F", "7F000001000078BF00000000000010"])
def test_what_is_no_offset_id_is_refused(text: str) -> None:
    with pytest.raises(WireError, match="not an offset message id"):
        parse_offset_id(text)


@pytest.mark.parametrize("compression_bits", [0, 3 << 8])
def test_a_zlib_body_is_decompressed(compression_bits: int) -> None:
    packed = replace(MESSAGE, stored_body=zlib.compress(b"a" * 9000), sys_flag=1 | compression_bits)
    assert packed.body == b"a" * 9000


@pytest.mark.parametrize(("bits", "name"), [(1, "LZ4"), (2, "ZSTD"), (7, "an unknown method")])
def test_another_compression_is_named_and_does_not_spoil_the_rest(bits: int, name: str) -> None:
    message = replace(MESSAGE, sys_flag=1 | bits << 8)
    assert message.unique_key == "ID"
    with pytest.raises(WireError, match=name):
        _ = message.body


@pytest.mark.parametrize("stored", [b"no zlib", zlib.compress(b"a" * 9000)[:-9]])
def test_a_body_that_does_not_decompress_is_a_wire_error(stored: bytes) -> None:
    with pytest.raises(WireError, match="compressed body"):
        _ = replace(MESSAGE, stored_body=stored, sys_flag=1).body


def test_a_decompression_bomb_is_refused() -> None:
    bomb = replace(MESSAGE, stored_body=zlib.compress(bytes(20_000_000)), sys_flag=1)
    with pytest.raises(WireError, match="beyond 16777216 bytes"):
        _ = bomb.body


def test_the_trailing_separator_that_newer_brokers_drop_makes_no_difference() -> None:
    assert decode_properties("a\x01b\x02c\x01d") == decode_properties("a\x01b\x02c\x01d\x02")


def test_an_empty_value_is_kept_and_a_lone_name_is_not() -> None:
    assert decode_properties("a\x01\x02b\x02\x02") == {"a": ""}


def test_fillers_between_messages_are_skipped() -> None:
    record = encode_stored(MESSAGE)
    filler = (24).to_bytes(4, "big") + MAGIC_FILLER.to_bytes(4, "big") + bytes(16)
    assert len(decode_messages(record + filler + record)) == 2


def test_an_unknown_magic_is_named() -> None:
    record = bytearray(encode_stored(MESSAGE))
    record[4:8] = b"\x12\x34\x56\x78"
    with pytest.raises(WireError, match="magic 0x12345678"):
        decode_messages(bytes(record))


def test_a_record_cut_short_is_a_wire_error_and_the_ones_before_it_are_given() -> None:
    record = encode_stored(MESSAGE)
    found = iter_messages(record + record[:-1])
    assert next(found).queue_offset == 12
    with pytest.raises(WireError, match=f"at byte {len(record)}"):
        next(found)


def test_a_size_that_its_parts_do_not_make_is_a_wire_error() -> None:
    record = bytearray(encode_stored(MESSAGE)) + b"\x00"
    record[:4] = len(record).to_bytes(4, "big")
    with pytest.raises(WireError, match="its parts make"):
        decode_messages(bytes(record))


def test_what_is_decoded_is_a_frozen_value_like_any_other() -> None:
    (decoded,) = decode_messages(encode_stored(MESSAGE))
    assert type(decoded) is StoredMessage
    assert decoded == replace(MESSAGE, stored_bytes=decoded.stored_bytes)
    assert replace(decoded, topic="Other").topic == "Other"
    with pytest.raises(FrozenInstanceError):
        decoded.topic = "Other"  # type: ignore[misc]
    assert decoded.properties["TAGS"] == decoded.tags == "TagA"


def test_a_batch_of_several_topics_keeps_them_apart() -> None:
    sent = [replace(MESSAGE, topic=topic) for topic in ("A", "B", "B", "AB", "ä", "A")]
    assert [message.topic for message in decode_messages(b"".join(map(encode_stored, sent)))] == [
        message.topic for message in sent
    ]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"UNIQ_KEY\x01a\x02",
        b"x\x01y\x02UNIQ_KEY\x01a",
        b"XUNIQ_KEY\x01a\x02",
        b"v\x01UNIQ_KEY\x01a\x02",
        b"UNIQ_KEY\x01a\x02UNIQ_KEY\x01b\x02",
        b"UNIQ_KEY\x01\x02TAGS\x01t",
        b"UNIQ_KEY\x02TAGS\x01t\x02",
        b"UNIQ_KEY\x01\xff\x02",
    ],
)
def test_the_key_and_tags_are_those_of_the_properties(raw: bytes) -> None:
    message = replace(MESSAGE, properties_bytes=raw)
    assert message.unique_key == decode_properties(raw).get("UNIQ_KEY", "")
    assert message.tags == decode_properties(raw).get("TAGS", "")
