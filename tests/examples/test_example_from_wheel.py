"""The kit from outside: its wheel in a venv of its own, a service's tests in a directory without any checkout.

What belongs here: that the wheel is whole and that the example works with it. What does not: what the example's own
tests prove about RocketMQ; that stands in them.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "order_service"
LEFTOVERS = ("build", "dist", "*.egg-info", "rmqkit/data")
WHERE = """
import json, rmqkit, rmqkit.resources as resources
found = {"package": rmqkit.__file__, "images": resources.images_dir(), "compose": resources.compose_dir()}
print(json.dumps(found, default=str))
"""

FAILOVER = {"test_a_confirmed_order_is_delivered_though_the_leader_is_killed"}
ON_A_CLUSTER = FAILOVER | {
    "test_a_confirmed_order_is_delivered",
    "test_a_mistyped_topic_is_not_made_in_silence",
    "test_a_worker_that_joins_the_pods_network_ships_orders",
    "test_a_worker_on_a_network_of_its_own_ships_orders",
}
WITHOUT_ONE = {"test_an_order_is_confirmed_only_when_it_is_stored", "test_an_order_that_comes_twice_is_packed_once"}

pytestmark = pytest.mark.cluster


@dataclass(frozen=True, slots=True)
class Outside:
    """A directory of its own that knows the kit only by its wheel."""

    folder: Path
    packed: Mapping[str, tuple[bool, str]]

    @property
    def example(self) -> Path:
        """The copy of the example."""
        return self.folder / "order_service"

    @property
    def bin(self) -> Path:
        """Where the environment's commands are."""
        return self.folder / "venv" / "bin"

    def run(self, *command: str | Path, path: Path | None = None) -> str:
        """The output of a command that must succeed, run as somebody without a checkout would.

        ``path`` is searched before the PATH.
        """
        return _run([str(part) for part in command], cwd=self.example, path=path)

    def pytest(self, *arguments: str) -> str:
        """The output of the example's own test run."""
        return self.run(self.bin / "python", "-m", "pytest", "-p", "no:cacheprovider", *arguments)

    def places(self) -> dict[str, Path]:
        """Where the environment's Python finds the package and its folders."""
        answer = self.run(self.bin / "python", "-c", WHERE)
        return {what: Path(path) for what, path in json.loads(answer).items()}


def _run(command: Sequence[str], *, cwd: Path, path: Path | None = None) -> str:
    foreign = ("PYTHON", "PYTEST_", "RMQKIT_", "COVERAGE_", "VIRTUAL_ENV")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    if path is not None:
        environment["PATH"] = f"{path}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)} ended with exit code {done.returncode}:\n{done.stdout}"
    return done.stdout


def _contents(*folders: Path) -> dict[str, tuple[bool, str]]:
    """Each file below ``folders``: whether it is executable, and its checksum."""
    return {
        f"{folder.name}/{file.relative_to(folder)}": (
            bool(file.stat().st_mode & 0o111),
            hashlib.sha256(file.read_bytes()).hexdigest(),
        )
        for folder in folders
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def _leftovers() -> set[Path]:
    return {found for pattern in LEFTOVERS for found in ROOT.glob(pattern)}


@pytest.fixture(scope="module")
def outside() -> Iterator[Outside]:
    """The wheel, built from this checkout and installed elsewhere, and the example beside it."""
    with tempfile.TemporaryDirectory(prefix="rmqkit-outside-") as name:
        here = Outside(folder=Path(name), packed=_contents(ROOT / "images", ROOT / "compose"))
        before = _leftovers()
        build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(here.folder), str(ROOT)]
        _run(build, cwd=here.folder)
        assert _leftovers() == before, "building the wheel left something in the checkout"
        wheels = list(here.folder.glob("*.whl"))
        assert len(wheels) == 1, wheels
        venv.create(here.folder / "venv", with_pip=True)
        pip = [str(here.bin / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, str(wheels[0])], cwd=here.folder)
        shutil.copytree(EXAMPLE, here.example, ignore=shutil.ignore_patterns("__pycache__", ".*_cache", ".venv"))
        yield here


def test_the_wheel_brings_the_package_and_all_that_an_image_is_built_from(outside: Outside) -> None:
    found = outside.places()
    for path in found.values():
        assert path.is_relative_to(outside.folder / "venv"), found
        assert "site-packages" in path.parts, found
    assert _contents(found["images"], found["compose"]) == outside.packed
    assert "images/rocketmq/Dockerfile" in outside.packed
    assert any(executable for executable, _ in outside.packed.values())


def test_both_ways_to_build_an_image_use_the_wheels_dockerfile(outside: Outside, tmp_path: Path) -> None:
    found = outside.places()
    context = str(found["images"] / "rocketmq")
    # A docker that only says what it was asked: the image is there, so the kit goes on to read what it was built from.
    docker = tmp_path / "docker"
    docker.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{tmp_path}/asked\n')
    docker.chmod(0o755)
    outside.run(outside.bin / "rmqkit", "build", path=tmp_path)
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[0] == "build"
    assert asked[-1] == context

    compose_file = found["compose"] / "docker-compose.dledger.yml"
    config = json.loads(outside.run("docker", "compose", "-f", compose_file, "config", "--format", "json"))
    contexts = {service["build"]["context"] for service in config["services"].values() if "build" in service}
    assert contexts == {context}


def test_the_marker_failover_is_known_and_selects(outside: Outside) -> None:
    def collected(expression: str) -> set[str]:
        lines = outside.pytest("--strict-markers", "--collect-only", "-q", "-m", expression).splitlines()
        return {line.partition("::")[2].partition("[")[0] for line in lines if "::" in line}

    assert collected("failover") == FAILOVER
    assert collected("not failover") == (ON_A_CLUSTER | WITHOUT_ONE) - FAILOVER
    assert "@pytest.mark.failover: breaks a real RocketMQ DLedger cluster" in outside.pytest("--markers")


def test_the_examples_tests_pass_against_real_clusters(outside: Outside) -> None:
    report = outside.folder / "report.xml"
    outside.pytest("-q", f"--junitxml={report}")
    suite = next(ET.parse(report).getroot().iter("testsuite"))
    assert {key: suite.get(key) for key in ("failures", "errors", "skipped")} == dict.fromkeys(
        ("failures", "errors", "skipped"), "0"
    )
    ran = [str(case.get("name")).partition("[")[0] for case in suite.iter("testcase")]
    assert set(ran) == ON_A_CLUSTER | WITHOUT_ONE
    assert all(ran.count(name) == 1 for name in ON_A_CLUSTER), ran
