"""Records and histories for the tests of this folder."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from rmqkit.history import (
    FaultEvent,
    History,
    OffsetRecord,
    Outcome,
    RangeRecord,
    ReadRecord,
    ReceiveRecord,
    SendRecord,
)

SEND = SendRecord("m1", "T", 5, 9, Outcome.ACKNOWLEDGED, 3, 7, "127.0.0.1:1", "", "built-in/0", 2, "key", 5000, "half")
READ = ReadRecord("n0", "m1", "T", 3, 7)
RECEIVE = ReceiveRecord("g/0", "m1", "T", 3, 7, 11)
OFFSET = OffsetRecord("g", "T", 3, 7, 11, 12, deliberate=True)
RANGE = RangeRecord("n0", "T", 3, 2, 9, 13)

numbers = st.integers(-(2**63), 2**63 - 1)
ids = st.one_of(
    st.text(),
    st.from_regex("[0-9a-f]{8}-[0-9]-[0-9]{1,20}", fullmatch=True),
    st.from_regex("[0-9A-F]{32}|[0-9a-f]{32}|[0-9A-F]{56}|[0-9]{1,40}", fullmatch=True),
)
sends = st.builds(
    SendRecord,
    ids,
    st.text(),
    numbers,
    numbers,
    st.sampled_from(Outcome),
    numbers,
    numbers,
    st.text(),
    st.text(),
    sender=st.text(),
    attempts=numbers,
    sharding_key=st.text(),
    delay_ms=numbers,
    transaction=st.sampled_from(["", "half", "commit", "rollback"]),
)
reads = st.builds(ReadRecord, st.text(), ids, st.text(), numbers, numbers, st.booleans())
receives = st.builds(ReceiveRecord, st.text(), ids, st.text(), numbers, numbers, numbers)
offsets = st.builds(OffsetRecord, st.text(), st.text(), numbers, numbers, numbers, numbers, st.booleans())
faults = st.builds(FaultEvent, st.text(), st.text(), st.text(), numbers)
send_lists, read_lists = st.lists(sends), st.lists(reads)
receive_lists = st.lists(st.one_of(receives, offsets))
"""What consumers did: what they were handed, and how far they said that they were."""


def filled(
    *records: SendRecord | ReadRecord | ReceiveRecord | OffsetRecord | RangeRecord | FaultEvent,
    readers: dict[str, bool] | None = None,
    into: History | None = None,
) -> History:
    """A history of these records."""
    history = into if into is not None else History()
    for record in records:
        match record:
            case SendRecord():
                history.add_send(record)
            case ReadRecord():
                history.add_read(record)
            case ReceiveRecord():
                history.add_receive(record)
            case OffsetRecord():
                history.add_offset(record)
            case RangeRecord():
                history.add_range(record)
            case FaultEvent():
                history.faults.append(record)
    for replica, reached_end in (readers or {}).items():
        history.reader_done(replica, reached_end=reached_end)
    return history


def content(history: History, *, like: History | None = None) -> tuple[Any, ...]:
    """Everything in it; ``like`` gives the time at which it was begun."""
    return (
        (like or history).wall_start,
        (like or history).start_ns,
        list(history.sends()),
        list(history.reads()),
        list(history.receives()),
        list(history.offsets()),
        history.ranges,
        history.peers,
        history.faults,
        history.readers,
        history.unread,
        history.consumers,
        history.run_prefixes,
        history.incomplete,
    )
