"""Promises of the offline reader: what is in the files is told, what is wrong with them too, and nothing crashes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_store import TOPIC, MadeStore, message

from rmqkit.errors import StoreError, WireError
from rmqkit.store import Checkpoint, TermFile, TermRun, read_store
from rmqkit.store.units import ENTRY_HEADER, INDEX_UNIT, QUEUE_UNIT, QueueUnit


def made(count: int = 5, **options: int) -> MadeStore:
    store = MadeStore(**options)
    store.append(count)
    return store


def damage_of(store: MadeStore, folder: Path) -> str:
    with read_store(store.write(folder)) as reading:
        return "\n".join(reading.damage)


def test_a_sound_store_is_told_as_it_is(tmp_path: Path) -> None:
    store = made(3)
    store.append(2, term=4)
    with read_store(store.write(tmp_path)) as reading:
        assert (reading.peer_id, reading.begin_index, reading.end_index, reading.committed_index) == ("n0", 0, 4, 4)
        assert reading.terms == (TermRun(1, 0, 2), TermRun(4, 3, 4))
        assert reading.checkpoint == Checkpoint(4, 4)
        assert reading.term_file == TermFile(4, "n0")
        assert reading.damage == ()
        assert reading.ended == f"nothing is written at {store.at}"
        assert [entry.message().unique_key for entry in reading.entries()] == ["m0", "m1", "m2", "m3", "m4"]
        assert [entry.index for entry in reading.entries(3)] == [3, 4]
        assert [[entry.index for entry in chunk] for chunk in reading.chunks(size=2)] == [[0, 1], [2, 3], [4]]
        assert reading.queues.topics() == {TOPIC: (0,)}
        assert reading.queues.offsets(TOPIC, 0) == range(5)


def test_messages_are_found_with_index_term_position_and_what_became_of_them(tmp_path: Path) -> None:
    store = made(4)
    store.append(1, term=2, dispatched=False)
    store.states["checkpoint"] = "endIndex=4\ncommittedIndex=3\n"
    with read_store(store.write(tmp_path)) as reading:
        found = reading.find(["m2", "m4", "not there", "m22", ""])
    assert set(found) == {"m2", "m4"}
    ((two,), (four,)) = found["m2"], found["m4"]
    assert (two.entry.index, two.entry.term, two.entry.position) == (2, 1, store.positions[2])
    assert (two.committed, two.dispatched, two.message.queue_offset) == (True, True, 2)
    assert (four.entry.term, four.committed, four.dispatched) == (2, False, False)


def test_an_id_that_begins_like_another_is_not_taken_for_it(tmp_path: Path) -> None:
    with read_store(made(12).write(tmp_path)) as reading:
        assert {name: len(places) for name, places in reading.find(["m1", "m11"]).items()} == {"m1": 1, "m11": 1}
        assert reading.find(["m"]) == {}


def test_a_message_that_was_stored_twice_is_found_twice(tmp_path: Path) -> None:
    with read_store(made(3).write(tmp_path)) as reading:
        places = reading.find(["same"], id_of=lambda _message: "same")
        assert places == {}, "the id is nowhere in the messages"
        assert len(reading.find(["Test"], id_of=lambda found: found.body.decode())["Test"]) == 3


def test_a_consume_queue_that_points_elsewhere_does_not_dispatch_the_message(tmp_path: Path) -> None:
    store = made(3)
    unit = QueueUnit(store.positions[0] + ENTRY_HEADER.size, 100, 0).to_bytes()
    store.queue[QUEUE_UNIT.size : 2 * QUEUE_UNIT.size] = unit
    with read_store(store.write(tmp_path)) as reading:
        found = reading.find(["m0", "m1", "m2"])
    assert [found[name][0].dispatched for name in ("m0", "m1", "m2")] == [True, False, True]


def test_a_log_of_several_files_is_one_log(tmp_path: Path) -> None:
    store = made(40, segment=2048)
    assert len(store.data) > 3
    with read_store(store.write(tmp_path)) as reading:
        assert (reading.begin_index, reading.end_index, reading.damage) == (0, 39, ())
        assert sorted(reading.find([f"m{number}" for number in range(40)])) == sorted(f"m{n}" for n in range(40))


def test_a_trimmed_log_begins_where_its_first_file_does(tmp_path: Path) -> None:
    store = made(40, segment=2048)
    gone = next(number for number, position in enumerate(store.positions) if position >= 4096)
    del store.data[0], store.data[2048]
    with read_store(store.write(tmp_path)) as reading:
        assert (reading.begin_index, reading.end_index, reading.damage) == (gone, 39, ())
        assert sorted(reading.find(["m0", "m39"])) == ["m39"]
        with pytest.raises(StoreError, match="there is no entry 0"):
            reading.entry(0)


def test_a_file_that_was_begun_anew_in_its_middle_is_read_from_there(tmp_path: Path) -> None:
    """MmapFileList.rebuildWithPos: a follower that was too far behind begins at its leader's position."""
    store = made(6)
    store.data[0][: store.positions[3]] = bytes(store.positions[3])
    store.index[: 3 * INDEX_UNIT.size] = bytes(3 * INDEX_UNIT.size)
    with read_store(store.write(tmp_path)) as reading:
        assert (reading.begin_index, reading.end_index, reading.damage) == (3, 5, ())


