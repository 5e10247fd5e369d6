"""The image's shell scripts without Docker: git's complaints, poms, configuration files, JVM options, logs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import xml.dom.minidom
from collections.abc import Iterator, Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml

IMAGE = Path(__file__).resolve().parents[2] / "images" / "rocketmq"
BUILD, RUNTIME = IMAGE / "build", IMAGE / "runtime"


def run(
    *command: str, stdin: str = "", env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        check=False,
        input=stdin,
        env={"PATH": os.environ["PATH"], **(env or {})},
        cwd=cwd,
        text=True,
        capture_output=True,
        timeout=60,
    )


# ---- auto falls back only when git hosting cannot be reached ---

COMPLAINTS = yaml.safe_load((Path(__file__).parent / "git_complaints.yaml").read_text())


@pytest.mark.parametrize("said", COMPLAINTS["unreachable"].values(), ids=COMPLAINTS["unreachable"])
def test_a_host_that_cannot_be_reached_is_told_apart(said: str) -> None:
    assert run("sh", str(BUILD / "git-unreachable.sh"), stdin=said).returncode == 0


@pytest.mark.parametrize("said", COMPLAINTS["reached"].values(), ids=COMPLAINTS["reached"])
def test_a_host_that_answered_is_never_taken_for_unreachable(said: str) -> None:
    assert run("sh", str(BUILD / "git-unreachable.sh"), stdin=said).returncode == 1


# ---- which DLedger ------------------------------------------------------------


def in_common(script: str, tmp_path: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs a line of shell with the build's functions loaded."""
    env = {"RMQKIT_TMP": str(tmp_path), "RMQKIT_BUILD": str(BUILD), "HOME": str(tmp_path), **env}
    return run("sh", "-euc", f". {BUILD}/common.sh; . {BUILD}/git-sources.sh; {script}", env=env)


@pytest.mark.parametrize(
    ("asked", "release"),
    [
        ("store_with_dledger", "4.5.1"),
        ("4.9.8", "4.9.8"),
        ("develop", "develop"),
        ("my_store_with_dledger", "my_store_with_dledger"),
    ],
)
def test_only_the_default_branch_has_a_release_that_stands_in_for_it(tmp_path: Path, asked: str, release: str) -> None:
    assert in_common(f"release_line {asked}", tmp_path).stdout == release + "\n"


DLEDGER_INLINE = """<dependencies><dependency>
    <groupId>io.openmessaging.storage</groupId>
    <artifactId>dledger</artifactId>
    <version>0.1</version>
  </dependency><dependency><artifactId>jna</artifactId><version>9</version></dependency></dependencies>"""
DLEDGER_MANAGED = """<properties><dleger.version>0.3.1.2</dleger.version></properties>
<dependencyManagement><dependencies><dependency><artifactId>jna</artifactId><version>9</version></dependency><dependency>
    <artifactId>dledger</artifactId>
    <version>${dleger.version}</version>
  </dependency></dependencies></dependencyManagement>"""
DLEDGER_UNVERSIONED = """<dependencies><dependency><artifactId>dledger</artifactId><exclusions/></dependency>
<dependency><artifactId>jna</artifactId><version>9</version></dependency></dependencies>"""


@pytest.mark.parametrize(
    ("store", "top", "wanted"),
    [
        (DLEDGER_INLINE, "", "0.1"),
        (DLEDGER_UNVERSIONED, DLEDGER_MANAGED, "0.3.1.2"),
        ("<dependencies/>", "<dependencies/>", ""),
    ],
    ids=["4.5: in the store module", "later: managed, by a property", "no DLedger at all"],
)
def test_the_dledger_version_is_read_from_the_poms(tmp_path: Path, store: str, top: str, wanted: str) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store/pom.xml").write_text(f"<project>{store}</project>")
    (tmp_path / "pom.xml").write_text(f"<project>{top}</project>")
    assert in_common(f"dledger_wanted {tmp_path}", tmp_path).stdout.strip() == wanted


POM = """<?xml version="1.0"?>
<!-- a comment with <version>0</version> -->
<project>
  <parent><groupId>p</groupId><version>7</version></parent>
  <artifactId>dledger</artifactId>
  <version>{version}</version>
  <properties><x.version>8</x.version></properties>
  <dependencies><dependency><version>9</version></dependency></dependencies>
</project>
"""


OWN_BEFORE_PARENT = "<project><version>5</version><parent><version>7</version></parent><build/></project>"
PARENT_ONLY = (
    "<project><parent><version>7</version></parent><dependencies><version>9</version></dependencies></project>"
)


@pytest.mark.parametrize(
    ("pom", "version"),
    [(POM.format(version="0.1-SNAPSHOT"), "0.1-SNAPSHOT"), (OWN_BEFORE_PARENT, "5"), (PARENT_ONLY, "7")],
)
def test_a_poms_version_is_its_own_or_else_its_parents(tmp_path: Path, pom: str, version: str) -> None:
    (tmp_path / "pom.xml").write_text(pom)
    assert in_common(f"pom_version {tmp_path}/pom.xml", tmp_path).stdout.strip() == version


