"""The image's entrypoint without Docker: configuration files, JVM options, health; with a java that only prints."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

RUNTIME = Path(__file__).resolve().parents[2] / "images" / "rocketmq" / "runtime"

Rmq = Callable[..., "subprocess.CompletedProcess[str]"]


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


@pytest.fixture
def rmq(tmp_path: Path) -> Rmq:
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


def test_a_container_that_is_started_again_and_again_keeps_the_newest_collections_only(
    rmq: Rmq, tmp_path: Path
) -> None:
    logs = tmp_path / "data" / "logs"
    logs.mkdir()
    for number in range(30):
        (logs / f"gc-{number}.log").touch()
        os.utime(logs / f"gc-{number}.log", (number, number))
    (logs / "broker.log").touch()
    os.utime(logs / "broker.log", (0, 0))
    assert rmq("namesrv").returncode == 0
    assert {path.name for path in logs.iterdir()} == {"broker.log", *(f"gc-{number}.log" for number in range(10, 30))}


def test_the_environment_becomes_lines_with_the_keys_case_kept(rmq: Rmq) -> None:
    done = rmq("conf", "broker", RMQ_CONF_dLegerSelfId="n0", RMQ_CONF_namesrvAddr="127.0.0.1:9876;127.0.0.1:9877")
    assert lines(done.stdout) | {"dLegerSelfId": "n0", "namesrvAddr": "127.0.0.1:9876;127.0.0.1:9877"} == lines(
        done.stdout
    )


def test_a_broker_has_defaults_only_for_what_was_not_given(rmq: Rmq, tmp_path: Path) -> None:
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


def test_auto_send_threads_are_the_cores(rmq: Rmq) -> None:
    done = rmq("conf", "broker", RMQ_CONF_sendMessageThreadPoolNums="auto")
    assert lines(done.stdout)["sendMessageThreadPoolNums"] == run("nproc").stdout.strip()


def test_the_environment_overrides_a_mounted_file_and_keeps_its_other_lines(rmq: Rmq, tmp_path: Path) -> None:
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


def test_values_are_escaped_as_java_properties(rmq: Rmq) -> None:
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
def test_a_configuration_that_cannot_be_written_stops_the_start(rmq: Rmq, env: dict[str, str], names: str) -> None:
    done = rmq("broker", **env)
    assert done.returncode == 64
    assert names in done.stderr
    assert done.stdout == ""


def test_the_last_line_of_a_key_and_the_own_raft_port_are_what_health_looks_at(rmq: Rmq, tmp_path: Path) -> None:
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


@pytest.mark.parametrize("role", ["broker", "namesrv", "mqadmin", "driver"])
@pytest.mark.parametrize("jdk", [8, 11, 17, 21])
def test_each_jdk_gets_only_options_that_it_knows(rmq: Rmq, tmp_path: Path, jdk: int, role: str) -> None:
    (tmp_path / "lib/driver.jar").write_bytes(b"")
    options = rmq(role, jdk=jdk).stdout.splitlines()
    assert "-Duser.timezone=UTC" in options
    assert ("-XX:-UseBiasedLocking" in options) == (jdk <= 14 and role in ("broker", "namesrv"))
    assert any(each.startswith("--add-opens") for each in options) == (jdk >= 9)
    # Of what serves, collections are logged: a file for each start, of a bounded size.
    logs = [each for each in options if "/logs/gc-%t.log" in each]
    assert len(logs) == (role in ("broker", "namesrv"))
    assert all(each.startswith("-Xloggc:" if jdk == 8 else "-Xlog:gc*,safepoint:file=") for each in logs)
    assert ("-XX:+UseGCLogFileRotation" in options) == (bool(logs) and jdk == 8)
    # What was fatal on one JDK or another in RocketMQ's own scripts.
    assert not [
        each for each in options if "CMS" in each or "ParNew" in each or "ext.dirs" in each or "PermSize" in each
    ]


def test_the_heap_comes_from_the_environment_and_further_options_win(rmq: Rmq) -> None:
    default = rmq("broker").stdout.splitlines()
    assert {"-Xms512m", "-Xmx512m", "-Xmn256m", "-XX:MaxDirectMemorySize=512m", "-XX:-AlwaysPreTouch"} <= set(default)
    assert {"-Xmx256m", "-Xmn128m"} <= set(rmq("namesrv").stdout.splitlines())
    assert "-Xmx128m" in rmq("mqadmin").stdout.splitlines()
    own = rmq("broker", RMQ_HEAP="1g", RMQ_DIRECT="300m", RMQ_JAVA_OPTS="-Xmx2g -Dx=y").stdout.splitlines()
    assert {"-Xms1024m", "-Xmn512m", "-XX:MaxDirectMemorySize=300m"} <= set(own)
    assert own.index("-Xmx2g") > own.index("-Xmx1024m")


@pytest.mark.parametrize("heap", ["lots", "12x", "1m", ""])
def test_a_heap_that_is_no_size_is_refused_by_name(rmq: Rmq, heap: str) -> None:
    done = rmq("broker", RMQ_HEAP=heap)
    assert (done.returncode == 64 and "RMQ_HEAP" in done.stderr) == (heap != "")


def test_the_driver_runs_small_before_rocketmqs_own_jars_or_says_why_there_is_none(rmq: Rmq, tmp_path: Path) -> None:
    none = rmq("driver")
    assert (none.returncode, "has no Java driver" in none.stderr) == (64, True)
    (tmp_path / "lib/driver.jar").write_bytes(b"")
    options = rmq("driver", RMQ_JAVA_OPTS="-Dx=y").stdout.splitlines()
    assert {"-Xmx128m", "-XX:+UseSerialGC", "-Dx=y", "rmqkit.driver.Main"} <= set(options)
    assert not [each for each in options if each.startswith("-Xmn") or each == "-Xms128m"]
    assert f"{tmp_path}/lib/driver.jar:{tmp_path}/home/lib/*" in options


def test_an_unknown_command_shows_the_usage(rmq: Rmq) -> None:
    done = rmq("brokr")
    assert done.returncode == 64
    assert "unknown command: brokr" in done.stderr
    assert "usage: rmq COMMAND" in done.stderr
