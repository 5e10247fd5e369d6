"""Promises of ``rmqkit drill`` around the run itself: its exit codes, and that the READMEs show what it prints."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rmqkit.checks import judge
from rmqkit.cli import EXIT_FAILED, EXIT_INCONCLUSIVE, EXIT_OK, main
from rmqkit.cluster.buildinfo import BuildInfo
from rmqkit.cluster.peers import from_spec
from rmqkit.faults import Failover
from rmqkit.faults.timeline import Phase
from rmqkit.history import FaultEvent, History, Outcome, ReadRecord, SendRecord
from rmqkit.scenario import DrillPlan, DrillResult
from rmqkit.topology.spec import ClusterSpec

ROOT = Path(__file__).parents[3]
MEMBERS = from_spec(ClusterSpec.pod(base_port=20000, name="t"))
BUILD = BuildInfo.parse(
    b'{"edition": "4.9.8", "source": "release", "rocketmq_version": "4.9.8", '
    b'"rocketmq_checksum": "sha1:55a2e03936a10f", "dledger_version": "0.3.1.2", '
    b'"dledger_source": "sources-jar", "runtime_jdk": "1.8.0_504"}'
)
Ran = tuple[int, str, str]
SECOND = 1_000_000_000
RATE = 40


class Drill:
    """Stands for the scenario: a leader is killed after one second and away for six."""

    def __init__(self) -> None:
        self.before_s = 1.0
        self.after_s = 3.0
        self.lost: set[str] = set()
        self.lost_at = ("n0", "n1", "n2")
        self.unread: dict[str, str] = {}

    def __call__(self, _cluster: object, *, plan: DrillPlan, history: History, **_: object) -> DrillResult:
        history.add_run_prefix("r-")
        zero = history.start_ns
        killed, back = self.before_s, self.before_s + 6.0
        number = 0
        for number in range(int((back + self.after_s) * RATE)):
            at, away = zero + number * SECOND // RATE, killed < number / RATE < back
            outcome = Outcome.UNKNOWN if number % 20 == 0 else Outcome.REFUSED
            send = SendRecord(
                f"r-{number}",
                "T",
                at,
                at + 1000,
                outcome if away else Outcome.ACKNOWLEDGED,
                0,
                number,
                "",
                "",
                "built-in/0",
            )
            history.add_send(send)
            for peer in () if away else MEMBERS.peers:
                if f"r-{number}" not in self.lost or peer.id not in self.lost_at:
                    history.add_read(ReadRecord(peer.id, f"r-{number}", "T", 0, number))
        for step, at_s, who in (
            ("injected", killed + 0.02, "n0"),
            ("left", back - 2, "n1"),
            ("left", back - 2, "n2"),
            ("elected", back - 1, "n1"),
            ("registered", back - 0.2, "n1"),
            ("serves", back - 0.1, "n1"),
            ("acked", back, "n1"),
            ("healed", back + 1, "n0"),
            ("restored", back + 2, "n0"),
        ):
            known = 0 if step in ("injected", "healed", "restored") else 20_000_000
            history.faults.append(FaultEvent("kill-leader", step, who, zero + int(at_s * SECOND), known))
        for peer in MEMBERS.peers:
            history.reader_done(peer.id, reached_end=peer.id not in self.unread)
        names = ("injected", "elected", "registered", "serves", "acked")
        phases = tuple(Phase(name, 1.1 * place) for place, name in enumerate(names))
        restored = [Phase("restarted", 8.0), Phase("restored", 19.0)]
        failover = Failover("kill-leader", "RaftNode00", MEMBERS.peers[0], MEMBERS.peers[1], phases, restored=restored)
        return DrillResult(failover, judge(history, plan.thresholds(3)), history, self.unread)


@pytest.fixture
def drill(monkeypatch: pytest.MonkeyPatch) -> Drill:
    scenario = Drill()
    cluster: Any = SimpleNamespace(
        members=MEMBERS,
        build_info=lambda: BUILD,
        status=lambda: SimpleNamespace(group=lambda name: SimpleNamespace(summary=f"{name}: all agree")),
        nameservers=("127.0.0.1:20000",),
        run="t",
    )

    @contextmanager
    def up(*_: object, **__: object) -> Iterator[Any]:
        yield cluster

    monkeypatch.setattr("rmqkit.cli.drill.drill", scenario)
    monkeypatch.setattr("rmqkit.cli.proof.started_or_own", up)
    return scenario


@pytest.fixture
def ran(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    def run(*argv: str) -> Ran:
        code = main(["drill", *argv])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return run


def verdict_of(ran: Callable[..., Ran], *argv: str) -> tuple[int, str]:
    """Exit code and the verdict's line; ``--json`` must say the same."""
    code, out, _ = ran(*argv, "--acked", "50")
    line = next(line for line in out.splitlines() if line.startswith("verdict: "))
    again, said, _ = ran(*argv, "--acked", "50", "--json")
    assert (again, json.loads(said)["verdict"]["status"]) == (code, line.removeprefix("verdict: "))
    return code, line