@pytest.fixture
def dledger_repository(tmp_path: Path) -> Path:
    """0.1-SNAPSHOT, 0.1, then a correction that is tagged v0.1, then 0.2-SNAPSHOT, each a commit on master."""
    where = tmp_path / "dledger"
    where.mkdir()

    def git(*words: str) -> str:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.invalid")
        done = run("git", *identity, *words, cwd=where, env={"HOME": str(tmp_path)})
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    git("init", "-q", "-b", "master")
    for version in ("0.1-SNAPSHOT", "0.1", "0.2-SNAPSHOT"):
        (where / "pom.xml").write_text(POM.format(version=version))
        git("add", "-A")
        git("commit", "-q", "-m", version)
        if version == "0.1":
            (where / "late").write_text("in the release, but not in the commit that named it\n")
            git("add", "-A")
            git("commit", "-q", "-m", "correction")
            git("tag", "v0.1")
    git("update-server-info")
    return where


@pytest.mark.parametrize(
    ("version", "ref"), [("0.1", "v0.1"), ("0.1-SNAPSHOT", "master~3"), ("0.2-SNAPSHOT", "master"), ("9", None)]
)
def test_the_dledger_ref_is_the_tag_or_else_the_commit_of_that_version(
    tmp_path: Path, dledger_repository: Path, version: str, ref: str | None
) -> None:
    url = f"file://{dledger_repository}"
    done = in_common(f'git_lists "$DLEDGER_URL"; dledger_ref_for {version}', tmp_path, DLEDGER_URL=url)
    assert done.returncode == 0, done.stderr
    if ref is None:
        assert done.stdout == ""
    else:
        resolve = ("git", "-C", str(dledger_repository), "rev-parse")
        got = run(*resolve, f"{done.stdout.strip()}^{{commit}}").stdout
        assert got == run(*resolve, f"{ref}^{{commit}}").stdout


