"""A deployment and its hosts as they are now: what each is to run, what it runs, and whether its engine answers.

What belongs here: the survey, asked of all hosts at once; nothing is changed by it. What does not: what follows from
it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from rmqkit.cluster.peers import Members, Peer
from rmqkit.deploy.changes import CONF, Present
from rmqkit.deploy.composing import Wanted, wanted_of
from rmqkit.deploy.engines import Container, EngineFacts, HostEngine, engines_of
from rmqkit.deploy.folder import Written, write_folder
from rmqkit.errors import EngineError, RmqkitError
from rmqkit.topology.doctor.model import parsed_peers
from rmqkit.topology.hostfiles import deployment_files
from rmqkit.topology.layout import HA_OFFSET, VIP_OFFSET
from rmqkit.topology.placement import Plan

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Site:
    """A placed deployment, its rendered ``folder``, and the engine of each of its hosts."""

    plan: Plan
    folder: Path
    engines: Mapping[str, HostEngine]
    written: Written

    @classmethod
    def rendered(
        cls, plan: Plan, folder: Path, *, engines: Mapping[str, str] | None = None, force: bool = False
    ) -> Site:
        """Render into ``folder``. Raises UsageError for what :func:`engines_of` and ``write_folder`` refuse."""
        reached = engines_of(plan.deployment, engines)
        return cls(plan, folder, reached, write_folder(folder, deployment_files(plan), force=force))

    @property
    def project(self) -> str:
        """The Compose project, the same on each host."""
        return self.plan.deployment.name

    def folder_of(self, host: str) -> Path:
        """The rendered folder of a host."""
        return self.folder / host

    def wanted(self) -> tuple[Wanted, ...]:
        """Every process of the deployment, host by host."""
        return tuple(each for found in self.each(lambda e: wanted_of(self.folder_of(e.host), e.host)) for each in found)

    def each(self, ask: Callable[[HostEngine], T]) -> list[T]:
        """What ``ask`` gives for each engine, all asked at once, in the order of hosts; the first error is raised."""
        with ThreadPoolExecutor(max_workers=16, thread_name_prefix="rmqkit-hosts") as workers:
            return list(workers.map(ask, self.engines.values()))


@dataclass(frozen=True, slots=True)
class HostView:
    """One host: what its engine said; ``error`` where it did not answer."""

    engine: HostEngine
    facts: EngineFacts | None = None
    containers: tuple[Container, ...] = ()
    error: RmqkitError | None = None


@dataclass(frozen=True, slots=True)
class Survey:
    """All hosts, in the order of the specification."""

    views: tuple[HostView, ...]
    wanted: tuple[Wanted, ...] = field(default=())

    @property
    def present(self) -> tuple[Present, ...]:
        """Every container of the deployment."""
        return tuple(Present(view.engine.host, each) for view in self.views for each in view.containers)

    @property
    def error(self) -> RmqkitError | None:
        """What is wrong where an engine does not answer, or several do not; None where all do."""
        failed = [(view.engine.host, view.error) for view in self.views if view.error is not None]
        if len(failed) < 2:
            return failed[0][1] if failed else None
        details = [line for _, error in failed for line in (error.what, *(f"  {each}" for each in error.details[-2:]))]
        return EngineError(
            f"the Docker engines of {', '.join(host for host, _ in failed)} are not reached",
            details=details,
            hint=failed[0][1].hint,
        )

    def reached(self) -> Survey:
        """Itself, where every engine answered. Raises EngineError otherwise, which names all that did not."""
        if (error := self.error) is not None:
            raise error
        return self


def survey(site: Site) -> Survey:
    """Ask every engine at once; one that does not answer is part of the answer."""

    def look(engine: HostEngine) -> HostView:
        try:
            return HostView(engine, engine.facts(), engine.containers(site.project))
        except RmqkitError as error:
            return HostView(engine, error=error)

    return Survey(tuple(site.each(look)), site.wanted())


def raise_together(errors: Sequence[RmqkitError]) -> None:
    """Raise the first error of several hosts, with the others as its notes; nothing where there is none."""
    for further in errors[1:]:
        errors[0].add_note(str(further))
    if errors:
        raise errors[0]


def members_of(present: Sequence[Present]) -> Members:
    """The brokers as the containers that are there were configured, whatever the specification says now."""
    found = []
    for each in present:
        environment = each.container.environment
        if not each.is_broker:
            continue
        group, own = environment.get(f"{CONF}dLegerGroup", each.group), environment.get(f"{CONF}dLegerSelfId", "")
        entry = next((p for p in parsed_peers(environment.get(f"{CONF}dLegerPeers", "")) or () if p.id == own), None)
        if entry is None:
            continue
        address = f"{environment.get(f'{CONF}brokerIP1')}:{environment.get(f'{CONF}listenPort')}"
        found.append(Peer(group, own, address, entry.address, each.container.service))
    return Members(tuple(sorted(found, key=lambda peer: (peer.group, peer.id))))


def nameservers_of(present: Sequence[Present]) -> list[str]:
    """The NameServers that those brokers were given."""
    told = (each.container.environment.get(f"{CONF}namesrvAddr", "") for each in present if each.is_broker)
    return list(dict.fromkeys(address for text in told for address in text.split(";") if address))


def ports_of(containers: Sequence[Container]) -> frozenset[int]:
    """The ports that containers which are up take."""
    found: set[int] = set()
    for container in containers:
        listen = container.environment.get(f"{CONF}listenPort", "")
        if container.status != "running" or not listen.isdigit():
            continue
        found.add(int(listen))
        own = container.environment.get(f"{CONF}dLegerSelfId")
        for peer in parsed_peers(container.environment.get(f"{CONF}dLegerPeers", "")) or ():
            if peer.id == own:
                found |= {peer.port, int(listen) - VIP_OFFSET, int(listen) + HA_OFFSET}
    return frozenset(found)
