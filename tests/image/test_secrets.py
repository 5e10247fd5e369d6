"""The build's secrets: they reach what needs them, and no layer of any stage keeps them.

The real Dockerfile and its scripts, with a stand-in for Maven: a build of seconds.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import uuid
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest
from image_builds import CONTEXT, base_and_secrets, build, docker

Tag = Callable[[str], str]
PASSWORD = "rmqkit-password-of-a-mirror"
SETTINGS = f"<settings><servers><server><id>m</id><password>{PASSWORD}</password></server></servers></settings>\n"
TELLTALE = hashlib.sha256(SETTINGS.encode()).hexdigest()

# Says which settings it was given (mvn_once shows lines that begin like this), and leaves what compile.sh looks for.
MVN = """#!/bin/sh
settings=none
while [ $# -gt 0 ]; do
    [ "$1" != -s ] || settings=$(sha256sum <"$2" | cut -d' ' -f1)
    shift
done
echo "[INFO] Building $(basename "$PWD") with settings $settings"
mkdir -p target distribution/target/rocketmq/lib
for jar in target/dledger-0.1.jar distribution/target/rocketmq/lib/dledger-0.1.jar; do echo jar >$jar; done
touch distribution/target/rocketmq/lib/rocketmq-broker-4.5.1.jar
"""
DEPENDENCY = "<project><dependency><artifactId>dledger</artifactId><version>0.1</version></dependency></project>"


@pytest.fixture(scope="module")
def stand_in(test_tag: Tag, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The build image with another ``mvn``."""
    folder = tmp_path_factory.mktemp("stand-in")
    (folder / "mvn").write_text(MVN, encoding="utf-8")
    (folder / "mvn").chmod(0o755)
    named = [word.removeprefix("BUILD_IMAGE=") for word in base_and_secrets() if word.startswith("BUILD_IMAGE=")]
    base = named[0] if named else "maven:3.9-eclipse-temurin-8"
    (folder / "Dockerfile").write_text(f"FROM {base}\nCOPY mvn /usr/local/bin/mvn\n", encoding="utf-8")
    docker("build", "-t", test_tag("stand-in"), str(folder))
    return test_tag("stand-in")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "settings.xml"
    file.write_text(SETTINGS, encoding="utf-8")
    monkeypatch.setenv("RMQKIT_MAVEN_SETTINGS", str(file))
    monkeypatch.setenv("RMQKIT_CA_BUNDLE", "/nonexistent")
    return file


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """The image's context with the smallest trees that the build takes for RocketMQ and DLedger."""
    folder = tmp_path / "context"
    shutil.copytree(CONTEXT, folder)
    for name, text in {
        "rocketmq/pom.xml": "<project/>",
        "rocketmq/store/pom.xml": DEPENDENCY,
        "rocketmq/distribution/pom.xml": "<project/>",
        "dledger/pom.xml": "<project/>",
    }.items():
        (folder / "checkout" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "checkout" / name).write_text(text, encoding="utf-8")
    # Else Docker, which caches by content, would show no output the second time.
    (folder / "checkout/rocketmq/never-built-before").write_text(uuid.uuid4().hex, encoding="utf-8")
    return folder


def own_layers(image: str, base: str, folder: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Every layer that ``image`` has beyond ``base``, deleted files and all."""
    known = len(json.loads(docker("inspect", "--format", "{{json .RootFS.Layers}}", base).stdout))
    saved = folder / "saved.tar"
    docker("save", "-o", str(saved), image)
    with tarfile.open(saved) as archive:
        manifest = archive.extractfile("manifest.json")
        assert manifest is not None
        for name in json.load(manifest)[0]["Layers"][known:]:
            layer = archive.extractfile(name)
            assert layer is not None
            yield name, layer
    saved.unlink()


def holding(image: str, base: str, needle: str, folder: Path) -> list[str]:
    """The layers of ``image`` in which ``needle`` stands."""
    found, looked = [], 0
    for name, layer in own_layers(image, base, folder):
        content = layer.read()
        if content[:2] == b"\x1f\x8b":
            content = zlib.decompress(content, 31)
        looked += 1
        if needle.encode() in content:
            found.append(name)
    assert looked, "no layer was looked at"
    return found


def test_maven_is_given_the_settings_and_no_stage_keeps_them(
    stand_in: str, context: Path, settings: Path, test_tag: Tag, tmp_path: Path
) -> None:
    arguments = {"BUILD_IMAGE": stand_in, "SOURCE": "path"}
    compiled = build(test_tag("settings-compile"), context=context, target="compile", **arguments)
    assert compiled.ok, compiled.output[-3000:]
    for what in ("dledger", "rocketmq"):
        assert f"[INFO] Building {what} with settings {TELLTALE}" in compiled.output
    assert PASSWORD not in compiled.output
    fetched = build(test_tag("settings-fetch"), context=context, target="fetch", **arguments)
    assert fetched.ok, fetched.output[-3000:]
    for stage in ("compile", "fetch"):
        image = test_tag(f"settings-{stage}")
        assert holding(image, stand_in, PASSWORD, tmp_path) == []
        assert PASSWORD not in docker("history", "--no-trunc", image).stdout


def test_without_settings_maven_is_given_none(stand_in: str, context: Path, test_tag: Tag, settings: Path) -> None:
    settings.write_text("", encoding="utf-8")
    arguments = {"BUILD_IMAGE": stand_in, "SOURCE": "path", "http_proxy": "", "https_proxy": ""}
    built = build(test_tag("no-settings"), context=context, target="compile", **arguments)
    assert "[INFO] Building rocketmq with settings none" in built.output, built.output[-3000:]


def test_a_secret_that_one_layer_has_and_the_next_removes_is_found(
    stand_in: str, settings: Path, test_tag: Tag, tmp_path: Path
) -> None:
    """What the check above must catch, and a look into a container does not."""
    (tmp_path / "leak").mkdir()
    (tmp_path / "leak" / "Dockerfile").write_text(
        f"FROM {stand_in}\nARG RUN\n"
        "RUN --mount=type=secret,id=s mkdir -p /root/.m2 && cp /run/secrets/s /root/.m2/settings.xml && : $RUN\n"
        "RUN rm -r /root/.m2\n",
        encoding="utf-8",
    )
    words = ["--secret", f"id=s,src={settings}", "--build-arg", f"RUN={uuid.uuid4().hex}", "-t", test_tag("leak")]
    subprocess.run(
        ["docker", "build", *words, str(tmp_path / "leak")],
        check=True,
        capture_output=True,
        env={**os.environ, "DOCKER_BUILDKIT": "1"},
    )
    assert docker("run", "--rm", "--entrypoint", "ls", test_tag("leak"), "-A", "/root/.m2", check=False).returncode != 0
    assert len(holding(test_tag("leak"), stand_in, PASSWORD, tmp_path)) == 1
