"""Extra configuration keys as a value: a mapping that cannot change, can be hashed, compared and pickled.

What belongs here: the mapping and the rules for one key and one value. What does not: which keys a broker
gets (``brokerconf.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from rmqkit.errors import SpecError

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_VALUE = re.compile(r"[ -~\t]*")


class Config(Mapping[str, str]):
    """Keys of ``broker.conf`` or ``namesrv.conf``. Equal to any mapping with the same items; hashable.

    In the order of the keys, so that equal specifications render to the same bytes.
    A plain ``MappingProxyType`` would neither hash nor travel to a worker process.
    """

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, str] = {}) -> None:
        self._items: dict[str, str] = dict(sorted(items.items()))

    def __getitem__(self, key: str) -> str:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return repr(self._items)


def checked_config(field: str, items: Mapping[str, str], *, owned: Mapping[str, str]) -> Config:
    """``items`` as a :class:`Config`; ``owned`` maps keys that the kit derives to the field that decides.

    Raises :class:`SpecError` for a key or value that cannot become one line of a properties file, and for an
    owned key: two sources for one setting is how brokers come to disagree.
    """
    for key, value in items.items():
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            raise SpecError(
                f"{field}: the key {key!r} is not a configuration key of RocketMQ",
                hint="keys are letters and digits only, such as fileReservedTime",
            )
        if not isinstance(value, str):
            raise SpecError(
                f"{field}: the value of {key} is {value!r}, which is not text",
                hint=f'write it as the file would hold it, for example {key!r}: "{value}"',
            )
        if not _VALUE.fullmatch(value) or value != value.strip():
            raise SpecError(
                f"{field}: the value of {key} is {value!r}, which is not one trimmed line of printable ASCII",
                hint="a properties file holds one line for each key, and is read as Latin-1",
            )
        if key in owned:
            raise SpecError(
                f"{field}: {key}={value} is decided by the specification itself",
                hint=f"set {owned[key]} instead",
            )
    return Config(items)
