"""Files get their names only when all of them are whole, and none ever takes the place of another.

What belongs here: how files come into a folder. What does not: what is in them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rmqkit.errors import MachineError, UsageError
from rmqkit.report.needs import PARTIAL


@contextmanager
def placed(directory: Path, *, last: str) -> Iterator[Path]:
    """Gives a folder to write into; what is in it goes to ``directory`` (made if missing) when the block ends well.

    The file named ``last`` comes last: where it is, the others are. When the block fails, or is interrupted, or a name
    is taken, nothing of it stays. Raises UsageError for a name that is taken and for two writers at once; MachineError
    for a disk that refuses.
    """
    made: list[Path] = []
    try:
        for folder in (*reversed(_missing(directory)),):
            folder.mkdir()
            made.append(folder)
        staging = directory / PARTIAL
        staging.mkdir()
        made.append(staging)
    except OSError as error:
        _remove(made)
        raise _refused(directory, error) from error
    try:
        yield staging
        _move(staging, directory, last, made)
    except OSError as error:
        _remove(made)
        raise _refused(directory, error) from error
    except BaseException:
        _remove(made)
        raise
    staging.rmdir()


def _missing(directory: Path) -> list[Path]:
    """The folders that have to be made, the innermost first."""
    return [folder for folder in (directory, *directory.parents) if not folder.exists()]


def _move(staging: Path, directory: Path, last: str, made: list[Path]) -> None:
    files = sorted((path.relative_to(staging) for path in staging.rglob("*") if path.is_file()), key=str)
    for file in sorted(files, key=lambda each: str(each) == last):
        target = directory / file
        for folder in reversed(_missing(target.parent)):
            folder.mkdir()
            made.append(folder)
        if target.exists() or target.is_symlink():
            raise UsageError(f"{target} exists already", hint="a report never overwrites: name a new folder")
        (staging / file).rename(target)
        made.append(target)
    for folder in sorted((path for path in staging.rglob("*") if path.is_dir()), reverse=True):
        folder.rmdir()


def _remove(made: list[Path]) -> None:
    """Undo, in the reverse order. What refuses to go is left: the error that is on its way says more."""
    for path in reversed(made):
        try:
            if path.name == PARTIAL:
                shutil.rmtree(path, ignore_errors=True)
            elif path.is_dir():
                path.rmdir()
            else:
                path.unlink(missing_ok=True)
        except OSError:
            continue


def _refused(directory: Path, error: OSError) -> UsageError | MachineError:
    if isinstance(error, FileExistsError):
        return UsageError(
            f"{error.filename} is there: another report is being written to {directory}, or one was interrupted",
            hint="remove it if nobody writes it any more",
        )
    return MachineError(
        f"the report cannot be written to {directory}: {error.strerror or error}",
        hint="is the disk full, or the folder not yours?",
    )
