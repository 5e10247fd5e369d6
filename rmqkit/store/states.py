"""The two small files beside a log: how far it was when last written down, and for whom the peer voted.

What belongs here: their texts as values. What does not: the log.

Source: DLedgerMmapFileStore.persistCheckPoint (every 3 s and at a graceful end, so it may lag),
MemberState.persistTerm. IOUtils.string2File removes the old file before it renames the new one: between the two only
``.bak`` and ``.tmp`` exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rmqkit.errors import StoreError, WireError
from rmqkit.wire.properties import parse_properties


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The last entry of the log, and the last committed one, as of up to 3 s before; -1 for none."""

    end_index: int
    committed_index: int


@dataclass(frozen=True, slots=True)
class TermFile:
    """The peer's term, and the peer that it voted for in it; empty for nobody. A new peer's term is -1."""

    term: int
    vote: str


@dataclass(frozen=True, slots=True)
class States:
    """Both files; None where there is none that can be read, and ``damage`` says why."""

    checkpoint: Checkpoint | None
    term_file: TermFile | None
    damage: tuple[str, ...]


def read_states(folder: Path) -> States:
    """The states of the log in ``folder`` (``dledger-n0``)."""
    damage: list[str] = []
    written = _properties(folder / "checkpoint", damage)
    voted = _properties(folder / "currterm", damage)
    checkpoint = term_file = None
    try:
        if written is not None:
            checkpoint = Checkpoint(int(written["endIndex"]), int(written["committedIndex"]))
    except (KeyError, ValueError) as error:
        damage.append(f"checkpoint is damaged: {_said(error)}")
    try:
        if voted is not None:
            term_file = TermFile(int(voted["currTerm"]), voted.get("voteLeader", ""))
    except (KeyError, ValueError) as error:
        damage.append(f"currterm is damaged: {_said(error)}")
    return States(checkpoint, term_file, tuple(damage))


def _said(error: Exception) -> str:
    return f"it has no {error.args[0]}" if isinstance(error, KeyError) else str(error)


def _properties(path: Path, damage: list[str]) -> Mapping[str, str] | None:
    """The first of the file and what replaces it that is there."""
    for each in (path, path.with_name(f"{path.name}.tmp"), path.with_name(f"{path.name}.bak")):
        try:
            return parse_properties(each.read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        except (UnicodeDecodeError, WireError) as error:
            damage.append(f"{each.name} is damaged: {error}")
            return None
        except OSError as error:
            raise StoreError(
                f"{each} cannot be read: {error.strerror}", hint="read it as the broker's user, or copy it first"
            ) from error
    return None
