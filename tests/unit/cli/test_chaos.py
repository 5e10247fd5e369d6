"""Promises of ``rmqkit chaos`` around the run itself: the plan it makes, what it says, and its exit code."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rmqkit.checks import Thresholds, judge
from rmqkit.cli import EXIT_CLUSTER, EXIT_OK, main
from rmqkit.cluster.peers import from_spec
from rmqkit.errors import NotReadyError
from rmqkit.faults import Injection, Kill, NameServerKill, Pause, Schedule, Step, Transfer
from rmqkit.history import History, Outcome, ReadRecord, SendRecord
from rmqkit.scenario import ChaosResult
from rmqkit.topology.spec import ClusterSpec

Ran = tuple[int, str, str]


class Chaos:
    """Stands for the scenario: remembers the schedules that it was given; ``error`` is what it raises."""

    def __init__(self) -> None:
        self.schedules: list[Schedule] = []
        self.plans: list[object] = []
        self.error: Exception | None = None
        self.passes = True

    def __call__(self, _cluster: object, schedule: Schedule, *, history: History, **how: object) -> ChaosResult:
        self.schedules.append(schedule)
        self.plans.append(how["plan"])
        if self.error is not None:
            raise self.error
        history.add_run_prefix("m-")
        done = []
        for number, step in enumerate(schedule.steps):
            history.add_send(SendRecord(f"m-{number}", "T", 0, 1, Outcome.ACKNOWLEDGED, 0, number, "", ""))
            injection = Injection(step.fault, (), "n1")
            for phase in ("injected", "healed", "restored"):
                injection.reached(phase)
                history.add_fault(step.fault.kind, phase, "n1")
            done.append(injection)
            if self.passes:
                history.add_read(ReadRecord("n0", f"m-{number}", "T", 0, number))
        history.reader_done("n0", reached_end=True)
        verdict = judge(history, Thresholds(min_acked_before=0, min_acked_after=0, min_replicas=1))
        return ChaosResult("RaftNode00", schedule, tuple(done), verdict, history, {})


@pytest.fixture
def chaos(monkeypatch: pytest.MonkeyPatch) -> Chaos:
    scenario = Chaos()
    spec = ClusterSpec.pod(base_port=20000, name="t")
    cluster: Any = SimpleNamespace(
        members=from_spec(spec),
        spec=spec,
        services=("n0", "n1", "n2"),
        build_info=lambda: None,
        status=lambda: SimpleNamespace(group=lambda name: SimpleNamespace(summary=f"{name}: all agree")),
        nameservers=("127.0.0.1:20000",),
        run="t",
    )

    @contextmanager
    def up(*_: object, **__: object) -> Iterator[Any]:
        yield cluster

    monkeypatch.setattr("rmqkit.cli.chaos.chaos", scenario)
    monkeypatch.setattr("rmqkit.cli.proof.started_or_own", up)
    return scenario


@pytest.fixture
def ran(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    def run(*argv: str) -> Ran:
        code = main(["chaos", *argv])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return run


def test_the_seed_says_what_is_done(chaos: Chaos, ran: Callable[..., Ran]) -> None:
    for _ in range(2):
        assert ran("--seed", "7", "--duration", "60", "--faults", "kill,pause")[0] == EXIT_OK
    first, second = chaos.schedules
    assert first == second == Schedule.random(7, duration_s=60, kinds=[Kill, Pause])


def test_without_a_seed_there_is_a_new_one_each_time_which_is_told_and_repeats_the_run(
    chaos: Chaos, ran: Callable[..., Ran]
) -> None:
    again = []
    for _ in range(2):
        code, out, err = ran()
        assert code == EXIT_OK
        told = re.findall(r"this run again: rmqkit chaos (.*)", out + err)
        assert len(told) == 2
        assert told[0] == told[1], "once at the start, once with the result"
        again.append(told[0])
    assert again[0] != again[1]
    assert ran(*again[0].split())[0] == EXIT_OK
    assert chaos.schedules[2] == chaos.schedules[0] != chaos.schedules[1]


def test_the_answer_names_every_fault_and_what_it_did(chaos: Chaos, ran: Callable[..., Ran]) -> None:
    code, out, err = ran("--seed", "1", "--duration", "30", "--faults", "nameserver-kill")
    assert code == EXIT_OK
    for line in chaos.schedules[0].lines():
        assert line in err
    assert out.count("nameserver-kill of n1\n") == len(chaos.schedules[0].steps) == 1
    for line in ("the order was given", "n1: what was done to it was undone", "n1 is back, every peer has caught up"):
        assert line in out
    out = ran("--seed", "1", "--duration", "90", "--faults", "nameserver-kill")[1]
    said = out.count(", injected 0.00 s, healed 0.00 s, restored 0.00 s\n")
    assert said == len(chaos.schedules[1].steps) > 1, "of several faults a line each"
    assert "messages read back from 1 replicas" in out
    assert "PASSED" in out


def test_the_json_answer_holds_the_schedule_that_can_be_given_back(
    chaos: Chaos, ran: Callable[..., Ran], tmp_path: Path
) -> None:
    code, out, _ = ran("--seed", "3", "--faults", "kill,nameserver-kill", "--json")
    assert code == EXIT_OK
    assert [each["packets"] for each in json.loads(out)["faults"]] == [None] * len(chaos.schedules[0].steps)
    written = tmp_path / "steps.json"
    written.write_text(json.dumps(json.loads(out)["schedule"]), encoding="utf-8")
    code, _, err = ran("--schedule", str(written))
    assert code == EXIT_OK
    assert chaos.schedules[0] == chaos.schedules[1]
    assert f"this run again: rmqkit chaos --schedule {written}" in err


def test_a_written_schedule_is_carried_out_as_it_stands(chaos: Chaos, ran: Callable[..., Ran], tmp_path: Path) -> None:
    written = tmp_path / "steps.json"
    written.write_text('{"steps": [{"fault": "nameserver-kill", "gap_s": 1, "hold_s": 2}]}', encoding="utf-8")
    assert ran("--schedule", str(written))[0] == EXIT_OK
    assert chaos.schedules == [Schedule((Step(NameServerKill(), gap_s=1, hold_s=2),))]


def test_what_the_cluster_cannot_have_is_left_out_with_a_line(
    chaos: Chaos, ran: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Transfer, "why_not", lambda _fault, _cluster: "n0 is too old; take another")
    code, _, err = ran("--seed", "1", "--faults", "transfer,kill", "--duration", "60")
    assert code == EXIT_OK
    assert "transfer is left out: n0 is too old; take another" in err
    assert {step.fault.kind for step in chaos.schedules[0].steps} == {"kill"}
    code, _, err = ran("--faults", "transfer")
    assert code == EXIT_CLUSTER
    assert "can have none of the faults" in err
    assert len(chaos.schedules) == 1


def said_again(text: str) -> list[str]:
    """The words after `rmqkit chaos` of the last line that says how the run comes again, as a shell reads them."""
    return shlex.split(re.findall(r"this run again: rmqkit chaos (.*)", text)[-1])


def test_the_run_comes_again_without_the_kinds_that_were_left_out(
    chaos: Chaos, ran: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as old:
        old.setattr(Transfer, "why_not", lambda _fault, _cluster: "n0 is too old; take another")
        _, out, _ = ran("--seed", "2", "--faults", "kill,transfer,pause", "--duration", "90")
    monkeypatch.setattr(Transfer, "why_not", lambda _fault, _cluster: "")
    assert ran(*said_again(out))[0] == EXIT_OK
    assert chaos.schedules[0] == chaos.schedules[1]
    ran("--seed", "2", "--faults", "kill,transfer,pause", "--duration", "90")
    assert chaos.schedules[2] != chaos.schedules[0], "the seed alone would have done, so this shows nothing"


def test_the_run_comes_again_with_every_option_that_it_was_given(chaos: Chaos, ran: Callable[..., Ran]) -> None:
    given = ["--edition", "4.9.8", "--group", "RaftNode00", "--rate", "99.5", "--threads", "2"]
    given += ["--max-outage", "12.25", "--timeout", "77"]
    _, out, _ = ran("--seed", "4", *given)
    again = said_again(out)
    assert again == ["--seed", "4", "--duration", "60", "--faults", "kill,stop,restart,pause", *given]
    assert said_again(ran(*again)[1]) == again
    assert chaos.plans[0] == chaos.plans[1]
    assert said_again(ran("--seed", "4", "--run", "mine")[1])[-2:] == ["--run", "mine"]


def test_a_file_whose_name_a_shell_would_split_is_quoted(chaos: Chaos, ran: Callable[..., Ran], tmp_path: Path) -> None:
    written = tmp_path / "my steps.json"
    written.write_text('{"steps": [{"fault": "nameserver-kill"}]}', encoding="utf-8")
    _, out, _ = ran("--schedule", str(written))
    assert said_again(out) == ["--schedule", str(written)]


def test_every_failure_says_how_to_repeat_it(chaos: Chaos, ran: Callable[..., Ran]) -> None:
    chaos.error = NotReadyError("it did not come back")
    code, out, err = ran("--seed", "5")
    assert (code, out) == (EXIT_CLUSTER, "")
    assert err.splitlines()[-1] == (
        "This run again: rmqkit chaos --seed 5 --duration 60 --faults kill,stop,restart,pause"
    )


def test_the_exit_code_is_the_verdicts(chaos: Chaos, ran: Callable[..., Ran]) -> None:
    chaos.passes = False
    code, out, _ = ran("--seed", "5")
    assert code == 1
    assert "FAILED" in out
    assert "rmqkit chaos --seed 5" in out
