"""Building images for tests: the command line, and what came of it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

CONTEXT = Path(__file__).resolve().parents[2] / "images" / "rocketmq"
MARKER_ROCKETMQ = "rmqkit-marker-rocketmq.properties"
MARKER_DLEDGER = "rmqkit-marker-dledger.properties"


def docker(*words: str, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Runs docker and returns what it said."""
    done = subprocess.run(["docker", *words], check=False, text=True, capture_output=True, timeout=timeout)
    assert not check or done.returncode == 0, f"docker {' '.join(words)}\n{done.stdout}{done.stderr}"
    return done


def base_and_secrets() -> list[str]:
    """Base images and secrets as ``rmqkit build`` takes them: from the environment, else what is on this machine."""
    options = []
    for key, local in (("BUILD_IMAGE", "rmqkit/base-build:jdk8"), ("RUNTIME_IMAGE", "rmqkit/base-runtime:jdk8")):
        own = os.environ.get(f"RMQKIT_{key}")
        if own or docker("image", "inspect", local, check=False).returncode == 0:
            options += ["--build-arg", f"{key}={own or local}"]
    bundle = Path(os.environ.get("RMQKIT_CA_BUNDLE", "/etc/ssl/certs/ca-certificates.crt"))
    if bundle.is_file():
        options += ["--secret", f"id=ca_bundle,src={bundle}"]
    if settings := os.environ.get("RMQKIT_MAVEN_SETTINGS"):
        options += ["--secret", f"id=maven_settings,src={settings}"]
    return options


@dataclass(frozen=True, slots=True)
class Built:
    """How a build ended."""

    ok: bool
    output: str

    def said(self) -> list[str]:
        """The build scripts' own lines."""
        lines = [line for line in self.output.splitlines() if "[rmqkit] " in line and "RUN" not in line]
        return [line.partition("[rmqkit] ")[2] for line in lines]


def build(
    tag: str, *, context: Path = CONTEXT, target: str | None = None, network: str | None = None, **args: str
) -> Built:
    """One ``docker build`` of the image."""
    words = ["docker", "build", "--progress=plain", "-t", tag, *base_and_secrets()]
    for key, value in args.items():
        words += ["--build-arg", f"{key}={value}"]
    words += ["--target", target] if target else []
    words += ["--network", network] if network else []
    done = subprocess.run(
        [*words, str(context)],
        check=False,
        env={**os.environ, "DOCKER_BUILDKIT": "1"},
        text=True,
        capture_output=True,
        timeout=900,
    )
    return Built(ok=done.returncode == 0, output=done.stdout + done.stderr)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Repositories:
    """The two repositories on the loopback interface."""

    url: str
    rocketmq_commit: str
    dledger_commit: str
    container: str

    def arguments(self) -> dict[str, str]:
        return {"ROCKETMQ_URL": f"{self.url}/rocketmq", "DLEDGER_URL": f"{self.url}/dledger"}


def build_info(image: str) -> dict[str, str]:
    return dict(json.loads(docker("run", "--rm", image, "info").stdout))
