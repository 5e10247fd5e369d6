"""Writes a rendered deployment into a folder, and never over something that was not rendered there.

What belongs here: files, modes, and the record of what was written. What does not: what stands in the files
(``topology/hostfiles.py``).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rmqkit.errors import UsageError

RECORD: Final = "rendered.json"
"""What was written there, with checksums: so that a file that somebody changed by hand is known from a stale one."""


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a folder: paths relative to it."""

    written: tuple[str, ...]
    removed: tuple[str, ...]
    unchanged: tuple[str, ...]


def write_folder(folder: Path, files: Mapping[str, str], *, force: bool = False) -> Written:
    """Make ``folder`` hold exactly ``files`` (and the record), where nothing foreign is in the way.

    A file that was rendered earlier and not changed since is replaced, or removed where it is no longer rendered.
    ``.env`` files can be read by their owner alone. Raises :class:`UsageError` that lists the files that are neither
    rendered nor unchanged; ``force`` overwrites those that are to be written, and leaves all others alone.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", hint="name a folder that is new, empty, or rendered before")
    record = _record(folder)
    present = set(_files_below(folder)) - {RECORD}
    foreign = sorted(
        path
        for path in present
        if not _same(folder / path, files.get(path)) and record.get(path) != _checksum((folder / path).read_bytes())
    )
    if foreign and not force:
        raise UsageError(
            f"{folder} holds {len(foreign)} file(s) that were not rendered there, or were changed since",
            details=[f"{path}{' (changed by hand)' if path in record else ''}" for path in foreign[:20]],
            hint="take your changes into the specification and move those files away, render into another folder, "
            "or give --force to overwrite what is rendered",
        )
    stale = sorted(path for path in present - set(files) if path in record and path not in foreign)
    for path in stale:
        (folder / path).unlink()
        _remove_empty(folder, (folder / path).parent)
    written, unchanged = [], []
    for path, text in sorted(files.items()):
        if path in present and _same(folder / path, text):
            unchanged.append(path)
            _restrict(folder / path)
        else:
            _write(folder / path, text)
            written.append(path)
    sums = {path: _checksum(text.encode()) for path, text in sorted(files.items())}
    _write(folder / RECORD, json.dumps(sums, indent=1, sort_keys=True) + "\n")
    return Written(tuple(written), tuple(stale), tuple(unchanged))


def _write(path: Path, text: str) -> None:
    """Whole or not at all, and never readable for others on the way: made private, then renamed into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)
    new.chmod(_mode(path))
    new.replace(path)


def _restrict(path: Path) -> None:
    if path.stat().st_mode & 0o077 & ~_mode(path):
        path.chmod(_mode(path))


def _mode(path: Path) -> int:
    """A `.env` is where passwords end up; the rest is for everyone to read, brokers run as users of their own."""
    return 0o600 if path.name == ".env" else 0o644


def _record(folder: Path) -> dict[str, str]:
    try:
        read = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in read.items()} if isinstance(read, dict) else {}


def _files_below(folder: Path) -> Iterable[str]:
    if not folder.is_dir():
        return
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_dir():
            yield path.relative_to(folder).as_posix()


def _same(path: Path, text: str | None) -> bool:
    return text is not None and path.is_file() and not path.is_symlink() and path.read_bytes() == text.encode()


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _remove_empty(top: Path, folder: Path) -> None:
    while folder != top and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
