"""Promises of ``rmqkit load``: wrong use costs nothing and says what to do; exit codes and text say what happened."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rmqkit.checks import timelines
from rmqkit.cli import EXIT_CLUSTER, EXIT_FAILED, EXIT_INCONCLUSIVE, EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, main
from rmqkit.cli.load_screen import lags, line, table
from rmqkit.cli.load_text import exit_code, text
from rmqkit.history import FaultEvent, History
from rmqkit.load.runner import Progress
from rmqkit.load.summary import ErrorCount, Percentiles, Summary, Window
from rmqkit.report import load_report

LOAD_TESTS = Path(__file__).parents[1] / "load"
for room in (LOAD_TESTS, LOAD_TESTS.parent / "transport", LOAD_TESTS.parent / "client"):
    sys.path.append(str(room))

from loopback_cluster import LoopbackCluster  # noqa: E402 - found by the lines above
from test_summary import SUMMARY  # noqa: E402

Ran = tuple[int, str, str]


@pytest.fixture
def ran(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Runs the command line in this process: code, standard output, standard error."""
    monkeypatch.delenv("RMQKIT_NAMESRV", raising=False)

    def run(*argv: str) -> Ran:
        code = main(["load", *argv])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return run


@pytest.fixture
def cluster() -> Iterator[LoopbackCluster]:
    with LoopbackCluster() as made:
        yield made


# ---- wrong use


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["produce", "--rate", "0"], "--rate is 0"),
        (["produce", "--rate", "-5"], "--rate is -5"),
        (["produce", "--rate", "fast"], "Invalid value for '--rate'"),
        (["produce", "--threads", "0"], "--threads is 0"),
        (["produce", "--size", "0"], "--size is 0"),
        (["produce", "--duration", "0"], "--duration is 0"),
        (["produce", "--duration", "nan"], "--duration is nan"),
        (["produce", "--count", "-1"], "--count is -1"),
        (["produce", "--batch", "8", "--window", "8"], "--batch and --window are two ways"),
        (["produce", "--topic", "a topic"], "not a topic name: 'a topic'"),
        (["produce", "--namesrv", "127.0.0.1:1", "--run", "r"], "--namesrv and --run name two clusters"),
        (["produce", "--namesrv", "nonsense"], "not an address: 'nonsense'"),
        (["produce", "--namesrv", ";"], "no NameServer is named"),
        (["produce", "--history", __file__], "exists already"),
        (["produce", "--history", "/nonexistent/h"], "/nonexistent is not a folder that can be written to"),
        (["consume", "--group", "a group"], "not a group name: 'a group'"),
        (["consume", "--expression", "A ||"], "--expression is 'A ||'"),
        (["consume", "--threads", "0"], "--threads is 0"),
        (["run", "--driver", "fast"], "there is no driver fast"),
        (["run", "--driver", "native", "--window", "8"], "--window is the built-in driver's alone"),
        (["run", "--kill-leader-at", "0"], "--kill-leader-at is 0"),
        (["run", "--kill-leader-at", "60", "--duration", "60"], "--kill-leader-at 60 is not within --duration 60"),
        (["run", "--kill-leader-of", "g"], "--kill-leader-of g without --kill-leader-at"),
        (["run", "--kill-leader-at", "5", "--namesrv", "127.0.0.1:1"], "a cluster that the kit did not start"),
        (["run", "--driver", "java", "--namesrv", "127.0.0.1:1"], "--driver java acts on containers"),
    ],
)
def test_wrong_use_is_named_and_costs_nothing(ran: Callable[..., Ran], argv: list[str], said: str) -> None:
    code, out, err = ran(*argv)
    assert (code, out) == (EXIT_USAGE, "")
    assert said in err
    assert len(err.splitlines()) <= 12


def test_a_nameserver_that_nobody_listens_at_is_the_clusters_fault(ran: Callable[..., Ran]) -> None:
    code, out, err = ran("produce", "--namesrv", "127.0.0.1:1", "--count", "1")
    assert (code, out) == (EXIT_CLUSTER, "")
    assert "no NameServer answers at 127.0.0.1:1" in err


def test_the_help_says_that_it_writes_and_what_the_exit_codes_mean(ran: Callable[..., Ran]) -> None:
    code, out, _ = ran("--help")
    assert code == EXIT_OK
    words = " ".join(out.split())
    assert "Writes to the cluster on purpose, also to one that --namesrv names" in words
    for said in ("0 ended as asked", "1 a send was not", "2 wrong use", "3 the group did not drain", "130 Ctrl-C"):
        assert said in words


