"""The image at work: configuration, users, signals, health, logs; on the image that the git tests built."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from image_builds import build_info, docker

pytestmark = pytest.mark.cluster

UID = "54321"  # of nobody: it stands in no passwd file
LOGS = "/var/lib/rocketmq/logs/rocketmqlogs"
STAMP = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) ")


def wait_until(probe: Callable[[], bool], *, timeout_s: float, what: str) -> None:
    end = time.monotonic() + timeout_s
    while not probe():
        assert time.monotonic() < end, f"{what}: not within {timeout_s} s"
        time.sleep(0.2)


def logs(container: str) -> str:
    done = docker("logs", container)
    return done.stdout + done.stderr


def health(container: str) -> tuple[int, str]:
    done = docker("exec", container, "rmq", "health", check=False)
    return done.returncode, done.stdout.strip()


@pytest.fixture(scope="module")
def broker(git_image: str) -> Iterator[str]:
    """A DLedger group of one broker with its NameServer, in another time zone, as an unknown uid: the container."""
    settings = {
        "listenPort": "30911",
        "namesrvAddr": "127.0.0.1:9876",
        "brokerIP1": "127.0.0.1",
        "brokerName": "RaftNode00",
        "enableDLegerCommitLog": "true",
        "dLegerGroup": "RaftNode00",
        "dLegerPeers": "n0-127.0.0.1:40911",
        "dLegerSelfId": "n0",
        "msgTraceTopicName": "a\\b",
    }
    env = [word for key, value in settings.items() for word in ("-e", f"RMQ_CONF_{key}={value}")]
    started: list[str] = []

    def run(*words: str) -> str:
        started.append(docker("run", "-d", "-e", "TZ=Asia/Shanghai", "--user", UID, *words).stdout.strip())
        return started[-1]

    try:
        namesrv = run(git_image, "namesrv")
        node = run("--network", f"container:{namesrv}", *env, git_image, "broker")
        wait_until(lambda: health(node)[0] == 0, timeout_s=90, what="the broker listens")
        wait_until(lambda: "Finish to change to master" in logs(node), timeout_s=60, what="the broker leads")
        yield node
    finally:
        for each in reversed(started):
            docker("rm", "-fv", each, check=False)


def test_the_build_info_is_a_json_file_in_the_image(git_image: str) -> None:
    text = docker("run", "--rm", "--entrypoint", "cat", git_image, "/opt/rocketmq/BUILD-INFO.json").stdout
    assert json.loads(text) == build_info(git_image)


def test_the_java_driver_answers_every_line_and_ends_with_its_input(git_image: str) -> None:
    assert build_info(git_image)["driver"] == "yes"
    asked = (
        '{"id": 1, "do": "ping"}\n{"id": 2, "do": "wat"}\nno JSON: Zürich\n{"id": 3, "do": "send", "producer": "p"}\n'
    )
    done = subprocess.run(
        ["docker", "run", "--interactive", "--rm", "--user", UID, git_image, "driver"],
        check=True,
        input=asked,
        capture_output=True,
        text=True,
        timeout=60,
    )
    hello, *answers, bye = [json.loads(line) for line in done.stdout.splitlines()]
    assert (hello["event"], hello["protocol"], bye["event"]) == ("hello", 1, "bye")
    assert [(answer["id"], answer["ok"]) for answer in answers] == [(1, True), (2, False), (-1, False), (3, False)]
    words = [answer["error"]["message"] for answer in answers[1:]]
    assert words[0] == "unknown command: wat"
    assert words[1].startswith("not JSON at character")
    assert words[2] == "there is no producer p; open are []"


def test_the_image_runs_as_no_root_and_is_labelled(git_image: str) -> None:
    config = json.loads(docker("image", "inspect", git_image).stdout)[0]["Config"]
    assert config["User"].partition(":")[0] not in ("", "0", "root")
    assert config["Labels"]["rmqkit.image"] == "rocketmq"
    assert config["Labels"]["rmqkit.edition"] == "test-edition"


def test_a_broker_is_the_jvm_itself_and_runs_as_the_uid_it_was_given(broker: str) -> None:
    command = docker("exec", broker, "cat", "/proc/1/cmdline").stdout.split("\0")
    assert command[0] == "java"
    assert docker("exec", broker, "id", "-u").stdout.strip() == UID


def test_a_value_arrives_in_the_broker_as_it_was_given(broker: str) -> None:
    assert "msgTraceTopicName=a\\b" in docker("exec", broker, "cat", f"{LOGS}/broker.log").stdout


def test_logs_are_in_utc_on_stdout_and_in_the_volume(broker: str) -> None:
    on_stdout = logs(broker)
    in_file = docker("exec", broker, "cat", f"{LOGS}/broker.log").stdout
    assert "Begin to change to master" in on_stdout
    for text in (on_stdout, in_file):
        stamps = [match.group(1) for line in text.splitlines() if (match := STAMP.match(line))]
        last = datetime.strptime(stamps[-1], "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
        assert abs(datetime.now(UTC) - last) < timedelta(minutes=10)


def test_the_admin_tool_of_the_image_sees_the_broker(broker: str) -> None:
    listed = docker("exec", broker, "rmq", "mqadmin", "clusterList", "-n", "127.0.0.1:9876").stdout
    assert re.search(r"RaftNode00\s+0\s+127\.0\.0\.1:30911", listed), listed


def test_health_looks_at_the_containers_own_ports_only(broker: str) -> None:
    """The NameServer of the same network listens on 9876: that must not make another container healthy."""
    shared = ("--network", f"container:{broker}")
    image = docker("inspect", "-f", "{{.Image}}", broker).stdout.strip()
    fake = "mkdir -p conf && echo '2694 9876' >conf/health && rmq health && echo '0001 1' >>conf/health; rmq health"
    done = docker("run", "--rm", *shared, "--entrypoint", "sh", image, "-c", fake, check=False)
    assert (done.returncode, done.stdout.strip()) == (1, "not listening: 1")
    alone = docker("run", "--rm", "--entrypoint", "sh", image, "-c", "rmq health", check=False)
    assert alone.returncode == 1


def test_docker_itself_finds_the_broker_healthy(broker: str) -> None:
    def state() -> str:
        return docker("inspect", "-f", "{{.State.Health.Status}}", broker).stdout.strip()

    wait_until(lambda: state() == "healthy", timeout_s=30, what="healthy")


def test_sigterm_reaches_the_jvm_which_ends_by_itself(container: Callable[..., str]) -> None:
    node = container("--user", UID, command=("namesrv",))
    wait_until(lambda: health(node)[0] == 0, timeout_s=60, what="the NameServer listens")
    began = time.monotonic()
    docker("stop", "-t", "30", node)
    assert time.monotonic() - began < 15
    assert docker("inspect", "-f", "{{.State.ExitCode}}", node).stdout.strip() == "143"


def test_a_stopped_broker_shuts_its_store_down_by_itself(container: Callable[..., str]) -> None:
    """4 to 5 s when nothing else runs; SIGKILL would come after 30, with another exit code."""
    raft = ("enableDLegerCommitLog=true", "dLegerPeers=n0-127.0.0.1:40911", "dLegerSelfId=n0")
    env = [word for line in raft for word in ("-e", f"RMQ_CONF_{line}")]
    node = container("--user", UID, *env, command=("broker",))
    wait_until(lambda: health(node)[0] == 0, timeout_s=90, what="the broker listens")
    began = time.monotonic()
    docker("stop", "-t", "30", node)
    assert time.monotonic() - began < 25
    assert docker("inspect", "-f", "{{.State.ExitCode}}", node).stdout.strip() == "143"


def test_an_idle_container_needs_no_rights_and_ends_at_once(container: Callable[..., str]) -> None:
    idle = container("--user", UID, "--read-only", command=("idle",))
    assert health(idle)[0] == 0
    began = time.monotonic()
    docker("stop", "-t", "30", idle)
    assert time.monotonic() - began < 5
    assert docker("inspect", "-f", "{{.State.ExitCode}}", idle).stdout.strip() == "0"


def test_a_mounted_file_is_where_the_configuration_begins(git_image: str, tmp_path: Path) -> None:
    mounted = tmp_path / "broker.conf"
    mounted.write_text("brokerName=fromFile\nfileReservedTime=48\n")
    mounted.chmod(0o644)
    there = ("-v", f"{mounted}:/etc/rocketmq/broker.conf:ro")
    text = docker("run", "--rm", *there, "-e", "RMQ_CONF_brokerName=fromEnv", git_image, "conf", "broker").stdout
    assert "fileReservedTime=48" in text.splitlines()
    assert "brokerName=fromEnv" in text.splitlines()
    assert "fromFile" not in text


def test_a_broken_configuration_ends_the_container_with_its_reason(git_image: str) -> None:
    done = docker("run", "--rm", "-e", "RMQ_CONF_brokerName=a\nb", git_image, "broker", check=False)
    assert done.returncode == 64
    assert "RMQ_CONF_brokerName has a line break" in done.stderr


def test_a_volume_of_another_uid_is_refused_with_the_reason(git_image: str) -> None:
    volume = docker("volume", "create").stdout.strip()
    try:
        mounted = ("-v", f"{volume}:/var/lib/rocketmq")
        docker("run", "--rm", "--user", "1", *mounted, "--entrypoint", "mkdir", git_image, "-m", "755", "conf", "logs")
        done = docker("run", "--rm", "--user", "2", *mounted, git_image, "broker", check=False)
        assert done.returncode == 64
        assert "uid 2 cannot write to /var/lib/rocketmq" in done.stderr
    finally:
        docker("volume", "rm", "-f", volume, check=False)


def test_secrets_of_the_build_are_in_no_layer(git_image: str) -> None:
    """The certificates of the bundle were trusted during the build; nothing of it may travel with the image."""
    look = (
        "find /run/rmqkit /run/secrets /rmqkit /tmp /root -type f 2>/dev/null; "
        "find / -xdev '(' -name truststore.jks -o -name ca.pem -o -name settings.xml -o -name .m2 ')'; true"
    )
    found = docker("run", "--rm", "--user", "0", "--entrypoint", "sh", git_image, "-c", look).stdout.split()
    assert set(found) <= {"/root/.bashrc", "/root/.profile"}, "more than what Debian and Ubuntu come with"
    history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", git_image).stdout
    assert "BEGIN CERTIFICATE" not in history
