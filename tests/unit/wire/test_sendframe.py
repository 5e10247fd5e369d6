"""Promises of rmqkit.wire.sendframe."""

from __future__ import annotations

import pytest

from rmqkit.errors import FrameTooLargeError
from rmqkit.wire.codes import RequestCode
from rmqkit.wire.frames import MAX_FRAME_BYTES, Command, decode, encode
from rmqkit.wire.sendframe import SendHeader, SendRequest


def request(
    *, batch: bool = False, broker_name: str = "b", properties: str = "KEYS\x01k\x02", body: bytes = b"x"
) -> SendRequest:
    header = SendHeader.of(group="g", topic="T", queue_id=3, broker_name=broker_name, batch=batch)
    return SendRequest(header, properties=properties, body=body, sys_flag=1, born_ms=17)


def test_the_frame_is_the_one_that_the_long_way_makes() -> None:
    ext = {"a": "g", "b": "T", "c": "TBW102", "d": 4, "e": 3, "f": 1, "g": 17, "h": 0, "i": '色\x01"\\\n\x02'}
    long_way = Command.request(310, ext={**ext, "j": 0, "k": False, "m": False, "n": "b"}, body=b"x")
    assert decode(request(properties='色\x01"\\\n\x02').frame(99)) == decode(encode(long_way, opaque=99))


def test_a_batch_and_a_oneway_are_marked() -> None:
    batch = decode(request(batch=True).frame(1))
    assert (batch.code, batch.ext["m"], batch.is_oneway) == (RequestCode.SEND_BATCH_MESSAGE, "true", False)
    assert decode(request().frame(1, oneway=True)).is_oneway


def test_no_broker_name_is_no_field() -> None:
    assert "n" not in decode(request(broker_name="").frame(1)).ext


def test_a_frame_beyond_the_limit_is_not_made() -> None:
    with pytest.raises(FrameTooLargeError):
        request(body=b"x" * MAX_FRAME_BYTES).frame(1)
