"""A deploy, from its first look to the last view that agrees: the order of its steps, and what stops it.

What belongs here: that order. What does not: how a step is done (its neighbours), and how it is shown (``cli``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rmqkit.cluster.peers import Members, from_spec
from rmqkit.cluster.readiness import wait_caught_up, wait_ready
from rmqkit.cluster.status import ClusterStatus, ask, ask_nameserver
from rmqkit.deploy import composing, shipping
from rmqkit.deploy.changes import Act, Change, Wave, compare, refusals, waves
from rmqkit.deploy.engines import HostEngine
from rmqkit.deploy.examining import examine_files, examine_hosts
from rmqkit.deploy.hostprobe import prepare_stores
from rmqkit.deploy.site import Site, Survey, members_of, nameservers_of, raise_together, survey
from rmqkit.errors import ClusterError, NotReadyError, RmqkitError, UsageError, WaitTimeoutError
from rmqkit.topology.deployment import Environment
from rmqkit.transport.pool import ChannelPool
from rmqkit.waiting import Pending, wait_until

WITHIN_S: Final = 180.0
"""A large store takes its time to be read at a broker's start."""

SEEN_WITHIN_S: Final = 30.0
"""Longer than an election takes."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a deploy may do beyond the usual: ``pull`` from a registry, ``remove`` what is not wanted any more;
    ``dry_run`` does nothing. ``timeout_s`` bounds each wait."""

    pull: bool = False
    remove: bool = False
    dry_run: bool = False
    timeout_s: float = WITHIN_S


@dataclass(frozen=True, slots=True)
class Deployed:
    """What a deploy changed, or would change; ``status`` is what all said at its end, None for a dry run."""

    changes: tuple[Change, ...]
    shipped: tuple[str, ...]
    status: ClusterStatus | None
    left: tuple[Change, ...] = ()
    """Containers that the specification does not have any more, and that were left as they are."""

    @property
    def acts(self) -> tuple[Change, ...]:
        """The changes that are any."""
        return tuple(change for change in self.changes if change.act is not Act.KEEP)


def deploy(site: Site, spec: Path, *, options: Options, on_step: Callable[[str], None]) -> Deployed:
    """Make every host run what the specification says, and wait until all views agree.

    Nothing is started before the doctor is content and every engine answers. A group that serves keeps its quorum: see
    :func:`~rmqkit.deploy.changes.waves`. Raises UsageError (the doctor's errors, refused changes), EngineError,
    ImageError, PortInUseError, ComposeError, all naming the host, or NotReadyError with each peer's view.
    """
    for line in examine_files(spec):
        on_step(line)
    seen = survey(site).reached()
    on_step(f"{len(seen.views)} engines answer: " + ", ".join(view.engine.host for view in seen.views))
    image = site.plan.spec.image_ref
    engines = list(site.engines.values())
    shipment = None if options.pull else shipping.planned(image, engines)
    known = {image: shipment.image_id} if shipment is not None else {}
    changes = compare(seen.wanted, seen.present, known)
    _refuse(changes, seen, options)
    if options.dry_run:
        shipped = tuple(engine.host for engine in shipment.targets) if shipment is not None else ()
        return Deployed(tuple(changes), shipped, None, _left(changes, options))
    if shipment is None:
        changes = compare(seen.wanted, seen.present, {image: shipping.pull(image, engines, on_step=on_step)})
        _refuse(changes, seen, options)
    else:
        shipping.ship(shipment, on_step=on_step)
    for line in examine_hosts(site, spec, seen.views, changes, image=image):
        on_step(line)
    with ChannelPool() as pool:
        status = _Rollout(site, pool, seen, changes, options=options, on_step=on_step).carried_out()
    shipped = tuple(engine.host for engine in shipment.targets) if shipment is not None else ()
    return Deployed(tuple(changes), shipped, status, _left(changes, options))


def _left(changes: Sequence[Change], options: Options) -> tuple[Change, ...]:
    return () if options.remove else tuple(change for change in changes if change.act is Act.REMOVE)


def _refuse(changes: Sequence[Change], seen: Survey, options: Options) -> None:
    against = refusals(changes, seen.wanted, remove=options.remove)
    if against:
        raise UsageError(
            "this specification cannot be reached from what runs now; nothing was changed",
            details=against,
            hint="a broker moves to another host with --remove; for another number of members make a new group and let "
            "clients drain the old one",
        )