def test_an_empty_store_is_no_error_and_has_nothing(tmp_path: Path) -> None:
    (tmp_path / "dledger-n1" / "data").mkdir(parents=True)
    with read_store(tmp_path) as reading:
        assert (reading.begin_index, reading.end_index, reading.committed_index) == (-1, -1, -1)
        assert (reading.find(["m0"]), list(reading.chunks()), reading.damage) == ({}, [], ())
        assert str(reading) == "an empty log (there are no data files)"
        assert reading.queues.topics() == {}
        with pytest.raises(StoreError, match="there is no entry 0"):
            reading.entry(0)


def test_the_folder_of_the_log_itself_will_do(tmp_path: Path) -> None:
    with read_store(made().write(tmp_path) / "dledger-n0") as reading:
        assert reading.end_index == 4
        assert reading.find(["m1"])["m1"][0].dispatched


def test_what_is_no_store_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no log of DLedger"):
        read_store(tmp_path / "nowhere")
    for name in ("dledger-n0", "dledger-n1"):
        (tmp_path / name).mkdir()
    with pytest.raises(StoreError, match="several logs: dledger-n0, dledger-n1"):
        read_store(tmp_path)


# ---- what is damaged, or left over, is told -----------------------------------------------------------


def test_the_rest_of_a_truncated_log_is_no_entry_and_no_damage(tmp_path: Path) -> None:
    """A follower cut entries of term 1 off, and was given one of term 3 instead; the old bytes stay behind it."""
    old = made(6)
    store = made(3)
    store.append(1, term=3)
    store.data[0] += old.data[0][store.at :]
    store.index += old.index[len(store.index) :]
    with read_store(store.write(tmp_path)) as reading:
        assert (reading.end_index, reading.damage, reading.cut_short) == (3, (), False)
        assert "term 1 follows one of term 3" in reading.ended
        assert "the rest of a truncated log, or damage" in reading.ended
        assert set(reading.find(["m2", "m3", "m4", "m5"])) == {"m2", "m3"}


def test_an_entry_that_was_written_half_ends_the_log_or_is_told(tmp_path: Path) -> None:
    store = made(4)
    del store.data[0][store.positions[3] + 20 :]
    with read_store(store.write(tmp_path / "header", spare=0)) as reading:
        assert reading.end_index == 2
        assert "only 20 bytes of its header are there" in reading.ended
        assert "the index goes on to entry 3" in "\n".join(reading.damage)
        assert "its checkpoint says that it had entry 3" in "\n".join(reading.damage)
    store = made(4)
    del store.data[0][store.positions[3] + 60 :]
    with read_store(store.write(tmp_path / "cut", spare=0)) as reading:
        assert reading.end_index == 2
        assert "an entry" in reading.ended
        assert "of which 60 are there" in reading.ended
    store = made(4)
    store.data[0][store.positions[3] + 60 :] = bytes(len(store.data[0]) - store.positions[3] - 60)
    with read_store(store.write(tmp_path / "zeros")) as reading:
        assert reading.end_index == 3
        assert "entry 3, the last, holds no message" in "\n".join(reading.damage)
        assert set(reading.find(["m2", "m3"])) == {"m2"}
        with pytest.raises(WireError):
            reading.entry(3).message()


