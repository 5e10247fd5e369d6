"""The archive of a store whose broker runs: files that come and go meanwhile are no failure, what cannot be read is."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from rmqkit.cluster.stores import _PACK


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    (folder / "dledger-n0" / "data").mkdir(parents=True)
    for name in ("checkpoint", "checkpoint.tmp", "data/00000000000000000000"):
        (folder / "dledger-n0" / name).write_text(name, encoding="utf-8")
    return folder


def packed(store: Path, *, before_tar: str = "") -> subprocess.CompletedProcess[bytes]:
    """What the shell in the container does; ``before_tar`` is done after the listing, as a broker would."""
    real = shutil.which("tar")
    assert real is not None
    tools = store.parent / "tools"
    tools.mkdir()
    (tools / "tar").write_text(
        f'#!/bin/sh\nnames=$(cat)\n{before_tar}\nprintf "%s\\n" "$names" | {real} "$@"\n', "utf-8"
    )
    (tools / "tar").chmod(0o755)
    script = _PACK.format(store=store)
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
    return subprocess.run(["sh", "-c", script], capture_output=True, check=False, env=environment, timeout=30)


def names_in(archive: bytes) -> set[str]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {member.name for member in tar.getmembers() if member.isfile()}


def test_everything_that_is_there_is_packed(store: Path) -> None:
    done = packed(store)
    assert done.returncode == 0, done.stderr
    there = {"dledger-n0/checkpoint", "dledger-n0/checkpoint.tmp", "dledger-n0/data/00000000000000000000"}
    assert names_in(done.stdout) == there


def test_a_file_that_was_renamed_between_listing_and_reading_is_no_failure(store: Path) -> None:
    done = packed(store, before_tar="mv dledger-n0/checkpoint.tmp dledger-n0/checkpoint")
    assert done.returncode == 0, done.stderr
    assert b"Cannot stat" in done.stderr, "nothing was missed: this proves nothing"
    assert names_in(done.stdout) == {"dledger-n0/checkpoint", "dledger-n0/data/00000000000000000000"}


def test_a_log_that_goes_while_it_is_packed_is_a_failure(store: Path) -> None:
    """An archive without it would say of every message that the replica has not got it."""
    done = packed(store, before_tar="rm -r dledger-n0/data")
    assert done.returncode != 0
    assert b"data: Cannot stat" in done.stderr


def test_what_cannot_be_packed_is_a_failure(store: Path) -> None:
    done = packed(store, before_tar='set -- "$@" --no-such-option')
    assert done.returncode != 0
    assert b"no-such-option" in done.stderr


def test_a_wiped_broker_has_an_empty_archive(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    done = subprocess.run(
        ["sh", "-c", _PACK.format(store=tmp_path / "gone")], capture_output=True, check=False, timeout=30
    )
    assert done.returncode == 0
    assert names_in(done.stdout) == set()
