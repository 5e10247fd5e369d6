"""What ``rmqkit build`` shows: the build's own words, and why an image is not what its name asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import rmqkit.cli.build
from rmqkit.cli import main
from rmqkit.cluster.buildinfo import BuildInfo

NOTE = "git hosting cannot be reached (Could not resolve host); building the source release 4.5.1 instead"
LINES = [
    "#11 [fetch 3/3] RUN /rmqkit/build/fetch.sh",
    f"#11 1.204 [rmqkit] {NOTE}",
    "#11 2.001 Downloading something",
    "#14 CACHED",
    '#15 0.1 + echo "[rmqkit] an echoed command"',
]


class AnyEngine:
    """An engine that is there; the build itself is replaced."""

    @classmethod
    def connect(cls) -> AnyEngine:
        return cls()

    def __enter__(self) -> AnyEngine:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str], str], None]:
    def prepare(lines: list[str], note: str) -> None:
        def build(_request: Any, *, engine: Any, on_line: Callable[[str], None]) -> BuildInfo:
            for line in lines:
                on_line(line)
            facts = {"note": note} if note else {}
            return BuildInfo("store_with_dledger", "release", "4.5.1", "0.1", facts)

        monkeypatch.setattr(rmqkit.cli.build, "build", build)
        monkeypatch.setattr(rmqkit.cli.build, "Engine", AnyEngine)

    return prepare


def test_a_fall_back_is_said_while_it_builds_and_at_the_end(
    built: Callable[[list[str], str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    built(LINES, NOTE)
    assert main(["build"]) == 0
    out, err = capsys.readouterr()
    assert err.splitlines()[1:] == [f"  {NOTE}"]
    assert out.splitlines()[1] == f"note: {NOTE}"


def test_a_build_from_the_cache_says_it_too(
    built: Callable[[list[str], str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    built([], NOTE)
    assert main(["build"]) == 0
    assert f"note: {NOTE}" in capsys.readouterr().out


def test_what_was_built_as_asked_has_no_note(
    built: Callable[[list[str], str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    built([], "")
    assert main(["build"]) == 0
    assert "note" not in capsys.readouterr().out


def test_verbose_shows_every_line(built: Callable[[list[str], str], None], capsys: pytest.CaptureFixture[str]) -> None:
    built(LINES, "")
    assert main(["build", "--verbose"]) == 0
    assert capsys.readouterr().err.splitlines()[1:] == LINES
