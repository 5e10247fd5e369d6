"""Promises of the Java driver's process that need no Java: a `docker` of the test's own plays the program's part."""

from __future__ import annotations

import os
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rmqkit.client.outcomes import OutcomeUnknown, Receipt, Refused
from rmqkit.client.send import OutgoingMessage
from rmqkit.drivers.interface import DriverConsumer, DriverProducer, Target
from rmqkit.drivers.java import JavaConsumer, JavaProducer
from rmqkit.drivers.java_load import JavaLoad, Sent
from rmqkit.drivers.java_process import JavaProcess, Place, place_for
from rmqkit.errors import DriverError, DriverMissingError, UsageError

TARGET = Target(nameservers=("127.0.0.1:9876",))
PLACE = Place(image="rmqkit/rocketmq:4.9.8", network="host", name="rmqkit-test")

HELLO = '{"event": "hello", "protocol": 1, "client": "V4_9_8", "java": "1.8", "nanos": 1}'
# Answers like the program: each test adds what it does with `verb`.
PROGRAM = """
import json, sys, time
if sys.argv[1] != "run":
    sys.exit(0)
def say(**line):
    print(json.dumps(line), flush=True)
def ok(**more):
    say(id=ask["id"], ok=True, **more)
print({hello!r}, flush=True)
for text in sys.stdin:
    ask = json.loads(text)
    verb = ask["do"]
    if verb == "ping":
        ok(nanos=time.monotonic_ns(), cpuNanos=1000)
        continue
{body}
    ok()
"""


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a `docker` in the PATH that runs the given Python."""

    def put(program: str) -> None:
        path = tmp_path / "docker"
        path.write_text(f"#!{sys.executable}\n{textwrap.dedent(program)}", encoding="utf-8")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    return put


def program(body: str = "", hello: str = HELLO) -> str:
    return PROGRAM.format(hello=hello, body=textwrap.indent(textwrap.dedent(body), "    "))


def test_without_docker_the_error_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DriverMissingError, match="no `docker` in the PATH"):
        JavaProcess(PLACE)


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        (
            "docker: Error response from daemon: No such image: rmqkit/rocketmq:4.9.8.",
            "there is no image rmqkit/rocketmq:4.9.8",
        ),
        ("rmq: unknown command: driver", "has no Java driver"),
        ("rmq: this image has no Java driver", "has no Java driver"),
    ],
)
def test_an_image_that_is_missing_or_old_is_to_be_built_again(
    docker: Callable[[str], None], stderr: str, words: str
) -> None:
    docker(f"import sys\nprint({stderr!r}, file=sys.stderr)\nsys.exit(64)")
    with pytest.raises(DriverMissingError, match=words) as caught:
        JavaProcess(PLACE)
    assert caught.value.hint.endswith("rmqkit build 4.9.8")


def test_a_start_that_fails_shows_the_last_lines(docker: Callable[[str], None]) -> None:
    docker("import sys\nprint('Cannot connect to the Docker daemon', file=sys.stderr)\nsys.exit(1)")
    with pytest.raises(DriverMissingError, match="did not start: exit code 1") as caught:
        JavaProcess(PLACE)
    assert caught.value.details == ("Cannot connect to the Docker daemon",)


def test_another_protocol_and_silence_are_refused(docker: Callable[[str], None]) -> None:
    docker(program(hello=HELLO.replace('"protocol": 1', '"protocol": 7')))
    with pytest.raises(DriverMissingError, match="speaks protocol 7"):
        JavaProcess(PLACE)
    docker("import sys\nif sys.argv[1] == 'run':\n    sys.stdin.read()")
    with pytest.raises(DriverError, match=r"said nothing within 0\.3 s"):
        JavaProcess(PLACE, start_s=0.3)


def test_the_container_is_no_root_carries_the_labels_and_never_pulls() -> None:
    place = Place(image="i:1", network="container:abc", labels={"rmqkit.run": "r", "rmqkit.owner-pid": "1@2"}, name="r")
    words = place.command("r-java-1", heap="128m", java_options="-Dx=y")
    assert words[-2:] == ["i:1", "driver"]
    assert {"--rm", "--interactive", "--pull=never", "rmqkit.run=r", "rmqkit.owner-pid=1@2"} <= set(words)
    assert words[words.index("--network") + 1] == "container:abc"
    assert words[words.index("--user") + 1].partition(":")[0] not in ("0", "")


def test_where_to_run_must_be_known() -> None:
    with pytest.raises(UsageError, match="in which image and network"):
        place_for(None)
    assert place_for(None, image="i:1").network == "host"
    assert place_for(None, image="i:1", network="n").labels["rmqkit.run"].startswith("rmqkit-java-")


def test_answers_find_their_questions_whatever_their_order(docker: Callable[[str], None]) -> None:
    docker(
        program("""
        if verb == "first":
            held = ask["id"]
            continue
        if verb == "second":
            ok(word="second")
            say(id=held, ok=True, word="first")
            continue
        """)
    )
    with JavaProcess(PLACE) as process:
        first, second = process.submit("first"), process.submit("second")
        words = [process.answer(each, timeout_s=10, what="it")["word"] for each in (first, second)]
        assert words == ["first", "second"]
        assert process.clock_offset_ns() == 0
        assert process.client == "rocketmq-client 4.9.8 (Java 1.8)"


def test_a_refused_command_has_the_clients_words_and_a_missing_answer_an_end(docker: Callable[[str], None]) -> None:
    docker(
        program("""
        if verb == "bad":
            say(id=ask["id"], ok=False, error={"class": "MQClientException", "message": "group is null"})
            continue
        if verb == "silent":
            continue
        """)
    )
    with JavaProcess(PLACE) as process:
        with pytest.raises(DriverError, match="refused bad: MQClientException: group is null"):
            process.ask("bad", timeout_s=10)
        with pytest.raises(DriverError, match=r"no answer to silent within 0\.2 s"):
            process.ask("silent", timeout_s=0.2)
        assert process.ask("ping", timeout_s=10)["ok"]


def test_what_is_under_way_when_the_process_dies_is_unknown_and_what_comes_after_is_refused(
    docker: Callable[[str], None],
) -> None:
    docker(
        program("""
        if verb == "send":
            print("java.lang.OutOfMemoryError", file=sys.stderr, flush=True)
            sys.exit(3)
        """)
    )
    with JavaProducer(TARGET, image="i:1") as producer:
        assert isinstance(producer, DriverProducer)
        under_way = producer.send(OutgoingMessage("T", b"x"))
        assert isinstance(under_way, OutcomeUnknown)
        assert "ended by itself with exit code 3" in under_way.reason
        after = producer.send(OutgoingMessage("T", b"x"))
        assert isinstance(after, Refused)
        with pytest.raises(DriverError, match="exit code 3") as caught:
            producer.process.ask("ping", timeout_s=5)
        assert "closed" not in str(caught.value)


def test_a_send_without_an_answer_ends_in_time_as_unknown(
    docker: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    docker(
        program("""
        if verb == "send":
            continue
        """)
    )
    monkeypatch.setattr("rmqkit.drivers.java.SLACK_S", 0.1)
    with JavaProducer(TARGET, image="i:1") as producer:
        began = time.monotonic()
        assert isinstance(producer.send(OutgoingMessage("T", b"x"), timeout_s=0.1), OutcomeUnknown)
        assert time.monotonic() - began < 5


MESSAGE = """
if verb == "consumer":
    ok()
    for token in (1, 2):
        say(event="message", consumer=ask["name"], token=token, topic="T", queueId=1, queueOffset=token, msgId="M",
            body="aGk=", reconsumeTimes=0, bornTimestamp=1, storeTimestamp=2, properties={"UNIQ_KEY": "id"})
    continue
