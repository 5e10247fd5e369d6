"""Rendered folders as Compose itself reads them: each host runs its own part, configured as the specification says."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rmqkit.deploy.folder import write_folder
from rmqkit.topology.brokerconf import broker_config, nameserver_config
from rmqkit.topology.deployfile import load_deployment
from rmqkit.topology.doctor.composeread import read_compose, read_env
from rmqkit.topology.hostfiles import deployment_files

pytestmark = pytest.mark.cluster

PLAN = load_deployment(
    """\
name: orders
edition: 4.9.8
environment: production
hosts:
  - {name: a, address: 10.0.0.1, cores: 16, memory: 32g, store: "/srv/rmq store"}
  - {name: b, address: 10.0.0.2, cores: 8, memory: 16g}
  - {name: c, address: 10.0.0.3, cores: 16, memory: 32g}
groups: 2
brokers:
  config: {fileReservedTime: "48", accessMessageInMemoryMaxRatio: "40"}
""",
    source="cluster.yaml",
)


def composed(folder: Path) -> dict[str, Any]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RMQ_")}
    command = ["docker", "compose", "config", "--format", "json"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    read: dict[str, Any] = json.loads(done.stdout)
    return read


def configuration(service: dict[str, Any]) -> dict[str, str]:
    found = service["environment"].items()
    return {key.removeprefix("RMQ_CONF_"): value for key, value in found if key.startswith("RMQ_CONF_")}


@pytest.mark.parametrize("host", PLAN.deployment.hosts, ids=lambda host: host.name)
def test_compose_runs_on_each_host_what_the_specification_puts_there(tmp_path: Path, host: Any) -> None:
    write_folder(tmp_path, deployment_files(PLAN))
    read = composed(tmp_path / host.name)
    running = {name: each for name, each in read["services"].items() if each["deploy"]["replicas"] == 1}
    assert read["name"] == "orders"
    assert set(running) == {service for service, name in PLAN.host_of.items() if name == host.name}
    for group, peer in PLAN.brokers_on(host):
        service = running[PLAN.spec.service_of(group, peer)]
        expected = broker_config(PLAN.spec, group, peer) | {"sendMessageThreadPoolNums": str(host.cores)}
        assert configuration(service) == expected
        assert service["environment"]["RMQ_HEAP"] == f"{PLAN.broker_heap_mb(host)}m"
        source = service["volumes"][0]["source"]
        assert source == (
            f"{PLAN.spec.service_of(group, peer)}-data"
            if host.store == "volume"
            else f"{host.store}/{PLAN.spec.service_of(group, peer)}"
        )
    for server in PLAN.nameservers_on(host):
        assert configuration(running[server.name]) == nameserver_config(PLAN.spec, server)


def test_without_its_env_a_rendered_compose_file_runs_nothing(tmp_path: Path) -> None:
    write_folder(tmp_path, deployment_files(PLAN))
    (tmp_path / "a" / ".env").unlink()
    assert {each["deploy"]["replicas"] for each in composed(tmp_path / "a")["services"].values()} == {0}


@pytest.mark.parametrize(
    "line",
    [
        "RMQ_RAFTNODE00_N0_PORT=31000 # ours",
        "RMQ_NAMESRV_ADDR='10.0.0.1:1;h:2'",
        'RMQ_BROKER_JAVA_OPTS="-Da=$RMQ_EDITION"',
    ],
)
def test_the_doctor_reads_an_env_as_compose_does(tmp_path: Path, line: str) -> None:
    write_folder(tmp_path, deployment_files(PLAN))
    folder = tmp_path / "a"
    env = folder / ".env"
    name = line.partition("=")[0]
    kept = [each for each in env.read_text(encoding="utf-8").splitlines() if not each.startswith(f"{name}=")]
    env.write_text("\n".join([*kept, line]) + "\n", encoding="utf-8")
    read = composed(folder)["services"]
    text = (folder / "docker-compose.yml").read_text(encoding="utf-8")
    services = read_compose(text, source="f", env=read_env(env.read_text(encoding="utf-8"), ".env"), host=None)
    assert len(services.members) == 2
    for member in services.members:
        assert configuration(read[member.name]) == {key: each.value for key, each in member.settings.items()}
        environment = read[member.name]["environment"]
        assert member.process["@java-opts"].value == environment["RMQ_JAVA_OPTS"]
