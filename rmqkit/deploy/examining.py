"""The doctor before a deploy: the specification, and each host through its engine; what is wrong stops it.

What belongs here: which facts the doctor is given, and the refusals. What does not: the findings themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rmqkit.deploy.changes import Act, Change
from rmqkit.deploy.hostprobe import EngineMachine
from rmqkit.deploy.inputs import read_documents
from rmqkit.deploy.site import HostView, Site, ports_of
from rmqkit.errors import PortInUseError, UsageError
from rmqkit.topology.doctor.documents import build_case
from rmqkit.topology.doctor.findings import diagnose
from rmqkit.topology.doctor.model import Case, MachineFacts, NetworkFacts
from rmqkit.topology.doctor.registry import Finding, Severity
from rmqkit.topology.placement import Plan


def case_of(spec: Path) -> Case:
    """What the doctor sees in a specification."""
    return build_case(read_documents([spec]))


def examine_files(spec: Path) -> list[str]:
    """The doctor's warnings about a specification, a line each. Raises UsageError where it finds an error."""
    return _warnings(diagnose(case_of(spec)), where=str(spec))


def examine_hosts(
    site: Site, spec: Path, views: Sequence[HostView], changes: Sequence[Change], *, image: str
) -> list[str]:
    """The doctor's warnings about the hosts, each looked at through its engine; those of the files are not told again.

    Raises PortInUseError for a port that a process needs and somebody else has, UsageError for what the doctor calls an
    error; both name the host.
    """
    case = case_of(spec)
    by_host = {view.engine.host: view for view in views}

    def look(view: HostView) -> MachineFacts:
        assert view.facts is not None
        machine = EngineMachine(view.engine, view.facts, image=image, ours=ports_of(view.containers))
        return machine.facts([member for member in case.members if member.host == view.engine.host])

    facts = dict(zip(site.engines, site.each(lambda engine: look(by_host[engine.host])), strict=True))
    _check_ports(site.plan, facts, changes)
    offsets = {
        peer.address: facts_of.ahead_s
        for host in site.plan.deployment.hosts
        for _, peer in site.plan.brokers_on(host)
        if (facts_of := by_host[host.name].facts) is not None
    }
    network = NetworkFacts(clock_offsets=offsets)
    told = {(finding.about.name, finding.where, finding.seen) for finding in diagnose(case)}
    found: dict[tuple[str, str, str], Finding] = {}
    for machine in facts.values():
        for finding in diagnose(replace(case, machine=machine, network=network)):
            key = (finding.about.name, finding.where, finding.seen)
            if key not in told:
                found.setdefault(key, finding)
    return _warnings(list(found.values()), where=f"{spec} on its hosts")


def needed_ports(plan: Plan, host: str) -> dict[int, str]:
    """Every port that the deployment's processes open on a host, with the service that does."""
    spec = plan.deployment.host(host)
    if spec is None:
        return {}
    found = {server.port: server.name for server in plan.nameservers_on(spec)}
    for group, peer in plan.brokers_on(spec):
        found |= dict.fromkeys(peer.listening_ports(), plan.spec.service_of(group, peer))
    return found


def _check_ports(plan: Plan, facts: Mapping[str, MachineFacts], changes: Sequence[Change]) -> None:
    starting = {(c.host, c.service) for c in changes if c.act not in (Act.KEEP, Act.REMOVE)}
    taken = [
        f"{host}: port {port}, which {service} needs"
        for host, machine in facts.items()
        for port, service in sorted(needed_ports(plan, host).items())
        if port in machine.listening and (host, service) in starting
    ]
    if not taken:
        return
    first = taken[0].partition(",")[0]
    port = first.rpartition(" ")[2]
    raise PortInUseError(
        f"{first} is taken by something that is not of this deployment",
        details=taken if len(taken) > 1 else (),
        hint=f"see there who listens: `ss -ltnp 'sport = :{port}'`; stop it, or choose other `ports` in the "
        "specification",
    )


def _warnings(findings: Sequence[Finding], *, where: str) -> list[str]:
    errors = [finding for finding in findings if finding.about.severity is Severity.ERROR]
    if errors:
        lines = [
            f"{finding.about.name}: {finding.about.what}: {finding.where}: {finding.seen}. Mend: {finding.about.mend}"
            for finding in errors[:8]
        ]
        if len(errors) > len(lines):
            lines.append(f"and {len(errors) - len(lines)} more")
        raise UsageError(
            f"the doctor finds {len(errors)} error(s) in {where}; nothing was started",
            details=lines,
            hint="mend them; `rmqkit doctor` on the specification says why each hurts",
        )
    seen: dict[str, list[str]] = {}
    for finding in findings:
        seen.setdefault(finding.about.name, []).append(finding.seen)
    return [f"doctor warns: {name}: {'; '.join(dict.fromkeys(places))}" for name, places in seen.items()]
