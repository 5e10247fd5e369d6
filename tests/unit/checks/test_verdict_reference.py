"""The verdict over columns says exactly what a plain one says, of any history however strange."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference import Reference

from rmqkit.checks import Finding, Thresholds, findings, judge, slots
from rmqkit.history import History, Outcome, ReadRecord, ReceiveRecord, SendRecord, split_id

# Few of each, so that they meet: ids that the kit gives, official clients' ids, none at all, and what looks alike.
JAVA = "7F00000105EC18B4AAC2{:012X}"
ids = st.one_of(
    st.sampled_from(["", "r-1", "r-2", "r-10", "r-07", "r-7", "s-1", "other", "7", "r", "r-x", "é1"]),
    st.integers(0, 12).map("r-{}".format),
    st.integers(0, 3).map(lambda number: JAVA.format(number * 10**9)),
    st.integers(0, 3).map(lambda number: JAVA.format(number).lower()),
    st.integers(0, 2).map(lambda number: f"r-{10**17 + number}"),
    st.integers(0, 2).map(lambda number: f"{10**19 + number}"),
)
topics = st.sampled_from(["T", "U"])
queues = st.integers(-1, 2)
offsets = st.one_of(st.integers(-1, 4), st.sampled_from([-(2**63), 2**63 - 1, 10**12, 10**12 + 1, 99]))
times = st.integers(0, 20)
sends = st.builds(
    SendRecord,
    ids,
    topics,
    times,
    times,
    st.sampled_from(Outcome),
    queues,
    offsets,
    st.just(""),
    st.just(""),
    sender=st.sampled_from(["", "a/0", "a/1"]),
    attempts=st.integers(1, 2),
    sharding_key=st.sampled_from(["", "k", "l"]),
)
reads = st.builds(ReadRecord, st.sampled_from(["n0", "n1", "n2"]), ids, topics, queues, offsets, st.booleans())
receives = st.builds(ReceiveRecord, st.sampled_from(["g", "g/0", "g/1", "h"]), ids, topics, queues, offsets, times)


@st.composite
def histories(draw: st.DrawFn) -> History:
    history = History()
    for prefix in draw(st.lists(st.sampled_from(["r-", "r-1", "7F", "é"]), max_size=2)):
        history.add_run_prefix(prefix)
    sent = draw(st.lists(sends, max_size=12))
    for send in sent:
        history.add_send(send)
    # Most of what was sent is there, on most replicas, mostly where it should be.
    stored = [ReadRecord(r, s.message_id, s.topic, s.queue, s.offset) for s in sent for r in ("n0", "n1", "n2")]
    keep = draw(st.lists(st.integers(0, 9), min_size=len(stored), max_size=len(stored)))
    found = [read for read, number in zip(stored, keep, strict=True) if number] + draw(st.lists(reads, max_size=8))
    for read in draw(st.permutations(found)):
        history.add_read(read)
    for replica, whole in draw(st.dictionaries(st.sampled_from(["n0", "n1", "n2", "n3"]), st.booleans())).items():
        history.reader_done(replica, reached_end=whole)
    handed = [ReceiveRecord("g", s.message_id, s.topic, s.queue, s.offset, draw(times)) for s in sent]
    for receive in draw(st.permutations(handed))[draw(st.integers(0, 2)) :] + draw(st.lists(receives, max_size=8)):
        history.add_receive(receive)
    for group in draw(st.sets(st.sampled_from(["g", "h", "i"]))):
        history.consumer_done(group, drained=draw(st.booleans()), topics=draw(st.sampled_from([(), ("T",), ("V",)])))
    return history


def assert_as_the_reference(history: History, *, ordered: bool) -> None:
    verdict = judge(history, Thresholds(ordered=ordered))
    expected = Reference(history, ordered=ordered)
    assert list(verdict.violations) == expected.violations
    assert list(verdict.notes) == expected.notes


thorough = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])


@thorough
@given(histories(), st.booleans())
def test_any_history_is_judged_as_the_reference_judges_it(history: History, ordered: bool) -> None:
    assert_as_the_reference(history, ordered=ordered)


@thorough
@given(histories())
def test_it_does_not_matter_how_rows_are_packed_or_which_examples_are_looked_at(history: History) -> None:
    """Chunks of one row, slots that are all sorted, and no finding so small that all its texts are made."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rmqkit.history.table.ROWS", 1)
        patch.setattr(slots, "_HOLES", 0)
        patch.setattr(findings, "_FEW", 0)
        again = History()
        for prefix in history.run_prefixes:
            again.add_run_prefix(prefix)
        for send in history.sends():
            again.add_send(send)
        for read in history.reads():
            again.add_read(read)
        for receive in history.receives():
            again.add_receive(receive)
        for replica, whole in history.readers.items():
            again.reader_done(replica, reached_end=whole)
        for end in history.consumers.values():
            again.consumer_done(end.group, drained=end.drained, topics=end.topics)
        assert_as_the_reference(again, ordered=False)


