"""What a report is made from, as files that tell when they are not what was written.

``history/`` is every operation, ``summary.json`` what was run, ``report.json`` the manifest: the other files with their
sizes and SHA-256, the title, the command, the machine, what the verdict needs and what it was; ``verdict.json`` is it
in full, ``verdict.md`` for readers. What a witness took down beside the operations (specification, status, logs) is
kept as it is. Figures and page are not evidence: they are made from these again.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rmqkit import __version__
from rmqkit.checks import Thresholds, Verdict
from rmqkit.errors import MachineError, UsageError
from rmqkit.history import History
from rmqkit.report.markdown import markdown

FORMAT = 1
MANIFEST, SUMMARY, HISTORY = "report.json", "summary.json", "history"
VERDICT, VERDICT_TEXT = "verdict.json", "verdict.md"


@dataclass(frozen=True, slots=True)
class FileFact:
    """A file of the evidence, as it was written."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that a report says, before it is drawn.

    ``thresholds``: None for a run that was measured and not judged. ``recorded`` is the verdict's status as it was when
    the report was written; the page shows what the evidence gives when it is judged again.
    """

    history: History
    summary: Mapping[str, Any]
    thresholds: Thresholds | None
    recorded: str | None
    title: str
    command: tuple[str, ...]
    written_at: str
    environment: Mapping[str, str]
    files: Mapping[str, FileFact] = field(default_factory=dict)


def environment() -> dict[str, str]:
    """What this machine is, as far as it explains a figure; no names of users, hosts or folders."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
    return {
        "rmqkit": __version__,
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processors": str(os.cpu_count() or "unknown"),
        "memory": f"{memory / 2**30:.1f} GiB" if memory else "unknown",
    }


def gathered(
    history: History,
    summary: Mapping[str, Any],
    *,
    thresholds: Thresholds | None,
    verdict: Verdict | None,
    title: str,
    command: Sequence[str],
) -> Evidence:
    """The evidence of a run that just ended. Raises UsageError for a summary that is none."""
    plain = checked_summary(summary, where="the summary")
    return Evidence(
        history=history,
        summary=plain,
        thresholds=thresholds,
        recorded=str(verdict.status) if verdict is not None else None,
        title=title or _title(plain["command"], history),
        command=tuple(command),
        written_at=datetime.fromtimestamp(int(time.time()), tz=UTC).isoformat(),
        environment=environment(),
    )