def test_a_passed_drill_exits_with_0(drill: Drill, ran: Callable[..., Ran]) -> None:
    assert verdict_of(ran) == (EXIT_OK, "verdict: PASSED")


@pytest.mark.parametrize("where", [("n0", "n1", "n2"), ("n2",)], ids=["everywhere", "one replica"])
def test_a_lost_message_exits_with_1(drill: Drill, ran: Callable[..., Ran], where: tuple[str, ...]) -> None:
    drill.lost, drill.lost_at = {"r-7"}, where
    assert verdict_of(ran) == (EXIT_FAILED, "verdict: FAILED")


def test_an_outage_beyond_the_bound_exits_with_1(drill: Drill, ran: Callable[..., Ran]) -> None:
    assert verdict_of(ran, "--max-outage", "5") == (EXIT_FAILED, "verdict: FAILED")
    assert verdict_of(ran, "--max-outage", "7") == (EXIT_OK, "verdict: PASSED")


def test_too_little_evidence_exits_with_3(drill: Drill, ran: Callable[..., Ran]) -> None:
    drill.after_s = 0.1
    assert verdict_of(ran) == (EXIT_INCONCLUSIVE, "verdict: INCONCLUSIVE")


def test_a_replica_that_was_not_read_to_its_end_exits_with_3_and_is_named(
    drill: Drill, ran: Callable[..., Ran]
) -> None:
    drill.unread = {"n2": "it does not answer"}
    assert verdict_of(ran) == (EXIT_INCONCLUSIVE, "verdict: INCONCLUSIVE")
    assert "n2 was not read to its end: it does not answer" in ran("--acked", "50")[1]


# ---- what the READMEs show


def shape(text: str) -> list[str]:
    """What the lines of a drill's answer are, whatever the run measured: numbers and peers stand for any others.

    Two phases of one moment come in either order, and the verdict's notes are of that run alone.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("·")]
    lines = [re.sub(r"\bn\d\b", "n?", re.sub(r"\b[0-9a-f]*\d[\w.]*\b", "#", line)) for line in lines]
    # The last acknowledgement may have come before the order or after it; the first line has no step.
    return sorted(re.sub(r"^-?# s +(\(\+ *#\) +)?", "# s ", line) for line in lines)


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_readmes_sample_has_the_lines_that_a_drill_prints(drill: Drill, ran: Callable[..., Ran], name: str) -> None:
    (sample,) = re.findall(r"```text\n\$ scripts/drill.*?\n…\n(.*?)```", (ROOT / name).read_text("utf-8"), re.DOTALL)
    code, out, _ = ran("--acked", "50")
    assert code == EXIT_OK
    assert shape(sample) == shape(out)


def test_a_sample_that_lacks_a_line_or_has_another_is_told(drill: Drill, ran: Callable[..., Ran]) -> None:
    out = ran("--acked", "50")[1]
    lines = out.splitlines()
    assert shape(out) == shape(re.sub(r"(?<=\.)\d+", "7", out)), "another run prints other numbers"
    for number, line in enumerate(lines):
        if line.strip() and not line.strip().startswith("·"):
            assert shape("\n".join(lines[:number] + lines[number + 1 :])) != shape(out), line
            assert shape("\n".join([*lines[:number], f"{line} nowadays", *lines[number + 1 :]])) != shape(out)
