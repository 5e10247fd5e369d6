"""Promises of ``rmqkit locate`` around the search itself: what is looked for, where, and the exit code."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rmqkit import cli
from rmqkit.checks import lost_ids
from rmqkit.cli import locate as command
from rmqkit.cluster.peers import from_spec
from rmqkit.forensics import LogPlace, Places, ReplicaView, classify
from rmqkit.history import History
from rmqkit.report import write_evidence
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

    def __call__(self, _cluster: object, ids: list[str], history: History | None, **how: Any) -> Places:
        self.calls.append((list(ids), history, how))
        wanted = ids[: how["limit"]]
        return Places(tuple(classify(each, VIEWS[self.views]) for each in wanted), len(ids) - len(wanted))


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch) -> Search:
    found = Search()
    cluster = SimpleNamespace(members=from_spec(ClusterSpec.pod(base_port=20000, name="t")))

    @contextmanager
    def there(*_: object, **__: object) -> Iterator[Any]:
        yield cluster

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