@pytest.mark.parametrize("command", ["produce", "consume", "run"])
def test_every_command_explains_every_option(ran: Callable[..., Ran], command: str) -> None:
    code, out, err = ran(command, "--help")
    assert (code, err) == (EXIT_OK, "")
    undocumented = [each for each in out.splitlines() if each.strip().startswith("--") and len(each.split()) < 2]
    assert not undocumented


# ---- what it does


def test_it_sends_and_answers_on_standard_output(ran: Callable[..., Ran], cluster: LoopbackCluster) -> None:
    code, out, err = ran("produce", "--namesrv", cluster.address, "--count", "30", "--threads", "3", "--seed", "7")
    assert code == EXIT_OK, err
    assert "sent 30: 30 acknowledged" in out
    assert "seed 7" in out
    assert "ended by count" in out
    assert len(cluster.ids) == 30


def test_json_is_the_summary_and_nothing_else(ran: Callable[..., Ran], cluster: LoopbackCluster) -> None:
    code, out, _ = ran("produce", "--namesrv", cluster.address, "--count", "30", "--json", "--size", "100")
    assert code == EXIT_OK
    told = json.loads(out)
    assert told["produced"]["traffic"]["acknowledged"] == 30
    assert told["produced"]["body_bytes"] == 100
    assert told["options"]["count"] == 30
    assert told["cluster"]["nameservers"] == [cluster.address]


def test_the_tutorials_defaults_are_what_is_sent(ran: Callable[..., Ran], cluster: LoopbackCluster) -> None:
    ran("produce", "--namesrv", cluster.address, "--count", "10")
    assert cluster.bodies == {b"Test"}
    assert len({each.split("-")[1] for each in cluster.ids}) == 10


def test_every_operation_is_in_the_history(ran: Callable[..., Ran], cluster: LoopbackCluster, tmp_path: Path) -> None:
    path = tmp_path / "history"
    code, _, err = ran("produce", "--namesrv", cluster.address, "--count", "30", "--history", str(path))
    assert code == EXIT_OK, err
    assert f"every operation is in {path}" in err
    history = History.load(path)
    assert {send.message_id for send in history.sends()} == set(cluster.ids)
    assert history.incomplete == ""


def test_a_report_holds_the_summary_the_history_and_a_page(
    ran: Callable[..., Ran], cluster: LoopbackCluster, tmp_path: Path
) -> None:
    folder = tmp_path / "report"
    code, out, err = ran("produce", "--namesrv", cluster.address, "--count", "30", "--json", "--report", str(folder))
    assert code == EXIT_OK, err
    told, kept = json.loads(out), json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert kept["produced"] == told["produced"]
    assert (folder / "index.html").stat().st_size > 1000
    (note,) = kept["notes"]
    assert note.startswith("the cluster could not be attached to, so nothing of its status is kept: "), "it has no Raft"
    assert {send.message_id for send in load_report(folder).evidence.history.sends()} == set(cluster.ids)
    code, _, err = ran("produce", "--namesrv", cluster.address, "--count", "30", "--report", str(folder))
    assert code == EXIT_USAGE
    assert str(folder) in err
    assert len(cluster.ids) == 30, "it sent before it looked"


def test_sends_that_were_not_acknowledged_are_an_exit_code(ran: Callable[..., Ran], cluster: LoopbackCluster) -> None:
    cluster.busy = 3
    code, out, _ = ran("produce", "--namesrv", cluster.address, "--count", "30", "--threads", "2")
    assert code == EXIT_FAILED
    assert "27 acknowledged" in out
    assert "3  flow control: 2 SYSTEM_BUSY" in out
    assert "held back" in out


def test_an_oversized_message_is_refused_before_it_is_sent(ran: Callable[..., Ran], cluster: LoopbackCluster) -> None:
    cluster.config["maxMessageSize"] = "1000"
    code, out, err = ran("produce", "--namesrv", cluster.address, "--count", "30", "--size", "1001")
    assert (code, out) == (EXIT_USAGE, "")
    assert "takes 1000 (its maxMessageSize)" in err
    assert cluster.ids == []


