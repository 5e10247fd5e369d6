"""Promises of the command line that need no cluster: help, exit codes, and one screen instead of a traceback."""

from __future__ import annotations

import builtins
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from rmqkit import __version__, cli
from rmqkit.cli import EXIT_CLUSTER, EXIT_INTERRUPTED, EXIT_MACHINE, EXIT_OK, EXIT_USAGE, exit_code, main
from rmqkit.cli.app import app, only
from rmqkit.errors import (
    BrokerExitedError,
    ComposeError,
    ConnectFailedError,
    EngineError,
    FaultError,
    ImageError,
    NoLeaderError,
    NotFoundError,
    NotReadyError,
    PortInUseError,
    ReadOnlyClusterError,
    RmqkitError,
    SpecError,
    StoppedError,
    UsageError,
    WaitTimeoutError,
    WireError,
)

COMMANDS = sorted(
    str(command.name or getattr(command.callback, "__name__", "")).replace("_", "-")
    for command in app.registered_commands
)
NO_ENGINE = "unix:///nonexistent/rmqkit-test.sock"
SCREEN = 24
Ran = tuple[int, str, str]


@pytest.fixture(autouse=True)
def _no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("RMQKIT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DOCKER_HOST", NO_ENGINE)


@pytest.fixture
def ran(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run a command here; gives its exit code, output and errors."""

    def run(*argv: str) -> Ran:
        code = main(argv)
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return run


def process(*argv: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command as users do."""
    command = [sys.executable, "-m", "rmqkit", *argv]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)


# ---- help


def test_the_commands_are_those_of_the_documentation() -> None:
    assert COMMANDS == [
        "build",
        "chaos",
        "check",
        "deploy",
        "doctor",
        "down",
        "drill",
        "kill-leader",
        "locate",
        "logs",
        "render",
        "replay",
        "report",
        "size",
        "status",
        "up",
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(ran: Callable[..., Ran], command: str) -> None:
    code, out, err = ran(command, "--help")
    assert (code, err) == (EXIT_OK, "")
    assert f" {command} [OPTIONS]" in out
    undocumented = [line for line in out.splitlines() if line.strip().startswith("--") and len(line.split()) < 2]
    assert not undocumented


def test_the_exit_codes_are_part_of_the_help(ran: Callable[..., Ran]) -> None:
    code, out, _ = ran("--help")
    assert code == EXIT_OK
    words = " ".join(out.split())
    for text in ("0 done", "1 unhealthy or FAILED", "2 wrong use", "3 INCONCLUSIVE", "130 interrupted"):
        assert text in words


def test_without_a_command_there_is_help_and_it_is_wrong_use(ran: Callable[..., Ran]) -> None:
    code, out, err = ran()
    assert code == EXIT_USAGE
    assert "kill-leader" in out + err


def test_the_version_is_the_packages(ran: Callable[..., Ran]) -> None:
    assert ran("--version") == (EXIT_OK, f"rmqkit {__version__}\n", "")


# ---- wrong use


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["no-such-command"], "No such command 'no-such-command'"),
        (["status", "--no-such-option"], "No such option: --no-such-option"),
        (["status", "--json", "--watch"], "--json and --watch do not go together"),
        (["kill-leader", "--project", "p"], "--project says where the brokers of --namesrv run"),
        (["down", "run-1", "--all"], "give one of RUN, --all and --stale"),
        (["down", "--all", "--stale"], "give one of RUN, --all and --stale"),
        (["down", "--volumes"], "--engine and --volumes go with a specification"),
        (["down", "/nonexistent.yaml"], "/nonexistent.yaml: No such file"),
        (["status", "/nonexistent.yaml"], "/nonexistent.yaml: No such file"),
        (["status", "cluster.yaml", "--watch"], "a specification goes with --engine and --json alone"),
        (["status", "--engine", "a=b"], "--engine goes with a specification"),
        (["deploy"], "Missing argument 'SPEC'"),
        (["deploy", "/nonexistent.yaml"], "/nonexistent.yaml: No such file"),
        (["up", "--timeout", "soon"], "Invalid value for '--timeout'"),
        (["up", "--timeout", "0"], "option timeout: 0.0 is not a number of seconds"),
        (["up", "--timeout", "nan"], "option timeout: nan is not a number of seconds"),
        (["up", "--peers", "0"], "peers=0 leaves nothing to start"),
        (["up", "--groups", "-1"], "groups=-1 leaves nothing to start"),
        (["up", "--nameservers", "11"], "nameservers=11 in a pod"),
        (["up", "--peers", "9999"], "base_port=20000: the last port of 1 × 9999 brokers"),
        (["drill", "--rate", "0"], "--rate, --threads and --acked must be positive"),
        (["drill", "--rate", "nan"], "--rate, --threads and --acked must be positive"),
        (["drill", "--threads", "0"], "--rate, --threads and --acked must be positive"),
        (["drill", "--acked", "0"], "--rate, --threads and --acked must be positive"),
        (["drill", "--history", "/nonexistent/h.jsonl"], "/nonexistent is not a folder that can be written to"),
        (["drill", "--history", __file__], "exists already"),
        (["drill", "--report", __file__], "is no folder"),
        (["drill", "--report", str(Path(__file__).parent)], "is not empty"),
        (["drill", "--max-outage", "0"], "--max-outage 0 is no number of seconds to be away for"),
        (["chaos", "--max-outage", "-1"], "--max-outage -1 is no number of seconds to be away for"),
        (["chaos", "--rate", "0"], "--rate and --threads must be positive"),
        (["chaos", "--threads", "0"], "--rate and --threads must be positive"),
        (["chaos", "--duration", "0"], "--duration 0 is no number of seconds"),
        (["chaos", "--duration", "nan"], "--duration nan is no number of seconds"),
        (["chaos", "--faults", "kill,explode"], "there is no fault 'explode'"),
        (["chaos", "--faults", ","], "no fault is named"),
        (["chaos", "--schedule", "f.json", "--seed", "1"], "--seed, --duration and --faults do not go with it"),
        (["chaos", "--schedule", "/nonexistent.json"], "/nonexistent.json cannot be read"),
        (["chaos", "--schedule", __file__], "test_command_line.py is not JSON"),
        (["chaos", "--history", __file__], "exists already"),
        (["chaos", "--report", __file__], "is no folder"),
        (["report"], "Missing argument 'DIR'"),
        (["report", "/nonexistent"], "/nonexistent is no folder"),
        (["report", str(Path(__file__).parent)], "report.json is missing"),
        (["status", "--namesrv", "nonsense"], "not an address: 'nonsense'"),
        (["status", "--namesrv", ";"], "no NameServer is named"),
        (["status", "--namesrv", ""], "no NameServer is named"),
        (["kill-leader", "--namesrv", "nonsense"], "not an address: 'nonsense'"),
        (["kill-leader", "--namesrv", "127.0.0.1:99999"], "not an address: '127.0.0.1:99999'"),
        (["build", "not an edition"], "edition 'not an edition' is neither a version nor a git ref"),
        (["build", "--source", "zip"], "source 'zip' is unknown"),
        (["build", "--checkout", "/nonexistent"], "there is no folder /nonexistent"),
        (["build", "--ca-bundle", "/nonexistent"], "option ca-bundle: /nonexistent is not a file"),
    ],
    ids=lambda value: " ".join(value).replace(os.sep, "|") if isinstance(value, list) else "",
)
def test_wrong_use_is_one_screen_and_exit_code_2(ran: Callable[..., Ran], argv: Sequence[str], said: str) -> None:
    code, out, err = ran(*argv)
    assert code == EXIT_USAGE
    assert said in err
    assert out == "", "standard output is for answers"
    assert len(err.splitlines()) <= SCREEN


