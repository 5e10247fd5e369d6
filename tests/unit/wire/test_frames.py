"""Promises of rmqkit.wire.frames."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmqkit.errors import FrameTooLargeError, WireError
from rmqkit.wire.codes import DLedgerCode, RequestCode
from rmqkit.wire.frames import MAX_FRAME_BYTES, Command, FrameDecoder, decode, encode

LANGUAGES = ("JAVA", "CPP", "PYTHON", "GO", "RUST")
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
commands = st.builds(
    Command,
    code=st.integers(-(2**15), 2**15 - 1),
    opaque=st.integers(-(2**31), 2**31 - 1),
    flag=st.integers(0, 3),
    remark=text,
    ext=st.dictionaries(text, text, max_size=5),
    body=st.binary(max_size=200),
    language=st.sampled_from(LANGUAGES),
    version=st.integers(0, 2**15 - 1),
)


@given(commands, st.booleans())
def test_a_command_survives_encoding_with_either_header(command: Command, binary: bool) -> None:
    assert decode(encode(command, binary_header=binary)) == command


@given(st.lists(commands, max_size=4), st.booleans(), st.data())
def test_frames_are_found_however_the_bytes_are_cut(sent: list[Command], binary: bool, data: st.DataObject) -> None:
    stream = b"".join(encode(command, binary_header=binary) for command in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    decoder, got = FrameDecoder(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += list(decoder.feed(stream[start:end]))
    assert got == sent
    assert decoder.buffered == 0


@given(st.binary(max_size=300))
def test_garbage_raises_nothing_but_wire_errors(garbage: bytes) -> None:
    with contextlib.suppress(WireError):
        list(FrameDecoder().feed(garbage))


@given(commands, st.booleans(), st.data())
def test_a_damaged_frame_raises_nothing_but_wire_errors(command: Command, binary: bool, data: st.DataObject) -> None:
    frame = bytearray(encode(command, binary_header=binary))
    for at in data.draw(st.lists(st.integers(4, len(frame) - 1), min_size=1, max_size=4)):
        frame[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(WireError):
        decode(bytes(frame))


def test_the_frame_is_laid_out_as_the_protocol_says() -> None:
    frame = encode(Command(105, opaque=9, ext={"topic": "T"}, body=b"body"))
    header_length = int.from_bytes(frame[5:8], "big")
    header = json.loads(frame[8 : 8 + header_length])
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    assert frame[4] == 0
    assert frame[8 + header_length :] == b"body"
    assert header == {
        "code": 105,
        "language": "PYTHON",
        "version": 401,
        "opaque": 9,
        "flag": 0,
        "serializeTypeCurrentRPC": "JSON",
        "extFields": {"topic": "T"},
    }


def test_ext_values_travel_as_the_text_that_java_reads() -> None:
    command = Command.request(RequestCode.PULL_MESSAGE, ext={"a": True, "b": False, "c": 4, "d": None, "e": "x"})
    assert dict(command.ext) == {"a": "true", "b": "false", "c": "4", "e": "x"}
    enum_value = Command.request(RequestCode.PULL_MESSAGE, ext={"code": RequestCode.PULL_MESSAGE})
    assert enum_value.ext["code"] == "11"


def test_the_number_given_to_encode_replaces_the_commands_own() -> None:
    assert decode(encode(Command(1, opaque=3), opaque=8)).opaque == 8


def test_an_answer_carries_the_number_of_its_request() -> None:
    answer = Command.answer(Command(11, opaque=77), code=19, remark="none", ext={"maxOffset": 3})
    assert (answer.opaque, answer.code, answer.is_response, answer.ext["maxOffset"]) == (77, 19, True, "3")


def test_a_binary_header_refuses_a_code_beyond_16_bits() -> None:
    with pytest.raises(WireError, match="use the JSON header"):
        encode(Command(DLedgerCode.METADATA), binary_header=True)


def test_a_frame_beyond_the_limit_is_not_made() -> None:
    with pytest.raises(FrameTooLargeError, match="16777216"):
        encode(Command(10, body=bytes(MAX_FRAME_BYTES)))


def test_an_oversized_frame_is_refused_before_its_body_arrives() -> None:
    decoder = FrameDecoder()
    with pytest.raises(FrameTooLargeError, match="announces 16777217 bytes"):
        list(decoder.feed((MAX_FRAME_BYTES + 1).to_bytes(4, "big")))


@pytest.mark.parametrize(
    ("first_bytes", "told"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "an HTTP server answered"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "an SSH server answered"),
        (b"\x15\x03\x03\x00\x02\x02\x16", "a TLS endpoint answered"),
        (b"+OK ready\r\n", "is this a RocketMQ port?"),
    ],
)
def test_another_protocol_is_named_with_what_was_seen(first_bytes: bytes, told: str) -> None:
    with pytest.raises(WireError) as caught:
        list(FrameDecoder().feed(first_bytes))
    assert told in str(caught.value)
    assert repr(first_bytes[:4])[2:-1] in str(caught.value)


def test_commands_before_the_garbage_are_still_given() -> None:
    decoded = FrameDecoder().feed(encode(Command(1)) + b"HTTP/1.1")
    assert next(decoded).code == 1
    with pytest.raises(WireError, match="a frame announces"):
        next(decoded)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[]",
        b"{}",
        b'{"code":1}',
        b'{"code":"x","opaque":1}',
        b'{"code":true,"opaque":1}',
        b'{"code":1,"opaque":1,"extFields":[1]}',
        b'{"code":1,"opaque":1,"remark":5}',
        b"\xff\xfe",
    ],
)
def test_a_json_header_without_its_fields_is_a_wire_error(header: bytes) -> None:
    frame = (4 + len(header)).to_bytes(4, "big") + len(header).to_bytes(4, "big") + header
    with pytest.raises(WireError, match="JSON header does not parse"):
        decode(frame)


def test_an_unknown_header_type_is_a_wire_error() -> None:
    with pytest.raises(WireError, match="header type 9"):
        decode(b"\x00\x00\x00\x04\x09\x00\x00\x00")


def test_a_header_longer_than_its_frame_is_a_wire_error() -> None:
    with pytest.raises(WireError, match="header of 255 bytes"):
        decode(b"\x00\x00\x00\x04\x00\x00\x00\xff")


def test_half_a_frame_is_not_decoded() -> None:
    with pytest.raises(WireError, match="expected one whole frame"):
        decode(encode(Command(1))[:-1])


def test_null_fields_of_a_java_header_read_as_absent() -> None:
    header = b'{"code":0,"extFields":{"a":null,"b":1},"flag":1,"opaque":4,"remark":null,"version":315}'
    frame = (4 + len(header)).to_bytes(4, "big") + len(header).to_bytes(4, "big") + header
    command = decode(frame)
    assert (command.remark, dict(command.ext), command.language) == ("", {"a": "", "b": "1"}, "JAVA")
