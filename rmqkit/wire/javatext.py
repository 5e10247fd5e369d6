"""How Java sees a text, where the protocol depends on it.

What belongs here: String.hashCode, by which brokers compare tags and clients choose queues. What does not: its users.
"""

from __future__ import annotations


def java_hash(text: str) -> int:
    """``String.hashCode()``: 31-based over UTF-16 code units, as a signed 32-bit number."""
    value = 0
    if text.isascii():
        for unit in text.encode("ascii"):
            value = (value * 31 + unit) & 0xFFFFFFFF
    else:
        units = text.encode("utf-16-be", "surrogatepass")
        for at in range(0, len(units), 2):
            value = (value * 31 + (units[at] << 8 | units[at + 1])) & 0xFFFFFFFF
    return value - 0x1_0000_0000 if value & 0x8000_0000 else value