def test_an_environment_variable_that_cannot_be_used_is_named(
    ran: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RMQKIT_TIMEOUT", "soon")
    code, _, err = ran("drill")
    assert code == EXIT_USAGE
    assert err.startswith("rmqkit: environment variable RMQKIT_TIMEOUT: 'soon' is not a number of seconds\n")


# ---- a machine or a cluster at fault


@pytest.mark.parametrize(
    "argv",
    [["build", "4.9.8"], ["up"], ["status"], ["status", "--list"], ["kill-leader"], ["drill"], ["logs"], ["down"]],
    ids=" ".join,
)
def test_without_an_engine_every_command_says_so(ran: Callable[..., Ran], argv: Sequence[str]) -> None:
    code, out, err = ran(*argv)
    assert (code, out) == (EXIT_MACHINE, "")
    assert "engine" in err
    assert NO_ENGINE in err
    assert "What to do: " in err
    assert len(err.splitlines()) <= SCREEN


def test_without_the_docker_command_line_status_says_so(
    ran: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, err = ran("status")
    assert code == EXIT_MACHINE
    assert "No such file or directory: 'docker'" in err


@pytest.mark.parametrize("command", ["status", "kill-leader"])
def test_a_nameserver_that_does_not_answer_is_the_clusters_fault(ran: Callable[..., Ran], command: str) -> None:
    code, out, err = ran(command, "--namesrv", "127.0.0.1:1")
    assert (code, out) == (EXIT_CLUSTER, "")
    first, seen, *_, hint = err.splitlines()
    assert first == "rmqkit: no NameServer answers at 127.0.0.1:1"
    assert "Connection refused" in seen
    assert hint.startswith("What to do: ")


@pytest.mark.parametrize(
    ("options", "access"),
    [((), (None, "")), (("--project", "theirs"), ("the engine", "theirs"))],
    ids=["looked at only", "with its project"],
)
def test_a_leader_is_killed_with_the_access_that_is_named(
    ran: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], access: tuple[object, str]
) -> None:
    asked: list[tuple[object, ...]] = []

    def attach(namesrv: str, *, engine: object, project: str, timeout_s: float) -> Any:
        asked.append((namesrv, engine, project, timeout_s))
        raise NotFoundError("nobody")

    monkeypatch.setattr("rmqkit.cli.kill_leader.Engine.connect", lambda: nullcontext("the engine"))
    monkeypatch.setattr("rmqkit.cli.kill_leader.Cluster.attach", attach)
    assert ran("kill-leader", "--namesrv", "h:1", "--timeout", "7", *options)[0] == EXIT_USAGE
    assert asked == [("h:1", *access, 7.0)]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), 2),
        (SpecError("x"), 2),
        (NotFoundError("x"), 2),
        (ReadOnlyClusterError("x"), 2),
        (EngineError("x"), 4),
        (ComposeError("x"), 4),
        (ImageError("x"), 4),
        (PortInUseError("x"), 4),
        (NotReadyError("x"), 5),
        (BrokerExitedError("x"), 5),
        (NoLeaderError("x"), 5),
        (FaultError("x"), 5),
        (WaitTimeoutError("x", waited_s=1, last_seen=""), 5),
        (ConnectFailedError("x", address="a:1", request_sent=False), 5),
        (WireError("x"), 5),
        (RmqkitError("x"), 5),
        (StoppedError("x"), 130),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_the_exit_code_says_who_is_at_fault(error: RmqkitError, code: int) -> None:
    assert exit_code(error) == code


