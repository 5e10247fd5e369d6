"""What the store files of one peer say of all messages that are looked for."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.owner import TEMP_PREFIX, Owner
from rmqkit.cluster.peers import Peer
from rmqkit.cluster.stores import copy_store
from rmqkit.errors import RmqkitError
from rmqkit.forensics.places import IdOf
from rmqkit.store import Found, StoreReading, read_store


@dataclass(frozen=True, slots=True)
class StoreFiles:
    """The places of each message that is in the log. ``extent`` is what the log has in words; ``unread`` why it was
    not read, ``cut_short`` that it had more than can be read: what is not found may have been there."""

    found: Mapping[str, tuple[Found, ...]] = field(default_factory=dict)
    extent: str = ""
    unread: str = ""
    cut_short: bool = False


def read_files(cluster: Cluster, peer: Peer, ids: Collection[str], *, given: Path | None, id_of: IdOf) -> StoreFiles:
    """Look for ``ids`` in the folder that is ``given``, or else in a copy of what the peer's container has.

    A container without a store, as after its disk was lost, was read: it has nothing.
    """
    try:
        if given is not None:
            with read_store(given) as reading:
                return _found(reading, ids, id_of)
        with tempfile.TemporaryDirectory(prefix=f"{TEMP_PREFIX}{Owner.myself().pid}-") as folder:
            copied = copy_store(cluster, peer, Path(folder))
            if not any(copied.glob("dledger-*")):
                return StoreFiles(extent="it has no store")
            with read_store(copied) as reading:
                return _found(reading, ids, id_of)
    except RmqkitError as error:
        return StoreFiles(unread=": ".join((error.what, *error.details[-1:])))


def _found(reading: StoreReading, ids: Collection[str], id_of: IdOf) -> StoreFiles:
    extent = "; ".join((str(reading), *(f"DAMAGED: {each}" for each in reading.damage)))
    return StoreFiles(reading.find(ids, id_of=id_of), extent, cut_short=reading.cut_short)
