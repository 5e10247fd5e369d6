"""What the three commands of ``rmqkit load`` have in common: which cluster, what is checked before, what is left after.

What belongs here: the order of the steps. What does not: options (``load``), the run itself (``rmqkit.load.runner``),
words (``load_text``, ``load_screen``).
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmqkit.checks import timelines
from rmqkit.cli.common import own_cluster, say, settings, show
from rmqkit.cli.load_screen import screen
from rmqkit.cli.load_text import exit_code, text
from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.signals import sigterm_unwinds
from rmqkit.cluster.topics import wait_topic_everywhere
from rmqkit.drivers import BUILT_IN, JAVA, DriverProducer, Target, open_producer
from rmqkit.drivers.interface import HIDDEN_RETRIES
from rmqkit.errors import ReadOnlyClusterError, RmqkitError, UsageError
from rmqkit.history import History
from rmqkit.load.clients import driver_senders, group_receivers
from rmqkit.load.ended import LoadParts
from rmqkit.load.plan import ReceivePlan, SendPlan
from rmqkit.load.preflight import Ground, survey
from rmqkit.load.runner import Load
from rmqkit.report import prepare_report, write_report
from rmqkit.scenario import kill_leader_during
from rmqkit.settings import Settings
from rmqkit.transport.pool import ChannelPool
from rmqkit.witness import Witness, witness_folder, witnessed

_MOST_SEED = 1 << 31


def seed_of(seed: int | None) -> int:
    """The seed that was asked for, or a new one."""
    return secrets.randbelow(_MOST_SEED) if seed is None else seed


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is to be left of a run: files, and the form of the answer. Checked before: a run may take an hour."""

    report: Path | None
    history: Path | None
    as_json: bool

    def check(self) -> None:
        """Raise UsageError or MachineError for what could not be written afterwards."""
        path = self.history
        if path is not None and path.exists():
            raise UsageError(f"{path} exists already", hint="name a folder that does not exist yet")
        if path is not None and not os.access(path.parent, os.W_OK):
            raise UsageError(
                f"{path.parent} is not a folder that can be written to", hint="name one in a folder that is"
            )
        if self.report is not None:
            prepare_report(self.report)

    def begin(self, stack: ExitStack) -> History | None:
        """A history, if anything is to be left of the operations. One with a folder is written while the run goes on:
        memory stays flat, and what a killed run had is there."""
        if self.history is not None:
            return stack.enter_context(History.recording(self.history))
        return None if self.report is None else History()

    @contextmanager
    def witness(self) -> Iterator[Witness | None]:
        """What is taken down beside the operations, where there is to be a report."""
        if self.report is None:
            yield None
            return
        with witness_folder() as found:
            yield found

    def keep(self, summary: Mapping[str, Any], history: History | None, witness: Witness | None) -> None:
        """Write the report, also of a run that failed: then it is wanted most."""
        if self.history is not None:
            say(f"every operation is in {self.history}")
        if self.report is not None and history is not None:
            page = write_report(
                self.report,
                history=history,
                summary=summary,
                command=["rmqkit", *sys.argv[1:]],
                beside=witness.folder if witness is not None else None,
            )
            say(f"the report is {page}")


@dataclass(frozen=True, slots=True)
class Kill:
    """A leader kill in the middle of a load."""

    at_s: float
    group: str | None

    @classmethod
    def asked(cls, at_s: float | None, *, group: str | None, plan: SendPlan) -> Kill | None:
        """What the options say; None for no kill. Raises UsageError for a kill that the traffic would not see."""
        if at_s is None:
            if group is not None:
                raise UsageError(f"--kill-leader-of {group} without --kill-leader-at", hint="say when, too")
            return None
        if not at_s > 0:
            raise UsageError(f"--kill-leader-at is {at_s:g}", hint="seconds after the start, for example 20")
        if plan.duration_s is not None and at_s >= plan.duration_s:
            raise UsageError(
                f"--kill-leader-at {at_s:g} is not within --duration {plan.duration_s:g}",
                hint="leave time for the switch, some 10 s, and for traffic after it",
            )
        return cls(at_s, group)


