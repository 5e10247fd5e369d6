"""Requests that pull messages, made with little ado.

What belongs here: the frame of PULL_MESSAGE, with what all pulls of one queue have in common encoded once (a
consumer sends one for every 32 messages). What does not: what the answer means (``rmqkit.client.pull``).

Source: PullMessageRequestHeader, PullSysFlag.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from rmqkit.wire.codes import RequestCode
from rmqkit.wire.frames import CLIENT_LANGUAGE, CLIENT_VERSION, FLAG_ONEWAY, join_frame

_SUSPEND = 2
_SUBSCRIPTION = 4


@dataclass(frozen=True, slots=True)
class PullHeader:
    """What the pulls of one queue by one group have in common."""

    start: str

    @classmethod
    def of(
        cls,
        *,
        group: str,
        topic: str,
        queue_id: int,
        expression: str,
        version: int,
        kind: str,
        max_messages: int,
        suspend_ms: int,
    ) -> PullHeader:
        """The header; with ``suspend_ms`` the broker holds an answer that would be empty for so long."""
        ext = {
            "consumerGroup": group,
            "topic": topic,
            "queueId": str(queue_id),
            "maxMsgNums": str(max_messages),
            "sysFlag": str(_SUBSCRIPTION | (_SUSPEND if suspend_ms else 0)),
            "commitOffset": "0",
            "suspendTimeoutMillis": str(suspend_ms),
            "subscription": expression,
            "subVersion": str(version),
            "expressionType": kind,
        }
        header = {
            "code": int(RequestCode.PULL_MESSAGE),
            "language": CLIENT_LANGUAGE,
            "version": CLIENT_VERSION,
            "serializeTypeCurrentRPC": "JSON",
            "extFields": ext,
        }
        return cls(json.dumps(header, separators=(",", ":"))[:-2])  # both braces are still open


class PullRequest:
    """One pull: its header, and the offset. Values only; read it, do not change it."""

    __slots__ = ("code", "header", "offset")

    def __init__(self, header: PullHeader, offset: int) -> None:
        self.code = int(RequestCode.PULL_MESSAGE)
        self.header = header
        self.offset = offset

    def frame(self, opaque: int, *, oneway: bool = False) -> bytes:
        """The whole frame."""
        text = (
            f'{self.header.start},"queueOffset":"{self.offset}"}}'
            f',"flag":{FLAG_ONEWAY if oneway else 0},"opaque":{opaque}}}'
        ).encode("ascii")
        return join_frame(text, b"")
