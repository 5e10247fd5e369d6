"""Decoding the body of a pull: the loop that consumers use, beside the general decoder, record by record.

Needs no cluster. CPU time of this process, so that a busy machine counts less.
"""

from __future__ import annotations

import argparse
import time
import zlib
from collections.abc import Callable

from _pairs import ratio

from rmqkit.wire import messages
from rmqkit.wire.messages import StoredMessage, decode_messages, encode_properties, encode_stored, host_bytes

BATCH = 32


def batch(body_bytes: int) -> bytes:
    """What a broker answers: 32 messages of ``body_bytes`` with the usual properties."""
    body = b"x" * body_bytes
    names = {"KEYS": "A" * 32, "UNIQ_KEY": "A" * 32, "WAIT": "true", "TAGS": "TagA"}
    one = StoredMessage(
        queue_id=3,
        queue_offset=12,
        physical_offset=4096,
        sys_flag=0,
        born_ms=1_700_000_000_000,
        store_ms=1_700_000_000_005,
        born_host_bytes=host_bytes("10.0.0.7", 50_000),
        store_host_bytes=host_bytes("127.0.0.1", 30_911),
        reconsume_times=0,
        prepared_offset=0,
        stored_body=body,
        body_crc=zlib.crc32(body) & 0x7FFFFFFF,
        topic="TopicTest",
        properties_bytes=encode_properties(names).encode(),
    )
    return encode_stored(one) * BATCH


def record_by_record(data: bytes) -> list[StoredMessage]:
    """The general decoder, which also takes what the fast loop leaves to it."""
    out, at = [], 0
    while at < len(data):
        message, at = messages._decode_at(data, at, len(data))  # noqa: SLF001 - compared on purpose
        assert message is not None
        out.append(message)
    return out


def cpu_us(act: Callable[[], object], count: int) -> float:
    """CPU microseconds a message."""
    began = time.process_time()
    for _ in range(count // BATCH):
        act()
    return (time.process_time() - began) / count * 1e6


def main() -> None:
    """Alternate, ``--rounds`` times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--bytes", type=int, default=128)
    chosen = parser.parse_args()
    data = batch(chosen.bytes)
    assert list(decode_messages(data)) == record_by_record(data)
    fast: list[float] = []
    keyed: list[float] = []
    general: list[float] = []
    for _ in range(chosen.rounds):
        fast.append(cpu_us(lambda: decode_messages(data), 64_000))
        keyed.append(cpu_us(lambda: [message.unique_key for message in decode_messages(data)], 64_000))
        general.append(cpu_us(lambda: record_by_record(data), 64_000))
    for name, values in (("decode", fast), ("decode and UNIQ_KEY", keyed), ("general decoder", general)):
        low, middle, high = min(values), sorted(values)[len(values) // 2], max(values)
        print(f"{name:44s} min {low:10.2f}  median {middle:10.2f}  max {high:10.2f} µs a message  (n={len(values)})")
    ratio("decode / general decoder", fast, general)


if __name__ == "__main__":
    main()
