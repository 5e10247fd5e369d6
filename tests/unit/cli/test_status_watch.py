"""Promises of ``rmqkit status --watch``: it shows what changes, loses nothing to the width, and Ctrl-C ends it well."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from rmqkit.cli import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, main
from rmqkit.cli import status as command
from rmqkit.cli.watch import Changes, watch
from rmqkit.cluster.status import ClusterStatus, ask
from rmqkit.errors import RequestTimeoutError

sys.path.append(str(Path(__file__).parents[1] / "cluster"))

from scripted_group import MEMBERS, N1, NAMESRV, ScriptedGroup

STAMP = r"\d\d:\d\d:\d\dZ "
HEALTHY = "RaftNode00: all agree, n0 leads"
Step = Callable[[ScriptedGroup], None]


def nothing(_: ScriptedGroup) -> None:
    """Nothing happens."""


def leader_dies(group: ScriptedGroup) -> None:
    group.silent.add("n0")
    group.votes = dict.fromkeys(group.votes)


def n1_leads(group: ScriptedGroup) -> None:
    group.lead(N1)


def nameserver_dies(group: ScriptedGroup) -> None:
    group.silent.add("namesrv")


def all_are_back(group: ScriptedGroup) -> None:
    group.silent.clear()


class Script:
    """A group to which one thing happens after each answer; when there is no more, Ctrl-C comes in the pause."""

    def __init__(self, *steps: Step) -> None:
        self.group = ScriptedGroup()
        self._steps = iter(steps)
        self.asked = 0

    def ask(self, *_: object) -> ClusterStatus:
        self.asked += 1
        return ask(self.group.pool, MEMBERS, [NAMESRV])  # type: ignore[arg-type]

    def pause(self, seconds: float) -> None:
        assert seconds == 1.0
        step = next(self._steps, None)
        if step is None:
            raise KeyboardInterrupt
        step(self.group)


def screen(width: int, height: int = 40) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=height, color_system=None)


def pictures(console: Console) -> list[str]:
    """What was on the screen, one after the other: rich clears a line before it draws it again."""
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    drawn = re.split(r"(?:\x1b\[1A\x1b\[2K|\x1b\[2K\x1b\[1A|\r\x1b\[2K)+", text)
    return [re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", each) for each in drawn if each.strip()]


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Script]:
    """The command itself, on a script."""

    def use(*steps: Step) -> Script:
        script = Script(*steps)
        monkeypatch.setattr(command, "_target", lambda *_: command.Target(MEMBERS, [NAMESRV], "container"))
        monkeypatch.setattr(command, "ask", script.ask)
        monkeypatch.setattr("rmqkit.cli.watch.time.sleep", lambda _: None)
        monkeypatch.setattr(watch, "__kwdefaults__", {"pause": script.pause, "console": None})
        return script

    return use


def test_every_change_is_a_line_and_what_stays_is_said_once(
    scripted: Callable[..., Script], capsys: pytest.CaptureFixture[str]
) -> None:
    script = scripted(nothing, leader_dies, nothing, nothing, n1_leads, all_are_back, nothing)
    assert main(["status", "--watch"]) == EXIT_OK
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert script.asked == 8
    assert err == "", "Ctrl-C is the end that was asked for: nothing was started, nothing is taken down"
    assert all(re.match(STAMP, line) for line in lines)
    said = [re.sub(STAMP, "", line) for line in lines]
    assert said[0] == HEALTHY
    assert said[1].startswith("RaftNode00: DISAGREE: ")
    assert said[2].startswith("RaftNode00: all agree, n1 leads; but n0 does not answer")
    assert said[3:] == ["RaftNode00: all agree, n1 leads"]


@pytest.mark.parametrize(
    ("steps", "code"), [((), EXIT_OK), ((leader_dies,), EXIT_FAILED), ((leader_dies, all_are_back), EXIT_FAILED)]
)
def test_the_exit_code_is_that_of_the_last_answer(
    scripted: Callable[..., Script], steps: tuple[Step, ...], code: int
) -> None:
    scripted(*steps)
    assert main(["status", "--watch"]) == code


def test_ctrl_c_before_there_is_an_answer_is_an_interruption(
    scripted: Callable[..., Script], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted()

    def interrupted(*_: object) -> ClusterStatus:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "ask", interrupted)
    assert main(["status", "--watch"]) == EXIT_INTERRUPTED
    assert "interrupted" in capsys.readouterr().err


def test_a_nameserver_that_goes_and_comes_back_is_told() -> None:
    script = Script()
    changes = Changes()
    said = [changes.of(script.ask())]
    for step in (nameserver_dies, nothing, all_are_back):
        step(script.group)
        said.append(changes.of(script.ask()))
    texts = [[re.sub(STAMP, "", line) for line in each] for each in said]
    assert texts[0] == [HEALTHY]
    assert f"NameServer {NAMESRV}: namesrv is silent" in texts[1]
    assert texts[2] == []
    assert texts[3] == [HEALTHY, f"NameServer {NAMESRV} answers again"]


def test_how_a_dead_peers_connection_fails_is_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused, reset or closed, by chance: each second another line would bury what happens."""

    def silent(name: str, say: object) -> object:
        def handler(command: object) -> object:
            if name in group.silent:
                raise RequestTimeoutError(f"{name}: {reasons[0]}", address=name, request_sent=True)
            return say(name, command)  # type: ignore[operator]

        return handler

    monkeypatch.setattr(ScriptedGroup, "_answer", lambda _, name, say: silent(name, say))
    group = ScriptedGroup()
    group.lead(N1)
    group.silent.add("n0")
    changes, lines = Changes(), []
    reasons = ["refused (ECONNREFUSED)", "reset by peer", "closed"]
    while reasons:
        lines.append(changes.of(ask(group.pool, MEMBERS, [NAMESRV])))  # type: ignore[arg-type]
        reasons.pop(0)
    assert [len(each) for each in lines] == [1, 0, 0]
    assert "n0 does not answer (n0: refused (ECONNREFUSED))" in lines[0][0]


