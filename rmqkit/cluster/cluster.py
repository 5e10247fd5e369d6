"""``Cluster``: a running RocketMQ DLedger cluster, started by the kit or attached to.

What belongs here: one object that answers questions and acts on peers. How is in the neighbours: ``lifecycle``,
``readiness``, ``status``, ``peers``. Faults with their undoing are in ``rmqkit/faults``.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from rmqkit.client.broker import BrokerClient
from rmqkit.client.nameserver import NameServerClient
from rmqkit.client.raft import RaftClient
from rmqkit.cluster.buildinfo import BuildInfo
from rmqkit.cluster.engine import ContainerState, Engine
from rmqkit.cluster.images import DEFAULT_EDITION, build_info, image_name
from rmqkit.cluster.lifecycle import find_containers, running
from rmqkit.cluster.peers import Members, Peer, discover, from_spec
from rmqkit.cluster.ports import reserve_block
from rmqkit.cluster.project import containers_of_project
from rmqkit.cluster.readiness import wait_caught_up, wait_ready
from rmqkit.cluster.signals import sigterm_unwinds
from rmqkit.cluster.status import ClusterStatus, GroupStatus, ask
from rmqkit.errors import (
    BrokerExitedError,
    EngineError,
    NoLeaderError,
    NotFoundError,
    ReadOnlyClusterError,
    UsageError,
)
from rmqkit.topology.names import LABEL_RUN, LABEL_SPEC
from rmqkit.topology.spec import NET_SERVICE, ClusterSpec, Topology, pod_ports_needed
from rmqkit.transport.pool import ChannelPool


@dataclass(frozen=True, slots=True)
class StartTimes:
    """How long a start took, in seconds from the first container on; ``first_write_s`` is of the last group."""

    up_s: float
    first_write_s: float
    ready_s: float


def new_run_id() -> str:
    """A name for one run: unique, and short enough for a Compose project."""
    return f"rmqkit-{os.getpid()}-{secrets.token_hex(3)}"


class Cluster:
    """A running cluster. Made by :meth:`start`, :meth:`attach` or :meth:`attach_run`, all context managers.

    Peers are named by id (``n0``); where a cluster has several groups, ``group=`` says which. Errors of the
    network and of brokers are raised as :class:`~rmqkit.errors.RmqkitError` with the peer's address.
    """

    def __init__(
        self,
        *,
        members: Members,
        nameservers: Sequence[str],
        pool: ChannelPool,
        spec: ClusterSpec | None = None,
        engine: Engine | None = None,
        run: str = "",
        containers: Mapping[str, str] | None = None,
        timeout_s: float = 90.0,
    ) -> None:
        self.members = members
        self.nameservers = tuple(nameservers)
        self.pool = pool
        self.spec = spec
        self.engine = engine
        self.run = run
        self.timeout_s = timeout_s
        self._containers = dict(containers or {})
        self.start_times: StartTimes | None = None
        self._expected_down: set[str] = set()
        self._lock = threading.Lock()
        self._build_info: BuildInfo | None = None

    # ---- making one -------------------------------------------------------------------------------------

    @classmethod
    @contextmanager
    def start(
        cls,
        spec: ClusterSpec | None = None,
        *,
        edition: str = DEFAULT_EDITION,
        engine: Engine | None = None,
        timeout_s: float = 90.0,
        keep: bool = False,
    ) -> Iterator[Cluster]:
        """Start a cluster, wait until it is ready, and take it down at the end, whatever happens.

        Without a ``spec``: one NameServer and the group RaftNode00 of n0, n1, n2 of ``edition``, in a pod on free
        ports of 127.0.0.1. The Compose project gets the run's own name, whatever ``spec.name`` is. ``timeout_s``
        bounds each wait. Raises ImageError (not built), PortInUseError, ComposeError, BrokerExitedError (with its last
        log lines) or NotReadyError (with each peer's view).
        """
        with ExitStack() as stack:
            stack.enter_context(sigterm_unwinds())
            if engine is None:
                engine = stack.enter_context(Engine.connect())
            run = new_run_id()
            if spec is None:
                block = stack.enter_context(reserve_block(pod_ports_needed()))
                spec = ClusterSpec.pod(base_port=block.base, edition=edition, image=image_name(edition))
            # Two clusters under one Compose project would take over each other's containers.
            spec = spec.replace(name=run)
            began = time.monotonic()
            containers = stack.enter_context(running(spec, engine=engine, run=run, keep=keep))
            up_s = time.monotonic() - began
            pool = stack.enter_context(ChannelPool())
            cluster = cls(
                members=from_spec(spec),
                nameservers=[nameserver.address for nameserver in spec.nameservers],
                pool=pool,
                spec=spec,
                engine=engine,
                run=run,
                containers=containers.by_service,
                timeout_s=timeout_s,
            )
            written: list[float] = []
            cluster.wait_ready(on_written=lambda _group: written.append(time.monotonic() - began))
            cluster.start_times = StartTimes(up_s, max(written), time.monotonic() - began)
            yield cluster

    @classmethod
    @contextmanager
    def attach(
        cls, namesrv: str | Sequence[str], *, engine: Engine | None = None, project: str = "", timeout_s: float = 90.0
    ) -> Iterator[Cluster]:
        """Attach to a running cluster by its NameServers (``host:port;host:port``). Read only: nothing is written,
        and acts on its processes raise ReadOnlyClusterError.

        With ``engine`` and ``project`` (a Compose project on it, ``rocketmq-dledger`` for the kit's own file) the
        brokers that run there can be acted on: killed, stopped, frozen, started. A fault that times the switch then
        writes its probe messages there, too. Raises ClusterError when nobody answers, NotFoundError where the project
        has none of the brokers.
        """
        if (engine is None) != (not project):
            raise UsageError(
                "engine= and project= go together: which Compose project runs the brokers, and on which engine",
                hint='Cluster.attach(namesrv, engine=Engine.connect(), project="rocketmq-dledger")',
            )
        nameservers = namesrv.replace(",", ";").split(";") if isinstance(namesrv, str) else list(namesrv)
        nameservers = [address.strip() for address in nameservers if address.strip()]
        with ChannelPool() as pool:
            members, containers = discover(pool, nameservers), None
            if engine is not None:
                members, containers = containers_of_project(engine, project, members)
            yield cls(
                members=members,
                nameservers=nameservers,
                pool=pool,
                engine=engine,
                containers=containers,
                timeout_s=timeout_s,
            )

    @classmethod
    @contextmanager
    def attach_run(cls, run: str, *, engine: Engine, timeout_s: float = 90.0) -> Iterator[Cluster]:
        """Attach to one of the kit's clusters that is up (``rmqkit up``, ``--rmq-keep``), with access to its engine."""
        found = engine.containers({LABEL_RUN: run})
        texts = [container.labels[LABEL_SPEC] for container in found if LABEL_SPEC in container.labels]
        if not texts:
            raise NotFoundError(f"no cluster of run {run!r} is up", hint="`rmqkit status --list` shows those that are")
        spec = ClusterSpec.from_json(texts[0])
        with ChannelPool() as pool:
            yield cls(
                members=from_spec(spec),
                nameservers=[nameserver.address for nameserver in spec.nameservers],
                pool=pool,
                spec=spec,
                engine=engine,
                run=run,
                containers=find_containers(engine, run).by_service,
                timeout_s=timeout_s,
            )

    # ---- asking -----------------------------------------------------------------------------------------

    @property
    def namesrv_addr(self) -> str:
        """The NameServers as clients want them: ``host:port;host:port``."""
        return ";".join(self.nameservers)

    @property
    def peers(self) -> tuple[Peer, ...]:
        """Every peer of every group."""
        return self.members.peers

    def peer(self, peer_id: str, *, group: str | None = None) -> Peer:
        """A peer by id. Raises NotFoundError listing those that exist."""
        return self.members.one(peer_id, group=group)

    def nameserver(self, index: int = 0) -> NameServerClient:
        """A client of one NameServer."""
        return NameServerClient(self.pool, self.nameservers[index])

    def broker(self, peer: Peer | str) -> BrokerClient:
        """A client of one broker. Raises NotFoundError when its address is not known (attached, and down)."""
        found = self.peer(peer) if isinstance(peer, str) else peer
        if found.address is None:
            raise NotFoundError(
                f"the address of {found.group}/{found.id} is not known: it is not registered",
                hint="it was down when this cluster was attached to; attach again when it is up",
            )
        return BrokerClient(self.pool, found.address)

    def raft(self, peer: Peer | str) -> RaftClient:
        """A client of one peer's DLedger port."""
        found = self.peer(peer) if isinstance(peer, str) else peer
        return RaftClient(self.pool, found.raft_address, group=found.group, peer_id=found.id)

    def status(self, *, timeout_s: float = 2.0) -> ClusterStatus:
        """Every peer's, broker's and NameServer's view, now. Never writes, never raises for what is down."""
        return ask(self.pool, self.members, self.nameservers, timeout_s=timeout_s)

    def leader(self, group: str | None = None) -> Peer:
        """The leader on whom all views agree. Raises NoLeaderError with the views that differ."""
        name = self.members.of(group)[0].group
        status = ask(self.pool, self.members, self.nameservers, full=False).group(name)
        if status.leader is None:
            raise NoLeaderError(
                f"group {name} has no agreed leader: {'; '.join(status.disagreements)}",
                details=[f"{v.peer.id}: leader={v.raft_leader} {v.role} {v.raft_error}" for v in status.peers],
                hint="wait for one (`rmqkit status --watch`); with a majority down there can be none",
            )
        return status.leader

    def followers(self, group: str | None = None) -> tuple[Peer, ...]:
        """Every peer of the group but its leader. Raises NoLeaderError."""
        leader = self.leader(group)
        return tuple(peer for peer in self.members.of(leader.group) if peer != leader)

    def build_info(self) -> BuildInfo | None:
        """What the brokers' image was really built from; None on attached clusters."""
        if self.spec is None or self.engine is None:
            return None
        if self._build_info is None:
            self._build_info = build_info(self.engine, self.spec.image_ref)
        return self._build_info

    # ---- waiting ----------------------------------------------------------------------------------------

    def wait_ready(
        self, *, timeout_s: float | None = None, on_written: Callable[[str], None] = lambda _group: None
    ) -> ClusterStatus:
        """Wait until all views agree on a leader of each group, every peer is in, and a write was acknowledged.

        ``on_written`` is told each group's name at its first acknowledged write (attached clusters are not written to).
        """
        return wait_ready(
            self.pool,
            self.members,
            self.nameservers,
            timeout_s=timeout_s or self.timeout_s,
            write=self.spec is not None,
            alive=self.check_alive,
            on_written=on_written,
            describe=self._last_words,
        )

    def _last_words(self) -> list[str]:
        """The last line of each process: a cluster whose start failed is gone when `rmqkit logs` could be asked."""
        lines: list[str] = []
        for service, container in self._containers.items():
            if self.engine is None or service == NET_SERVICE:
                continue
            try:
                lines += [f"{service} last said: {line.strip()}" for line in self.engine.logs(container, tail=1)]
            except EngineError as error:
                lines.append(f"{service}: {error.what}")
        return lines

    def wait_caught_up(self, group: str | None = None, *, timeout_s: float | None = None) -> GroupStatus:
        """Wait until every peer of the group is in and has committed and dispatched what its leader has now."""
        return wait_caught_up(
            self.pool,
            self.members,
            self.nameservers,
            group=self.members.of(group)[0].group,
            timeout_s=timeout_s or self.timeout_s,
            alive=self.check_alive,
        )

    def check_alive(self) -> None:
        """Raise BrokerExitedError, with its last log lines, when a container ended that nobody ended on purpose."""
        if self.engine is None:
            return
        for service, container in self._containers.items():
            if service in self._expected_down:
                continue
            state = self.engine.state(container)
            if not state.running:
                why = "killed for want of memory" if state.oom_killed else f"exit code {state.exit_code}"
                raise BrokerExitedError(
                    f"{service} ended by itself ({why})",
                    details=self.engine.logs(container, tail=20),
                    hint="the lines above are its last; usual causes: a setting it refuses, too little memory",
                )

    # ---- acting (with access to the engine): on a peer, or on a service by its Compose name ("namesrv0") ----

    @property
    def services(self) -> tuple[str, ...]:
        """The Compose services that can be acted on: all of the kit's own cluster, none where it is read only."""
        return tuple(sorted(self._containers))

    def container_of(self, target: Peer | str) -> str:
        """The container id of a peer or service. Raises ReadOnlyClusterError on attached clusters."""
        if self.engine is None or not self._containers:
            raise ReadOnlyClusterError(
                f"cannot act on {target}: this cluster is attached to by its NameServer, and so read only",
                hint="start one with the kit (rmqkit up, Cluster.start), attach by run (Cluster.attach_run), "
                "or give access to its engine (Cluster.attach with engine= and project=)",
            )
        service = target.service if isinstance(target, Peer) else target
        if service not in self._containers:
            raise NotFoundError(
                f"there is no service {service!r} in run {self.run}"
                if self.run
                else f"{target} has no container in the Compose project that this cluster is attached to with",
                hint=f"services: {', '.join(self.services)}",
            )
        return self._containers[service]

    @property
    def network_mode(self) -> str:
        """The ``network_mode`` that a container needs to reach this cluster under the cluster's own addresses.

        For a service that runs in a container: ``docker run --network=…``, Compose's or docker-py's ``network_mode``.
        A pod's addresses lie in the network of its ``net`` container; a host's are reached from anywhere that reaches
        the host. Raises ReadOnlyClusterError on attached clusters.
        """
        if self._containers and self.spec is None:
            raise ReadOnlyClusterError(
                "the network of a cluster that the kit did not start is not known to it",
                hint="use the host's, where its NameServers can be reached",
            )
        if self._containers and self.spec is not None and self.spec.topology is Topology.HOST:
            return "host"
        return f"container:{self.container_of(NET_SERVICE)}"

    def kill(self, peer: Peer | str) -> None:
        """SIGKILL, at once; the peer stays down until :meth:`start_peer`."""
        self._act(peer, down=True).kill(self.container_of(peer))

    def terminate(self, peer: Peer | str) -> None:
        """SIGTERM, without waiting for the end: a graceful stop, which in RocketMQ does not hand leadership over."""
        self._act(peer, down=True).kill(self.container_of(peer), signal="SIGTERM")

    def start_peer(self, peer: Peer | str) -> None:
        """Start a peer that is down; it keeps its store and addresses. Does not wait."""
        self._act(peer, down=False).start(self.container_of(peer))

    def pause(self, peer: Peer | str) -> None:
        """Freeze a peer: its sockets stay open, it answers nothing."""
        self._act(peer, down=None).pause(self.container_of(peer))

    def unpause(self, peer: Peer | str) -> None:
        """Let a frozen peer run on."""
        self._act(peer, down=None).unpause(self.container_of(peer))

    def state(self, peer: Peer | str) -> ContainerState:
        """What the engine says of the peer's container."""
        return self._act(peer, down=None).state(self.container_of(peer))

    def logs(self, target: Peer | str, *, tail: int | None = 200) -> list[str]:
        """The last lines that a peer or service printed."""
        return self._act(target, down=None).logs(self.container_of(target), tail=tail)

    def _act(self, target: Peer | str, *, down: bool | None) -> Engine:
        self.container_of(target)
        assert self.engine is not None
        if down is not None:
            service = target.service if isinstance(target, Peer) else target
            with self._lock:
                (self._expected_down.add if down else self._expected_down.discard)(service)
        return self.engine
