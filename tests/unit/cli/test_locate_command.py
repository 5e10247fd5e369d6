"""Promises of ``rmqkit locate`` around the search itself: what is looked for, where, and the exit code."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rmqkit import cli
from rmqkit.checks import Thresholds, lost_ids
from rmqkit.cli import locate as command
from rmqkit.cluster.peers import from_spec
from rmqkit.errors import RmqkitError, TransportError
from rmqkit.forensics import LogPlace, Places, ReplicaView, classify
from rmqkit.history import History
from rmqkit.report import check, write_evidence
from rmqkit.topology.spec import ClusterSpec

SAVED = Path(__file__).parents[2] / "histories"
LOST = SAVED / "failed-acknowledged-lost-whole-tail.jsonl"
PASSED = SAVED / "passed-drill-4.5.1-leader-killed.jsonl"
THERE = LogPlace(index=1, term=1, position=0, queue=0, offset=1, committed=True, dispatched=True)
VIEWS = {
    "present": [ReplicaView(peer, log=(THERE,), served=True, keyed=True) for peer in ("n0", "n1", "n2")],
    "lost": [ReplicaView(peer, served=False, keyed=False) for peer in ("n0", "n1", "n2")],
    "undecided": [ReplicaView(peer, unread="no files", unasked="it is down") for peer in ("n0", "n1", "n2")],
}


class Search:
    """Stands for the search in a cluster: remembers what was looked for; ``views`` is what every replica has."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[str], History | None, dict[str, Any]]] = []
        self.views = "present"
        self.cluster = SimpleNamespace(
            members=from_spec(ClusterSpec.pod(base_port=20000, name="t")),
            run="rmqkit-1-here",
            namesrv_addr="127.0.0.1:1",
            nameserver=lambda: SimpleNamespace(topics=self.topics),
        )
        self.known: tuple[str, ...] | RmqkitError = ("drill", "T")

    def topics(self) -> tuple[str, ...]:
        """What the NameServer knows, where it answers."""
        if isinstance(self.known, RmqkitError):
            raise self.known
        return self.known

    def __call__(self, _cluster: object, ids: list[str], history: History | None, **how: Any) -> Places:
        self.calls.append((list(ids), history, how))
        wanted = ids[: how["limit"]]
        return Places(tuple(classify(each, VIEWS[self.views]) for each in wanted), len(ids) - len(wanted))


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch) -> Search:
    found = Search()

    @contextmanager
    def there(*_: object, **__: object) -> Iterator[Any]:
        yield found.cluster

    monkeypatch.setattr(command, "locate", found)
    monkeypatch.setattr(command, "own_cluster", there)
    monkeypatch.setattr(command.Cluster, "attach", there)
    monkeypatch.delenv("RMQKIT_NAMESRV", raising=False)
    return found


@pytest.fixture
def ran(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*argv: str) -> tuple[int, str, str]:
        code = cli.main(["locate", *argv])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return run


Ran = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(("views", "code"), [("present", 0), ("lost", 1), ("undecided", 3)])
def test_the_exit_code_is_what_became_of_them(search: Search, ran: Ran, views: str, code: int) -> None:
    search.views = views
    found, out, _ = ran("a", "b", "--topic", "T", "--group", "RaftNode00")
    assert found == code
    assert "a: " in out
    ((ids, history, how),) = search.calls
    assert (ids, history, how["topic"], how["group"], how["limit"]) == (["a", "b"], None, "T", "RaftNode00", 100)
    found, out, _ = ran("a", "--json")
    assert (found, [each["id"] for each in json.loads(out)["places"]]) == (code, ["a"])


def test_more_than_the_limit_is_not_all_in_order(search: Search, ran: Ran) -> None:
    code, out, _ = ran("a", "b", "c", "--limit", "2")
    assert code == 3
    assert "1 more were not looked for" in out


@pytest.mark.parametrize("evidence", [False, True], ids=["a history", "a folder of evidence"])
def test_what_the_history_calls_lost_is_looked_for(search: Search, ran: Ran, tmp_path: Path, evidence: bool) -> None:
    record = History.import_jsonl(LOST)
    where = LOST
    if evidence:
        where = tmp_path / "run"
        write_evidence(where, history=record, summary={"format": 1, "command": "drill"})
    search.views = "lost"
    assert ran("--history", str(where))[0] == 1
    ((ids, history, _),) = search.calls
    assert ids == list(lost_ids(record)) != []
    assert history is not None
    assert history.send_count == record.send_count


def test_a_history_that_calls_nothing_lost_has_its_verdicts_exit_code(search: Search, ran: Ran, tmp_path: Path) -> None:
    code, out, err = ran("--history", str(PASSED))
    assert (code, out) == (3, "by this history no message is lost\n"), "five sends after the fault are few"
    assert "its verdict is INCONCLUSIVE" in err
    History().export_jsonl(tmp_path / "empty.jsonl")
    assert ran("--history", str(tmp_path / "empty.jsonl"), "--json")[0] == 3
    assert search.calls == []


# ---- evidence: what was recorded with it counts, and the cluster that it is of


