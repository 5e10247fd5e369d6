"""Promises of locating messages in store files alone: nobody answers, and what the files say is what counts."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_store import MadeStore

from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.peers import Members, Peer
from rmqkit.errors import NotFoundError
from rmqkit.forensics import Kind, locate
from rmqkit.history import History, Outcome, SendRecord
from rmqkit.transport.pool import ChannelPool

NOBODY = "127.0.0.1:1"


def made(count: int, *, dispatched: bool = True) -> MadeStore:
    store = MadeStore()
    store.append(count, dispatched=dispatched)
    return store


def stores(folder: Path, *logs: MadeStore | None) -> dict[str, Path]:
    return {f"n{n}": log.write(folder / f"n{n}") for n, log in enumerate(logs) if log is not None}


@pytest.fixture
def silent_cluster() -> Cluster:
    """Three peers of which nobody answers, and that the kit did not start."""
    peers = tuple(Peer("g", f"n{number}", NOBODY, NOBODY) for number in range(3))
    return Cluster(members=Members(peers), nameservers=[NOBODY], pool=ChannelPool())


def history(count: int) -> History:
    record = History()
    for number in range(count):
        record.add_send(SendRecord(f"m{number}", "T", 0, 1, Outcome.ACKNOWLEDGED, 0, number, "a:1", ""))
    return record


def test_what_no_log_has_is_lost_and_what_a_minority_lacks_is_lost_on_it(
    silent_cluster: Cluster, tmp_path: Path
) -> None:
    folders = stores(tmp_path, made(5), made(5), made(3))
    places = locate(silent_cluster, ["m2", "m4", "m7"], history(9), stores=folders)
    found = {place.message_id: (place.kind, place.peers) for place in places.places}
    assert found == {"m2": (Kind.PRESENT, ()), "m4": (Kind.LOST_ON, ("n2",)), "m7": (Kind.DATA_LOSS, ())}
    (entry,) = places.places[0].views[0].log
    assert (entry.index, entry.term, entry.offset, entry.committed, entry.dispatched) == (2, 1, 2, True, True)
    assert all("127.0.0.1:1" in view.unasked for view in places.places[0].views)


def test_what_only_one_log_still_has_is_lost_and_the_text_says_who_has_it(
    silent_cluster: Cluster, tmp_path: Path
) -> None:
    places = locate(silent_cluster, ["m4"], history(9), stores=stores(tmp_path, made(3), made(5), made(3)))
    (place,) = places.places
    assert (place.kind, place.why) == (Kind.DATA_LOSS, "only n1 still has it: no majority of 3 replicas keeps it")


def test_what_is_committed_and_in_no_consume_queue_was_not_dispatched(silent_cluster: Cluster, tmp_path: Path) -> None:
    folders = stores(tmp_path, made(5), made(5, dispatched=False), made(5))
    (place,) = locate(silent_cluster, ["m4"], history(9), stores=folders).places
    assert (place.kind, place.peers) == (Kind.NOT_DISPATCHED, ("n1",))


def test_what_is_in_the_logs_behind_every_checkpoint_is_undecided(silent_cluster: Cluster, tmp_path: Path) -> None:
    logs = [made(5) for _ in range(3)]
    for log in logs:
        log.states["checkpoint"] = "endIndex=3\ncommittedIndex=3\n"
    (place,) = locate(silent_cluster, ["m4"], history(9), stores=stores(tmp_path, *logs)).places
    assert (place.kind, place.peers) == (Kind.UNDECIDED, ("n0", "n1", "n2"))


def test_a_log_that_was_cut_short_is_no_proof_that_the_message_was_not_in_it(
    silent_cluster: Cluster, tmp_path: Path
) -> None:
    spoilt = made(5)
    spoilt.data[0][spoilt.positions[2] : spoilt.positions[2] + 4] = b"\xff" * 4
    places = locate(silent_cluster, ["m1", "m4"], history(9), stores=stores(tmp_path, spoilt, made(5), made(3)))
    assert [place.kind for place in places.places] == [Kind.PRESENT, Kind.UNDECIDED]
    assert "they are damaged" in places.places[1].views[0].unread


def test_peers_whose_files_are_not_named_could_not_be_read_and_may_have_it(
    silent_cluster: Cluster, tmp_path: Path
) -> None:
    folders = {**stores(tmp_path, made(5)), "n2": tmp_path / "nowhere"}
    places = locate(silent_cluster, ["m4", "m7"], history(9), stores=folders)
    assert [(place.kind, place.peers) for place in places.places] == [(Kind.UNDECIDED, ("n1", "n2"))] * 2
    unread = [view.unread for view in places.places[0].views]
    assert unread[0] == ""
    assert "attached to by its NameServer" in unread[1]
    assert "no log of DLedger" in unread[2]


def test_only_the_first_ids_are_looked_for_each_once_and_the_others_are_counted(
    silent_cluster: Cluster, tmp_path: Path
) -> None:
    folders = stores(tmp_path, made(5), made(5), made(5))
    places = locate(silent_cluster, ["m0", "m1", "m0", "m2", "m3"], stores=folders, limit=2)
    assert [place.message_id for place in places.places] == ["m0", "m1"]
    assert places.left_out == 2
    assert places.places[0].told is None


def test_a_group_that_is_not_there_is_refused(silent_cluster: Cluster) -> None:
    with pytest.raises(NotFoundError):
        locate(silent_cluster, ["m0"], group="other")
