"""Ask every replica of a group for messages that did not come: its files, its queues, its key index.

What belongs here: the order of the questions. What does not: how one is asked (``files``, ``asking``), and what the
answers mean (``places``).

The files come first. They are what a broker would start from, whether it runs or not; and a question to a broker may
make an empty queue's folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from rmqkit.cluster.cluster import Cluster
from rmqkit.forensics.asking import Asked
from rmqkit.forensics.files import StoreFiles, read_files
from rmqkit.forensics.histories import received_of, told_of
from rmqkit.forensics.places import IdOf, Told, classify
from rmqkit.forensics.words import Places
from rmqkit.history import History
from rmqkit.load.readback import unique_key

LIMIT: Final = 100
"""So many ids are looked for, unless told otherwise: each is some requests to every replica."""


def locate(
    cluster: Cluster,
    ids: Sequence[str],
    history: History | None = None,
    *,
    group: str | None = None,
    topic: str = "",
    stores: Mapping[str, Path] | None = None,
    limit: int = LIMIT,
    id_of: IdOf = unique_key,
    timeout_s: float = 10.0,
) -> Places:
    """Where the messages with ``ids`` are, the first ``limit`` of them, on every peer of ``group``.

    ``history`` tells what the producer was told and what consumers were handed; ``topic`` where the history does not
    know an id. ``stores`` are folders with the store files of peers by id: those of the kit's own clusters are copied
    out of their containers, and need not be named. ``id_of`` tells a message's id. Each request waits ``timeout_s``.

    A peer that is down, or whose files cannot be read, is no error: the answer says so. Raises NotFoundError for a
    group that is not there.
    """
    members = cluster.members.of(group)
    name = members[0].group
    wanted = tuple(dict.fromkeys(ids))[:limit]
    told = told_of(history, wanted) if history is not None else {}
    received = received_of(history, wanted) if history is not None else None
    files = {
        peer.id: read_files(cluster, peer, wanted, given=(stores or {}).get(peer.id), id_of=id_of) for peer in members
    }
    status = cluster.status(timeout_s=timeout_s).group(name)
    replicas = [
        Asked(
            cluster.pool,
            view,
            files[view.peer.id],
            id_of=id_of,
            leads=view.peer == status.raft_leader,
            timeout_s=timeout_s,
        )
        for view in status.peers
    ]
    places = []
    for message_id in wanted:
        known = told.get(message_id)
        where = _where(message_id, known, files.values(), topic)
        views = [replica.view(message_id, where) for replica in replicas]
        handed_out = None if received is None else message_id in received
        places.append(classify(message_id, views, told=known, handed_out=handed_out))
    return Places(tuple(places), len(dict.fromkeys(ids)) - len(wanted))


def _where(message_id: str, told: Told | None, files: Iterable[StoreFiles], topic: str) -> Told | None:
    """The queue and offset to ask for: the receipt's, else those that a log names."""
    if told is not None and told.offset >= 0:
        return told
    for each in files:
        for found in each.found.get(message_id, ()):
            message = found.message
            return Told("", message.topic, message.queue_id, message.queue_offset)
    return told if told is not None else Told("", topic) if topic else None