# ---- interrupted


def test_ctrl_c_is_exit_code_130_and_no_traceback(ran: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("rmqkit.cli.drill.run", interrupted)
    assert ran("drill") == (
        EXIT_INTERRUPTED,
        "",
        "rmqkit: interrupted; what this command had started was taken down\n",
    )


def test_ctrl_c_while_python_is_still_importing_is_no_traceback_either(
    ran: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def interrupted(name: str, *rest: Any) -> Any:
        if name == "rmqkit.cli.app":
            raise KeyboardInterrupt
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", interrupted)
    assert ran("drill")[0] == EXIT_INTERRUPTED


# ---- as a process


def test_the_three_ways_to_call_it_are_the_same() -> None:
    script = Path(sys.executable).with_name("rmqkit")
    assert script.exists(), "the package is not installed here"
    ways: list[list[str]] = [[str(script)], [sys.executable, "-m", "rmqkit"], [sys.executable, "-m", "rmqkit.cli"]]
    done = [subprocess.run([*way, "--version"], capture_output=True, text=True, check=True) for way in ways]
    assert {each.stdout for each in done} == {f"rmqkit {__version__}\n"}


def test_an_error_reaches_the_shell_as_its_exit_code() -> None:
    done = process("status", "--json", "--watch")
    assert (done.returncode, done.stdout) == (EXIT_USAGE, "")
    assert done.stderr == (
        "rmqkit: --json and --watch do not go together\nWhat to do: ask with --json as often as you want\n"
    )


def test_a_reader_that_has_gone_is_no_error() -> None:
    """As in ``rmqkit status | head -1``."""
    read, write = os.pipe()
    os.close(read)
    try:
        command = [sys.executable, "-m", "rmqkit", "--help"]
        done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    finally:
        os.close(write)
    assert done.stderr == ""


def test_a_named_command_is_read_alone_and_anything_else_meets_the_whole_table() -> None:
    for name in COMMANDS:
        assert len(only([name, "--help"]).registered_commands) == 1
    for argv in ([], ["--help"], ["no-such-command"], ["load", "run"]):
        assert only(argv) is app


def test_help_imports_nothing_heavy() -> None:
    """A command line that takes half a second to say how it is used is not asked."""
    script = (
        "import sys; from rmqkit.cli import main; main(['--help']);"
        "print(sorted({'docker', 'testcontainers', 'rich.table', 'requests', 'yaml'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_documented_codes_are_the_ones_in_use() -> None:
    codes = {value for name, value in vars(cli).items() if name.startswith("EXIT_") and isinstance(value, int)}
    assert codes == {0, 1, 2, 3, 4, 5, 130}
    assert all(f"{code} " in cli.EXIT_CODES for code in codes)
