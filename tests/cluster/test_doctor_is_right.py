"""What the doctor says of a bad file, held against what a real broker does with that very file."""

from __future__ import annotations

import subprocess
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from rmqkit.cluster import Cluster
from rmqkit.cluster.images import image_name
from rmqkit.deploy.probes import ReachedNetwork
from rmqkit.topology.brokerconf import broker_config
from rmqkit.topology.doctor.model import CONF_VIEW, Member, Setting

pytestmark = pytest.mark.cluster

FILES = Path(__file__).resolve().parents[1] / "doctor_files"
START_TIMEOUT_S = 60


def started(name: str, kind: str, *, edition: str) -> tuple[int, str]:
    """Exit code and output of a broker that is given the finding's file; it must end by itself."""
    container = f"rmqkit-doctor-{uuid.uuid4().hex[:8]}"
    command = ["docker", "run", "--rm", "--name", container, "--network", "none", "--memory", "1g"]
    # A broker resolves its own host's name first of all, and without a network there is no entry for any other.
    command += ["--hostname", "localhost"]
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
        ("self-id-malformed", ("NumberFormatException",)),
        ("self-id-not-a-peer", ("NullPointerException", "fail to init self address")),
    ],
)
def test_a_broker_ends_at_its_start_as_the_doctor_says(name: str, words: tuple[str, ...], rmq_edition: str) -> None:
    code, said = started(name, "bad", edition=rmq_edition)
    assert code != 0, said
    assert any(word in said for word in words), said[-3000:]
    assert "MemberState" in said or "DLedger" in said, said[-3000:]


def test_a_running_cluster_is_reached_and_its_clocks_are_read_over_the_wire(healthy_cluster: Cluster) -> None:
    """The brokers share this machine's clock, so that the offset is nought within what the protocol can tell."""
    spec = healthy_cluster.spec
    assert spec is not None
    members = [
        Member(
            peer.id,
            "broker.conf",
            CONF_VIEW,
            {key: Setting(value, "broker.conf:1") for key, value in broker_config(spec, group, peer).items()},
        )
        for group, peer in spec.all_peers()
    ]
    dead = next(iter(members))
    gone = replace(dead, settings=dict(dead.settings) | {"dLegerPeers": Setting("n0-127.0.0.1:1", "broker.conf:1")})
    facts = ReachedNetwork().facts([*members, gone])
    assert set(facts.failures) == {"127.0.0.1:1"}
    assert set(facts.clock_offsets) == {peer.address for _, peer in spec.all_peers()}
    for low, high in facts.clock_offsets.values():
        assert low <= 0.1
        assert high >= -0.1
        assert high - low < 2
