"""Message ids of the producer's own: UNIQ_KEY, as other clients make and search it.

What belongs here: making one, and the time that lies in it. What does not: sending it (``message``).

Layout as in MessageClientIDSetter of 4.5.1 to 5.3.2, in hex: 4 bytes address, 2 process, 4 class loader, 4 milliseconds
since the start of the month in local time, 2 counter. Java's tools begin their search a second before the time in the
id (MQAdminImpl.queryMessageByUniqKey), so an id without it is never found; nobody reads the rest. Here the first ten
bytes are five random ones of this process and the upper part of the counter: no clock that jumps makes an id come
twice.
"""

from __future__ import annotations

import itertools
import os
import secrets
import time

_COUNTER_LOW = 0xFFFF
_COUNTER_HIGH = 0xFF_FFFF_FFFF


class MessageIds:
    """Makes ids that no other maker, process or host has. Safe for use by several threads."""

    def __init__(self) -> None:
        self._counter = itertools.count(secrets.randbelow(1 << 32))
        self._prefix = secrets.token_hex(5).upper()
        self._month = _month_around(time.time_ns() // 1_000_000)

    def next(self) -> str:
        """A fresh id of 32 hex characters."""
        number = next(self._counter)
        now = time.time_ns() // 1_000_000
        start, end = self._month
        if not start <= now < end:
            start, end = self._month = _month_around(now)
        return f"{self._prefix}{number >> 16 & _COUNTER_HIGH:010X}{now - start:08X}{number & _COUNTER_LOW:04X}"


def _month_around(now_ms: int) -> tuple[int, int]:
    """The local month that ``now_ms`` lies in: its first millisecond, and the next month's."""
    local = time.localtime(now_ms / 1000)
    start = time.mktime((local.tm_year, local.tm_mon, 1, 0, 0, 0, 0, 0, -1))
    end = time.mktime((local.tm_year, local.tm_mon + 1, 1, 0, 0, 0, 0, 0, -1))
    return int(start * 1000), int(end * 1000)


_ids = MessageIds()


def _start_anew() -> None:
    """A forked child must not go on with its parent's ids."""
    global _ids  # noqa: PLW0603 - the one maker of this process
    _ids = MessageIds()


os.register_at_fork(after_in_child=_start_anew)


def new_message_id() -> str:
    """A fresh id of the kit's own: 32 hex characters, which other clients' tools can search by."""
    return _ids.next()
