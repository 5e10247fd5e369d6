"""``rmqkit locate``: ask every replica where messages went that did not come."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rmqkit.checks import judge, lost_ids
from rmqkit.cli import EXIT_FAILED, EXIT_INCONCLUSIVE, EXIT_OK
from rmqkit.cli.common import own_cluster, say, settings, show
from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.signals import sigterm_unwinds
from rmqkit.errors import UsageError
from rmqkit.forensics import Kind, Places, locate
from rmqkit.history import History
from rmqkit.report.evidence import HISTORY, MANIFEST

_WRONG = (Kind.DATA_LOSS, Kind.LOST_ON, Kind.NOT_DISPATCHED, Kind.CONSUMER_MISSED)


def run(
    *,
    ids: Sequence[str],
    history: Path | None,
    stores: Sequence[str],
    topic: str | None,
    group: str | None,
    namesrv: str | None,
    run: str | None,
    limit: int,
    timeout: float | None,
    as_json: bool,
) -> int:
    """The exit code says what became of them: 0 all in order, 1 one is not, 3 that could not be told."""
    if namesrv is not None and run is not None:
        raise UsageError("--namesrv and --run name two clusters", hint="give one of them")
    if limit < 1:
        raise UsageError(f"--limit {limit} looks for nothing", hint="for example 100")
    record = _load(history) if history is not None else None
    named = _stores(stores)
    if not ids and record is None:
        raise UsageError("neither ids nor a history: nothing to look for", hint="name ids, or --history FILE")
    wanted = list(ids)
    if not wanted and record is not None:
        wanted = list(lost_ids(record))
        if not wanted:
            verdict = judge(record)
            show([json.dumps(Places(()).as_dict(), indent=2)] if as_json else ["by this history no message is lost"])
            say(f"rmqkit: its verdict is {verdict.status}")
            return verdict.exit_code
    chosen = settings(namesrv=namesrv, timeout_s=timeout)
    attached = chosen.namesrv if run is None else None
    with ExitStack() as stack:
        stack.enter_context(sigterm_unwinds())
        if attached is not None:
            cluster = stack.enter_context(Cluster.attach(attached, timeout_s=chosen.timeout_s))
        else:
            cluster = stack.enter_context(own_cluster(run, timeout_s=chosen.timeout_s))
        _check_peers(cluster, named, group)
        found = locate(cluster, wanted, record, group=group, topic=topic or "", stores=named, limit=limit)
    show([json.dumps(found.as_dict(), indent=2)] if as_json else found.lines())
    return _code(found)


def _load(path: Path) -> History:
    """A history by itself, or that of a run's evidence."""
    return History.load(path / HISTORY if (path / MANIFEST).is_file() else path, incomplete_ok=True)


def _stores(given: Sequence[str]) -> dict[str, Path]:
    """Folders by peer, from ``n0=FOLDER``."""
    found: dict[str, Path] = {}
    for each in given:
        peer, mark, folder = each.partition("=")
        if not (peer and mark and folder):
            raise UsageError(f"--store {each} names no peer and folder", hint="for example --store n0=copies/n0")
        if not Path(folder).is_dir():
            raise UsageError(f"--store {each}: {folder} is no folder", hint="name a copy of its storePathRootDir")
        if peer in found:
            raise UsageError(f"--store names two folders for {peer}", hint="name one")
        found[peer] = Path(folder)
    return found


def _check_peers(cluster: Cluster, stores: dict[str, Path], group: str | None) -> None:
    """Raise UsageError for a store of nobody: it would be left unread without a word."""
    known = {peer.id for peer in cluster.members.of(group)}
    for peer in stores:
        if peer not in known:
            raise UsageError(f"--store names {peer}, which is no peer", hint=f"peers: {', '.join(sorted(known))}")


def _code(found: Places) -> int:
    if any(found.of(kind) for kind in _WRONG):
        return EXIT_FAILED
    return EXIT_INCONCLUSIVE if found.of(Kind.UNDECIDED) or found.left_out else EXIT_OK
