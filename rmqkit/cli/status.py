"""``rmqkit status``: the columns of ``mqadmin clusterList``, plus the Raft view, ending in an agree/disagree line."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import threading
import time
from collections.abc import Collection
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING

from rmqkit.cli import EXIT_FAILED, EXIT_OK
from rmqkit.cli.common import choose_run, running_clusters, settings, show, show_wide
from rmqkit.cluster.buildinfo import BUILD_INFO_PATH, BuildInfo
from rmqkit.cluster.peers import Members, discover, from_spec
from rmqkit.cluster.status import ClusterStatus, PeerStatus, ask
from rmqkit.topology.spec import ClusterSpec
from rmqkit.transport.pool import ChannelPool

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = ("Cluster", "Broker", "Peer", "BID", "Addr", "Version", "Role", "Raft leader", "Term")
NUMBERS = ("InTPS(LOAD)", "OutTPS(LOAD)", "PCWait(ms)", "Hour", "SPACE", "Committed")


def run(*, namesrv: str | None, run: str | None, as_json: bool, watch: bool, list_runs: bool) -> int:
    """Ask once, or every second; 0 only if healthy."""
    if list_runs:
        clusters = running_clusters()
        show([f"{c.run}  {c.edition}" for c in clusters] or ["no cluster of the kit is up"])
        return EXIT_OK
    chosen = settings(namesrv=namesrv)
    with ExitStack() as stack:
        if not as_json:
            # Loading what draws the table takes longer than the cluster's answers do, and needs none of them.
            threading.Thread(target=_load_tables, daemon=True).start()
        pool = stack.enter_context(ChannelPool())
        target = _target(pool, chosen.namesrv if run is None else None, run)
        if watch:
            from rmqkit.cli.watch import watch as watched  # noqa: PLC0415 - it draws with what is here

            return watched(lambda: ask(pool, target.members, target.nameservers))
        build = BuildQuestion(stack, target.container) if target.container else None
        status = ask(pool, target.members, target.nameservers)
        if as_json:
            answer = {"build": build.answer() if build else "", **status.as_dict()}
            show([json.dumps(answer, indent=2)])
        else:
            show_wide(table(status))
            show([*views(status), *([f"build: {build.answer()}"] if build else [])])
    return EXIT_OK if status.healthy else EXIT_FAILED


def _load_tables() -> None:
    with suppress(ImportError):  # said by whoever draws
        import rich.console  # noqa: PLC0415
        import rich.table  # noqa: F401, PLC0415


@dataclass(frozen=True, slots=True)
class Target:
    """Whose status is asked for; ``container`` is one of its containers, empty where the engine is not ours."""

    members: Members
    nameservers: list[str]
    container: str = ""


def _target(pool: ChannelPool, namesrv: str | None, run: str | None) -> Target:
    if namesrv is not None:
        nameservers = [part.strip() for part in namesrv.replace(",", ";").split(";") if part.strip()]
        return Target(discover(pool, nameservers), nameservers)
    found = choose_run(run)
    spec = ClusterSpec.from_json(found.spec_json)
    addresses = [nameserver.address for nameserver in spec.nameservers]
    return Target(from_spec(spec), addresses, found.container)


class BuildQuestion:
    """What the running image was built from, asked of the docker CLI while the cluster is asked for its status."""

    def __init__(self, stack: ExitStack, container: str) -> None:
        command = ["docker", "cp", f"{container}:{BUILD_INFO_PATH}", "-"]
        self._process = stack.enter_context(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        )

    def answer(self) -> str:
        """One line; empty where the engine could not tell."""
        try:
            archive, _ = self._process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return ""
        if self._process.returncode != 0:
            return ""
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            member = tar.extractfile(tar.getmembers()[0])
            return str(BuildInfo.parse(member.read())) if member else ""


def table(status: ClusterStatus, *, without: Collection[str] = ()) -> Table:
    """The table of one status; ``without`` are columns to leave out."""
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    result = Table(box=SIMPLE_HEAD, pad_edge=False)
    kept = [name not in without for name in (*COLUMNS, *NUMBERS)]
    for name in compress((*COLUMNS, *NUMBERS), kept):
        result.add_column(name, justify="right" if name in NUMBERS else "left", no_wrap=True)
    for group in status.groups:
        for view in group.peers:
            result.add_row(*compress(row(view, status.cluster_of(group.name) or "-"), kept))
    return result


def row(view: PeerStatus, cluster_name: str) -> list[str]:
    """One peer's cells, as ``mqadmin clusterList`` computes them (ClusterListSubCommand.printClusterBaseInfo)."""
    peer, info = view.peer, view.runtime
    head = [
        cluster_name,
        peer.group,
        peer.id,
        "-" if view.broker_id is None else str(view.broker_id),
        peer.address or "?",
        info.version if info else "-",
        view.role or "-",
        view.raft_leader or ("no answer" if view.raft_error else "none"),
        "-" if view.term is None else str(view.term),
    ]
    if info is None:
        return [*head, "-", "-", "-", "-", "-", "-"]
    oldest = info.earliest_message_ms
    return [
        *head,
        f"{info.put_tps:.2f}({info.send_queue_size},{info.send_head_wait_ms}ms)",
        f"{info.get_tps:.2f}({info.pull_queue_size},{info.pull_head_wait_ms}ms)",
        str(info.page_cache_lock_ms),
        "-" if oldest is None else f"{(time.time() - oldest / 1000) / 3600:.2f}",
        "-" if info.disk_ratio is None else f"{info.disk_ratio:.4f}",
        str(info.committed_position),
    ]


def views(status: ClusterStatus) -> list[str]:
    """What each NameServer says, and the line of each group that joins its views."""
    lines = []
    for nameserver in status.nameservers:
        if nameserver.error:
            lines.append(f"NameServer {nameserver.address}: {nameserver.error}")
            continue
        for name, ids in nameserver.table.items():
            shown = ", ".join(f"{number}={address}" for number, address in sorted(ids.items()))
            lines.append(f"NameServer {nameserver.address}: {name} {shown}")
        if not nameserver.table:
            lines.append(f"NameServer {nameserver.address}: nothing is registered")
    return [*lines, *(group.summary for group in status.groups)]