class _Rollout:
    """One deploy under way; lives for one call."""

    def __init__(
        self,
        site: Site,
        pool: ChannelPool,
        seen: Survey,
        changes: Sequence[Change],
        *,
        options: Options,
        on_step: Callable[[str], None],
    ) -> None:
        self.site = site
        self.pool = pool
        self.seen = seen
        self.options = options
        self.on_step = on_step
        self.changes = [change for change in changes if options.remove or change.act is not Act.REMOVE]
        self.members = from_spec(site.plan.spec)
        self.nameservers = [server.address for server in site.plan.spec.nameservers]

    def carried_out(self) -> ClusterStatus:
        """Every wave, and the wait for each."""
        leaders = self._leaders()
        serving = set(leaders)
        order = waves(self.changes, serving=serving, leaders=leaders, hosts=list(self.site.engines))
        for change in self.changes:
            if change.act is not Act.KEEP:
                self.on_step(str(change))
        self._prepare_stores()
        for number, wave in enumerate(order):
            if len(order) > 1:
                self.on_step(f"step {number + 1} of {len(order)}: {wave}")
            careful = any(change.interrupts for change in wave.changes) and bool(serving)
            try:
                if careful:
                    # Nobody is stopped while another replica of its group, or another NameServer, is away.
                    self._wait(wave, order[number:])
                self._change(wave)
                self._wait_nameservers(wave)
                if careful:
                    self._wait(wave, order[number + 1 :])
            except RmqkitError as error:
                self._note_progress(error, order, number)
                raise
        return self._wait_end()

    def _leaders(self) -> dict[str, str]:
        """Who leads each group that serves now, whatever NameServers say; asked before anything is done.

        Raises ClusterError where most brokers of a group run well by their engines' word, something of it is to be
        stopped, and no leader is seen: one late answer must not make a serving group one that has nothing to keep.
        """
        running = [each for each in self.seen.present if each.is_broker and each.container.up]
        if not running:
            return {}
        members, nameservers = members_of(self.seen.present), nameservers_of(running)
        touched = {change.group for change in self.changes if change.interrupts}
        kept = [name for name in members.groups if (name in touched or "" in touched) and self._mostly_up(name)]
        last: list[ClusterStatus] = []

        def probe() -> dict[str, str] | Pending:
            status = ask(self.pool, members, nameservers, full=False)
            last[:] = [status]
            found = {
                group.name: group.raft_leader.id
                for group in status.groups
                if group.raft_leader is not None and group.raft_leader in group.serving
            }
            silent = [status.group(name).summary for name in kept if name not in found]
            return Pending("; ".join(silent)) if silent else found

        try:
            return wait_until(probe, label="a leader of each group is seen", timeout_s=SEEN_WITHIN_S, every_s=0.5)
        except WaitTimeoutError as error:
            raise ClusterError(
                f"brokers run, as their engines say, and no leader of theirs is seen from here: {error.last_seen}",
                details=last[0].lines(),
                hint="deploy from a machine that reaches the hosts' listen and Raft ports: a group that serves is "
                "changed one host at a time. One that cannot elect is mended by `rmqkit down`, then deploy",
            ) from error

    def _mostly_up(self, group: str) -> bool:
        """Whether a majority of a group's containers runs well."""
        states = [each.container.up for each in self.seen.present if each.group == group]
        return sum(states) * 2 > len(states)

    def _prepare_stores(self) -> None:
        for host in self.site.plan.deployment.hosts:
            if host.store == "volume":
                continue
            starting = {c.service for c in self.changes if c.host == host.name and c.act in (Act.CREATE, Act.MOVE)}
            users = {server.name: server.uid for server in self.site.plan.nameservers_on(host)}
            for group, peer in self.site.plan.brokers_on(host):
                users[self.site.plan.spec.service_of(group, peer)] = peer.uid
            stores = {f"{host.store}/{service}": uid for service, uid in users.items() if service in starting}
            for made in prepare_stores(self.site.engines[host.name], stores, image=self.site.plan.spec.image_ref):
                self.on_step(f"{host.name}: made store {made}")

    def _change(self, wave: Wave) -> None:
        """Make the changes of a wave, hosts at the same time."""
        for change in wave.changes:
            if change.act in (Act.MOVE, Act.REMOVE) and change.before is not None:
                engine = self.site.engines[change.before.host]
                composing.remove(engine, change.before.container.id, what=change.before.container.service)
        by_host: dict[str, list[str]] = {}
        for change in wave.changes:
            if change.act is not Act.REMOVE:
                by_host.setdefault(change.host, []).append(change.service)

        errors: list[RmqkitError] = []

        def start(engine: HostEngine) -> None:
            try:
                if services := by_host.get(engine.host):
                    composing.up(engine, self.site.folder_of(engine.host), services)
            except RmqkitError as error:
                errors.append(error)

        self.site.each(start)
        raise_together(errors)

    def _wait_nameservers(self, wave: Wave) -> None:
        """Those of a wave answer: a broker that finds none registers half a minute later."""
        started = {change.service for change in wave.changes if not change.group and change.act is not Act.REMOVE}
        addresses = [server.address for server in self.site.plan.spec.nameservers if server.name in started]

        def probe() -> bool | Pending:
            asked = [ask_nameserver(self.pool, address, timeout_s=2.0) for address in addresses]
            silent = [f"{each.address}: {each.error}" for each in asked if each.error]
            return Pending("; ".join(silent)) if silent else True

        try:
            wait_until(probe, label="NameServers answer", timeout_s=self.options.timeout_s, every_s=0.2)
        except WaitTimeoutError as error:
            raise NotReadyError(
                f"NameServers do not answer after {error.waited_s:.0f} s: {error.last_seen}",
                details=self._last_words(),
                hint="is their port open between this machine and the hosts?",
            ) from error

    def _settled(self, ahead: Sequence[Wave]) -> tuple[Members, list[str]]:
        """The peers and NameServers that can be well while the waves ``ahead`` are still to come.

        A broker that was made anew at another address is not reached by peers that still have its old one; a new
        NameServer is not known to brokers that were not given it yet.
        """
        if not ahead:
            return self.members, self.nameservers
        new = {(c.group, c.peer) for c in self.changes if c.act in (Act.CREATE, Act.MOVE)}
        before = {(peer.group, peer.id): peer for peer in members_of(self.seen.present).peers}
        known = set(nameservers_of([each for each in self.seen.present if each.is_broker]))
        todo = {(c.group, c.peer) for wave in ahead for c in wave.changes}
        peers = []
        for peer in self.members.peers:
            key = (peer.group, peer.id)
            if key in new:
                continue
            peers.append(before.get(key, peer) if key in todo else peer)
        return Members(tuple(peers)), [address for address in self.nameservers if address in known]

    def _wait(self, wave: Wave, ahead: Sequence[Wave]) -> None:
        """All whom the wave is about are well, as far as they can be while the waves ``ahead`` are still to come."""
        members, nameservers = self._settled(ahead)
        timeout_s = self.options.timeout_s
        if not wave.of_brokers:
            self._wait_known(members, nameservers)
            return
        groups = list(dict.fromkeys(change.group for change in wave.changes if change.group))
        chosen = Members(tuple(peer for peer in members.peers if peer.group in groups))
        if not chosen.peers or not nameservers:
            return
        wait_ready(self.pool, chosen, nameservers, timeout_s=timeout_s, write=False, describe=self._last_words)
        for group in groups:
            wait_caught_up(self.pool, chosen, nameservers, group=group, timeout_s=timeout_s)

    def _wait_known(self, members: Members, nameservers: Sequence[str]) -> None:
        """Every NameServer answers, and names the leader of each group that has one: a broker tells one that was
        started anew within half a minute (registerNameServerPeriod)."""

        def probe() -> bool | Pending:
            status = ask(self.pool, members, nameservers, timeout_s=2.0, full=False)
            wrong = [f"{each.address}: {each.error}" for each in status.nameservers if each.error]
            wrong += [group.summary for group in status.groups if group.raft_leader and group.disagreements]
            return Pending("; ".join(wrong)) if wrong else True

        wait_until(
            probe,
            label="every NameServer knows every leader",
            timeout_s=self.options.timeout_s,
            every_s=0.2,
            hint="`rmqkit status` on the specification shows all views",
        )

    def _wait_end(self) -> ClusterStatus:
        """All views agree on a leader of each group, and everybody is in; in staging a write was acknowledged, too."""
        began = time.monotonic()
        write = self.site.plan.deployment.environment is Environment.STAGING and any(
            change.act is not Act.KEEP for change in self.changes
        )
        timeout_s = self.options.timeout_s
        try:
            wait_ready(
                self.pool,
                self.members,
                self.nameservers,
                timeout_s=timeout_s,
                write=write,
                describe=self._last_words,
            )
        except NotReadyError as error:
            raise NotReadyError(
                error.what,
                details=error.details,
                hint="processes stay as they are: `rmqkit status` on the specification shows them, `docker logs` on a "
                "host what one says; deploy again when it is mended. A slow machine needs more --timeout",
            ) from error
        self.on_step(f"all views agree, {time.monotonic() - began:.1f} s after the last step")
        return ask(self.pool, self.members, self.nameservers)

    def _last_words(self) -> list[str]:
        """What is not well on each host, with its last line."""
        lines = []
        for view in survey(self.site).views:
            if view.error is not None:
                lines.append(view.error.what)
            for container in view.containers:
                if container.up and container.health in ("", "healthy"):
                    continue
                where = f"{view.engine.host}: {container.service}"
                lines.append(f"{where} is {container.status} {container.health}, exit code {container.exit_code}")
                lines += [f"{where} last said: {line}" for line in view.engine.logs(container.id, tail=2)]
        return lines

    def _note_progress(self, error: RmqkitError, order: Sequence[Wave], number: int) -> None:
        done = "; ".join(map(str, order[:number])) or "nothing"
        left = "; ".join(map(str, order[number + 1 :])) or "nothing"
        error.add_note(f"Stopped in step {number + 1} of {len(order)} ({order[number]}). Done: {done}. Left: {left}.")
        if any(change.interrupts for wave in order[: number + 1] for change in wave.changes):
            error.add_note("To go back, deploy the specification as it was before: it is done one host at a time, too.")
