"""Store files made as DLedger writes them, and spoilt on purpose."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rmqkit.store.units import BLANK_MAGIC, ENTRY_HEADER, INDEX_UNIT, QUEUE_UNIT, IndexUnit, QueueUnit, entry_bytes
from rmqkit.wire.messages import MAGIC_V1, StoredMessage, encode_stored, host_bytes

TOPIC = "T"


def message(message_id: str, *, offset: int, position: int, queue: int = 0) -> bytes:
    """A stored message with ``message_id`` as UNIQ_KEY, at ``position`` of the log."""
    here = host_bytes("127.0.0.1", 10911)
    return encode_stored(
        StoredMessage(
            queue_id=queue,
            queue_offset=offset,
            physical_offset=position,
            sys_flag=0,
            born_ms=1,
            store_ms=2,
            born_host_bytes=here,
            store_host_bytes=here,
            reconsume_times=0,
            prepared_offset=0,
            stored_body=b"Test",
            body_crc=0x784DD132,
            topic=TOPIC,
            properties_bytes=f"UNIQ_KEY\x01{message_id}\x02".encode(),
            magic=MAGIC_V1,
        )
    )


@dataclass
class MadeStore:
    """A log in memory; ``write`` puts it on disk. Attributes may be spoilt before."""

    segment: int = 1 << 16
    begin: int = 0
    data: dict[int, bytearray] = field(default_factory=dict)
    index: bytearray = field(default_factory=bytearray)
    queue: bytearray = field(default_factory=bytearray)
    states: dict[str, str] = field(default_factory=dict)
    at: int = 0
    next: int = -1
    offset: int = 0
    positions: list[int] = field(default_factory=list)

    def append(self, count: int, *, term: int = 1, dispatched: bool = True) -> None:
        """``count`` more messages m0, m1, … by their index in the log."""
        self.next = max(self.next, self.begin)
        for _ in range(count):
            size = ENTRY_HEADER.size + len(message(f"m{self.next}", offset=self.offset, position=0))
            file = self._file(size)
            body = message(f"m{self.next}", offset=self.offset, position=self.at + ENTRY_HEADER.size)
            file += entry_bytes(body, index=self.next, term=term, position=self.at)
            unit = IndexUnit(self.at, size, self.next, term).to_bytes()
            self.index[self.next * INDEX_UNIT.size :] = b""
            self.index += bytes(self.next * INDEX_UNIT.size - len(self.index)) + unit
            if dispatched:
                self.queue += QueueUnit(self.at + ENTRY_HEADER.size, len(body), 0).to_bytes()
            self.positions.append(self.at)
            self.at += size
            self.next += 1
            self.offset += 1
        self.states["checkpoint"] = f"endIndex={self.next - 1}\ncommittedIndex={self.next - 1}\n"
        self.states["currterm"] = f"currTerm={term}\nvoteLeader=n0\n"

    def _file(self, size: int) -> bytearray:
        """The data file for the next entry: a blank ends one that has no room (MmapFileList.preAppend)."""
        start = self.at // self.segment * self.segment
        if self.at % self.segment + size + 8 > self.segment and self.at != start:
            rest = start + self.segment - self.at
            blank = BLANK_MAGIC.to_bytes(4, "big", signed=True) + rest.to_bytes(4, "big")
            self.data[start] += blank + bytes(rest - 8)
            self.at = start = start + self.segment
        return self.data.setdefault(start, bytearray())

    def write(self, folder: Path, *, spare: int = 256) -> Path:
        """The files, each with ``spare`` unwritten bytes behind what was written, but for full data files."""
        log = folder / "dledger-n0"
        for start, content in self.data.items():
            full = len(content) == self.segment
            _put(log / "data" / f"{start:020}", bytes(content) + bytes(0 if full else spare))
        _put(log / "index" / f"{0:020}", bytes(self.index) + bytes(spare))
        _put(folder / "consumequeue" / TOPIC / "0" / f"{0:020}", bytes(self.queue) + bytes(QUEUE_UNIT.size * 4))
        for name, text in self.states.items():
            _put(log / name, text.encode())
        return folder


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
