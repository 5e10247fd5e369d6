"""Promises of rmqkit.wire.pullframe."""

from __future__ import annotations

import pytest

from rmqkit.wire.frames import Command, decode, encode
from rmqkit.wire.pullframe import PullHeader, PullRequest


@pytest.mark.parametrize("suspend_ms", [0, 15_000])
@pytest.mark.parametrize("oneway", [False, True])
def test_the_frame_is_what_the_general_encoder_makes(suspend_ms: int, *, oneway: bool) -> None:
    header = PullHeader.of(
        group="%g",
        topic="T|é",
        queue_id=3,
        expression='A || "B"\n\\',
        version=17,
        kind="SQL92",
        max_messages=32,
        suspend_ms=suspend_ms,
    )
    request = PullRequest(header, 123_456_789_012)
    general = Command.request(
        11,
        ext={
            "consumerGroup": "%g",
            "topic": "T|é",
            "queueId": 3,
            "queueOffset": 123_456_789_012,
            "maxMsgNums": 32,
            "sysFlag": 6 if suspend_ms else 4,
            "commitOffset": 0,
            "suspendTimeoutMillis": suspend_ms,
            "subscription": 'A || "B"\n\\',
            "subVersion": 17,
            "expressionType": "SQL92",
        },
    )
    assert decode(request.frame(7, oneway=oneway)) == decode(general.frame(7, oneway=oneway))
    assert request.code == 11
    assert len(request.frame(7)) == len(encode(general, opaque=7))
