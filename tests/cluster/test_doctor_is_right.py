"""What the doctor says of a bad file, held against what a real broker does with that very file."""

from __future__ import annotations

import subprocess
import uuid
from pathlib import Path

import pytest

from rmqkit.cluster.images import image_name

pytestmark = pytest.mark.cluster

FILES = Path(__file__).resolve().parents[1] / "doctor_files"
START_TIMEOUT_S = 60


def started(name: str, kind: str, *, edition: str) -> tuple[int, str]:
    """Exit code and output of a broker that is given the finding's file; it must end by itself."""
    container = f"rmqkit-doctor-{uuid.uuid4().hex[:8]}"
    command = ["docker", "run", "--rm", "--name", container, "--network", "none", "--memory", "1g"]
    command += ["-v", f"{FILES / name / kind / 'broker.conf'}:/etc/rocketmq/broker.conf:ro"]
    # The store goes where the image may write; nothing else of the file is changed.
    command += ["-e", "RMQ_CONF_storePathRootDir=/var/lib/rocketmq/store", "-e", "RMQ_HEAP=256m", "-e"]
    command += ["RMQ_CONF_storePathCommitLog=/var/lib/rocketmq/store/commitlog", image_name(edition), "broker"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=START_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        pytest.fail(f"the broker did not end within {START_TIMEOUT_S} s:\n{error.stdout!r}\n{error.stderr!r}")
    finally:
        subprocess.run(["docker", "rm", "-f", container], capture_output=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("malformed-peers", ("ArrayIndexOutOfBoundsException", "StringIndexOutOfBoundsException")),
        ("self-id-not-a-peer", ("NullPointerException",)),
    ],
)
def test_a_broker_ends_at_its_start_as_the_doctor_says(name: str, words: tuple[str, ...], rmq_edition: str) -> None:
    code, said = started(name, "bad", edition=rmq_edition)
    assert code != 0, said
    assert any(word in said for word in words), said[-3000:]
    assert "MemberState" in said or "DLedger" in said, said[-3000:]