@contextmanager
def reading_summary(part: str) -> Iterator[None]:
    """Raises UsageError naming ``part`` of the summary where it is not what its format says."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        said = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise UsageError(
            f"{SUMMARY}: {part} is not what format 1 says: {said}", hint="it must be what a run of rmqkit wrote"
        ) from error


_TITLES = {
    "drill": "Drill",
    "produce": "Load: produce",
    "consume": "Load: consume",
    "run": "Load: produce and consume",
}


def _title(command: str, history: History) -> str:
    """What was run, and what was done to the cluster meanwhile."""
    kinds = dict.fromkeys(fault.kind for fault in history.faults)
    return ", ".join([_TITLES.get(command, command), *kinds])


def checked_summary(summary: Any, *, where: str) -> dict[str, Any]:
    """The summary as JSON has it. Raises UsageError naming what is wrong with it."""
    try:
        plain = json.loads(json.dumps(summary, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"{where} cannot be written as JSON: {error}", hint="plain values only") from error
    if not isinstance(plain, dict):
        raise UsageError(f"{where} is no JSON object", hint="it must be what a run of rmqkit wrote")
    if plain.get("format") != 1:
        raise UsageError(f"{where} is of format {plain.get('format')!r}; this version reads format 1", hint=_VERSION)
    if not isinstance(plain.get("command"), str) or not plain["command"]:
        raise UsageError(f"{where} names no command", hint="it must be what a run of rmqkit wrote")
    return plain


_VERSION = "read it with the version of rmqkit that wrote it"


def save(evidence: Evidence, folder: Path, *, verdict: Verdict | None = None, beside: Path | None = None) -> None:
    """Write the evidence into a folder of its own (see ``placing``). Raises what History's raises, and OSError.

    ``beside`` is a folder whose files become part of it. Raises UsageError where one has a name that is taken.
    """
    if beside is not None:
        _take_over(beside, folder)
    evidence.history.save(folder / HISTORY)
    _write_json(folder / SUMMARY, evidence.summary)
    if verdict is not None:
        _write_json(folder / VERDICT, verdict.as_dict())
        text = markdown(
            verdict,
            title=evidence.title,
            summary=evidence.summary,
            command=evidence.command,
            at=evidence.written_at,
        )
        with (folder / VERDICT_TEXT).open("x", encoding="utf-8") as out:
            out.write(text)
    files = {path.relative_to(folder).as_posix(): asdict(_fact(path)) for path in _files(folder)}
    _write_json(
        folder / MANIFEST,
        {
            "format": FORMAT,
            "title": evidence.title,
            "command": list(evidence.command),
            "written_at": evidence.written_at,
            "environment": dict(evidence.environment),
            "thresholds": asdict(evidence.thresholds) if evidence.thresholds else None,
            "verdict": evidence.recorded,
            "files": files,
        },
    )


def _take_over(beside: Path, folder: Path) -> None:
    for source in _files(beside):
        name = source.relative_to(beside)
        if name.parts[0] in (MANIFEST, SUMMARY, HISTORY, VERDICT, VERDICT_TEXT, *_DRAWN):
            raise UsageError(f"{source} has the name of a part of the report", hint="name it otherwise")
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / name)


_DRAWN = ("index.html", "plots")


def load(
    directory: Path, *, history: History | None = None, changed: list[str] | None = None, incomplete_ok: bool = False
) -> Evidence:
    """Read what :func:`save` wrote; ``history`` where it is in memory already, or is not wanted.

    Raises UsageError naming the file that is missing, is no part of the report or is not as it was written. Where
    ``changed`` is given such a file is told there instead, if the rest can be read all the same; a file in the history
    that the manifest does not name is of another run, and always an error. ``incomplete_ok`` as in History.load.
    """
    if not directory.is_dir():
        raise UsageError(f"{directory} is no folder", hint="name the folder that --report wrote")
    manifest = _read_json(directory / MANIFEST, "it is no report, or one that was never finished")
    values = _manifest(manifest, directory / MANIFEST)
    for name, fact in values["files"].items():
        try:
            _check(directory / name, fact)
        except UsageError as error:
            if changed is None:
                raise
            changed.append(error.what)
    for path in _files(directory / HISTORY):
        if path.relative_to(directory).as_posix() not in values["files"]:
            raise UsageError(f"{path} is no file of this report: {MANIFEST} does not name it", hint="move it away")
    summary = _read_json(directory / SUMMARY, "the report is not whole")
    if history is None:
        history = History.load(directory / HISTORY, incomplete_ok=incomplete_ok)
    return Evidence(history=history, summary=checked_summary(summary, where=str(directory / SUMMARY)), **values)


def _write_json(path: Path, value: Any) -> None:
    with path.open("x", encoding="utf-8") as out:
        json.dump(value, out, indent=2, ensure_ascii=False)
        out.write("\n")


def _read_json(path: Path, without_it: str) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"{path} is missing: {without_it}", hint="name the folder that --report wrote") from error
    except OSError as error:
        raise MachineError(f"{path} cannot be read: {error.strerror}", hint="is it yours?") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is damaged, or not rmqkit's: it is no JSON ({error})", hint=_COPY) from error


_COPY = "copy the whole folder again from where it was written"


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _fact(path: Path) -> FileFact:
    with path.open("rb") as source:
        digest = hashlib.file_digest(source, "sha256").hexdigest()
    return FileFact(path.stat().st_size, digest)


def _check(path: Path, written: FileFact) -> None:
    """Raises UsageError unless the file is there as it was written."""
    if not path.is_file():
        raise UsageError(f"{path} is missing, and {MANIFEST} says that it was written", hint=_COPY)
    try:
        found = _fact(path)
    except OSError as error:
        raise MachineError(f"{path} cannot be read: {error.strerror}", hint="is it yours?") from error
    if found != written:
        seen = f"{found.size} bytes instead of {written.size}" if found.size != written.size else "its SHA-256 differs"
        raise UsageError(f"{path} is damaged, or of another run: {seen}", hint=_COPY)


def _manifest(found: Any, path: Path) -> dict[str, Any]:
    """The manifest's values with their types made sure of. Raises UsageError naming the one that is wrong."""
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        form = found.get("format") if isinstance(found, dict) else None
        raise UsageError(f"{path} is of format {form!r}; this version reads format {FORMAT}", hint=_VERSION)
    try:
        files = {str(name): FileFact(**fact) for name, fact in found["files"].items()}
        values = {
            "title": _text(found, "title"),
            "command": tuple(str(word) for word in found["command"]),
            "written_at": _text(found, "written_at"),
            "environment": {str(name): str(value) for name, value in found["environment"].items()},
            "thresholds": _thresholds(found["thresholds"]),
            "recorded": None if found["verdict"] is None else _text(found, "verdict"),
            "files": files,
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{path} is damaged, or not rmqkit's: {error!r}", hint=_COPY) from error
    for name in (HISTORY, SUMMARY):
        if not any(name == each.partition("/")[0] for each in files):
            raise UsageError(f"{path} does not name {name}: it cannot be told whether that is whole", hint=_COPY)
    if any(Path(name).is_absolute() or ".." in Path(name).parts for name in files):
        raise UsageError(f"{path} names a file outside its folder", hint=_COPY)
    return values


def _text(found: Mapping[str, Any], name: str) -> str:
    if not isinstance(found[name], str):
        raise ValueError(f"{name} is {found[name]!r}, which is no text")  # noqa: TRY004 - about the file
    return str(found[name])


def _thresholds(found: Any) -> Thresholds | None:
    if found is None:
        return None
    known = {each.name: type(each.default) for each in fields(Thresholds)}
    for name, value in found.items():
        # Seconds may have been given as a whole number.
        if type(value) is not known[name] and (known[name], type(value)) != (float, int):
            raise ValueError(f"thresholds: {name} is {value!r}")
    return Thresholds(**found)
