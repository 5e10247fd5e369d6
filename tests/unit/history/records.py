"""Records and histories for the tests of this folder."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from rmqkit.history import FaultEvent, History, Outcome, ReadRecord, ReceiveRecord, SendRecord

SEND = SendRecord("m1", "T", 5, 9, Outcome.ACKNOWLEDGED, 3, 7, "127.0.0.1:1", "", "built-in/0", 2, "key")
READ = ReadRecord("n0", "m1", "T", 3, 7)
RECEIVE = ReceiveRecord("g/0", "m1", "T", 3, 7, 11)

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
)
reads = st.builds(ReadRecord, st.text(), ids, st.text(), numbers, numbers, st.booleans())
receives = st.builds(ReceiveRecord, st.text(), ids, st.text(), numbers, numbers, numbers)
faults = st.builds(FaultEvent, st.text(), st.text(), st.text(), numbers)
send_lists, read_lists, receive_lists = st.lists(sends), st.lists(reads), st.lists(receives)


def filled(
    *records: SendRecord | ReadRecord | ReceiveRecord | FaultEvent,
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
        history.faults,
        history.readers,
        history.unread,
        history.consumers,
        history.run_prefixes,
        history.incomplete,
    )