def test_an_entry_that_was_overwritten_ends_the_log_there(tmp_path: Path) -> None:
    store = made(6)
    store.data[0][store.positions[2] : store.positions[2] + 8] = b"\xde\xad\xbe\xef" * 2
    with read_store(store.write(tmp_path)) as reading:
        assert reading.end_index == 1
        assert reading.cut_short
        assert "that are no entry" in reading.ended
        assert "the index goes on to entry 5, the data files end with entry 1" in reading.damage
        assert "the log ends with entry 1, but its checkpoint says that it had entry 5" in reading.damage


def test_a_missing_file_in_the_middle_is_told(tmp_path: Path) -> None:
    store = made(40, segment=2048)
    del store.data[2048]
    with read_store(store.write(tmp_path)) as reading:
        assert reading.ended == "the data file that begins at 2048 is missing"
        assert any("the log ends before 00000000000000004096" in each for each in reading.damage)


def test_what_the_index_says_otherwise_is_told(tmp_path: Path) -> None:
    store = made(6)
    store.index[3 * INDEX_UNIT.size : 4 * INDEX_UNIT.size] = bytes(INDEX_UNIT.size)
    assert damage_of(store, tmp_path / "hole").startswith("1 of 6 units of the index are not what the data files say")
    store = made(6)
    store.index[INDEX_UNIT.size + 5] ^= 0xFF
    assert "the first for entry 1: entry 1 of term 1" in damage_of(store, tmp_path / "flipped")
    assert "1 of 6 units" in damage_of(store, tmp_path / "flipped")


def test_an_index_that_is_behind_the_data_is_told_and_is_no_damage(tmp_path: Path) -> None:
    """The unit is written after the entry; of a broker that writes, both are copied one after the other."""
    store = made(6)
    store.index[4 * INDEX_UNIT.size :] = b""
    with read_store(store.write(tmp_path)) as reading:
        assert (reading.end_index, reading.damage) == (5, ())
        assert str(reading).endswith("; the index lacks the last 2")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("checkpoint", "endIndex=x\ncommittedIndex=1\n", "checkpoint is damaged: invalid literal"),
        ("checkpoint", "endIndex=4\n", "checkpoint is damaged: it has no committedIndex"),
        ("checkpoint", "", "checkpoint is damaged: it has no endIndex"),
        ("currterm", "currTerm=\\uZZZZ\n", "currterm is damaged"),
        ("currterm", "voteLeader=n0\n", "currterm is damaged: it has no currTerm"),
    ],
)
def test_damaged_states_are_told_and_hide_nothing_else(tmp_path: Path, name: str, text: str, said: str) -> None:
    store = made()
    store.states[name] = text
    with read_store(store.write(tmp_path)) as reading:
        assert said in "\n".join(reading.damage)
        assert reading.end_index == 4
        assert (reading.checkpoint is None) == (name == "checkpoint")
        assert (reading.term_file is None) == (name == "currterm")


def test_a_checkpoint_that_was_just_being_replaced_is_read_from_what_replaces_it(tmp_path: Path) -> None:
    store = made()
    store.states["checkpoint.bak"] = "endIndex=1\ncommittedIndex=1\n"
    store.states["checkpoint.tmp"] = store.states.pop("checkpoint")
    with read_store(store.write(tmp_path)) as reading:
        assert reading.checkpoint == Checkpoint(4, 4)