def test_the_reference_judges_the_saved_histories_alike() -> None:
    saved = sorted((Path(__file__).parents[2] / "histories").glob("[fip][a-z]*-*.jsonl"))
    histories = [history for path in saved if (history := History.import_jsonl(path)).format < 5]
    assert len(histories) > 20
    for history in histories:
        assert_as_the_reference(history, ordered=False)


# ---- the arithmetic on its own

numbers = st.one_of(st.integers(-5, 30), st.integers(-(2**63), 2**63 - 1))
pairs = st.lists(st.tuples(st.integers(0, 5), numbers), min_size=1, max_size=40)


@settings(deadline=None)
@given(pairs)
def test_equal_slots_mean_equal_pairs_and_give_them_back(values: list[tuple[int, int]]) -> None:
    group, number = (np.array(column, np.int64) for column in zip(*values, strict=True))
    made = slots.Slots(7, lambda: iter([(group, number)]))
    found = made.of(group, number)
    assert found.min() >= 0
    assert found.max() < made.size
    assert len(set(found.tolist())) == len(set(values))
    back = made.pairs(found)
    assert list(zip(*(column.tolist() for column in back), strict=True)) == values
    assert made.seen.tolist() == [each in {g for g, _ in values} for each in range(7)]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), numbers, st.booleans()), min_size=1, max_size=60))
def test_the_first_texts_are_found_without_making_all_of_them(rows: list[tuple[int, int, bool]]) -> None:
    group = np.array([g * 2 + hexadecimal for g, _, hexadecimal in rows], np.int64)
    number = np.array([n for _, n, _ in rows], np.int64)
    unsigned = np.array([hexadecimal for _, _, hexadecimal in rows], np.bool_)
    texts = [
        f"{'abcdefgh'[g]}{n % 2**64:016x}: x" if h else f"{'abcdefgh'[g]}{n}: x"
        for g, n, h in zip(group.tolist(), number.tolist(), unsigned.tolist(), strict=True)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(findings, "_FEW", 0)
        found = findings.first_texts(
            group, number, lambda chosen: [texts[row] for row in chosen.tolist()], of_one_length=unsigned
        )
    assert found == tuple(sorted(texts)[:10])


def test_of_many_findings_few_texts_are_made() -> None:
    made: list[int] = []

    def texts(rows: slots.Ints) -> list[str]:
        made.append(len(rows))
        return [f"r-{row}" for row in rows.tolist()]

    number = np.arange(200_000)
    group = np.zeros(len(number), np.int64)
    found = findings.first_texts(group, number, texts, of_one_length=np.zeros(len(number), np.bool_))
    assert found == tuple(sorted(f"r-{each}" for each in range(200_000))[:10])
    assert made == [10 * 6]


def test_a_finding_has_at_most_ten_examples() -> None:
    assert Finding("k", 11, "t", findings.some(str(each) for each in range(11))).ids == ("0", "1", "10", *"2345678")


def test_ids_that_look_alike_are_not_the_same() -> None:
    alike = ["r-7", "r-07", "r-007", "r-", "r-0", "r-00", "7", "07", ""]
    assert len({split_id(each) for each in alike}) == len(alike)