def test_a_terminal_shows_the_present_and_what_has_changed() -> None:
    script, console = Script(leader_dies, n1_leads), screen(200)
    assert watch(script.ask, pause=script.pause, console=console) == EXIT_FAILED
    first, *_, last = pictures(console)
    assert re.search(r"n0 +0 +127\.0\.0\.1:30911 .* SYNC_MASTER", first)
    assert "n1 leads" not in first
    assert re.search(r"n1 +0 +127\.0\.0\.1:30921 .* SYNC_MASTER", last)
    changed = [line for line in last.splitlines() if re.match(STAMP + "RaftNode00", line)]
    assert len(changed) == 3, "what was there for a second only is still to be read"
    assert "DISAGREE" in changed[1]


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_a_narrow_terminal_has_fewer_columns_and_cuts_none(width: int) -> None:
    script, console = Script(), screen(width)
    watch(script.ask, pause=script.pause, console=console)
    shown = pictures(console)[-1]
    assert "…" not in shown
    assert re.search(r"Peer .*BID .*Role .*Raft leader .*Term", shown)
    assert ("Committed" in shown) == (width == 200)
    assert re.search(r"n0 .*SYNC_MASTER +n0 +7", shown)


def test_many_changes_do_not_push_the_picture_off_the_screen() -> None:
    steps = [leader_dies, all_are_back, n1_leads] * 6
    script, console = Script(*steps), screen(120, height=24)
    watch(script.ask, pause=script.pause, console=console)
    last = pictures(console)[-1]
    assert "Raft leader" in last
    assert "Ctrl-C ends it" in last
    assert 20 <= len(last.splitlines()) <= 24, "as many as there is room for"


def test_it_ends_when_nobody_reads_its_lines(tmp_path: Path) -> None:
    """As in ``rmqkit status --watch | head -1``: at the next change, as with other commands that follow something."""
    program = tmp_path / "watched.py"
    program.write_text(
        "import sys\n"
        f"sys.path += [{str(Path(__file__).parent)!r}, {str(Path(__file__).parents[1] / 'cluster')!r}]\n"
        "from test_status_watch import Script, leader_dies\n"
        "from rmqkit.cli.watch import watch\n"
        "script = Script(*[leader_dies] * 9)\n"
        "code = watch(script.ask, pause=script.pause)\n"
        "print(code, script.asked, file=sys.stderr)\n"
    )
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, str(program)], stdout=write, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    finally:
        os.close(write)
    assert done.stderr.split() == ["0", "1"], done.stderr