if verb == "ack":
    assert ask["tokens"] == ["1", "2"], ask
    ok(found=2)
    continue
"""


def test_a_consumer_gives_what_came_and_tells_what_was_consumed(docker: Callable[[str], None]) -> None:
    docker(program(MESSAGE))
    with JavaConsumer(TARGET, topic="T", group="g", image="i:1") as consumer:
        assert isinstance(consumer, DriverConsumer)
        came = list(consumer.poll(10))
        while len(came) < 2:
            came += consumer.poll(10)
        assert [(m.body, m.message_id, m.queue_offset) for m in came] == [(b"hi", "id", 1), (b"hi", "id", 2)]
        consumer.ack(came)
        assert consumer.poll(0.05) == ()


LOAD = """
if verb == "load":
    failed = {"sequence": 1, "intendedNanos": 5, "startNanos": 6, "endNanos": 7, "ok": False, "attempts": [],
              "error": {"class": "MQClientException", "message": "No route info of this topic: T"}}
    say(event="load", load=ask["id"], thread=0, acked=[[0, 1, 2, 3, 4, 5, "ABC", "RaftNode00"]], failed=[failed])
    ok(startNanos=0, endNanos=2_000_000_000, acked=1, failed=1, latencyMicros={"p50": 1, "p99": 2, "max": 3})
    continue
"""


def test_a_load_tells_each_send_and_its_totals(docker: Callable[[str], None]) -> None:
    docker(program(LOAD))
    sent: list[Sent] = []
    with JavaProcess(PLACE) as process:
        with JavaLoad(process, TARGET, topic="T", count=2, id_prefix="r-", on_sent=sent.append) as load:
            totals = load.wait(timeout_s=10)
        acked, failed = sent
        assert isinstance(acked.outcome, Receipt)
        assert (acked.outcome.message_id, acked.outcome.queue_offset, acked.outcome.msg_id) == ("r-0-0", 5, "ABC")
        assert isinstance(failed.outcome, Refused)
        assert (failed.outcome.message_id, failed.intended_ns) == ("r-0-1", 5)
        assert (totals.acked, totals.failed, totals.acked_per_s, totals.p99_us) == (1, 1, 0.5, 2)
        with pytest.raises(UsageError, match="rate -1"):
            JavaLoad(process, TARGET, topic="T", rate=-1)
        with pytest.raises(UsageError, match="id_prefix"):
            JavaLoad(process, TARGET, topic="T", on_sent=sent.append)


def test_a_listener_that_fails_is_told_to_who_waits(docker: Callable[[str], None]) -> None:
    docker(program(LOAD))

    def fails(sent: Sent) -> None:
        raise ValueError(f"no {sent.thread}")

    with JavaProcess(PLACE) as process, pytest.raises(ValueError, match="no 0"):
        JavaLoad(process, TARGET, topic="T", count=2, id_prefix="r-", on_sent=fails).wait(timeout_s=10)


def test_closing_ends_every_thread_and_may_be_done_twice(docker: Callable[[str], None]) -> None:
    docker(program())
    before = set(threading.enumerate())
    process = JavaProcess(PLACE)
    process.close()
    process.close()
    assert set(threading.enumerate()) <= before
    with pytest.raises(DriverError, match="was closed"):
        process.ask("ping", timeout_s=1)
