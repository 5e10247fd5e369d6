"""A parser for the JSON that fastjson writes: standard JSON plus keys that are not strings.

What belongs here: text to plain Python values. What does not: what a body means (``bodies``).

fastjson writes a map's key as it would write a value, so keys may be integers (``{0:"ip:port",-1:"…"}``) or
whole objects (``{{"brokerName":"b","queueId":0,"topic":"T"}:{…}}``). RocketMQ issues #1445, #1506, #3369
and #4471 are about clients that fell over it.
"""

from __future__ import annotations

import json
import re
from typing import Any

from rmqkit.errors import WireError

_DECODER = json.JSONDecoder(strict=False)
_SPACE = re.compile(r"[ \t\r\n]*")
_MAX_DEPTH = 100


def loads(data: bytes | str) -> Any:
    """The value of ``data``. Standard JSON goes through the standard parser; the rest through the tolerant
    one.

    Integer keys become ``int``; object keys a sorted tuple of their items; array keys a tuple. Raises
    :class:`WireError` for anything else that is not JSON.
    """
    try:
        text = data if isinstance(data, str) else data.decode()
    except UnicodeDecodeError as error:
        raise WireError(f"a JSON body is not UTF-8 ({error}): {data[:80]!r}") from error
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        return loads_tolerant(text)


def loads_tolerant(text: str) -> Any:
    """Like :func:`loads`, always through the tolerant parser."""
    try:
        value, at = _value(text, _skip(text, 0), 0)
        at = _skip(text, at)
        if at != len(text):
            raise ValueError(f"text after the value at character {at}: {text[at : at + 20]!r}")
    except (ValueError, IndexError, RecursionError) as error:
        reason = str(error) or type(error).__name__
        raise WireError(f"a JSON body does not parse ({reason}): {text[:120]!r}") from error
    return value


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _value(text: str, at: int, depth: int) -> tuple[Any, int]:
    if depth > _MAX_DEPTH:
        raise ValueError(f"nested deeper than {_MAX_DEPTH}")
    first = text[at : at + 1]
    if first == "{":
        return _object(text, at + 1, depth)
    if first == "[":
        return _array(text, at + 1, depth)
    return _DECODER.raw_decode(text, at)


def _object(text: str, at: int, depth: int) -> tuple[dict[Any, Any], int]:
    out: dict[Any, Any] = {}
    at = _skip(text, at)
    if text[at : at + 1] == "}":
        return out, at + 1
    while True:
        key, at = _value(text, at, depth + 1)
        at = _expect(text, _skip(text, at), ":")
        value, at = _value(text, _skip(text, at), depth + 1)
        out[_frozen(key)] = value
        at = _skip(text, at)
        if text[at : at + 1] == "}":
            return out, at + 1
        at = _skip(text, _expect(text, at, ","))


def _array(text: str, at: int, depth: int) -> tuple[list[Any], int]:
    out: list[Any] = []
    at = _skip(text, at)
    if text[at : at + 1] == "]":
        return out, at + 1
    while True:
        value, at = _value(text, at, depth + 1)
        out.append(value)
        at = _skip(text, at)
        if text[at : at + 1] == "]":
            return out, at + 1
        at = _skip(text, _expect(text, at, ","))


def _expect(text: str, at: int, character: str) -> int:
    if text[at : at + 1] != character:
        raise ValueError(f"expected {character!r} at character {at}, found {text[at : at + 20]!r}")
    return at + 1


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        items = ((key, _frozen(item)) for key, item in value.items())
        return tuple(sorted(items, key=lambda item: str(item[0])))
    if isinstance(value, list):
        return tuple(_frozen(item) for item in value)
    return value


__all__ = ["loads", "loads_tolerant"]
