"""Threads of one load that share their connections: one pool while anybody uses it, none afterwards."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from rmqkit.errors import ConnectFailedError, UsageError
from rmqkit.load.clients import SharedPool
from rmqkit.wire.codes import RequestCode
from rmqkit.wire.frames import Command

NOBODY = "127.0.0.1:1"
QUESTION = Command.request(RequestCode.GET_BROKER_CLUSTER_INFO)


def test_all_who_use_it_at_the_same_time_get_one_pool_which_closes_with_the_last() -> None:
    shared = SharedPool()
    with ExitStack() as first, ExitStack() as second:
        pool = first.enter_context(shared.use())
        assert second.enter_context(shared.use()) is pool
        first.close()
        with pytest.raises(ConnectFailedError):  # it is open: it tried
            pool.request(NOBODY, QUESTION, timeout_s=1)
        second.close()
        with pytest.raises(UsageError, match="closed"):
            pool.request(NOBODY, QUESTION, timeout_s=1)


def test_after_the_last_the_next_gets_another() -> None:
    shared = SharedPool()
    with shared.use() as before:
        pass
    with shared.use() as after:
        assert after is not before
