"""Message ids as two integers, so that ten million of them are two columns and are looked up without a hash of strings.

An id is split into a *stem*, which many ids share and which is kept once, and a *number*:

* ``d``: the stem and a decimal number ("3f2a9c01-4-" and 1234): what this kit gives;
* ``X`` and ``x``: the stem and 16 hexadecimal digits: what the official clients give (32 digits, 56 where the host's
  address is IPv6, of which the last 12 change; org.apache.rocketmq.common.message.MessageClientIDSetter);
* ``=``: the whole id as the stem, number 0: anything else. Right for every text, but each costs a string.

The kind is the stem's first character. The split of an id depends on nothing but the id, so two are equal exactly when
both of their parts are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from rmqkit.errors import UsageError

DECIMAL, UPPER, LOWER, WHOLE = "d", "X", "x", "="
_DIGITS = "0123456789"
_LONGEST_DECIMAL = 18  # any number of so many digits fits into 63 bits
_SHORTEST_HEX = 32
_UPPER = re.compile("[0-9A-F]+")
_LOWER = re.compile("[0-9a-f]+")
_HEX_DIGITS = 16
_SIGN, _ALL = 1 << 63, 1 << 64


class Numbers(dict[str, int]):
    """Texts that repeat, each kept once and numbered from 0 as it is first met: ``numbers[text]``."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        super().__init__()
        self.texts: list[str] = []
        for text in texts:
            self[text]

    def __missing__(self, text: str) -> int:
        # The text first: a reader that sees the number must find it.
        self.texts.append(text)
        number = self[text] = len(self.texts) - 1
        return number


def split(message_id: str) -> tuple[str, int]:
    """Stem (with its kind in front) and number of an id; ``join`` gives the id back."""
    size = len(message_id)
    if size >= _SHORTEST_HEX:
        kind = UPPER if _UPPER.fullmatch(message_id) else LOWER if _LOWER.fullmatch(message_id) else ""
        if kind:
            number = int(message_id[-_HEX_DIGITS:], 16)
            return kind + message_id[:-_HEX_DIGITS], number - _ALL if number >= _SIGN else number
    digits = message_id[len(message_id.rstrip(_DIGITS)) :]
    if digits:
        digits = digits.lstrip("0") or "0"
        if len(digits) <= _LONGEST_DECIMAL:
            return DECIMAL + message_id[: size - len(digits)], int(digits)
    return WHOLE + message_id, 0


def join(stem: str, number: int) -> str:
    """The id of a stem and a number."""
    kind = stem[0]
    if kind == DECIMAL:
        return f"{stem[1:]}{number}"
    if kind == WHOLE:
        return stem[1:]
    text = f"{number % _ALL:0{_HEX_DIGITS}x}"
    return stem[1:] + (text.upper() if kind == UPPER else text)


def counted(prefix: str) -> str:
    """The stem of ids that are ``prefix`` and a number. Raises UsageError for a prefix that :func:`split` would cut."""
    if not prefix or prefix[-1] in _DIGITS or _UPPER.fullmatch(prefix) or _LOWER.fullmatch(prefix):
        raise UsageError(
            f"{prefix!r} cannot be the beginning of counted ids: where it ends could not be told from its ids",
            hint='end it with a dash, as in "3f2a9c01-4-"',
        )
    return DECIMAL + prefix


def numbered(message_ids: Iterable[str], stems: Numbers) -> tuple[list[int], list[int]]:
    """The columns of many ids: each stem's number in ``stems``, and each id's own."""
    of_stem: list[int] = []
    numbers: list[int] = []
    counted_stems: dict[str, int] = {}
    for message_id in message_ids:
        # The kit's own ids, whose split is the shortest; anything unusual goes the long way.
        head = message_id.rstrip(_DIGITS)
        digits = message_id[len(head) :]
        if digits and digits[0] != "0" and len(message_id) < _SHORTEST_HEX and len(digits) <= _LONGEST_DECIMAL:
            stem_number = counted_stems.get(head)
            if stem_number is None:
                stem_number = counted_stems[head] = stems[DECIMAL + head]
            of_stem.append(stem_number)
            numbers.append(int(digits))
        else:
            stem, number = split(message_id)
            of_stem.append(stems[stem])
            numbers.append(number)
    return of_stem, numbers
