"""Reads text files of users: what cannot be read is said in one line. Nothing about their content belongs here."""

from __future__ import annotations

from pathlib import Path

from rmqkit.errors import UsageError

LARGEST_BYTES = 4 * 1024 * 1024


def read_text(path: Path) -> str:
    """The text of a file. Raises :class:`UsageError` where there is none, or it is not text."""
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise UsageError(f"{path} is larger than {LARGEST_BYTES} bytes", hint="name a configuration file")
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        # Java reads properties as Latin-1; every byte is a character of it.
        return path.read_bytes().decode("latin-1")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}", hint="name a file that exists and can be read") from None
