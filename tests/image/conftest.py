"""Images built for the tests: the git path from two repositories made here, served on the loopback interface.

The sources are the published ones, fetched by the Dockerfile's own fetch stage, so that nothing but Docker is needed.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from image_builds import MARKER_DLEDGER, MARKER_ROCKETMQ, Repositories, build, docker, free_port

# Runs in the fetch stage's container: the published sources become repositories with a history.
#   rocketmq.git  master = as published; store_with_dledger = one marker commit on top
#   dledger.git   master = 0.2-SNAPSHOT; tag v0.1 = a marker commit; branch broken = v0.1 that does not compile
MAKE_REPOSITORIES = r"""
set -eu
export HOME=/tmp GIT_AUTHOR_NAME=test GIT_COMMITTER_NAME=test EMAIL=test@example.invalid
commit() { git add -A && git commit -q -m "$1"; }
marker() { mkdir -p "$(dirname "$1")"; printf '# Licensed to the Apache Software Foundation\nmarker=%s\n' "$2" >"$1"; }

cd /src/rocketmq && git init -q -b master && commit 'as published'
git checkout -q -b store_with_dledger
marker broker/src/main/resources/@RMQ@ rocketmq
commit 'marker'

cd /src/dledger
# The published pom names a style file that its sources jar does not have.
mkdir -p style && printf '%s\n' '<?xml version="1.0"?>' \
    '<!DOCTYPE module PUBLIC "-//Puppy Crawl//DTD Check Configuration 1.2//EN"' \
    '  "http://www.puppycrawl.com/dtds/configuration_1_2.dtd">' \
    '<module name="Checker"/>' >style/dledger_checkstyle.xml
git init -q -b master && commit 'as published'
marker src/main/resources/@DLG@ dledger
commit 'marker' && git tag v0.1
git checkout -q -b broken
echo 'this is not Java' >src/main/java/io/openmessaging/storage/dledger/Broken.java
commit 'broken'
git checkout -q master
sed -i '0,/<version>0.1</s//<version>0.2-SNAPSHOT</' pom.xml
commit 'next version'
git -C /src/rocketmq rev-parse store_with_dledger
git rev-parse v0.1
"""


@pytest.fixture(scope="session")
def test_tag() -> Iterator[Callable[[str], str]]:
    """Tags of this run alone; their images are removed at the end (the build cache stays)."""
    run, given = uuid.uuid4().hex[:8], set()

    def tag(name: str) -> str:
        given.add(f"rmqkit/test-{name}:{run}")
        return f"rmqkit/test-{name}:{run}"

    yield tag
    for each in given:
        docker("rmi", "-f", each, check=False)


@pytest.fixture(scope="session")
def repositories(test_tag: Callable[[str], str]) -> Iterator[Repositories]:
    """The published sources of 4.5.1 and its DLedger as git repositories with a marker commit each."""
    fetched = build(test_tag("sources"), target="fetch", SOURCE="release", VERSION="4.5.1")
    assert fetched.ok, fetched.output[-3000:]
    name, port = f"rmqkit-test-git-{uuid.uuid4().hex[:8]}", free_port()
    script = MAKE_REPOSITORIES.replace("@RMQ@", MARKER_ROCKETMQ).replace("@DLG@", MARKER_DLEDGER)
    serve = f"exec git daemon --listen=127.0.0.1 --port={port} --base-path=/src --export-all --reuseaddr"
    try:
        idle = ("--entrypoint", "sleep", test_tag("sources"), "infinity")
        docker("run", "-d", "--name", name, "--network", "host", *idle)
        rocketmq, dledger = docker("exec", name, "sh", "-c", script).stdout.split()[-2:]
        docker("exec", "-d", name, "sh", "-c", serve)
        yield Repositories(f"git://127.0.0.1:{port}", rocketmq, dledger, name)
    finally:
        docker("rm", "-fv", name, check=False)


@pytest.fixture(scope="session")
def git_image(repositories: Repositories, test_tag: Callable[[str], str]) -> str:
    """The image of ``SOURCE=auto`` with git hosting that can be reached. The one real build of these tests."""
    built = build(test_tag("git"), network="host", EDITION="test-edition", **repositories.arguments())
    assert built.ok, built.output[-4000:]
    return test_tag("git")


@pytest.fixture
def container(git_image: str) -> Iterator[Callable[..., str]]:
    """Starts containers of the image; all are gone after the test."""
    started: list[str] = []

    def start(*options: str, command: tuple[str, ...]) -> str:
        started.append(docker("run", "-d", *options, git_image, *command).stdout.strip())
        return started[-1]

    yield start
    for each in started:
        docker("rm", "-fv", each, check=False)


@pytest.fixture
def jar_entries(git_image: str, tmp_path: Path) -> Iterator[Path]:
    """The image's lib/ directory, copied out."""
    name = docker("create", git_image).stdout.strip()
    try:
        docker("cp", f"{name}:/opt/rocketmq/lib", str(tmp_path / "lib"))
        yield tmp_path / "lib"
    finally:
        docker("rm", "-fv", name, check=False)
        shutil.rmtree(tmp_path / "lib", ignore_errors=True)
