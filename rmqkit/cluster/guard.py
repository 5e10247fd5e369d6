"""A guard: a helper container that does one thing to a running cluster, and takes it back by itself at its deadline.

What belongs here: the container's life, and the proof that what it did is gone. What does not: what is done
(``rmqkit/faults``). The guard runs the cluster's own image, carries the run's labels, and is no service of it. It
outlives a kit that was killed: a dead man's timer inside it undoes its work.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rmqkit.cluster.engine import Engine, translated
from rmqkit.cluster.owner import Owner
from rmqkit.cluster.signals import held_back
from rmqkit.errors import EngineError, FaultError, RmqkitError, WaitTimeoutError
from rmqkit.topology.brokerconf import DATA_DIR
from rmqkit.topology.names import LABEL_ROLE, LABEL_RUN
from rmqkit.waiting import Pending, wait_until

if TYPE_CHECKING:
    from rmqkit.cluster.cluster import Cluster
    from rmqkit.cluster.peers import Peer

ROLE_GUARD = "guard"
LEFT = 3
"""Exit code of a guard that could not take its work back."""
_TAKEN = "packets taken: "


@dataclass(frozen=True, slots=True)
class Task:
    """What a guard does. ``do``, ``undo`` and ``gone`` are commands of ``sh``.

    ``undo`` must be harmless where nothing was done; ``gone`` succeeds when, and only when, nothing of it is left.
    ``taken``, where given, prints how many packets it took; asked before the undoing. ``network`` joins the cluster's
    own network; ``volumes`` are mounts (name or path, to where); ``user`` and ``capabilities`` are all that it may.
    """

    what: str
    do: str
    undo: str
    gone: str
    taken: str = ""
    network: bool = False
    user: str = "0:0"
    capabilities: tuple[str, ...] = ()
    volumes: Mapping[str, str] = field(default_factory=dict)

    def watch(self, dead_man_s: float) -> str:
        """What the guard runs: wait for SIGTERM or the deadline, take the work back, look, and say so by its code."""
        return (
            "over() {\n"
            "trap '' TERM INT\n"
            "kill $timer 2>/dev/null\n"
            f"{self._counted()}{self.undo}\n"
            f"if ( {self.gone}\n); then exit 0; fi\n"
            f"exit {LEFT}\n"
            "}\n"
            "trap over TERM INT\n"
            f"sleep {dead_man_s:.3f} &\n"
            "timer=$!\n"
            "wait $timer\n"
            'echo "ended by the dead man\'s timer"\n'
            "over\n"
        )

    def once(self) -> str:
        """What a second container runs where the guard itself was killed: only the undoing."""
        return f"{self._counted()}{self.undo}\n{self.gone}\n"

    def _counted(self) -> str:
        return f'echo "{_TAKEN}$({self.taken})"\n' if self.taken else ""


class Guard:
    """A running guard. Made by :meth:`posted`; :meth:`relieve` takes its work back and removes it."""

    def __init__(self, cluster: Cluster, task: Task, *, container: str, dead_man_s: float) -> None:
        self.cluster = cluster
        self.task = task
        self.container = container
        self.dead_man_s = dead_man_s
        self.since = time.monotonic()

    @classmethod
    def posted(cls, cluster: Cluster, task: Task, *, dead_man_s: float) -> Guard:
        """Start a guard and have it do its task; returns when that is done.

        Raises FaultError with the command's own words when it fails; nothing is left then. ``dead_man_s`` is how many
        seconds from now it takes its work back by itself.
        """
        engine = _engine_of(cluster)
        with ExitStack() as undo:
            # Between the engine's making it and this process having what removes it, a signal would leave it behind.
            with held_back():
                container = _start(cluster, task, task.watch(dead_man_s))
                guard = cls(cluster, task, container=container, dead_man_s=dead_man_s)
                undo.push(guard._relieved_after)
            with translated(f"{task.what}: run a command in {container[:12]}"):
                made = engine.client.api.exec_create(container, ["sh", "-ec", task.do], user=task.user)
                output = engine.client.api.exec_start(made["Id"])
                code = engine.client.api.exec_inspect(made["Id"])["ExitCode"]
            if code != 0:
                raise FaultError(
                    f"{task.what}: the guard's command ended with exit code {code}",
                    details=bytes(output).decode("utf-8", "replace").splitlines()[-12:],
                    hint="the lines above are the command's own",
                )
            undo.pop_all()
        return guard

    def _relieved_after(self, _type: object, error: BaseException | None, _trace: object) -> None:
        """Relieve it, because of ``error``; what fails besides is a note on that."""
        with held_back():
            try:
                self.relieve()
            except RmqkitError as second:
                if error is None:
                    raise
                error.add_note(f"Besides, {second}")

    def relieve(self, *, within_s: float = 10.0) -> int | None:
        """Have the work taken back, see that nothing of it is left, and remove the container (last: it has the timer).

        Returns how many packets were taken, where the task counts them; None where it does not, or nobody knows.

        Raises FaultError when something is left, and when the deadline had ended the fault before: then it was shorter
        than the caller believes.
        """
        engine = _engine_of(self.cluster)
        ended = not self._running(engine)
        code, words = self._ended(engine, within_s=within_s)
        # One that was killed took nothing back: its work lasted until now.
        early = ended and code == 0
        if code != 0 and self._network_is_up(engine):
            words = self._undone_by_another(engine, within_s=within_s)
        taken = _taken(words)
        _remove(engine, self.container)
        if early:
            raise FaultError(
                f"{self.task.what}: it had ended by itself: its dead man's timer was set to {self.dead_man_s:g} s, "
                f"and {time.monotonic() - self.since:.0f} s have passed",
                details=words,
                hint="give the fault a longer dead_man_s than the test takes",
            )
        return taken

    def _running(self, engine: Engine) -> bool:
        try:
            return engine.state(self.container).running
        except EngineError:
            return False

    def _ended(self, engine: Engine, *, within_s: float) -> tuple[int, list[str]]:
        """The guard's exit code and words after it was asked to end; a code that is not 0 where it is gone or hangs."""

        def over() -> int | Pending:
            state = engine.state(self.container)
            return Pending("it still runs") if state.running else state.exit_code

        try:
            with suppress(EngineError):  # it may have ended by itself a moment ago
                engine.kill(self.container, signal="SIGTERM")
            code = wait_until(over, label=f"{self.task.what}: taken back", timeout_s=within_s, every_s=0.01)
            return code, engine.logs(self.container) if code or self.task.taken else []
        except (EngineError, WaitTimeoutError) as error:
            return LEFT, str(error).splitlines()

    def _network_is_up(self, engine: Engine) -> bool:
        """Whether there is something that the work could be left in."""
        if not self.task.network or not self.cluster.network_mode.startswith("container:"):
            return True
        try:
            return engine.state(self.cluster.network_mode.removeprefix("container:")).running
        except EngineError:
            return False

    def _undone_by_another(self, engine: Engine, *, within_s: float) -> list[str]:
        """The undoing by a second container, where the guard was killed or hangs; what it said.

        A guard that still runs stays where that fails: its dead man's timer is the last that may take the work back.
        """
        try:
            code, words = tried(self.cluster, self.task, self.task.once(), timeout_s=within_s)
        except RmqkitError as error:
            code, words = LEFT, str(error).splitlines()
        if code == 0:
            return words
        if not self._running(engine):
            _remove(engine, self.container)
        raise FaultError(
            f"{self.task.what}: it could not be taken back (exit code {code})",
            details=words,
            hint=f"remove the cluster to be rid of it: rmqkit down {self.cluster.run}",
        )


