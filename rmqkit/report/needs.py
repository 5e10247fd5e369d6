"""What a report needs, asked before a long run rather than after it."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

from rmqkit.errors import MachineError, UsageError

LIBRARIES = ("jinja2", "matplotlib", "numpy")
PARTIAL = ".rmqkit-report.partial"
"""Where files are written before they get their names; left behind only by a process that was killed."""


def prepare_report(directory: Path) -> None:
    """Raise now what would keep :func:`~rmqkit.report.write_report` from writing into ``directory`` later."""
    ensure_available()
    check_target(directory)


def ensure_available() -> None:
    """Raises MachineError naming the extra when matplotlib or jinja2 is missing or cannot be loaded."""
    for name in LIBRARIES:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise MachineError(
                f"a report needs {name}, which cannot be imported: {error}", hint="pip install 'rmqkit[report]'"
            ) from error


def check_target(directory: Path) -> None:
    """Raises UsageError unless ``directory`` is an empty folder, or one that can be made."""
    try:
        if directory.is_dir():
            inside = sorted(path.name for path in directory.iterdir())
            if inside == [PARTIAL]:
                raise UsageError(
                    f"{directory} holds {PARTIAL}: another report is being written there, or one was interrupted",
                    hint=f"remove {directory / PARTIAL} if nobody writes it any more",
                )
            if inside:
                shown = ", ".join(inside[:3]) + (", …" if len(inside) > 3 else "")
                raise UsageError(
                    f"{directory} is not empty: it holds {shown}", hint="a report never overwrites: name a new folder"
                )
        elif directory.exists() or directory.is_symlink():
            raise UsageError(f"{directory} is no folder", hint="name a new folder, or an empty one")
        nearest = directory if directory.is_dir() else _nearest_folder(directory)
    except OSError as error:
        raise UsageError(f"{directory} cannot be looked at: {error.strerror}", hint="name a folder of yours") from error
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UsageError(f"{nearest} cannot be written to", hint="name a folder in one that can")


def _nearest_folder(directory: Path) -> Path:
    """The nearest parent that is there. Raises UsageError where it is a file."""
    for parent in directory.absolute().parents:
        if parent.is_dir():
            return parent
        if parent.exists() or parent.is_symlink():
            raise UsageError(f"{parent} is no folder, so {directory} cannot be one in it", hint="name a new folder")
    raise UsageError(f"{directory} has no parent that is a folder", hint="name a new folder in one that is there")
