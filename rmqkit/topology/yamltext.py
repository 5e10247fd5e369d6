"""Writes plain trees as YAML with comments, anchors and merges: what a dumper of data alone cannot keep.

What belongs here: layout and quoting of text. What does not: any knowledge of Compose. Readers use a YAML
library.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, Union

Node: TypeAlias = Union["Note", "Anchor", "Merge", Mapping[str, "Node"], Sequence["Node"], str, int, bool, None]

_PLAIN = re.compile(r"[A-Za-z_/.][A-Za-z0-9_/.-]*|\$\{[A-Za-z0-9_]+:-[A-Za-z0-9_/.-]*\}")
_NOT_TEXT = re.compile(r"(?i)y|n|yes|no|on|off|true|false|null|\.nan|[-+]?\.inf|\.|\.[0-9].*")
_SHORT_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}


@dataclass(frozen=True, slots=True)
class Note:
    """A value with a comment above its key."""

    value: Node
    comment: str


@dataclass(frozen=True, slots=True)
class Anchor:
    """A mapping that others can merge by ``name``."""

    name: str
    value: Mapping[str, Node]


@dataclass(frozen=True, slots=True)
class Merge:
    """The mappings anchored under ``names``, to be used under the key ``<<``; earlier ones win."""

    names: tuple[str, ...]


def yaml_text(tree: Mapping[str, Node], *, comments: bool, spread: frozenset[str] = frozenset()) -> str:
    """``tree`` as YAML; ``spread`` names top-level keys whose entries get a blank line between them."""
    lines: list[str] = []
    for number, (key, value) in enumerate(tree.items()):
        if number:
            lines.append("")
        entries = _bare(value)
        if key in spread and isinstance(entries, Mapping) and entries:
            _comment(lines, value, indent=0, comments=comments)
            lines.append(f"{_scalar(key)}:")
            for place, (name, entry) in enumerate(entries.items()):
                if place:
                    lines.append("")
                _entry(lines, name, entry, indent=2, comments=comments)
        else:
            _entry(lines, key, value, indent=0, comments=comments)
    return "\n".join(lines) + "\n"


def _entry(lines: list[str], key: str, value: Node, *, indent: int, comments: bool) -> None:
    _comment(lines, value, indent=indent, comments=comments)
    value = _bare(value)
    head = " " * indent + ("<<" if isinstance(value, Merge) else _scalar(key)) + ":"
    if isinstance(value, Merge):
        aliases = [f"*{name}" for name in value.names]
        lines.append(f"{head} " + (aliases[0] if len(aliases) == 1 else f"[{', '.join(aliases)}]"))
        return
    if isinstance(value, Anchor):
        head += f" &{value.name}"
        value = value.value
    if isinstance(value, Mapping) and value:
        lines.append(head)
        for name, entry in value.items():
            _entry(lines, name, entry, indent=indent + 2, comments=comments)
    elif isinstance(value, Sequence) and not isinstance(value, str) and value:
        lines.append(head)
        for item in value:
            _comment(lines, item, indent=indent + 2, comments=comments)
            _item(lines, _bare(item), indent=indent + 2, comments=comments)
    else:
        lines.append(f"{head} {_scalar(value)}")


def _item(lines: list[str], item: Node, *, indent: int, comments: bool) -> None:
    if isinstance(item, Mapping) and item:
        inner: list[str] = []
        for name, entry in item.items():
            _entry(inner, name, entry, indent=indent + 2, comments=comments)
        inner[0] = " " * indent + "- " + inner[0].lstrip()
        lines.extend(inner)
    else:
        lines.append(" " * indent + f"- {_scalar(item)}")


def _comment(lines: list[str], value: Node, *, indent: int, comments: bool) -> None:
    if comments and isinstance(value, Note):
        lines.extend(" " * indent + f"# {line}".rstrip() for line in value.comment.splitlines())


def _bare(value: Node) -> Node:
    return value.value if isinstance(value, Note) else value


def _scalar(value: Node) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        if _PLAIN.fullmatch(value) and not _NOT_TEXT.fullmatch(value):
            return value
        return '"' + "".join(_escaped(char) for char in value) + '"'
    return "{}" if isinstance(value, Mapping) else "[]"


def _escaped(char: str) -> str:
    if char in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[char]
    return char if " " <= char <= "~" else f"\\U{ord(char):08x}"
