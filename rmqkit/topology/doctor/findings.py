"""All findings, in one order; a finding of files that could not be read is here too.

What belongs here: the joined register. What does not: checks (the modules beside this one).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from rmqkit.topology.doctor import addresses, keys, machine, peers, ports, process
from rmqkit.topology.doctor.model import Case
from rmqkit.topology.doctor.registry import About, Check, Finding, Register, Severity, examine, noted

finding: Final = Register()
finding(
    "spec-invalid",
    Severity.ERROR,
    what="a mistake in cluster.yaml",
    why="nothing is rendered from it; a key that is not known is a key that would do nothing",
    mend="mend what the line says; docs/production.md describes every key",
)(noted("spec-invalid"))
finding(
    "unreadable",
    Severity.ERROR,
    what="a file that cannot be understood",
    why="neither Compose nor RocketMQ would take it as it is meant",
    mend="mend the line",
)(noted("unreadable"))
finding(
    "one-nameserver",
    Severity.WARNING,
    what="a specification for production with fewer than three NameServers",
    why="a NameServer's end is then noticed by all clients at once; three cost next to nothing",
    mend="name three hosts under nameservers.on",
)(noted("one-nameserver"))

REGISTER: Final[Mapping[str, tuple[About, Check]]] = MappingProxyType(
    {
        name: entry
        for module in (finding, peers.finding, addresses.finding, ports.finding, keys.finding, process.finding)
        for name, entry in module.entries.items()
    }
    | machine.finding.entries
)
"""Every finding by name."""


def diagnose(case: Case) -> list[Finding]:
    """Every finding in ``case``, errors first."""
    return examine(case, REGISTER)
