"""Promises of rmqkit.cluster.images: what is asked of the build, and what its failure says."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from rmqkit.cluster import images
from rmqkit.cluster.images import BuildInfo, BuildRequest, build_failure, image_name, missing_image
from rmqkit.errors import EngineError, ImageError, UsageError

INFO = {
    "edition": "store_with_dledger",
    "source": "release",
    "rocketmq_version": "4.5.1",
    "rocketmq_checksum": "sha512:0123456789abcdef0123",
    "dledger_version": "0.1",
    "dledger_source": "sources",
    "runtime_jdk": "1.8.0_504",
}


@pytest.mark.parametrize(
    ("request_", "arguments"),
    [
        pytest.param(
            BuildRequest(edition="store_with_dledger"),
            {"EDITION": "store_with_dledger", "SOURCE": "auto", "ROCKETMQ_REF": "store_with_dledger"},
            id="the default edition may fall back to a release",
        ),
        pytest.param(
            BuildRequest(edition="4.9.8"),
            {"EDITION": "4.9.8", "SOURCE": "release", "VERSION": "4.9.8"},
            id="a version is a release",
        ),
        pytest.param(
            BuildRequest(edition="develop"),
            {"EDITION": "develop", "SOURCE": "git", "ROCKETMQ_REF": "develop"},
            id="any other name is a git ref, and never falls back",
        ),
        pytest.param(
            BuildRequest(edition="4.9.8", source="git"),
            {"EDITION": "4.9.8", "SOURCE": "git", "VERSION": "4.9.8", "ROCKETMQ_REF": "4.9.8"},
            id="a source that is named wins over the edition's own",
        ),
        pytest.param(
            BuildRequest(edition="mine", source="release", version="4.9.7"),
            {"EDITION": "mine", "SOURCE": "release", "VERSION": "4.9.7"},
            id="an edition may have a name of its own",
        ),
        pytest.param(
            BuildRequest(
                edition="store_with_dledger",
                rocketmq_url="file:///r",
                rocketmq_ref="mine",
                dledger_url="file:///d",
                dledger_ref="v0.1",
                build_image="jdk:8",
                runtime_image="jre:8",
            ),
            {
                "EDITION": "store_with_dledger",
                "SOURCE": "auto",
                "ROCKETMQ_URL": "file:///r",
                "ROCKETMQ_REF": "mine",
                "DLEDGER_URL": "file:///d",
                "DLEDGER_REF": "v0.1",
                "BUILD_IMAGE": "jdk:8",
                "RUNTIME_IMAGE": "jre:8",
            },
            id="urls, refs and base images are passed on",
        ),
    ],
)
def test_a_request_becomes_build_arguments(request_: BuildRequest, arguments: dict[str, str]) -> None:
    assert request_.arguments() == arguments


def test_a_checkout_is_built_as_a_path(tmp_path: Path) -> None:
    (tmp_path / "pom.xml").touch()
    request = BuildRequest(edition="mine", checkout=tmp_path)
    assert request.arguments() == {"EDITION": "mine", "SOURCE": "path"}


def test_every_argument_that_can_be_sent_is_one_of_the_dockerfile() -> None:
    request = BuildRequest(
        edition="e", version="1.2.3", rocketmq_url="u", rocketmq_ref="r", dledger_url="u", dledger_ref="r",
        build_image="b", runtime_image="r", source="auto",
    )  # fmt: skip
    dockerfile = (images.images_dir() / "rocketmq" / "Dockerfile").read_text(encoding="utf-8")
    declared = {line.split()[1].partition("=")[0] for line in dockerfile.splitlines() if line.startswith("ARG ")}
    assert request.arguments().keys() <= declared


@pytest.mark.parametrize("edition", ["", "a b", "-x", "a;b", "ünï"])
def test_an_edition_that_can_be_neither_version_nor_ref_is_refused(edition: str) -> None:
    with pytest.raises(UsageError, match="is neither a version nor a git ref") as caught:
        BuildRequest(edition=edition)
    assert "4.9.8" in caught.value.hint


def test_an_unknown_source_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="source 'zip' is unknown") as caught:
        BuildRequest(edition="4.9.8", source="zip")
    assert caught.value.hint == "one of auto, git, release, path"


def test_a_folder_without_a_pom_is_no_checkout(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is not a checkout of RocketMQ: it has no pom\.xml"):
        BuildRequest(edition="mine", checkout=tmp_path)


def test_a_git_ref_becomes_a_tag_that_the_engine_takes() -> None:
    assert image_name("4.9.8") == "rmqkit/rocketmq:4.9.8"
    assert image_name("feature/x") == "rmqkit/rocketmq:feature-x"
    assert len(image_name("x" * 300).partition(":")[2]) <= 128
    assert BuildRequest(edition="4.9.8", tag="mine:1").image == "mine:1"


# ---- what was built


def test_what_was_built_reads_as_one_line() -> None:
    info = BuildInfo.parse(json.dumps(INFO).encode())
    assert str(info) == (
        "store_with_dledger: RocketMQ 4.5.1 from release sha512:0123456789ab, DLedger 0.1 (sources), JDK 1.8.0_504"
    )


def test_a_test_id_shows_the_version_where_it_is_not_the_edition() -> None:
    assert BuildInfo.parse(json.dumps(INFO).encode()).short == "store_with_dledger=4.5.1"
    same = {**INFO, "edition": "4.5.1"}
    assert BuildInfo.parse(json.dumps(same).encode()).short == "4.5.1"


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"[]", b"null", b'"text"', b'{"edition": "x"}', "ü".encode("latin-1")],
    ids=["empty", "cut short", "a list", "null", "a text", "fields missing", "not UTF-8"],
)
def test_an_image_that_does_not_say_what_it_was_built_from_is_an_error(raw: bytes) -> None:
    with pytest.raises(ImageError, match=r"BUILD-INFO\.json of the image is not readable") as caught:
        BuildInfo.parse(raw)
    assert "rmqkit build" in caught.value.hint


def test_a_missing_image_is_answered_with_the_command_that_makes_it() -> None:
    error = missing_image("rmqkit/rocketmq:4.9.8")
    assert str(error).splitlines()[0] == "there is no image rmqkit/rocketmq:4.9.8 on this engine"
    assert error.hint.endswith("rmqkit build 4.9.8")


# ---- a build that failed


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("ERROR: failed to do request: Head https://reg/v2: dial tcp: lookup reg: no such host", "make-base-image"),
        ("pull access denied for x, repository does not exist", "make-base-image"),
        ("#9 1.2 PKIX path building failed: unable to find valid certification path", "RMQKIT_CA_BUNDLE"),
        ("#9 1.2 curl: (60) SSL certificate problem: self signed certificate in chain", "RMQKIT_CA_BUNDLE"),
        ("#9 1.2 [ERROR] COMPILATION ERROR :", "the first [ERROR] line of Maven"),
    ],
)
def test_the_advice_fits_what_the_build_said(line: str, advice: str, tmp_path: Path) -> None:
    assert advice in build_failure([line], image="i", log=tmp_path / "log").hint


def test_a_failed_build_shows_its_last_lines_and_where_the_rest_is(tmp_path: Path) -> None:
    lines = [f"#12 {n}.5 [INFO] line {n}" for n in range(100)] + ["", "#12 99.9 [ERROR] no such type"]
    error = build_failure(lines, image="rmqkit/rocketmq:x", log=tmp_path / "build.log")
    assert error.what == "building image rmqkit/rocketmq:x failed"
    assert error.details[-1] == f"the whole log: {tmp_path / 'build.log'}"
    assert error.details[-2] == "[ERROR] no such type", "BuildKit's step and clock are no part of the message"
    assert error.details[-3] == "[INFO] line 99"
    assert len(str(error).splitlines()) <= 30, "one screen"


class NoImages:
    """An engine without images."""

    def image_id(self, _image: str) -> None:
        return None


def test_without_the_docker_command_line_a_build_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    engine: Any = NoImages()
    with pytest.raises(EngineError, match="there is no `docker` in the PATH"):
        images.build(BuildRequest(edition="4.9.8"), engine=engine)


def test_a_build_of_a_path_needs_the_path() -> None:
    engine: Any = NoImages()
    with pytest.raises(UsageError, match="source path needs a checkout"):
        images.build(BuildRequest(edition="mine", source="path"), engine=engine)


def test_a_folder_that_is_not_there_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=rf"there is no folder {tmp_path / 'gone'}"):
        BuildRequest(edition="mine", checkout=tmp_path / "gone")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A source tree as people have it: a clone, built and opened in an IDE before."""
    tree = tmp_path / "rocketmq"
    for name in ("pom.xml", "store/src/A.java", "store/target/classes/A.class", ".git/HEAD", ".idea/workspace.xml"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(name, encoding="utf-8")
    return tree


@pytest.fixture
def context_seen(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """What `docker build` finds in its context: path to content, or to where a link points."""
    seen: list[dict[str, str]] = []

    def look(command: list[str], **_: object) -> None:
        folder = Path(command[-1])
        found = [each for each in folder.rglob("*") if each.is_symlink() or each.is_file()]
        seen.append(
            {
                str(each.relative_to(folder)): f"-> {each.readlink()}" if each.is_symlink() else each.read_text("utf-8")
                for each in found
            }
        )

    monkeypatch.setattr(images, "_run_build", look)
    monkeypatch.setattr(images, "build_info", lambda *_: None)
    return seen


def build_of(checkout: Path) -> None:
    engine: Any = NoImages()
    images.build(BuildRequest(edition="mine", checkout=checkout), engine=engine)


def test_a_checkout_goes_into_the_build_without_what_was_made_in_it(
    checkout: Path, context_seen: list[dict[str, str]]
) -> None:
    before = sorted(checkout.rglob("*"))
    build_of(checkout)
    (seen,) = context_seen
    theirs = {name.removeprefix("checkout/") for name in seen if name.startswith("checkout/")}
    # The commit that BUILD-INFO.json names is read from .git.
    assert theirs == {"README.txt", "pom.xml", "store/src/A.java", ".git/HEAD"}
    assert "Dockerfile" in seen
    assert sorted(checkout.rglob("*")) == before


def test_links_of_a_checkout_stay_links_wherever_they_point(
    checkout: Path, context_seen: list[dict[str, str]], tmp_path: Path
) -> None:
    """Followed, the one would copy without end, the other fail, the third bring in what is not of the tree."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").touch()
    for name, target in {"loop": ".", "gone": "no-such-file", "out": "../outside"}.items():
        (checkout / name).symlink_to(target)
    build_of(checkout)
    links = {name: text for name, text in context_seen[0].items() if text.startswith("-> ")}
    assert links == {"checkout/loop": "-> .", "checkout/gone": "-> no-such-file", "checkout/out": "-> ../outside"}


def test_a_checkout_may_be_named_by_a_link(checkout: Path, context_seen: list[dict[str, str]], tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(checkout)
    build_of(tmp_path / "link")
    assert context_seen[0]["checkout/pom.xml"] == "pom.xml"


def test_what_cannot_be_copied_is_named(checkout: Path, context_seen: list[dict[str, str]]) -> None:
    os.mkfifo(checkout / "pipe")
    with pytest.raises(ImageError, match="1 files of the checkout") as caught:
        build_of(checkout)
    assert "pipe" in caught.value.details[0]
    assert context_seen == []
