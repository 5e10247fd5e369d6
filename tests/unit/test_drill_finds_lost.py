"""Promises of what a drill does with a verdict of lost messages: it looks for all of them, and for nothing else."""

from __future__ import annotations

from typing import cast

import pytest

from rmqkit.checks import judge
from rmqkit.cluster.cluster import Cluster
from rmqkit.forensics import Places
from rmqkit.history import History, Outcome, SendRecord
from rmqkit.scenario import find_lost


def acknowledged(count: int) -> History:
    made = History()
    for number in range(count):
        made.add_send(SendRecord(f"m{number}", "T", 0, 1, Outcome.ACKNOWLEDGED, 0, number, "", ""))
    return made


def test_nothing_is_looked_for_where_the_verdict_calls_nothing_lost() -> None:
    made = acknowledged(1)
    assert judge(made).violations == ()
    assert find_lost(cast("Cluster", None), judge(made), made) is None


def test_every_lost_message_is_looked_for_and_told_how_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    made = acknowledged(30)
    made.reader_done("n0", reached_end=True)
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr("rmqkit.scenario.locate", lambda _cluster, ids, *_, **__: asked.append(ids) or Places(()))
    steps: list[str] = []
    assert find_lost(cast("Cluster", None), judge(made), made, on_step=steps.append) == Places(())
    assert [set(ids) for ids in asked] == [{f"m{number}" for number in range(30)}]
    assert steps == ["30 acknowledged messages are missing; looking for them on every replica and in its files"]