@pytest.mark.parametrize(("limits", "code"), [((), EXIT_OK), (("--duration", "300"), EXIT_INTERRUPTED)])
def test_ctrl_c_ends_it_with_a_summary(cluster: LoopbackCluster, limits: tuple[str, ...], code: int) -> None:
    """Without a limit Ctrl-C is the end that was asked for."""
    command = [sys.executable, "-m", "rmqkit", "load", "produce", "--namesrv", cluster.address, "--threads", "2"]
    process = subprocess.Popen(
        [*command, *limits],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stderr is not None
        assert "acked/s" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code, err
    assert "ended by interrupt" in out
    assert f"{len(cluster.ids)} acknowledged" in out
    assert "Traceback" not in out + err


# ---- text and exit codes


def changed(summary: Summary, **changes: Any) -> Summary:
    """The summary with other values in its traffic or consumption."""
    produced, consumed = summary.produced, summary.consumed
    assert produced is not None
    assert consumed is not None
    names = {each.name for each in dataclasses.fields(consumed)}
    ours = {name: value for name, value in changes.items() if name in names}
    traffic = {name: value for name, value in changes.items() if name not in names}
    produced = dataclasses.replace(produced, traffic=dataclasses.replace(produced.traffic, **traffic))
    return dataclasses.replace(summary, produced=produced, consumed=dataclasses.replace(consumed, **ours))


GOOD = changed(SUMMARY, sent=2, refused=0, flow_control=0)


@pytest.mark.parametrize(
    ("summary", "faulty", "code"),
    [
        (GOOD, False, EXIT_OK),
        (SUMMARY, False, EXIT_FAILED),
        (SUMMARY, True, EXIT_OK),
        (changed(SUMMARY, acknowledged=0), True, EXIT_FAILED),
        (changed(GOOD, drained=False), False, EXIT_INCONCLUSIVE),
        (changed(GOOD, drained=False, missing=3), False, EXIT_INCONCLUSIVE),
        (changed(GOOD, missing=3), True, EXIT_FAILED),
        (changed(GOOD, received=0), False, EXIT_FAILED),
        (dataclasses.replace(GOOD, ended_by="interrupt"), False, EXIT_OK),
        (dataclasses.replace(GOOD, ended_by="interrupt", options={"duration_s": 9.0}), False, EXIT_INTERRUPTED),
        (dataclasses.replace(GOOD, ended_by="interrupt", options={"count": 9}), False, EXIT_INTERRUPTED),
        (dataclasses.replace(GOOD, produced=None), False, EXIT_OK),
        (dataclasses.replace(GOOD, consumed=None), False, EXIT_OK),
    ],
)
def test_the_exit_code_says_whether_all_went_well(summary: Summary, faulty: bool, code: int) -> None:
    assert exit_code(summary, faulty=faulty) == code


def test_the_text_says_what_went_wrong() -> None:
    assert SUMMARY.produced is not None
    errors = tuple(ErrorCount(kind="unknown", reason=f"reason {number}", count=9 - number) for number in range(12))
    produced = dataclasses.replace(SUMMARY.produced, errors=errors, unsent=5)
    history = History()
    history.faults.append(FaultEvent("kill-leader", "injected", "n0", 5))
    bad = changed(dataclasses.replace(SUMMARY, produced=produced, notes=("a note",)), drained=False)
    said = "\n".join(text(changed(bad, missing=1, lag={"b/0": 4, "b/1": 0}), timelines(history)))
    for words in (
        "2 acknowledged (2/s), 1 refused, 0 unknown",
        "5 messages were due and not sent",
        "unknown: reason 0",
        "and 2 more reasons",
        "built-in: nothing acknowledged for 0.50 s at most",
        "1 acknowledged and not received",
        "not drained: 4 behind in 1 queues",
        "kill-leader of n0\n   0.000 s             the order was given: from now on the fault may be there",
        "a note",
    ):
        assert words in said
    assert "reason 11" not in said


PROGRESS = Progress(
    phase="sending",
    elapsed_s=12.3,
    window=Window(second=11, acknowledged=900, received=800, latency=Percentiles(count=900, p50_ms=1.5, p99_ms=9)),
    sent=10_100,
    acknowledged=10_000,
    received=9_000,
    errors={"refused": 60, "unknown": 40, "flow control": 0},
    lag={f"b/{queue}": queue for queue in range(20)},
    trouble="no leader",
)


def test_a_line_and_a_table_show_the_same_second() -> None:
    from rich.console import Console

    console = Console(width=160, record=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123 - closed with the test
    console.print(table(PROGRESS, sends=True, receives=True))
    shown = console.export_text()
    console.file.close()
    said = line(PROGRESS, sends=True, receives=True)
    for words in ("900", "10000", "60 refused", "40 unknown", "800", "9000", "190", "no leader"):
        assert words in shown
        assert words in said
    assert "flow control" not in said
    assert "p50 1.5" in said
    assert "acked" not in line(PROGRESS, sends=False, receives=True)
    assert "received" not in line(PROGRESS, sends=True, receives=False)


def test_the_lag_of_many_queues_stays_on_one_line() -> None:
    assert lags(PROGRESS).startswith("190   (0: 0, 1: 1,")
    assert "and 4 more queues" in lags(PROGRESS)
