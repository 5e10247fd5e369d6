"""What a fault is: a value that says what it would do, whether it can, to whom, and that can be undone.

What belongs here: the interface, and what most faults of processes share. What does not: the order of the steps around
an injection (``wrapper``), which faults there are (``registry``), and any one fault: those have a file each.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from random import Random
from typing import ClassVar, Self, TypeVar

from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.peers import Peer
from rmqkit.cluster.signals import held_back
from rmqkit.errors import RmqkitError
from rmqkit.faults.select import ROLES, group_of, select

Undo = Callable[[], int | None]
"""What takes a fault back; gives how many packets it took, None where that means nothing or is not known. Short and
bounded, as it is called with signals held back; harmless where there is nothing to take back any more."""

T = TypeVar("T")

IN_WORDS = {
    "leader": "the leader",
    "follower": "a follower",
    "minority": "a minority",
    "majority": "a majority",
    "all": "all peers",
}

READ_ONLY = (
    "this cluster is attached to by its NameServer, and so read only; "
    "start one with the kit (rmqkit up, Cluster.start), attach by run (Cluster.attach_run), or give access to the "
    "engine (Cluster.attach with engine= and project=)"
)
NOT_OURS = (
    "the kit did not start this cluster, and knows its brokers' containers alone: no NameServers, networks, stores; "
    "start one with the kit (rmqkit up, Cluster.start)"
)


class Fault(abc.ABC):
    """One thing that is done to a cluster. Concrete faults are frozen dataclasses whose fields are plain values with
    defaults, so that a schedule can write them down; ``kind`` is their name there, in the registry and in the history.

    Nothing happens when one is made: :func:`~rmqkit.faults.wrapper.injected` does it, and undoes it.
    """

    __slots__ = ()
    kind: ClassVar[str]
    brief: ClassVar[bool] = True
    """Whether ``inject`` takes a few seconds at most: then signals are held back meanwhile. One that is not brief
    counts as injected from its beginning, and must leave nothing that only the returned undo would take back."""

    own_only: ClassVar[bool] = False
    """Whether it needs to know how the cluster was made: the kit's own clusters alone can have it."""

    def why_not(self, cluster: Cluster) -> str:
        """Why it cannot work on this cluster, and the mend, in words; "" if it can. Changes nothing."""
        if not cluster.services:
            return READ_ONLY
        return NOT_OURS if self.own_only and cluster.spec is None else ""

    def check_names(self, cluster: Cluster) -> None:
        """Raise NotFoundError for a group, peer or NameServer that there is not, naming those that are. Asks nobody."""
        self.groups(cluster)

    def groups(self, cluster: Cluster) -> tuple[str, ...]:
        """The groups that must be healthy before it, and have caught up after it: every one, unless it says less."""
        return cluster.members.groups

    @abc.abstractmethod
    def targets(self, cluster: Cluster) -> tuple[Peer, ...]:
        """The peers it is done to, as the cluster is now; asked once, at injection. Empty where it is done to none."""

    def out_at_once(self, targets: Sequence[Peer]) -> Iterable[Sequence[Peer]]:
        """The sets of peers that are out of service at the same time: the quorum guard looks at each."""
        return (targets,) if targets else ()

    def check_targets(self, cluster: Cluster, targets: Sequence[Peer]) -> None:  # noqa: B027 - most can do it to any
        """Raise UsageError where it means nothing to do it to these, whoever leads by then. Changes nothing."""

    def target_text(self, cluster: Cluster, targets: Sequence[Peer]) -> str:  # noqa: ARG002 - for those without peers
        """How the history names what it was done to."""
        return ",".join(map(str, targets))

    @abc.abstractmethod
    def inject(self, cluster: Cluster, targets: Sequence[Peer]) -> Undo:
        """Do it, and return what takes it back. One that fails half way has undone itself when it raises."""

    def settle(self, cluster: Cluster, targets: Sequence[Peer]) -> None:  # noqa: B027 - most have nothing to wait for
        """What may be waited for before the undo, when all went well: the end of an orderly stop, say."""

    @abc.abstractmethod
    def describe(self) -> str:
        """What it does, in a few words: "kill the leader"."""

    @classmethod
    def random(cls, rng: Random) -> Self:  # noqa: ARG003 - for those with a choice
        """One for a random schedule: such that a healthy group of three keeps its majority."""
        return cls()

    def __str__(self) -> str:
        return self.describe()


@dataclass(frozen=True, slots=True)
class PeerFault(Fault):
    """A fault of peers chosen by role or name, see :func:`~rmqkit.faults.select.select`.

    ``group`` is needed where a cluster has several and ``target`` names none; ``seed`` decides where a role leaves a
    choice.
    """

    target: str = "leader"
    group: str | None = None
    seed: int = 0

    def check_names(self, cluster: Cluster) -> None:
        """Its group, and its peer where it names one."""
        (group,) = self.groups(cluster)
        if self.target.rpartition("/")[2] not in ROLES:
            select(cluster, self.target, group=group)

    def groups(self, cluster: Cluster) -> tuple[str, ...]:
        """The group of its targets."""
        return (group_of(cluster, self.target, group=self.group),)

    def targets(self, cluster: Cluster) -> tuple[Peer, ...]:
        """The peers that are meant by ``target`` now."""
        return select(cluster, self.target, group=self.group, rng=Random(self.seed))

    def describe(self) -> str:
        """The kind and whom it is done to."""
        of = f" of {self.group}" if self.group else ""
        return f"{self.kind} {IN_WORDS.get(self.target, self.target)}{of}"

    @classmethod
    def random(cls, rng: Random) -> Self:
        """The leader as often as a follower."""
        return cls(target=rng.choice(("leader", "follower")), seed=rng.randrange(2**32))


def done_to_each(things: Iterable[T], do: Callable[[T], None], undo: Callable[[T], None]) -> Undo:
    """Do something to each of ``things``; returns what undoes it for all of them, the last one first.

    When one fails, those before it are undone, and it too: an engine whose answer was lost may have done it. Every undo
    is tried, whatever becomes of the others. What fails while undoing is a note on the first error.
    """
    undos = ExitStack()
    try:
        for thing in things:
            undos.callback(undo, thing)
            do(thing)
    except BaseException as error:
        with held_back():
            try:
                undos.close()
            except RmqkitError as second:
                error.add_note(f"Besides, undoing it failed: {second}")
        raise
    return undos.close