def _taken(words: Sequence[str]) -> int | None:
    """How many packets a guard says that it took; None where it does not say."""
    counts = [word.removeprefix(_TAKEN) for word in words if word.startswith(_TAKEN)]
    return int(counts[-1]) if counts and counts[-1].isdecimal() else None


def tried(cluster: Cluster, task: Task, script: str, *, timeout_s: float = 10.0) -> tuple[int, list[str]]:
    """Run ``script`` to its end in a container that has what ``task`` has; its exit code and what it printed.

    Raises WaitTimeoutError when it does not end.
    """
    engine = _engine_of(cluster)
    with ExitStack() as undo:
        # As in Guard.posted: whoever is interrupted here has what removes the container.
        with held_back():
            container = _start(cluster, task, script)
            undo.callback(_remove, engine, container)

        def over() -> int | Pending:
            state = engine.state(container)
            return Pending("it still runs") if state.running else state.exit_code

        code = wait_until(over, label=f"{task.what}: the command has ended", timeout_s=timeout_s, every_s=0.02)
        return code, engine.logs(container, tail=None)


def store_of(cluster: Cluster, peer: Peer) -> str:
    """What a guard mounts to have the peer's store: the name of its volume, or its folder on the engine's host."""
    engine = _engine_of(cluster)
    with translated(f"inspect the store of {peer}"):
        mounts = engine.client.api.inspect_container(cluster.container_of(peer))["Mounts"]
    for mount in mounts:
        if mount["Destination"] == DATA_DIR:
            return str(mount.get("Name") or mount["Source"])
    raise EngineError(f"{peer} has no store at {DATA_DIR}", hint="was it started by another version of the kit?")


