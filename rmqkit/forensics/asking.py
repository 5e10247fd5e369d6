"""One replica's answers about one message: by queue and offset, and by key.

What belongs here: requests that change nothing. What does not: the replica's files (``files``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rmqkit.client.broker import BrokerClient
from rmqkit.client.pull import read_queue
from rmqkit.cluster.status import PeerStatus
from rmqkit.errors import RmqkitError
from rmqkit.forensics.files import StoreFiles
from rmqkit.forensics.places import IdOf, LogPlace, ReplicaView, Told
from rmqkit.store import Found
from rmqkit.transport.pool import ChannelPool


@dataclass(slots=True)
class _Answers:
    """As in :class:`ReplicaView`: what came before one failed stays known."""

    unasked: str = ""
    served: bool | None = None
    keyed: bool | None = None
    trimmed: bool = False


_PATIENCE: Final = 2
"""After so many failures in a row a broker is not asked any more: each may take the whole time-out."""


class Asked:
    """One replica: its files were read, its ``status`` was asked."""

    def __init__(
        self,
        pool: ChannelPool,
        status: PeerStatus,
        files: StoreFiles,
        *,
        id_of: IdOf,
        leads: bool,
        timeout_s: float,
    ) -> None:
        self._pool = pool
        self._status = status
        self._files = files
        self._id_of = id_of
        self._leads = leads
        self._timeout_s = timeout_s
        self._failures = 0
        self._why_not = status.broker_error or ("" if status.peer.address else "it is not registered")

    def view(self, message_id: str, where: Told | None) -> ReplicaView:
        """What this replica has of one message; ``where`` says which queue and offset to ask for."""
        log = tuple(self._log_place(found) for found in self._files.found.get(message_id, ()))
        answers = self._ask(message_id, where) if where is not None and where.topic else _Answers(self._why_not)
        unread = self._files.unread
        if self._files.cut_short and not log and answers.served is None:
            unread = f"they are damaged: {self._files.extent}"
        return ReplicaView(
            peer=self._status.peer.id,
            log=log,
            unread=unread,
            unasked=answers.unasked,
            served=answers.served,
            keyed=answers.keyed,
            trimmed=answers.trimmed,
            leads=self._leads,
            extent=self._files.extent,
        )

    def _ask(self, message_id: str, where: Told) -> _Answers:
        address = self._status.peer.address
        answers = _Answers(self._why_not)
        if address is None or self._why_not:
            return answers
        broker = BrokerClient(self._pool, address, timeout_s=self._timeout_s)
        try:
            if where.offset >= 0:
                answers.served = self._serves(address, message_id, where)
                answers.trimmed = not answers.served and broker.min_offset(where.topic, where.queue) > where.offset
            answers.keyed = self._knows_key(broker, where.topic, message_id)
            self._failures = 0
        except RmqkitError as error:
            answers.unasked = error.what
            self._failures += 1
            if self._failures >= _PATIENCE:
                self._why_not = f"not asked any more after {self._failures} failures in a row: {error.what}"
        return answers

    def _serves(self, address: str, message_id: str, where: Told) -> bool:
        """Whether a pull at the offset gives it; what it gives instead, or a gap, is no."""
        messages = read_queue(
            self._pool,
            address,
            topic=where.topic,
            queue_id=where.queue,
            start=where.offset,
            end=where.offset + 1,
            timeout_s=self._timeout_s,
            on_gap=lambda _gap: None,
        )
        return any(self._id_of(message) == message_id for message in messages)

    def _knows_key(self, broker: BrokerClient, topic: str, message_id: str) -> bool:
        """By UNIQ_KEY, or among the KEYS, where some clients' helpers put their own id."""
        return any(
            self._id_of(message) == message_id
            for unique in (True, False)
            for message in broker.query_messages(topic, message_id, unique=unique)
        )

    def _log_place(self, found: Found) -> LogPlace:
        entry, message = found.entry, found.message
        return LogPlace(
            index=entry.index,
            term=entry.term,
            position=entry.position,
            queue=message.queue_id,
            offset=message.queue_offset,
            committed=self._committed(found),
            dispatched=found.dispatched,
        )

    def _committed(self, found: Found) -> bool | None:
        """By what the broker says now; by its checkpoint where it is down, or has no word yet after a start."""
        runtime = self._status.runtime
        if found.committed or (runtime is not None and found.entry.position < runtime.committed_position):
            return True
        return False if runtime is not None and runtime.committed_position > 0 else None
