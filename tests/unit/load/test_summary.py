"""Promises of the summary: plain values under fixed names, and no file that was there before is lost."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import MappingProxyType

import pytest

from rmqkit.errors import UsageError
from rmqkit.load.summary import Consumption, ErrorCount, Percentiles, Production, Summary, Traffic, Window

LATENCY = Percentiles(count=2, mean_ms=1.23456789, p50_ms=1, p90_ms=2, p99_ms=2, p999_ms=2, max_ms=2)
TRAFFIC = Traffic(
    driver="built-in",
    threads=1,
    sent=3,
    acknowledged=2,
    refused=1,
    unknown=0,
    flow_control=1,
    acked_per_s=2.0,
    outage_s=0.5,
    latency=LATENCY,
    service=LATENCY,
)
SUMMARY = Summary(
    command="run",
    run="ab12",
    seed=7,
    started_at="2026-01-01T00:00:00+00:00",
    start_ns=5,
    duration_s=1.0,
    ended_by="count",
    topic="T",
    options=MappingProxyType({"threads": 1}),
    produced=Production(
        traffic=TRAFFIC,
        drivers=(TRAFFIC,),
        errors=(ErrorCount(kind="flow control", reason="busy", count=1),),
        processes=0,
        body_bytes=4,
        unsent=0,
        backed_off_s=0.01,
        cpu_us_per_message=60.0,
    ),
    consumed=Consumption(
        group="g",
        members=1,
        received=2,
        own=2,
        again=0,
        missing=0,
        received_per_s=2.0,
        drained=True,
        lag=MappingProxyType({"b/0": 0}),
        cpu_us_per_message=10.0,
    ),
    windows=(Window(second=0, acknowledged=2, latency=LATENCY),),
)


def test_a_summary_is_plain_values_under_the_names_of_its_fields() -> None:
    plain = json.loads(json.dumps(SUMMARY.as_dict()))
    assert plain["format"] == 1
    assert set(plain) == {"format"} | {each.name for each in dataclasses.fields(Summary)}
    assert plain["produced"]["traffic"]["latency"]["mean_ms"] == 1.2346
    assert plain["produced"]["errors"] == [{"kind": "flow control", "reason": "busy", "count": 1}]
    assert plain["consumed"]["lag"] == {"b/0": 0}
    assert plain["windows"][0]["latency"]["count"] == 2


def test_what_was_not_done_is_null_and_not_zero() -> None:
    plain = dataclasses.replace(SUMMARY, produced=None, consumed=None).as_dict()
    assert plain["produced"] is None
    assert plain["consumed"] is None


def test_saving_never_overwrites_and_says_why_it_cannot(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    SUMMARY.save(path)
    assert json.loads(path.read_text(encoding="utf-8")) == json.loads(json.dumps(SUMMARY.as_dict()))
    with pytest.raises(UsageError, match="exists already"):
        SUMMARY.save(path)
    with pytest.raises(UsageError, match="cannot be written"):
        SUMMARY.save(tmp_path / "nowhere" / "summary.json")
