"""Promises about outages: every window without an acknowledgement is told, of each client and each group."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_runs import SECOND, Run, plain_run, send

from rmqkit.checks import Thresholds, VerdictStatus, Window, availability, judge, windows
from rmqkit.history import History, Outcome, SendRecord

ACKED, REFUSED, UNKNOWN = Outcome.ACKNOWLEDGED, Outcome.REFUSED, Outcome.UNKNOWN
ENOUGH = Thresholds(min_acked_before=5, min_acked_after=5, min_replicas=3)


def sent(sender: str, start_s: float, end_s: float, outcome: Outcome = ACKED, *, address: str = "a:1") -> SendRecord:
    times = int(start_s * SECOND), int(end_s * SECOND)
    return SendRecord(f"m-{start_s}", "T", *times, outcome, 0, 0, address, "", sender)


def seen(*sends: SendRecord, peers: dict[str, str] | None = None, min_s: float = 1.0) -> list[tuple[object, ...]]:
    history = History()
    for record in sends:
        history.add_send(record)
    for address, group in (peers or {}).items():
        history.add_peer(address, group)
    found = windows(history, min_s=min_s)
    return [(each.kind, each.name, each.at_s, each.lasted_s, each.refused, each.unknown, each.open) for each in found]


def test_every_window_is_told_and_not_only_the_first() -> None:
    sends = [sent("java/0", at, at + 0.5) for at in (0, 1, 2)]
    sends += [sent("java/0", 3, 4, REFUSED), sent("java/0", 4, 7, UNKNOWN), sent("java/0", 7, 7.5)]
    sends += [sent("java/0", 8, 12, UNKNOWN), sent("java/0", 12, 12.5)]
    expected = [(3, 4.5, 1, 1, ""), (8, 4.5, 0, 1, "")]
    assert seen(*sends) == [
        (*who, *each) for who in (("client", "java"), ("group", "all brokers")) for each in expected
    ]


def test_while_nobody_tries_nothing_is_missing() -> None:
    assert seen(sent("java/0", 0, 0.1), sent("java/0", 50, 50.1), sent("java/0", 99, 99.1)) == []


def test_one_client_may_be_cut_off_while_another_is_served() -> None:
    sends = [sent("built-in/0", at / 2, at / 2 + 0.4) for at in range(20)]
    sends += [sent("java/0", 0, 0.5), sent("java/0", 1, 9, UNKNOWN)]
    assert seen(*sends) == [("client", "java", 1.0, 8.0, 0, 1, "end")]


def test_one_group_may_be_away_while_another_serves() -> None:
    sends = [sent("java/0", at / 2, at / 2 + 0.4, address="a:1") for at in range(20)]
    sends += [sent("java/0", 0, 0.5, address="b:1"), sent("java/0", 2, 3, REFUSED, address="")]
    sends += [sent("java/0", 6, 6.5, address="b:2")]
    peers = {"a:1": "one", "b:1": "two", "b:2": "two"}
    assert seen(*sends, peers=peers) == [("group", "two", 2.0, 4.5, 1, 0, "")]


def test_windows_at_the_ends_say_that_they_may_have_lasted_longer() -> None:
    assert [each[2:] for each in seen(sent("x", 0, 3, UNKNOWN), sent("x", 3, 3.5))] == [(0.0, 3.5, 0, 1, "start")] * 2
    assert [each[2:] for each in seen(sent("x", 0, 3, UNKNOWN))] == [(0.0, 3.0, 0, 1, "both")] * 2
    assert seen() == []


records = st.builds(
    lambda start, took, outcome, sender: sent(sender, start, start + took, outcome),
    st.integers(0, 60),
    st.integers(0, 9),
    st.sampled_from([ACKED, ACKED, ACKED, REFUSED, UNKNOWN]),
    st.sampled_from(["a/0", "a/1", "b/0"]),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(records, max_size=25), st.sampled_from([0.5, 2.0, 5.0]), st.sampled_from([1, 2, 1000]))
def test_any_traffic_is_told_as_walking_through_it_tells(sends: list[SendRecord], min_s: float, rows: int) -> None:
    """However many rows are looked at at once."""
    expected = []
    for kind, name, of in (("client", "a", "a"), ("client", "b", "b"), ("group", "all brokers", "")):
        mine = sorted((each for each in sends if each.sender.startswith(of)), key=lambda each: each.end_ns)
        last_ns, waiting = None, []
        for number, each in enumerate(mine):
            waiting.append(each)
            if each.outcome is ACKED or number == len(mine) - 1:
                since = min(other.start_ns for other in waiting)
                since = since if last_ns is None else max(since, last_ns)
                if each.end_ns - since >= min_s * SECOND:
                    expected.append((kind, name, (each.end_ns - since) / SECOND))
                last_ns, waiting = each.end_ns, []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(availability, "_ROWS", rows)
        assert [(kind, name, lasted_s) for kind, name, _, lasted_s, *_ in seen(*sends, min_s=min_s)] == expected


def with_windows(at_most_s: float) -> tuple[Run, Thresholds]:
    run = plain_run()
    return run, Thresholds(min_acked_before=5, min_acked_after=5, min_replicas=3, max_outage_s=at_most_s)


@pytest.mark.parametrize(("at_most_s", "status"), [(0.0, "PASSED"), (6.0, "PASSED"), (4.0, "FAILED")])
def test_a_run_can_be_held_to_the_longest_outage(at_most_s: float, status: str) -> None:
    run, thresholds = with_windows(at_most_s)
    verdict = judge(run.history(), thresholds)
    assert str(verdict.status) == status, verdict
    assert len(verdict.windows) == 2
    if status == "FAILED":
        texts = [each.text for each in verdict.violations]
        assert texts == [
            "outage: nothing acknowledged to client (unnamed) for up to 5.00 s; 4 s are allowed",
            "outage: nothing acknowledged by group all brokers for up to 5.00 s; 4 s are allowed",
        ]


@pytest.mark.parametrize(("at_most_s", "found"), [(0.0, 0), (0.5, 2), (0.8, 0), (1.5, 0)])
def test_a_run_can_be_held_to_less_than_the_windows_that_are_told_else(at_most_s: float, found: int) -> None:
    """The longest time without an acknowledgement is 0.7 s, and windows of a second or more are told."""
    ends = (1.0, 1.1, 1.8, 1.9)
    sends = [send(f"m{number}", ACKED, at_s=at, queue=0, offset=number) for number, at in enumerate(ends)]
    sends[2] = replace(sends[2], start_ns=sends[1].end_ns)
    verdict = judge(Run(sends).history(), Thresholds(max_outage_s=at_most_s))
    texts = [each.text for each in verdict.violations if each.kind == "outage"]
    assert len(texts) == found, verdict
    assert all("for up to 0.70 s; 0.5 s are allowed" in text for text in texts)


def test_windows_are_in_the_text_and_in_json() -> None:
    verdict = judge(plain_run().history(), ENOUGH)
    assert verdict.status is VerdictStatus.PASSED
    assert "client (unnamed): nothing acknowledged for 5.00 s from 10.00 s on (1 refused, 1 unknown)" in str(verdict)
    told = json.loads(json.dumps(verdict.as_dict()))["windows"]
    assert [(each["kind"], each["refused"], each["unknown"]) for each in told] == [("client", 1, 1), ("group", 1, 1)]
    assert Window(**told[0]) == verdict.windows[0]


def test_of_many_windows_the_text_shows_ten() -> None:
    run = plain_run()
    many = [send(f"x{at}", UNKNOWN, at_s=20.0 + at) for at in range(0, 100, 4)]
    acked = [send(f"y{at}", ACKED, at_s=22.0 + at, queue=0, offset=100 + at) for at in range(0, 100, 4)]
    lines = str(judge(Run([*run.sends, *many, *acked], run.reads, run.readers, run.faults).history())).splitlines()
    assert sum("nothing acknowledged for" in line for line in lines) == 10
    assert "windows more without an acknowledgement" in lines[-1]
