"""The stores of real brokers, as they were captured (see tests/vectors/README.md), whole and spoilt."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rmqkit.store import read_store
from rmqkit.store.units import ENTRY_HEADER, INDEX_UNIT

VECTORS = Path(__file__).resolve().parents[2] / "vectors" / "store"
EDITIONS = ("4.5.1", "4.9.8")
TOPIC = "VectorTopic"


def sent(edition: str) -> dict[str, tuple[int, int]]:
    """What was acknowledged: id to queue and offset."""
    rows = json.loads((VECTORS / edition / "sent.json").read_text(encoding="utf-8"))
    assert len(rows) >= 80, "so many the capture sends at least"
    return {message_id: (queue, offset) for message_id, queue, offset in rows}


def copy(edition: str, folder: Path) -> Path:
    return Path(shutil.copytree(VECTORS / edition, folder / edition))


def files(store: Path, part: str) -> list[Path]:
    (log,) = store.glob("dledger-*")
    return sorted((log / part).iterdir())


@pytest.mark.parametrize("edition", EDITIONS)
def test_every_acknowledged_message_is_found_where_its_receipt_says(edition: str) -> None:
    expected = sent(edition)
    with read_store(VECTORS / edition) as reading:
        assert reading.damage == ()
        assert reading.begin_index == 0
        assert reading.committed_index == reading.end_index >= len(expected)
        assert reading.term_file is not None
        assert reading.term_file.term >= reading.terms[-1].term
        assert len(reading.terms) >= 2, "a leader was killed in the middle"
        found = reading.find(expected)
        places = {
            name: [(one.message.queue_id, one.message.queue_offset) for one in many] for name, many in found.items()
        }
        assert places == {name: [place] for name, place in expected.items()}
        assert all(one.committed and one.dispatched for many in found.values() for one in many)
        for many in found.values():
            for one in many:
                assert one.message.physical_offset == one.entry.position + ENTRY_HEADER.size
                assert one.message.body_is_intact
        ends = {queue: reading.queues.offsets(TOPIC, queue) for queue in reading.queues.topics()[TOPIC]}
    for queue, offsets in ends.items():
        assert offsets == range(len([place for place in expected.values() if place[0] == queue]))


@pytest.mark.parametrize("edition", EDITIONS)
def test_the_log_goes_over_several_files(edition: str) -> None:
    assert len(files(VECTORS / edition, "data")) >= 2
    assert sum(path.stat().st_size for path in VECTORS.rglob("*") if path.is_file()) < 200_000


@pytest.mark.parametrize("edition", EDITIONS)
def test_a_data_file_that_is_cut_off_ends_the_log_there(edition: str, tmp_path: Path) -> None:
    store = copy(edition, tmp_path)
    first = files(store, "data")[0]
    first.write_bytes(first.read_bytes()[:5000])
    with read_store(store) as reading:
        assert 0 < reading.end_index < 5000 // ENTRY_HEADER.size
        assert "that is cut off" in reading.ended
        told = "\n".join(reading.damage)
        assert "the log ends before" in told
        assert "the index goes on to entry" in told
        assert "but its checkpoint says" in told
        assert 0 < len(reading.find(sent(edition))) < len(sent(edition))


@pytest.mark.parametrize("edition", EDITIONS)
def test_an_index_of_another_log_is_told(edition: str, tmp_path: Path) -> None:
    store = copy(edition, tmp_path)
    index = files(store, "index")[0]
    content = index.read_bytes()
    index.write_bytes(content[INDEX_UNIT.size :] + content[: INDEX_UNIT.size])
    with read_store(store) as reading:
        assert "units of the index are not what the data files say, the first for entry 0" in "\n".join(reading.damage)
        assert len(reading.find(sent(edition))) == len(sent(edition)), "the data files are what counts"


@pytest.mark.parametrize("edition", EDITIONS)
def test_a_lost_consume_queue_is_what_tells_stored_from_deliverable(edition: str, tmp_path: Path) -> None:
    store = copy(edition, tmp_path)
    shutil.rmtree(store / "consumequeue" / TOPIC / "0")
    with read_store(store) as reading:
        for many in reading.find(sent(edition)).values():
            assert [one.dispatched for one in many] == [many[0].message.queue_id != 0]
            assert many[0].committed