def test_without_a_checkpoint_nothing_is_known_to_be_committed(tmp_path: Path) -> None:
    store = made()
    del store.states["checkpoint"]
    with read_store(store.write(tmp_path)) as reading:
        assert reading.committed_index == -1
        assert not reading.find(["m0"])["m0"][0].committed


def test_strangers_in_the_folders_are_told(tmp_path: Path) -> None:
    folder = made().write(tmp_path)
    (folder / "dledger-n0" / "data" / "core.1").write_bytes(b"?")
    (folder / "dledger-n0" / "data" / f"{1 << 40:020}").write_bytes(b"")
    with read_store(folder) as reading:
        assert reading.damage == ("data/core.1 is no file of a log",)
        assert reading.end_index == 4


def test_a_topic_with_a_path_for_a_name_leads_nowhere(tmp_path: Path) -> None:
    with read_store(made().write(tmp_path)) as reading:
        for topic in ("../consumequeue/T", "..", "", "a/b", "T\0"):
            assert reading.queues.at(topic, 0, 0) is None
        assert reading.queues.at(TOPIC, 0, -1) is None
        assert reading.queues.at(TOPIC, 7, 0) is None


def test_a_queue_begins_behind_its_blanks(tmp_path: Path) -> None:
    store = made(3)
    store.queue[: 2 * QUEUE_UNIT.size] = QueueUnit(0, 0x7FFF_FFFF, 0).to_bytes() * 2
    with read_store(store.write(tmp_path)) as reading:
        assert reading.queues.offsets(TOPIC, 0) == range(2, 3)
        assert reading.queues.at(TOPIC, 0, 1) is None


# ---- whatever is in the files, no traceback -----------------------------------------------------


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_bytes_that_were_spoilt_anywhere_never_crash_the_reader(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    store = made(12, segment=1024)
    for content in data.draw(st.lists(st.sampled_from([*store.data.values(), store.index, store.queue]), max_size=3)):
        at = data.draw(st.integers(0, len(content)))
        piece = data.draw(st.binary(max_size=64))
        if data.draw(st.booleans()):
            content[at : at + len(piece)] = piece
        else:
            del content[at : at + len(piece)]
    ids = [f"m{number}" for number in range(12)]
    folder = store.write(tmp_path_factory.mktemp("spoilt"))
    with pytest.MonkeyPatch.context() as without_short_cut, read_store(folder) as reading:
        without_short_cut.setattr("rmqkit.store.walk._Walker._plain", lambda *_: None)
        with read_store(folder) as slow:
            assert (slow.damage, str(slow), slow.cut_short) == (reading.damage, str(reading), reading.cut_short)
            assert list(slow.entries()) == list(reading.entries())
        assert -1 <= reading.begin_index <= reading.end_index + 1 or reading.end_index == -1
        assert isinstance(str(reading), str)
        assert all(isinstance(each, str) for each in reading.damage)
        found = reading.find(ids)
        assert set(found) <= set(ids)
        for entries in reading.chunks(size=5):
            assert all(reading.entry(entry.index) == entry for entry in entries)
        for topic, queues in reading.queues.topics().items():
            for queue in queues:
                assert reading.queues.offsets(topic, queue).step == 1


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.lists(st.binary(max_size=200), min_size=3, max_size=3))
def test_files_of_garbage_have_no_entries(tmp_path_factory: pytest.TempPathFactory, files: list[bytes]) -> None:
    store = made(1)
    store.data[0][:], store.index[:], store.queue[:] = (bytearray(b"\x7f" + each) for each in files)
    with read_store(store.write(tmp_path_factory.mktemp("garbage"))) as reading:
        assert reading.end_index == -1
        assert reading.find(["m0"]) == {}
        assert "no entry" in reading.ended or "cut off" in reading.ended
        assert any("its checkpoint says that it had entry 0" in each for each in reading.damage)


def test_the_made_messages_are_what_the_client_decodes() -> None:
    """Or the tests above would prove nothing about real stores (see also the captured ones)."""
    assert message("m1", offset=3, position=99)[4:8] == bytes.fromhex("DAA320A7")
