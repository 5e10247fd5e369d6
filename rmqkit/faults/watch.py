"""Who leads, as each peer, each broker and each NameServer says, sampled without a pause while a fault lasts.

What belongs here: the phases of a change of leader under any fault, each with how finely it is known. What does not:
what the sends saw of it (``rmqkit.checks``), and the fault itself. Each process is asked by a thread of its own: one
that is frozen or cut off costs the others no resolution.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.peers import Peer
from rmqkit.cluster.status import ask_nameserver, ask_peer
from rmqkit.faults.timeline import ELECTED, LEFT, REGISTERED, SERVES
from rmqkit.transport.pool import ChannelPool, Pipeline

EVERY_S = 0.02
_ANSWER_S = 0.25
"""A process that answers later than this is asked again over a new connection."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One phase. ``at_s`` is when it was first seen, in seconds after the injection began; it came at most ``within_s``
    before that: then the same process was asked the last time, and said otherwise.

    ``name`` is "left" (``target``, a peer, no longer names the leader that it named), "elected" (a majority of all
    peers names ``target``), "serves" (its broker is the master, by its live configuration) or "registered" (every
    NameServer that answers shows it as broker 0). ``target`` is of ``group``.
    """

    name: str
    target: str
    at_s: float
    within_s: float
    group: str = ""

    def __str__(self) -> str:
        return f"{self.target} {self.name} {self.at_s:.2f} s (within {1000 * self.within_s:.0f} ms)"


Event = tuple[str, str]
"""A phase and its target."""

_Views = dict[str, Iterator[Event]]
"""What one round of questions to one process brought: each view, and the phases that it completes."""


class Switch:
    """The phases of a group's changes of leader, from single views as they come in. Pure.

    ``leader`` is whom all views agreed on before. Each method takes one view and gives the phases that it completes.
    """

    def __init__(self, peers: Sequence[Peer], *, leader: Peer) -> None:
        self._peers = {peer.id: peer for peer in peers}
        self._named: dict[str, str | None] = dict.fromkeys(self._peers, leader.id)
        self._leads: dict[str, bool] = {}
        self._routes: dict[str, str | None] = {}
        self._leader = leader
        self._lost = False
        self._missing: set[str] = set()

    def raft(self, peer_id: str, named: str | None) -> Iterator[Event]:
        """A peer names ``named`` as its leader, or nobody."""
        before, self._named[peer_id] = self._named[peer_id], named
        if before is not None and named != before:
            yield LEFT, peer_id
        leader = self._majority()
        if leader is None:
            self._lost = True
        elif leader != self._leader or self._lost:
            self._leader, self._lost, self._missing = leader, False, {SERVES, REGISTERED}
            yield ELECTED, leader.id
            yield from self._followed()

    def broker(self, peer_id: str, *, leads: bool) -> Iterator[Event]:
        """A peer's broker is the master by its own configuration, or not."""
        self._leads[peer_id] = leads
        yield from self._followed()

    def route(self, nameserver: str, address: str | None) -> Iterator[Event]:
        """A NameServer shows ``address`` as the group's broker 0, or none."""
        self._routes[nameserver] = address
        yield from self._followed()

    def silent(self, nameserver: str) -> Iterator[Event]:
        """A NameServer does not answer: what the others say is what there is."""
        self._routes.pop(nameserver, None)
        yield from self._followed()

    def _majority(self) -> Peer | None:
        said = [named for named in self._named.values() if named in self._peers]
        for name in set(said):
            if name is not None and 2 * said.count(name) > len(self._peers):
                return self._peers[name]
        return None

    def _followed(self) -> Iterator[Event]:
        if SERVES in self._missing and self._leads.get(self._leader.id):
            self._missing.discard(SERVES)
            yield SERVES, self._leader.id
        if REGISTERED in self._missing and self._routes and set(self._routes.values()) == {self._leader.address}:
            self._missing.discard(REGISTERED)
            yield REGISTERED, self._leader.id


class Watch:
    """Asks every peer of a group and every NameServer, each every ``EVERY_S`` seconds, while the ``with`` block lasts.

    ``on_seen`` is called for each phase when it is seen, by the thread that saw it; times count from ``began``, a
    moment of the monotonic clock. Without a ``pool`` it has connections of its own, so that a frozen process's are not
    the cluster's.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        leader: Peer,
        began: float,
        on_seen: Callable[[Seen], None],
        pool: Pipeline | None = None,
    ) -> None:
        self._members = cluster.members.of(leader.group)
        self._nameservers = cluster.nameservers
        self._group = leader.group
        self._switch = Switch(self._members, leader=leader)
        self._on_seen = on_seen
        self._own = ChannelPool() if pool is None else None
        self._pool: Pipeline = pool or self._own  # type: ignore[assignment]
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._began = began
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        asking = [
            *(self._asks_peer(peer) for peer in self._members),
            *(self._asks_nameserver(address) for address in self._nameservers),
        ]
        for number, ask in enumerate(asking):
            thread = threading.Thread(target=self._sample, args=(ask,), daemon=True, name=f"rmqkit-watch-{number}")
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        if self._own is not None:
            self._own.close()

    def _sample(self, ask: Callable[[], _Views]) -> None:
        """Ask again and again; a view that did not come leaves open since when its next one has been true."""
        last: dict[str, float] = {}
        while not self._over.is_set():
            asked = time.monotonic()
            views = ask()
            now = time.monotonic()
            with self._lock:
                for view, events in views.items():
                    since = last.get(view, self._began)
                    last[view] = asked
                    for name, target in events:
                        self._on_seen(Seen(name, target, now - self._began, now - since, self._group))
            self._over.wait(max(0.0, EVERY_S - (now - asked)))

    def _asks_peer(self, peer: Peer) -> Callable[[], _Views]:
        def ask() -> _Views:
            view = ask_peer(self._pool, peer, self._members, timeout_s=_ANSWER_S, full=False)
            views: _Views = {}
            if not view.raft_error:
                views["raft"] = self._switch.raft(peer.id, view.raft_leader)
            if not view.broker_error:
                views["broker"] = self._switch.broker(peer.id, leads=view.leads)
            return views

        return ask

    def _asks_nameserver(self, address: str) -> Callable[[], _Views]:
        def ask() -> _Views:
            said = ask_nameserver(self._pool, address, timeout_s=_ANSWER_S)
            if said.error:
                return {"silence": self._switch.silent(address)}
            return {"route": self._switch.route(address, said.table.get(self._group, {}).get(0))}

        return ask
