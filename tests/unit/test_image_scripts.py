"""The image's shell scripts without Docker: git's complaints, poms, configuration files, JVM options, logs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import xml.dom.minidom
from collections.abc import Mapping
from pathlib import Path

import pytest

IMAGE = Path(__file__).resolve().parents[2] / "images" / "rocketmq"
BUILD, RUNTIME = IMAGE / "build", IMAGE / "runtime"


def run(
    *command: str, stdin: str = "", env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        input=stdin,
        env={"PATH": os.environ["PATH"], **(env or {})},
        cwd=cwd,
        text=True,
        capture_output=True,
        timeout=60,
    )


# ---- auto falls back only when git hosting cannot be reached --------------------------------------------------------

UNREACHABLE = {
    "dns over https": "fatal: unable to access 'https://github.com/apache/rocketmq.git/': Could not resolve host: github.com",
    "dns of the proxy": "fatal: unable to access 'https://github.com/a/b.git/': Could not resolve proxy: proxy.corp",
    "dns over git": "fatal: unable to look up github.com (port 9418) (Temporary failure in name resolution)",
    "dns over ssh": "ssh: Could not resolve hostname github.com: Name or service not known\n"
    "fatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\nand the repository exists.",
    "refused over https": "fatal: unable to access 'https://git.corp/a.git/': Failed to connect to git.corp port 443 after 3 ms: "
    "Couldn't connect to server",
    "refused over git": "fatal: unable to connect to 127.0.0.1:\n127.0.0.1[0: 127.0.0.1]: errno=Connection refused",
    "timed out": "fatal: unable to access 'https://github.com/a/b.git/': Failed to connect to github.com port 443: Connection timed out",
    "curl after git was given up": "curl: (28) Failed to connect to github.com port 443 after 15001 ms: Timeout was reached",
    "no route over ssh": "ssh: connect to host github.com port 22: No route to host\nfatal: Could not read from remote repository.",
    "no network": "fatal: unable to connect to github.com:\ngithub.com[0: 140.82.121.3]: errno=Network is unreachable",
    "proxy refuses the tunnel": "fatal: unable to access 'https://github.com/a/b.git/': CONNECT tunnel failed, response 403",
    "older wording of it": "fatal: unable to access 'https://github.com/a/b.git/': Received HTTP code 503 from proxy after CONNECT",
}
REACHED = {
    "wrong ref": "fatal: couldn't find remote ref no_such_branch",
    "wrong repository": "remote: Repository not found.\nfatal: repository 'https://github.com/apache/no-such.git/' not found",
    "wants a password": "fatal: could not read Username for 'https://github.com': terminal prompts disabled",
    "wrong password": "remote: Invalid username or password.\nfatal: Authentication failed for 'https://git.corp/a.git/'",
    "forbidden": "fatal: unable to access 'https://git.corp/a.git/': The requested URL returned error: 403",
    "server error": "fatal: unable to access 'https://git.corp/a.git/': The requested URL returned error: 502",
    "own certificate": "fatal: unable to access 'https://github.com/a/b.git/': SSL certificate problem: "
    "unable to get local issuer certificate",
    "gnutls": "fatal: unable to access 'https://github.com/a/b.git/': server certificate verification failed. CAfile: none CRLfile: none",
    "ssh key": "git@github.com: Permission denied (publickey).\nfatal: Could not read from remote repository.",
    "ssh host key": "Host key verification failed.\nfatal: Could not read from remote repository.",
    "proxy wants a password": "fatal: unable to access 'https://github.com/a/b.git/': CONNECT tunnel failed, response 407",
    "cut in mid-air": "fatal: the remote end hung up unexpectedly",
    "reset in the handshake": "fatal: unable to access 'https://github.com/a/b.git/': OpenSSL SSL_connect: Connection reset by peer",
    "not a repository": "fatal: '/srv/git/x' does not appear to be a git repository\nfatal: Could not read from remote repository.",
    "not exported": "fatal: remote error: access denied or repository not exported: /x.git",
    "nothing said": "",
    # A host that answered was reached, even if it failed over another address before.
    "one address refused, the other answered": "Failed to connect to git.corp port 443: Connection refused\n"
    "fatal: unable to access 'https://git.corp/a.git/': The requested URL returned error: 404",
}


@pytest.mark.parametrize("said", UNREACHABLE.values(), ids=UNREACHABLE)
def test_a_host_that_cannot_be_reached_is_told_apart(said: str) -> None:
    assert run("sh", str(BUILD / "git-unreachable.sh"), stdin=said).returncode == 0


@pytest.mark.parametrize("said", REACHED.values(), ids=REACHED)
def test_a_host_that_answered_is_never_taken_for_unreachable(said: str) -> None:
    assert run("sh", str(BUILD / "git-unreachable.sh"), stdin=said).returncode == 1


# ---- which DLedger ---------------------------------------------------------------------------------------------------


def in_common(script: str, tmp_path: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs a line of shell with the build's functions loaded."""
    env = {"RMQKIT_TMP": str(tmp_path), "RMQKIT_BUILD": str(BUILD), "HOME": str(tmp_path), **env}
    return run("sh", "-euc", f". {BUILD}/common.sh; . {BUILD}/git-sources.sh; {script}", env=env)


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