class QuietFiles(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Not on the test's standard error."""


@pytest.fixture(params=["smart", "plain http"])
def served(request: pytest.FixtureRequest, dledger_repository: Path) -> Iterator[str]:
    """The repository's URL: once a server that knows shallow fetches and bare commits, once one that knows neither."""
    if request.param == "smart":
        yield f"file://{dledger_repository}"
        return
    handler = partial(QuietFiles, directory=str(dledger_repository))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/.git"
        server.shutdown()


@pytest.mark.parametrize("ref", ["master", "v0.1", "COMMIT"])
def test_a_branch_a_tag_and_a_bare_commit_are_checked_out(
    tmp_path: Path, dledger_repository: Path, served: str, ref: str
) -> None:
    wanted = "0.2-SNAPSHOT" if ref == "master" else "0.1"
    if ref == "COMMIT":
        ref = run("git", "-C", str(dledger_repository), "rev-parse", "master~2").stdout.strip()
    done = in_common(f"git_take {served} {ref} {tmp_path}/out; pom_version {tmp_path}/out/pom.xml", tmp_path)
    assert done.stdout.strip() == wanted, done.stderr


def test_a_ref_that_does_not_exist_is_named_with_those_that_do(tmp_path: Path, dledger_repository: Path) -> None:
    done = in_common(f"git_take file://{dledger_repository} no_such_ref {tmp_path}/out", tmp_path)
    assert done.returncode != 0
    assert "no branch, tag or commit 'no_such_ref'" in done.stderr
    assert "branches there: master" in done.stderr


def test_what_was_built_is_valid_json_whatever_the_notes_hold(tmp_path: Path) -> None:
    notes = tmp_path / "notes.env"
    notes.write_text('source=git\nrocketmq_ref=a"b\\c\nrocketmq_commit=\nnote=x=y: "z"\nunknown=1\n')
    info = json.loads(run("sh", str(BUILD / "build-info.sh"), str(notes)).stdout)
    assert info == {"edition": 'a"b\\c', "source": "git", "rocketmq_ref": 'a"b\\c', "note": 'x=y: "z"'}


# ---- logs ---

LOGBACK = """<configuration>
    <appender name="DefaultAppender" class="x"><encoder>
        <pattern>%d{yyy-MM-dd HH:mm:ss,GMT+8} %p %t - %m%n</pattern></encoder></appender>
    <appender name="STDOUT" class="y"><encoder>
        <pattern>%d{yyy-MM-dd HH\\:mm\\:ss,SSS} %p - %m%n</pattern></encoder></appender>
    <logger name="RocketmqBroker" additivity="false">
        <level value="INFO"/>
        <appender-ref ref="BrokerAppender"/>
    </logger>
    <logger name="RocketmqStore" additivity="false" level="INFO">
        <appender-ref ref="StoreAppender"/>
    </logger>
    <logger name="RocketmqWaterMark" additivity="false">
        <appender-ref ref="WaterMarkAppender"/>
    </logger>
    <logger name="RocketmqConsole" additivity="false">
        <appender-ref ref="STDOUT"/>
    </logger>
    <root>
        <level value="INFO"/>
        <appender-ref ref="DefaultAppender"/>
    </root>
</configuration>
"""


def logback_after(tmp_path: Path, name: str, text: str = LOGBACK) -> subprocess.CompletedProcess[str]:
    (tmp_path / name).write_text(text)
    return run("sh", str(BUILD / "logs-utc-stdout.sh"), str(tmp_path))


def test_logs_are_in_utc_and_the_story_of_the_cluster_is_on_stdout_too(tmp_path: Path) -> None:
    assert logback_after(tmp_path, "logback_broker.xml").returncode == 0
    document = xml.dom.minidom.parse(str(tmp_path / "logback_broker.xml"))
    patterns = [each.firstChild.data for each in document.getElementsByTagName("pattern")]
    assert all("%d{yyyy-MM-dd HH:mm:ss.SSS,UTC}" in each for each in patterns)
    loggers = document.getElementsByTagName("logger") + document.getElementsByTagName("root")
    refs = {
        each.getAttribute("name") or "root": [
            ref.getAttribute("ref") for ref in each.getElementsByTagName("appender-ref")
        ]
        for each in loggers
    }
    assert refs == {
        "RocketmqBroker": ["BrokerAppender", "RMQKIT_STDOUT"],
        "RocketmqStore": ["StoreAppender", "RMQKIT_STDOUT_WARN"],
        "RocketmqWaterMark": ["WaterMarkAppender"],
        "RocketmqConsole": ["STDOUT"],
        "root": ["DefaultAppender", "RMQKIT_STDOUT"],
        "io.openmessaging.storage.dledger.DLedgerEntryPusher": ["DefaultAppender", "RMQKIT_STDOUT_WARN"],
    }


def test_the_5x_nameserver_does_not_write_its_water_marks_to_stdout_every_second(tmp_path: Path) -> None:
    text = LOGBACK.replace("RocketmqBroker", "RocketmqNamesrv")
    assert logback_after(tmp_path, "rmq.namesrv.logback.xml", text).returncode == 0
    document = xml.dom.minidom.parse(str(tmp_path / "rmq.namesrv.logback.xml"))
    loggers = {each.getAttribute("name"): each for each in document.getElementsByTagName("logger")}
    refs = [
        each.getAttribute("ref") for each in loggers["RocketmqNamesrvWaterMark"].getElementsByTagName("appender-ref")
    ]
    assert refs == ["DefaultAppender", "RMQKIT_STDOUT_WARN"]
    # logback 1.3 prints its start-up status to stdout for every <level> element of a logger.
    assert loggers["RocketmqNamesrv"].getAttribute("level") == "INFO"
    assert all(not each.getElementsByTagName("level") for each in loggers.values())


def test_a_tools_standard_output_stays_its_answer(tmp_path: Path) -> None:
    assert logback_after(tmp_path, "logback_tools.xml").returncode == 0
    after = (tmp_path / "logback_tools.xml").read_text()
    assert "RMQKIT" not in after
    assert "GMT+8" not in after


def test_a_log_file_of_unknown_shape_fails_the_build(tmp_path: Path) -> None:
    done = logback_after(tmp_path, "logback_broker.xml", "<configuration><other/></configuration>\n")
    assert done.returncode != 0
    assert "logback_broker.xml has no logger" in done.stderr


@pytest.mark.parametrize("script", sorted([*BUILD.glob("*.sh"), RUNTIME / "rmq"]), ids=lambda path: path.name)
def test_the_scripts_of_the_image_are_plain_posix_shell(script: Path) -> None:
    """dash runs them in the image; where it is here too, its parser must accept them."""
    shell = shutil.which("dash") or "sh"
    done = run(shell, "-n", str(script))
    assert done.returncode == 0, done.stderr


# ---- the Java driver --------------------------------------------------------------


@pytest.mark.parametrize(("exit_code", "note"), [(0, "driver=yes"), (1, "driver=no: error: cannot find symbol")])
def test_a_client_that_the_driver_does_not_fit_costs_the_driver_and_not_the_image(
    tmp_path: Path, exit_code: int, note: str
) -> None:
    tools, out = tmp_path / "bin", tmp_path / "out"
    tools.mkdir()
    javac = f"#!/bin/sh\necho 'Main.java:1: error: cannot find symbol'\nexit {exit_code}\n"
    for name, text in {"javac": javac, "jar": '#!/bin/sh\n: >"$2"\n'}.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    script = (BUILD / "driver.sh").read_text().replace("/rmqkit/build/", f"{BUILD}/").replace("/out/", f"{out}/")
    done = run("sh", "-c", script, env={"PATH": f"{tools}:{os.environ['PATH']}"})
    assert done.returncode == 0, done.stderr
    assert (out / "driver/driver.env").read_text().strip() == note
    assert (out / "driver/driver.jar").exists() == (exit_code == 0)
    assert ("does not compile" in done.stdout) == (exit_code != 0)
