"""A specification as JSON and back, so that a kept cluster can be attached to from its labels.

What belongs here: the two directions and their errors. What does not: which parts a specification has
(``spec.py``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from rmqkit.errors import SpecError

T = TypeVar("T")
_HINT = "it must be what ClusterSpec.to_json() of this version of the kit wrote"


def dumped(value: Any) -> str:
    """``value`` as one line of JSON with sorted keys: equal specifications give equal text."""
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"))


def parsed(text: str) -> Any:
    """The JSON in ``text``. Raises :class:`SpecError`."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SpecError(f"not a specification in JSON: {error}", hint=_HINT) from None


def items_of(data: Any, key: str) -> list[Any]:
    """The list under ``key``. Raises :class:`SpecError` where there is none."""
    value = data.get(key) if isinstance(data, Mapping) else None
    if not isinstance(value, list):
        raise SpecError(f"{key}: {value!r} is not a list", hint=_HINT)
    return value


def built(kind: type[T], data: Any, **parts: Any) -> T:
    """A ``kind`` from the fields in ``data``, with ``parts`` (built before) in the place of their lists."""
    if not isinstance(data, Mapping):
        raise SpecError(f"{kind.__name__}: {data!r} is not an object", hint=_HINT)
    assert is_dataclass(kind)
    unknown = sorted(set(data) - {item.name for item in fields(kind)})
    if unknown:
        raise SpecError(f"{kind.__name__}: unknown field {', '.join(unknown)}", hint=_HINT)
    try:
        return kind(**{**data, **parts})
    except (TypeError, ValueError, AttributeError) as error:
        raise SpecError(f"{kind.__name__}: {error}", hint=_HINT) from None


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return dict(value) if isinstance(value, Mapping) else value
