"""Promises of rmqkit.resources: the files that travel with the package are found, or their absence is explained."""

from __future__ import annotations

from pathlib import Path

import pytest

from rmqkit import resources
from rmqkit.errors import MachineError


def test_the_build_context_and_the_compose_file_are_found() -> None:
    assert (resources.images_dir() / "rocketmq" / "Dockerfile").is_file()
    assert (resources.images_dir() / "rocketmq" / "driver" / "Main.java").is_file()
    assert (resources.compose_dir() / "docker-compose.dledger.yml").is_file()


def test_the_wheels_own_copy_wins_over_a_folder_beside_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site-packages" / "rmqkit"
    (package.parent / "images").mkdir(parents=True)
    (package / "data" / "images").mkdir(parents=True)
    monkeypatch.setattr(resources, "_PACKAGE", package)
    assert resources.images_dir() == package / "data" / "images"


def test_a_missing_folder_is_named_with_every_place_that_was_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path / "rmqkit")
    with pytest.raises(MachineError, match="the folder 'compose' of rmqkit is missing") as caught:
        resources.compose_dir()
    assert caught.value.details == (
        f"looked at {tmp_path / 'rmqkit' / 'data' / 'compose'}",
        f"looked at {tmp_path / 'compose'}",
    )