def drill(folder: Path, saved: Path, *, needs: Thresholds, run: str = "") -> Path:
    """What a drill of that history would have left."""
    summary = {"format": 1, "command": "drill", "cluster": {"run": run}}
    write_evidence(folder, history=History.import_jsonl(saved), summary=summary, thresholds=needs)
    return folder


def test_the_verdict_of_evidence_is_by_the_thresholds_that_it_was_recorded_with(
    search: Search, ran: Ran, tmp_path: Path
) -> None:
    lax = Thresholds(min_acked_before=5, min_acked_after=5, min_replicas=3)
    passed = drill(tmp_path / "passed", PASSED, needs=lax)
    assert ran("--history", str(passed)) == (
        0,
        "by this history no message is lost\n",
        "rmqkit: its verdict is PASSED\n",
    )
    failed = drill(tmp_path / "failed", PASSED, needs=replace(lax, max_outage_s=2.0))
    code, out, err = ran("--history", str(failed))
    assert (code, out) == (check(failed).verdict.exit_code, "by this history no message is lost\n") == (1, out)
    assert "its verdict is FAILED: outage: " in err
    (passed / "summary.json").write_text((passed / "summary.json").read_text() + " ")
    code, _, err = ran("--history", str(passed))
    assert code == 3
    assert f"rmqkit: not as it was written: {passed / 'summary.json'} is damaged" in err
    assert search.calls == []


def test_what_counts_as_lost_is_by_the_thresholds_that_were_recorded(search: Search, ran: Ran, tmp_path: Path) -> None:
    saved = SAVED / "failed-delayed-lost-on-every-replica.jsonl"
    assert ran("--history", str(drill(tmp_path / "run", saved, needs=Thresholds())))[0] == 0
    assert search.calls.pop()[0] == list(lost_ids(History.import_jsonl(saved))) != []
    patient = drill(tmp_path / "patient", saved, needs=Thresholds(delay_grace_s=1e6))
    assert ran("--history", str(patient))[0] == 3
    assert search.calls == []


@pytest.mark.parametrize("ids", [(), ("a",)], ids=["what is lost", "ids"])
def test_another_cluster_than_that_of_the_evidence_is_not_asked(
    search: Search, ran: Ran, tmp_path: Path, ids: tuple[str, ...]
) -> None:
    theirs = drill(tmp_path / "theirs", LOST, needs=Thresholds(), run="rmqkit-7-gone")
    code, out, err = ran(*ids, "--history", str(theirs))
    assert (code, out, search.calls) == (cli.EXIT_USAGE, "", [])
    assert "is of the cluster of run rmqkit-7-gone, and the one that would be asked is of rmqkit-1-here" in err
    assert "--run rmqkit-7-gone" in err
    ours = drill(tmp_path / "ours", LOST, needs=Thresholds(), run="rmqkit-1-here")
    assert ran(*ids, "--history", str(ours))[0] == 0
    search.cluster.run = ""  # attached to by its NameServer: which run it is of is not known
    assert ran(*ids, "--history", str(theirs), "--namesrv", "127.0.0.1:1")[0] == 0
    assert len(search.calls) == 2


def test_a_cluster_that_knows_none_of_the_topics_is_told(search: Search, ran: Ran) -> None:
    warning = "the NameServer of rmqkit-1-here knows none of the topics"
    (topic,) = {each.topic for each in History.import_jsonl(LOST).sends()}
    search.known = ("others",)
    assert f"{warning} ({topic}): " in ran("--history", str(LOST))[2]
    assert f"{warning} (T): " in ran("a", "--topic", "T")[2]
    for known in (("others", "T", topic), TransportError("refused", address="127.0.0.1:1", request_sent=False)):
        search.known = known
        assert warning not in ran("--history", str(LOST))[2] + ran("a", "--topic", "T")[2]
    search.known = ("others",)
    assert warning not in ran("a")[2], "of ids alone no topic is known"
    assert len(search.calls) == 7


def test_stores_of_peers_are_named_by_them(search: Search, ran: Ran, tmp_path: Path) -> None:
    assert ran("a", "--namesrv", "127.0.0.1:1", "--store", f"n0={tmp_path}")[0] == 0
    assert search.calls[0][2]["stores"] == {"n0": tmp_path}


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "neither ids nor a history"),
        (["a", "--run", "r", "--namesrv", "x:1"], "name two clusters"),
        (["a", "--limit", "0"], "looks for nothing"),
        (["a", "--store", "n0"], "names no peer and folder"),
        (["a", "--store", "n0=/nonexistent/store"], "is no folder"),
        (["a", "--store", "n0=.", "--store", "n0=.."], "two folders for n0"),
        (["a", "--store", "n7=."], "names n7, which is no peer"),
        (["a", "--history", "/nonexistent/history"], "is no history"),
        (["--history", str(SAVED / "unreadable-cut-in-a-line.jsonl")], "was cut short"),
    ],
)
def test_wrong_use_is_said_before_anything_is_asked(search: Search, ran: Ran, argv: list[str], said: str) -> None:
    code, _, err = ran(*argv)
    assert (code, said in err) == (cli.EXIT_USAGE, True), err
    assert search.calls == []
