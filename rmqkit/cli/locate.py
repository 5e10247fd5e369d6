"""``rmqkit locate``: ask every replica where messages went that did not come."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from rmqkit.checks import judge, lost_ids
from rmqkit.cli import EXIT_FAILED, EXIT_INCONCLUSIVE, EXIT_OK
from rmqkit.cli.common import own_cluster, say, settings, show
from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.signals import sigterm_unwinds
from rmqkit.errors import RmqkitError, UsageError
from rmqkit.forensics import Kind, Places, locate
from rmqkit.forensics.histories import topics_of
from rmqkit.history import History
from rmqkit.report import Checked, check
from rmqkit.report.evidence import MANIFEST

_SHOWN = 3
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
    evidence = _evidence(history)
    record = evidence.history if evidence is not None else _load(history)
    named = _stores(stores)
    if not ids and record is None:
        raise UsageError("neither ids nor a history: nothing to look for", hint="name ids, or --history FILE")
    wanted = list(ids)
    if not wanted and record is not None:
        wanted = list(lost_ids(record, evidence.thresholds if evidence is not None else None))
        if not wanted:
            verdict = evidence.verdict if evidence is not None else judge(record)
            show([json.dumps(Places(()).as_dict(), indent=2)] if as_json else ["by this history no message is lost"])
            why = "; ".join(each.text for each in verdict.violations)
            say(f"rmqkit: its verdict is {verdict.status}{f': {why}' if why else ''}")
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
        _check_is_meant(cluster, evidence, record, topic)
        found = locate(cluster, wanted, record, group=group, topic=topic or "", stores=named, limit=limit)
    show([json.dumps(found.as_dict(), indent=2)] if as_json else found.lines())
    return _code(found)


def _evidence(path: Path | None) -> Checked | None:
    """What a run left, judged by what was recorded with it; None for a history by itself."""
    if path is None or not (path / MANIFEST).is_file():
        return None
    checked = check(path)
    for remark in checked.remarks:
        say(f"rmqkit: {remark}")
    return checked


def _load(path: Path | None) -> History | None:
    return History.load(path, incomplete_ok=True) if path is not None else None


def _check_is_meant(cluster: Cluster, evidence: Checked | None, record: History | None, topic: str | None) -> None:
    """Raise UsageError where the cluster is another than that of the evidence: all would be lost there. Where that is
    not known, a cluster that has none of the topics is told."""
    of = evidence.summary.get("cluster") if evidence is not None else None
    recorded = str(of.get("run") or "") if isinstance(of, Mapping) else ""
    if recorded and cluster.run and recorded != cluster.run:
        raise UsageError(
            f"the evidence is of the cluster of run {recorded}, and the one that would be asked is of {cluster.run}",
            hint=f"name the first with --run {recorded}; if it is gone, only copies of its stores can tell: "
            "rmqkit.store.read_store reads them",
        )
    wanted = (topics_of(record) if record is not None else frozenset()) | ({topic} if topic else set())
    if not wanted:
        return
    try:
        known = cluster.nameserver().topics()
    except RmqkitError:
        return  # brokers and files are asked all the same, and what cannot be told is said
    if wanted.isdisjoint(known):
        shown = ", ".join(sorted(wanted)[:_SHOWN]) + (", …" if len(wanted) > _SHOWN else "")
        where = cluster.run or cluster.namesrv_addr
        say(f"rmqkit: the NameServer of {where} knows none of the topics ({shown}): is it the cluster that is meant?")


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
