"""The doctor as one act: read the files, ask the machine and the network where that is wanted, judge.

What belongs here: the order of these steps. What does not: any of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rmqkit.deploy.inputs import read_documents
from rmqkit.deploy.probes import LocalMachine, Machine, Network, ReachedNetwork, members_of_this_machine
from rmqkit.errors import UsageError
from rmqkit.topology.doctor.documents import build_case
from rmqkit.topology.doctor.findings import diagnose
from rmqkit.topology.doctor.registry import Finding, Severity


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was looked at, and what was found."""

    findings: tuple[Finding, ...]
    files: tuple[str, ...]
    brokers: int
    nameservers: int

    @property
    def healthy(self) -> bool:
        """No finding of severity error."""
        return not any(finding.about.severity is Severity.ERROR for finding in self.findings)


def examine_paths(
    paths: Sequence[Path],
    *,
    edition: str | None = None,
    machine: Machine | None = None,
    network: Network | None = None,
    host: str | None = None,
) -> Diagnosis:
    """Everything that is wrong with the files below ``paths``.

    ``machine`` and ``network`` are asked where they are given; ``host`` says which host of the files this machine is.
    Raises :class:`UsageError` where there is nothing to look at, or this machine's part is not to be told.
    """
    documents = read_documents(paths)
    case = build_case(documents, edition=edition)
    if machine is not None:
        local = machine.addresses() if isinstance(machine, LocalMachine) else frozenset()
        here = members_of_this_machine(case.members, host=host, addresses=local)
        if not here and case.members:
            known = ", ".join(sorted({member.machine or "?" for member in case.members}))
            raise UsageError(
                "none of these brokers is meant for this machine" if host is None else f"no broker is on host {host!r}",
                hint=f"say which host this is with --host; the files know {known}",
            )
        case = replace(case, machine=machine.facts(here))
    if network is not None:
        case = replace(case, network=network.facts(case.members))
    return Diagnosis(
        tuple(diagnose(case)),
        tuple(document.path for document in documents),
        len(case.members),
        len(case.servers),
    )


__all__ = ["Diagnosis", "LocalMachine", "ReachedNetwork", "examine_paths"]