def test_a_poms_own_version_is_not_its_parents_or_a_dependencys(tmp_path: Path) -> None:
    (tmp_path / "pom.xml").write_text(POM.format(version="0.1-SNAPSHOT"))
    assert in_common(f"pom_version {tmp_path}/pom.xml", tmp_path).stdout.strip() == "0.1-SNAPSHOT"


@pytest.fixture
def dledger_repository(tmp_path: Path) -> Path:
    """Versions 0.1-SNAPSHOT, 0.1 (tagged v0.1), 0.2-SNAPSHOT in this order; the last commit is 0.2-SNAPSHOT."""
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
            git("tag", "v0.1")
    return where


@pytest.mark.parametrize(
    ("version", "ref"), [("0.1", "v0.1"), ("0.1-SNAPSHOT", "master~2"), ("0.2-SNAPSHOT", "master"), ("9", None)]
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


@pytest.mark.parametrize("ref", ["master", "v0.1", "COMMIT"])
def test_a_branch_a_tag_and_a_bare_commit_are_checked_out(tmp_path: Path, dledger_repository: Path, ref: str) -> None:
    if ref == "COMMIT":
        ref = run("git", "-C", str(dledger_repository), "rev-parse", "master~1").stdout.strip()
    done = in_common(
        f"git_take file://{dledger_repository} {ref} {tmp_path}/out; pom_version {tmp_path}/out/pom.xml", tmp_path
    )
    assert done.stdout.strip() == ("0.2-SNAPSHOT" if ref == "master" else "0.1"), done.stderr


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


# ---- the entrypoint ----------------------------------------------------------------------------------------------------


@pytest.fixture
def rmq(tmp_path: Path):  # noqa: ANN201  # a callable; its type would be longer than itself
    """The entrypoint with a java that prints its arguments, one a line."""
    home, data, bin_dir, lib = tmp_path / "home", tmp_path / "data", tmp_path / "bin", tmp_path / "lib"
    for each in (home / "conf", data, bin_dir):
        each.mkdir(parents=True)
    shutil.copytree(RUNTIME, lib)
    (bin_dir / "java").write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    (bin_dir / "java").chmod(0o755)

    def call(*arguments: str, jdk: int = 8, **env: str) -> subprocess.CompletedProcess[str]:
        (lib / "java-major").write_text(f"{jdk}\n")
        own = {"ROCKETMQ_HOME": str(home), "RMQ_DATA": str(data), "RMQ_LIB": str(lib)}
        return run("sh", str(lib / "rmq"), *arguments, env={"PATH": f"{bin_dir}:{os.environ['PATH']}", **own, **env})

    return call


def lines(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))


