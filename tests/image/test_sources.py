"""Which sources an image is built from: git, the fall-back of auto, a local checkout, and that nothing is hidden."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from image_builds import CONTEXT, MARKER_DLEDGER, MARKER_ROCKETMQ, Built, Repositories, build, build_info, docker

pytestmark = pytest.mark.cluster

Tag = Callable[[str], str]


def test_both_builds_from_git_are_in_the_image(jar_entries: Path) -> None:
    broker, dledger = next(jar_entries.glob("rocketmq-broker-*.jar")), next(jar_entries.glob("dledger-*.jar"))
    assert MARKER_ROCKETMQ in zipfile.ZipFile(broker).namelist()
    assert MARKER_DLEDGER in zipfile.ZipFile(dledger).namelist()


def test_the_image_says_what_it_was_built_from(git_image: str, repositories: Repositories, jar_entries: Path) -> None:
    info = build_info(git_image)
    dledger_jar = next(jar_entries.glob("dledger-*.jar")).read_bytes()
    expected = {
        "edition": "test-edition",
        "requested_source": "auto",
        "source": "git",
        "rocketmq_ref": "store_with_dledger",
        "rocketmq_commit": repositories.rocketmq_commit,
        "rocketmq_version": "4.5.1",
        "dledger_source": "git",
        "dledger_ref": "v0.1",
        "dledger_commit": repositories.dledger_commit,
        "dledger_version": "0.1",
        "dledger_jar": f"sha256:{hashlib.sha256(dledger_jar).hexdigest()}",
    }
    assert expected.items() <= info.items()
    assert info["build_jdk"].startswith("1.8")
    assert info["runtime_jdk"].startswith("1.8")
    assert "note" not in info


def test_a_rebuild_of_the_same_sources_does_nothing_twice(
    git_image: str, repositories: Repositories, test_tag: Tag
) -> None:
    again = build(test_tag("git"), network="host", EDITION="test-edition", **repositories.arguments())
    assert again.ok, again.output
    assert again.said() == []
    assert again.output.count("\n") > 10


def fails(built: Built, *said: str) -> None:
    """The build failed, with these words, and did not fall back to a release."""
    assert not built.ok
    text = "\n".join(built.said())
    assert "instead" not in text, text
    assert "source release" not in text, text
    for each in said:
        assert each in text, text


def test_a_wrong_ref_fails_and_does_not_fall_back(repositories: Repositories, test_tag: Tag) -> None:
    wrong = build(
        test_tag("x"), network="host", target="fetch", **repositories.arguments(), ROCKETMQ_REF="no_such_branch"
    )
    fails(wrong, "no branch, tag or commit 'no_such_branch'", "branches there: master store_with_dledger")


def test_a_wrong_repository_fails_and_does_not_fall_back(repositories: Repositories, test_tag: Tag) -> None:
    urls = repositories.arguments() | {"ROCKETMQ_URL": f"{repositories.url}/no-such"}
    fails(build(test_tag("x"), network="host", target="fetch", **urls), "cannot list", "not exported")


def test_a_failed_build_fails_and_does_not_fall_back(repositories: Repositories, test_tag: Tag) -> None:
    broken = build(test_tag("x"), network="host", target="compile", DLEDGER_REF="broken", **repositories.arguments())
    fails(broken, "DLedger does not build")
    assert "Broken.java" in broken.output


def test_a_dledger_of_another_version_is_never_replaced_in_silence(repositories: Repositories, test_tag: Tag) -> None:
    other = build(test_tag("x"), network="host", target="fetch", DLEDGER_REF="master", **repositories.arguments())
    fails(other, "asks for DLedger 0.1, but master of", "is version 0.2-SNAPSHOT")


def test_git_asked_for_by_name_never_falls_back(test_tag: Tag) -> None:
    nobody = {"ROCKETMQ_URL": "git://127.0.0.1:9/rocketmq", "DLEDGER_URL": "git://127.0.0.1:9/dledger"}
    fails(build(test_tag("x"), target="fetch", SOURCE="git", **nobody), "cannot list git://127.0.0.1:9/rocketmq")


def test_auto_falls_back_when_nobody_answers_and_says_so_in_one_line(test_tag: Tag) -> None:
    nobody = {"ROCKETMQ_URL": "git://127.0.0.1:9/rocketmq", "DLEDGER_URL": "git://127.0.0.1:9/dledger"}
    fallen = build(test_tag("fallen"), target="fetch", VERSION="4.5.1", REFRESH=test_tag("fallen"), **nobody)
    assert fallen.ok, fallen.output[-3000:]
    notes = [line for line in fallen.said() if "NOTE" in line]
    assert len(notes) == 1, notes
    assert "git hosting cannot be reached (git://127.0.0.1:9/rocketmq" in notes[0]
    assert "building the source release 4.5.1 instead" in notes[0]
    meta = docker("run", "--rm", "--entrypoint", "cat", test_tag("fallen"), "/meta/source.env").stdout
    facts = dict(line.split("=", 1) for line in meta.splitlines())
    assert (facts["requested_source"], facts["source"], facts["rocketmq_ref"]) == ("auto", "release", "4.5.1")
    assert facts["rocketmq_checksum"].partition(":")[0] in ("sha1", "sha512")
    assert facts["note"] in notes[0]


def test_a_local_checkout_is_built_without_asking_any_repository(
    repositories: Repositories, git_image: str, test_tag: Tag, tmp_path: Path
) -> None:
    """Both trees lie in the build context; the same files as from git, so that Docker need not build them again."""
    shutil.copytree(CONTEXT, tmp_path / "context")
    for name in ("rocketmq", "dledger"):
        docker("cp", f"{repositories.container}:/src/{name}", str(tmp_path / "context/checkout" / name))
    at = tmp_path / "context/checkout/dledger"
    docker("exec", repositories.container, "git", "-C", "/src/dledger", "archive", "-o", "/tmp/v0.1.tar", "v0.1")
    docker("cp", f"{repositories.container}:/tmp/v0.1.tar", str(tmp_path / "v0.1.tar"))
    shutil.rmtree(at)
    shutil.unpack_archive(tmp_path / "v0.1.tar", at)
    nobody = {"ROCKETMQ_URL": "git://127.0.0.1:9/rocketmq", "DLEDGER_URL": "git://127.0.0.1:9/dledger"}
    # (The network is part of what Docker caches by: the same as for the git build.)
    built = build(test_tag("path"), context=tmp_path / "context", network="host", SOURCE="path", **nobody)
    assert built.ok, built.output[-3000:]
    info = build_info(test_tag("path"))
    assert (info["source"], info["dledger_source"], info["dledger_version"]) == ("path", "path", "0.1")
    assert info["rocketmq_commit"] == repositories.rocketmq_commit
    assert info["rocketmq_checksum"].startswith("sha256:")


def test_an_empty_checkout_is_refused_by_name(test_tag: Tag) -> None:
    fails(build(test_tag("x"), target="fetch", SOURCE="path"), "checkout/ holds no RocketMQ source tree")


def test_an_unknown_kind_of_source_is_refused_by_name(test_tag: Tag) -> None:
    fails(build(test_tag("x"), target="fetch", SOURCE="svn"), "SOURCE=svn is none of: auto, git, release, path")


@pytest.mark.long
def test_maven_centrals_dledger_in_the_place_of_the_built_one_fails_the_build(
    repositories: Repositories, git_image: str, test_tag: Tag, tmp_path: Path
) -> None:
    """What was built is taken away between the two builds, so that Maven fetches the published jar, in silence."""
    shutil.copytree(CONTEXT, tmp_path / "context")
    script = tmp_path / "context/build/compile.sh"
    text = script.read_text()
    second = 'say "RocketMQ: mvn'
    assert text.count(second) == 1
    script.write_text(text.replace(second, f'rm -rf "$RMQKIT_M2/io/openmessaging"\n{second}'))
    swapped = build(
        test_tag("x"), context=tmp_path / "context", network="host", target="compile", **repositories.arguments()
    )
    fails(swapped, "the DLedger jar in the distribution is not the one that was built")
