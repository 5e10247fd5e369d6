"""The pairs of ``tests/doctor_files``: a bad and a good set of files for each finding, and what was seen around them.

``case.yml`` in a folder says what the files alone do not: ``edition``; ``modes`` of files; ``machine`` and ``network``
facts; and for a bad one ``at``, the places of its finding, and ``also``, the findings that come with it.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rmqkit.deploy.doctor import Diagnosis, examine_paths
from rmqkit.topology.doctor.model import MachineFacts, Member, NetworkFacts, StoreFacts, identity

FILES = Path(__file__).resolve().parents[2] / "doctor_files"
NAMES = sorted(path.name for path in FILES.iterdir() if path.is_dir())


@dataclass(frozen=True)
class SeenMachine:
    """A machine as a case describes it."""

    said: dict[str, Any]

    def facts(self, members: Sequence[Member]) -> MachineFacts:
        fields = dict(self.said)
        for key in ("addresses", "reserved", "listening"):
            fields[key] = frozenset(fields[key])
        fields["ephemeral"] = tuple(fields["ephemeral"])
        fields["stores"] = {path: StoreFacts(**facts) for path, facts in fields["stores"].items()}
        return MachineFacts(here=frozenset(identity(member) for member in members), **fields)


@dataclass(frozen=True)
class SeenNetwork:
    """The network as a case describes it."""

    said: dict[str, Any]

    def facts(self, members: Sequence[Member]) -> NetworkFacts:
        offsets = {address: tuple(pair) for address, pair in self.said.get("clock_offsets", {}).items()}
        return NetworkFacts(failures=self.said.get("failures", {}), clock_offsets=offsets)


@dataclass(frozen=True)
class DoctorCase:
    """One folder, copied to where modes can be set."""

    folder: Path
    said: dict[str, Any]

    @classmethod
    def prepared(cls, name: str, kind: str, where: Path) -> DoctorCase:
        folder = where / "case"
        shutil.copytree(FILES / name / kind, folder)
        case = folder / "case.yml"
        said = yaml.safe_load(case.read_text(encoding="utf-8")) if case.is_file() else {}
        case.unlink(missing_ok=True)
        for path in folder.rglob("*"):
            if path.is_file():
                path.chmod(0o600)
        for file, mode in said.get("modes", {}).items():
            (folder / file).chmod(int(mode, 8))
        return cls(folder, said)

    def examine(self) -> Diagnosis:
        machine, network = self.said.get("machine"), self.said.get("network")
        return examine_paths(
            [self.folder],
            edition=self.said.get("edition"),
            machine=SeenMachine(machine) if machine is not None else None,
            network=SeenNetwork(network) if network is not None else None,
        )

    def place(self, where: str) -> str:
        """A finding's place, as the case names it."""
        return where.removeprefix(f"{self.folder}/")
