"""Finds and reads the files that a doctor is given: single ones, or every one below a folder.

What belongs here: which file is what kind, by name and content. What does not: what they say
(``topology/doctor/documents.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from rmqkit.deploy.reading import read_text
from rmqkit.errors import UsageError
from rmqkit.topology.doctor.documents import Document, FileKind

DEEPEST: Final = 4
_SECRET_NAMES: Final = re.compile(r"plain_acl\.yml|.*\.key|.*key\.pem|.*\.p12|.*\.jks")
_BROKER_KEYS: Final = re.compile(
    r"^\s*(brokerName|brokerClusterName|brokerIP1|enableDL\w+|dL\w*(Group|Peers|SelfId))\s*[=:]",
    re.IGNORECASE | re.MULTILINE,
)


def read_documents(paths: Sequence[Path]) -> list[Document]:
    """Every file that ``paths`` name or hold. Raises :class:`UsageError` where nothing is there to look at."""
    found: dict[Path, Document] = {}
    for path in paths:
        files = [path]
        if path.is_dir():
            files = list(_below(path, DEEPEST))
        elif not path.exists():
            raise UsageError(
                f"{path} does not exist", hint="name a cluster.yaml, a rendered folder, a broker.conf or a .env"
            )
        for file in files:
            kind = _kind(file, given=file == path)
            if kind is not None:
                found[file] = _document(file, kind)
        if not path.is_dir() and path not in found:
            raise UsageError(
                f"{path} is no file that the doctor knows",
                hint="give a cluster.yaml, a Compose file, a .env, or a broker.conf (with brokerName or dLeger keys)",
            )
    documents = list(found.values())
    if not any(document.kind is not FileKind.SECRET for document in documents):
        shown = ", ".join(map(str, paths))
        raise UsageError(
            f"nothing to look at in {shown}", hint="it holds no cluster.yaml, .env, Compose file or broker.conf"
        )
    return _with_composes(documents)


def _document(file: Path, kind: FileKind) -> Document:
    mode = file.stat().st_mode
    return Document(
        path=str(file),
        kind=kind,
        text="" if kind is FileKind.SECRET else read_text(file),
        host=_host(file, kind),
        beside=tuple(sorted(each.name for each in file.parent.iterdir())),
        readable_by_all=bool(mode & 0o004),
    )


def _host(file: Path, kind: FileKind) -> str | None:
    """A folder with a `.env` is a host's; a broker.conf in or below it is that host's."""
    if kind in (FileKind.ENV, FileKind.COMPOSE):
        return file.resolve().parent.name
    for folder in (file.parent, file.parent.parent):
        if (folder / ".env").is_file():
            return folder.resolve().name
    return None


def _kind(file: Path, *, given: bool) -> FileKind | None:
    """What a file is by its name, and where that does not tell, by its content; None for what is not ours.

    ``given``: it was named by the user, who means something by it.
    """
    name = file.name
    if name.endswith(".env") or (given and name.startswith(".env")):
        return FileKind.ENV
    if _SECRET_NAMES.fullmatch(name):
        return FileKind.SECRET
    if name.endswith((".yaml", ".yml")):
        return _kind_of_yaml(file, given=given)
    configuration = name.endswith((".conf", ".properties"))
    if configuration and name.startswith("namesrv"):
        return FileKind.NAMESERVER
    return FileKind.BROKER if (configuration or given) and _BROKER_KEYS.search(read_text(file)) else None


def _kind_of_yaml(file: Path, *, given: bool) -> FileKind | None:
    text = read_text(file)
    if re.search(r"^services:", text, re.MULTILINE):
        return FileKind.COMPOSE
    spec = given or file.name == "cluster.yaml" or re.search(r"^hosts:", text, re.MULTILINE)
    return FileKind.SPEC if spec else None


def _with_composes(documents: list[Document]) -> list[Document]:
    """The Compose file beside a `.env` that was given alone belongs to it."""
    have = {document.path for document in documents}
    more = []
    for document in documents:
        if document.kind is not FileKind.ENV:
            continue
        folder = Path(document.path).parent
        names = (
            "docker-compose.dledger.yml",
            "docker-compose.yml",
            "docker-compose.yaml",
            "compose.yaml",
            "compose.yml",
        )
        beside = next((folder / name for name in names if (folder / name).is_file()), None)
        if beside is not None and str(beside) not in have:
            more.append(_document(beside, FileKind.COMPOSE))
    return documents + more


def _below(folder: Path, depth: int) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        if entry.is_symlink():
            continue
        if entry.is_dir() and depth > 1 and not entry.name.startswith(".git"):
            yield from _below(entry, depth - 1)
        elif entry.is_file():
            yield entry
