"""The hosts of these tests themselves: separate, back after a power cut, and gone with the process that made them."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hosts import Host, leftovers, remove_leftovers

pytestmark = pytest.mark.cluster

HELD = """
import sys, time
sys.path.insert(0, {folder!r})
from hosts import hosts
with hosts(["one"]) as made:
    print(made[0].engine, flush=True)
    time.sleep(60)
"""


def holding() -> subprocess.Popen[str]:
    """A process that has a host of its own, and waits."""
    code = HELD.format(folder=str(Path(__file__).parent))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("unix://")
    return process


@pytest.mark.long
def test_each_host_has_an_engine_an_address_and_nothing_of_the_others(three_hosts: tuple[Host, ...]) -> None:
    ids = {host.docker("info", "--format", "{{.ID}} {{.DockerRootDir}}") for host in three_hosts}
    assert len(ids) == len(three_hosts) == len({host.address for host in three_hosts})
    assert not any(host.docker("ps", "--all", "--quiet") for host in three_hosts)


@pytest.mark.long
def test_after_ctrl_c_nothing_of_them_is_left() -> None:
    process = holding()
    assert leftovers(str(process.pid)), "the check sees nothing where there is something"
    process.send_signal(signal.SIGINT)
    process.wait(timeout=60)
    assert leftovers(str(process.pid)) == []


@pytest.mark.long
def test_what_a_killed_process_leaves_is_removed_by_the_next_one() -> None:
    process = holding()
    process.kill()
    process.wait(timeout=60)
    assert leftovers(str(process.pid)), "the check sees nothing where there is something"
    remove_leftovers()
    assert leftovers(str(process.pid)) == []
