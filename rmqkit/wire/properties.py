"""The text form of java.util.Properties, in which brokers give and take their configuration.

What belongs here: reading as ``Properties.load`` reads, writing so that it reads back. What does not: what
a key means.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from rmqkit.errors import WireError

_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_BLANK = " \t\f"
_LINE = re.compile(r"\r\n|\r|\n")
_ENTRY = re.compile(r"((?:[^\\=: \t\f]+|\\.)*)[ \t\f]*[=:]?[ \t\f]*(.*)", re.DOTALL)
"""Key, separator with its blanks, value."""
_PLAIN = re.compile(r"^[ \t\f]*(?=[^#! \t\f\n])([^=: \t\f\n]*)[ \t\f]*[=:]?[ \t\f]*(.*)$", re.MULTILINE)
"""Every entry of a text without escapes and continued lines, which is what brokers answer (MixAll.properties2String): a
status reads three configurations of 200 lines, so this takes no loop in Python."""


def parse_properties(text: str) -> Mapping[str, str]:
    """Key to value. Raises :class:`WireError` for a malformed ``\\uXXXX``, where Java's reader throws too."""
    if "\\" not in text and "\r" not in text:
        return MappingProxyType(dict(_PLAIN.findall(text)))
    out: dict[str, str] = {}
    for line in _logical_lines(text):
        entry = _ENTRY.match(line)
        assert entry is not None, "every part of the expression may be empty"
        key, value = entry.groups()
        out[_unescape(key)] = _unescape(value)
    return MappingProxyType(out)


def render_properties(values: Mapping[str, str]) -> str:
    """One ``key=value`` line each, escaped so that ``Properties.load`` gives the same values back."""
    return "".join(f"{_escape(key, is_key=True)}={_escape(value)}\n" for key, value in values.items())


def _logical_lines(text: str) -> list[str]:
    out: list[str] = []
    pending = ""
    continued = False
    for natural in _LINE.split(text):
        line = natural.lstrip(_BLANK)
        if not continued and (not line or line[0] in "#!"):
            continue
        trailing = len(line) - len(line.rstrip("\\"))
        if trailing % 2:
            pending += line[:-1]
            continued = True
            continue
        out.append(pending + line)
        pending, continued = "", False
    if continued and pending:
        out.append(pending)
    return out


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    out: list[str] = []
    at = 0
    while at < len(text):
        character = text[at]
        at += 1
        if character != "\\" or at >= len(text):
            if character != "\\":
                out.append(character)
            continue
        escaped = text[at]
        at += 1
        if escaped == "u":
            digits = text[at : at + 4]
            if not re.fullmatch(r"[0-9a-fA-F]{4}", digits):
                raise WireError(f"a property has a malformed \\uXXXX: {text!r}")
            out.append(chr(int(digits, 16)))
            at += 4
        else:
            out.append(_ESCAPES.get(escaped, escaped))
    return "".join(out)


def _escape(text: str, *, is_key: bool = False) -> str:
    out: list[str] = []
    for index, character in enumerate(text):
        if character in "\t\n\r\f":
            out.append("\\" + "tnrf"["\t\n\r\f".index(character)])
        elif character in "\\#!=:" or (character == " " and (is_key or index == 0)):
            out.append("\\" + character)
        elif ord(character) > 0xFFFF:
            units = character.encode("utf-16-be", "surrogatepass")
            out.extend(f"\\u{units[at : at + 2].hex()}" for at in (0, 2))
        elif not 0x20 <= ord(character) <= 0x7E:
            out.append(f"\\u{ord(character):04x}")
        else:
            out.append(character)
    return "".join(out)