def test_the_environment_becomes_lines_with_the_keys_case_kept(rmq) -> None:
    done = rmq("conf", "broker", RMQ_CONF_dLegerSelfId="n0", RMQ_CONF_namesrvAddr="127.0.0.1:9876;127.0.0.1:9877")
    assert lines(done.stdout) | {"dLegerSelfId": "n0", "namesrvAddr": "127.0.0.1:9876;127.0.0.1:9877"} == lines(
        done.stdout
    )


def test_a_broker_has_defaults_only_for_what_was_not_given(rmq, tmp_path: Path) -> None:
    plain = lines(rmq("conf", "broker").stdout)
    assert plain == {
        "storePathRootDir": f"{tmp_path}/data/store",
        "storePathCommitLog": f"{tmp_path}/data/store/commitlog",
        "sendMessageThreadPoolNums": "16",
    }
    given = lines(
        rmq("conf", "broker", RMQ_CONF_storePathRootDir="/elsewhere", RMQ_CONF_sendMessageThreadPoolNums="4").stdout
    )
    assert given == {
        "storePathRootDir": "/elsewhere",
        "storePathCommitLog": "/elsewhere/commitlog",
        "sendMessageThreadPoolNums": "4",
    }
    assert lines(rmq("conf", "namesrv").stdout) == {}


def test_auto_send_threads_are_the_cores(rmq) -> None:
    done = rmq("conf", "broker", RMQ_CONF_sendMessageThreadPoolNums="auto")
    assert lines(done.stdout)["sendMessageThreadPoolNums"] == run("nproc").stdout.strip()


def test_the_environment_overrides_a_mounted_file_and_keeps_its_other_lines(rmq, tmp_path: Path) -> None:
    mounted = tmp_path / "mine.conf"
    mounted.write_text(
        "# brokerName=in a comment\n"
        "brokerName = fromFile\r\n"
        "dLegerPeers=n0-a:1;\\\n   n1-b:2\n"
        "listenPort: 30911\n"
        "fileReservedTime=48\n"
        "!also a comment"
    )
    done = rmq(
        "conf",
        "broker",
        RMQ_CONF_FILE=str(mounted),
        RMQ_CONF_brokerName="fromEnv",
        RMQ_CONF_dLegerPeers="n0-c:3",
        RMQ_CONF_listenPort="1",
    )
    assert done.stdout.splitlines()[:3] == ["# brokerName=in a comment", "fileReservedTime=48", "!also a comment"]
    assert lines(done.stdout)["brokerName"] == "fromEnv"
    assert "fromFile" not in done.stdout
    # The second half of a line that was continued goes with its first half.
    assert "n1-b" not in done.stdout
    assert done.stdout.count("listenPort") == 1


def test_values_are_escaped_as_java_properties(rmq) -> None:
    done = rmq("conf", "broker", RMQ_CONF_a="C:\\temp\\new", RMQ_CONF_b="  led", RMQ_CONF_c="x=y:#z!")
    assert {"a": "C:\\\\temp\\\\new", "b": "\\  led", "c": "x=y:#z!"}.items() <= lines(done.stdout).items()


@pytest.mark.parametrize(
    ("env", "names"),
    [
        ({"RMQ_CONF_brokerName": "a\nb"}, "RMQ_CONF_brokerName has a line break"),
        ({"RMQ_CONF_brokerName": "größe"}, "RMQ_CONF_brokerName is not ASCII"),
        ({"RMQ_CONF_": "x"}, "lacks a key"),
        ({"RMQ_CONF_FILE": "/no/such.conf"}, "/no/such.conf"),
    ],
    ids=["line break", "not ASCII", "no key", "no such file"],
)
def test_a_configuration_that_cannot_be_written_stops_the_start(rmq, env: dict[str, str], names: str) -> None:
    done = rmq("broker", **env)
    assert done.returncode == 64
    assert names in done.stderr
    assert done.stdout == ""