def _engine_of(cluster: Cluster) -> Engine:
    """The engine; raises ReadOnlyClusterError on attached clusters."""
    cluster.container_of(cluster.members.peers[0])
    assert cluster.engine is not None
    return cluster.engine


def _start(cluster: Cluster, task: Task, script: str) -> str:
    """Start a container of the cluster's image that runs ``script``; returns its id. To be called with signals held
    back: an interruption between the engine's making it and the return would leave it behind."""
    engine = _engine_of(cluster)
    assert cluster.spec is not None
    labels = {**_labels(engine, cluster), LABEL_ROLE: ROLE_GUARD}
    with translated(f"start a guard to {task.what}"):
        api: Any = engine.client.api
        host = api.create_host_config(
            network_mode=cluster.network_mode if task.network else "none",
            cap_drop=["ALL"],
            cap_add=list(task.capabilities),
            security_opt=["no-new-privileges:true"],
            binds=[f"{source}:{target}" for source, target in task.volumes.items()],
            # Else the image's own data folder would be one more anonymous volume.
            tmpfs={DATA_DIR: ""},
        )
        made = api.create_container(
            cluster.spec.image_ref,
            entrypoint=["sh", "-c", script],
            command=[],
            user=task.user,
            labels=labels,
            host_config=host,
            healthcheck={"test": ["NONE"]},
            working_dir="/",
        )
        container = str(made["Id"])
        try:
            api.start(container)
        except BaseException:
            _remove(engine, container)
            raise
    return container


def _labels(engine: Engine, cluster: Cluster) -> dict[str, str]:
    """The labels of the run: whoever removes it, or finds its owner dead, removes its guards with it."""
    own = engine.state(cluster.container_of(cluster.members.peers[0])).labels
    mine = Owner.myself().labels(cluster.run, kept=False)
    return {key: own.get(key, value) for key, value in mine.items()} | {LABEL_RUN: cluster.run}


def _remove(engine: Engine, container: str) -> None:
    """Remove a container of ours, whether or not it still runs or exists."""
    import docker.errors  # noqa: PLC0415 - costs 0.25 s, so not at start

    with held_back(), translated(f"remove {container[:12]}"), suppress(docker.errors.NotFound):
        engine.client.api.remove_container(container, force=True, v=True)
