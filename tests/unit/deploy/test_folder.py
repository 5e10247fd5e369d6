"""Rendered folders: whole, private where secrets may be, and never over somebody's own files."""

from __future__ import annotations

from pathlib import Path

import pytest

from rmqkit.deploy.folder import RECORD, write_folder
from rmqkit.errors import UsageError

FILES = {"a/.env": "A=1\n", "a/docker-compose.yml": "services: {}\n", "b/.env": "B=1\n"}


def content(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file() and path.name != RECORD
    }


def test_it_writes_what_it_is_given_and_a_second_time_nothing(tmp_path: Path) -> None:
    out = tmp_path / "deploy"
    first = write_folder(out, FILES)
    assert content(out) == FILES
    assert first.written == tuple(sorted(FILES))
    assert write_folder(out, FILES).unchanged == tuple(sorted(FILES))


def test_an_env_file_is_its_owners_alone_also_where_it_was_not_before(tmp_path: Path) -> None:
    write_folder(tmp_path, FILES)
    assert (tmp_path / "a/.env").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "a/docker-compose.yml").stat().st_mode & 0o777 == 0o644
    (tmp_path / "a/.env").chmod(0o644)
    write_folder(tmp_path, FILES)
    assert (tmp_path / "a/.env").stat().st_mode & 0o777 == 0o600


def test_a_changed_specification_replaces_what_was_rendered_and_removes_what_is_stale(tmp_path: Path) -> None:
    write_folder(tmp_path, FILES)
    done = write_folder(tmp_path, {"a/.env": "A=2\n"})
    assert content(tmp_path) == {"a/.env": "A=2\n"}
    assert done.removed == ("a/docker-compose.yml", "b/.env")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("path", "text"), [("a/.env", "A=mine\n"), ("notes.txt", "mine\n"), ("b/.env.local", "mine\n")]
)
def test_a_file_that_is_not_of_the_kit_or_was_changed_stops_it(tmp_path: Path, path: str, text: str) -> None:
    write_folder(tmp_path, FILES)
    (tmp_path / path).write_text(text, encoding="utf-8")
    before = content(tmp_path)
    with pytest.raises(UsageError, match="1 file") as caught:
        write_folder(tmp_path, FILES | {"a/.env": "A=3\n"})
    assert path in "\n".join(caught.value.details)
    assert content(tmp_path) == before


def test_force_overwrites_what_is_rendered_and_leaves_everything_else(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/.env").write_text("A=mine\n", encoding="utf-8")
    (tmp_path / "notes.txt").write_text("mine\n", encoding="utf-8")
    with pytest.raises(UsageError):
        write_folder(tmp_path, FILES)
    write_folder(tmp_path, FILES, force=True)
    assert content(tmp_path) == FILES | {"notes.txt": "mine\n"}


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("mine\n", encoding="utf-8")
    out = tmp_path / "deploy"
    (out / "a").mkdir(parents=True)
    (out / "a/.env").symlink_to(mine)
    with pytest.raises(UsageError):
        write_folder(out, FILES)
    write_folder(out, FILES, force=True)
    assert mine.read_text(encoding="utf-8") == "mine\n"
    assert not (out / "a/.env").is_symlink()


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "deploy").write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match="not a folder"):
        write_folder(tmp_path / "deploy", FILES)