def test_the_last_line_of_a_key_and_the_own_raft_port_are_what_health_looks_at(rmq, tmp_path: Path) -> None:
    peers = "n0-10.0.0.1:40911;n1-10.0.0.2:40912;n10-10.0.0.3:40913"
    rmq(
        "broker",
        RMQ_CONF_listenPort="30911",
        RMQ_CONF_enableDLegerCommitLog="true",
        RMQ_CONF_dLegerSelfId="n1",
        RMQ_CONF_dLegerPeers=peers,
    )
    assert (tmp_path / "data/conf/health").read_text().splitlines() == ["78BF 30911", "9FD0 40912"]
    rmq("namesrv")
    assert (tmp_path / "data/conf/health").read_text().splitlines() == ["2694 9876"]


def test_health_wants_every_port_in_the_state_listen(tmp_path: Path) -> None:
    want, table = tmp_path / "health", tmp_path / "tcp"
    head = "  sl  local_address rem_address   st tx_queue rx_queue\n"
    listening = "   0: 0100007F:78BF 00000000:0000 0A 00000000:00000000\n"
    connected = "   1: 0100007F:9FCF 0100007F:78BF 01 00000000:00000000\n"
    table.write_text(head + listening + connected)
    want.write_text("78BF 30911\n")
    check = ("awk", "-v", f"want={want}", "-f", str(RUNTIME / "health.awk"), str(want), str(table))
    assert run(*check).returncode == 0
    want.write_text("78BF 30911\n9FCF 40911\n")
    done = run(*check)
    assert (done.returncode, done.stdout.strip()) == (1, "not listening: 40911")


@pytest.mark.parametrize("role", ["broker", "namesrv", "mqadmin"])
@pytest.mark.parametrize("jdk", [8, 11, 17, 21])
def test_each_jdk_gets_only_options_that_it_knows(rmq, jdk: int, role: str) -> None:
    options = rmq(role, jdk=jdk).stdout.splitlines()
    assert "-Duser.timezone=UTC" in options
    assert ("-XX:-UseBiasedLocking" in options) == (jdk <= 17 and role != "mqadmin")
    assert any(each.startswith("--add-opens") for each in options) == (jdk >= 9)
    # What was fatal on one JDK or another in RocketMQ's own scripts.
    assert not [
        each for each in options if "CMS" in each or "ParNew" in each or "ext.dirs" in each or "PermSize" in each
    ]


def test_the_heap_comes_from_the_environment_and_further_options_win(rmq) -> None:
    default = rmq("broker").stdout.splitlines()
    assert {"-Xms512m", "-Xmx512m", "-Xmn256m", "-XX:MaxDirectMemorySize=512m", "-XX:-AlwaysPreTouch"} <= set(default)
    assert {"-Xmx256m", "-Xmn128m"} <= set(rmq("namesrv").stdout.splitlines())
    assert "-Xmx128m" in rmq("mqadmin").stdout.splitlines()
    own = rmq("broker", RMQ_HEAP="1g", RMQ_DIRECT="300m", RMQ_JAVA_OPTS="-Xmx2g -Dx=y").stdout.splitlines()
    assert {"-Xms1024m", "-Xmn512m", "-XX:MaxDirectMemorySize=300m"} <= set(own)
    assert own.index("-Xmx2g") > own.index("-Xmx1024m")


@pytest.mark.parametrize("heap", ["lots", "12x", "1m", ""])
def test_a_heap_that_is_no_size_is_refused_by_name(rmq, heap: str) -> None:
    done = rmq("broker", RMQ_HEAP=heap)
    assert (done.returncode == 64 and "RMQ_HEAP" in done.stderr) == (heap != "")


def test_an_unknown_command_shows_the_usage(rmq) -> None:
    done = rmq("brokr")
    assert done.returncode == 64
    assert "unknown command: brokr" in done.stderr
    assert "usage: rmq COMMAND" in done.stderr


# ---- logs -----------------------------------------------------------------------------------------------------------------

LOGBACK = """<configuration>
    <appender name="DefaultAppender" class="x"><encoder>
        <pattern>%d{yyy-MM-dd HH:mm:ss,GMT+8} %p %t - %m%n</pattern></encoder></appender>
    <appender name="STDOUT" class="y"><encoder><pattern>%d{yyy-MM-dd HH\\:mm\\:ss,SSS} %p - %m%n</pattern></encoder></appender>
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