def run(
    command: str,
    *,
    send: SendPlan | None,
    receive: ReceivePlan | None,
    namesrv: str | None,
    run: str | None,
    seed: int,
    evidence: Evidence,
    kill: Kill | None = None,
    timeout: float | None = None,
) -> int:
    """Check, run, tell; the exit code is the summary's. Raises what made the run impossible, or ended it."""
    if namesrv is not None and run is not None:
        raise UsageError("--namesrv and --run name two clusters", hint="give one of them")
    evidence.check()
    chosen = settings(namesrv=namesrv, timeout_s=timeout)
    drivers = send.drivers if send is not None else ()
    topic = send.topic if send is not None else receive.topic if receive is not None else ""
    with evidence.witness() as witness:
        with ExitStack() as stack:
            stack.enter_context(sigterm_unwinds())
            cluster, nameservers = _meant(stack, run=run, chosen=chosen, drivers=drivers, kill=kill)
            with ChannelPool() as pool:
                ground = survey(pool, nameservers, topic=topic, plan=send)
            if cluster is not None and kill is not None:
                say(f"waiting until every follower has copied {topic}")
                wait_topic_everywhere(cluster, topic, group=kill.group)
            producers = _producers(stack, drivers, Target(nameservers=nameservers, cluster=cluster))
            parts = LoadParts(
                nameservers=nameservers,
                command=command,
                run=secrets.token_hex(4),
                seed=seed,
                send=send,
                receive=receive,
                receivers=None if receive is None else group_receivers(nameservers, receive),
                queues=sum(ground.queues.values()),
                drivers={name: driver_senders(producer) for name, producer in producers.items()},
                hidden_retries=frozenset(
                    name for name, producer in producers.items() if HIDDEN_RETRIES in producer.capabilities
                ),
                cluster=_told(ground, cluster),
            )
            show_progress = stack.enter_context(screen(sends=send is not None, receives=receive is not None))
            alongside = None
            if cluster is not None and kill is not None:
                alongside = kill_leader_during(cluster, at_s=kill.at_s, group=kill.group, on_step=say)
            history = evidence.begin(stack)
            if history is not None:
                for address, group in ground.peers.items():
                    history.add_peer(address, group)
            load = Load(parts, history=history, on_progress=show_progress, alongside=alongside)
            if witness is not None:
                _watch(stack, cluster, nameservers, witness)
            summary = load.run()
        found = timelines(load.history)
        trouble = witness.trouble if witness is not None else []
        plain = {**summary.as_dict(), "timelines": [each.as_dict() for each in found]}
        plain["notes"] = [*plain["notes"], *trouble]
        show([json.dumps(plain, indent=2)] if evidence.as_json else [*text(summary, found), *trouble])
        evidence.keep(plain, history, witness)
    if load.failure is not None:
        raise load.failure
    return exit_code(summary, faulty=kill is not None)


def _meant(
    stack: ExitStack, *, run: str | None, chosen: Settings, drivers: tuple[str, ...], kill: Kill | None
) -> tuple[Cluster | None, tuple[str, ...]]:
    """The kit's cluster that is meant, None where NameServers name another, and the NameServers."""
    if run is not None or chosen.namesrv is None:
        cluster = stack.enter_context(own_cluster(run, timeout_s=chosen.timeout_s))
        return cluster, tuple(cluster.nameservers)
    if kill is not None or JAVA in drivers:
        raise ReadOnlyClusterError(
            f"{'--kill-leader-at' if kill else '--driver java'} acts on containers, and --namesrv names a"
            " cluster that the kit did not start",
            hint="start one with `rmqkit up`, and name it with --run",
        )
    return None, tuple(filter(None, (each.strip() for each in chosen.namesrv.replace(",", ";").split(";"))))


def _watch(stack: ExitStack, cluster: Cluster | None, nameservers: Sequence[str], witness: Witness) -> None:
    """Take down what the cluster is and says until the stack ends; of one that is only attached to its status."""
    try:
        seen = cluster if cluster is not None else stack.enter_context(Cluster.attach(nameservers))
    except RmqkitError as error:
        witness.trouble.append(f"the cluster could not be attached to, so nothing of its status is kept: {error.what}")
        return
    stack.enter_context(witnessed(seen, witness))


def _producers(stack: ExitStack, names: tuple[str, ...], target: Target) -> dict[str, DriverProducer]:
    """The producers of drivers that are not built in; a client that is missing is found out before anything is sent."""
    return {name: stack.enter_context(open_producer(name, target)) for name in names if name != BUILT_IN}


def _told(ground: Ground, cluster: Cluster | None) -> Mapping[str, Any]:
    build = cluster.build_info() if cluster is not None else None
    return {**ground.as_dict(), "run": cluster.run if cluster is not None else "", "build": str(build or "")}
