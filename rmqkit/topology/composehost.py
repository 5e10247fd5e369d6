"""The parts of a Compose file that only the host topology has: build, restart, health, limits, logs.

What belongs here: what a process needs to live on a host for long. What does not: what it is
(``compose.py``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from rmqkit.topology import composedoc as doc
from rmqkit.topology.spec import ClusterSpec
from rmqkit.topology.values import Values, literal
from rmqkit.topology.yamltext import Node, Note

FALLBACK_VERSION: Final = "4.5.1"
"""The release line into which the branch ``store_with_dledger`` was merged."""
_RELEASE = re.compile(r"\d+\.\d+\.\d+")


def edition(spec: ClusterSpec, values: Values) -> str:
    """The edition's name."""
    return values("RMQ_EDITION", spec.edition, doc.EDITION)


def image(spec: ClusterSpec, values: Values) -> str:
    """The image's name."""
    default = literal(spec.image) if spec.image is not None else f"rmqkit/rocketmq:{edition(spec, values)}"
    return values("RMQ_IMAGE", default, doc.IMAGE, nested=True)


def process(spec: ClusterSpec, values: Values) -> dict[str, Node]:
    """What every process has."""
    policy = "unless-stopped" if spec.restart else "no"
    files = values("RMQ_NOFILE", 16384, doc.OPEN_FILES)
    return {
        "pull_policy": Note(values("RMQ_PULL_POLICY", "never", doc.PULL), doc.PULL_POLICY),
        "network_mode": Note("host", doc.HOST_NETWORK),
        "restart": Note(values("RMQ_RESTART", policy, doc.RESTART_POLICY), doc.RESTART),
        "stop_grace_period": Note(values("RMQ_STOP_GRACE", "30s", doc.STOP_TIME), doc.STOP_GRACE),
        "ulimits": Note({"nofile": {"soft": files, "hard": files}}, doc.NOFILE),
        "healthcheck": Note(
            {
                "test": ["CMD", "rmq", "health"],
                "interval": values("RMQ_HEALTH_INTERVAL", "5s", doc.HEALTH_INTERVAL),
                "timeout": "3s",
                "retries": 3,
                "start_period": "30s",
            },
            doc.HEALTH,
        ),
        "logging": {
            "driver": "json-file",
            "options": {
                "max-size": values("RMQ_LOG_MAX_SIZE", "50m", doc.LOG_SIZE),
                "max-file": values("RMQ_LOG_MAX_FILES", 5, doc.LOG_FILES),
            },
        },
    }


def limits(values: Values, prefix: str, kind: str, *, runs: bool) -> dict[str, Node]:
    """Whether a service runs on this host, and how much memory it may take."""
    return {
        "deploy": {"replicas": values(prefix, int(runs), doc.REPLICAS)},
        "mem_limit": values(f"RMQ_{kind}_MEMORY", 0, doc.MEMORY),
    }


def after(servers: Sequence[str]) -> Node:
    """Brokers start after the NameServers that are here."""
    return Note({name: {"condition": "service_started", "required": False} for name in servers}, doc.AFTER)


def build(spec: ClusterSpec, values: Values) -> dict[str, Node]:
    """How the image is made; the arguments and their defaults are the Dockerfile's own.

    Ref and version follow the edition, so that another edition's name never gets the default's content:
    what does not exist under that name fails to build.
    """
    name = edition(spec, values)
    release = _RELEASE.fullmatch(spec.edition) is not None
    follows = "${RMQ_EDITION:-" + FALLBACK_VERSION + "}" if values.parametrized else FALLBACK_VERSION
    dledger_url = "https://github.com/openmessaging/dledger.git"
    return {
        "context": "../images/rocketmq",
        "args": {
            "EDITION": name,
            "SOURCE": values("RMQ_SOURCE", "release" if release else "auto", doc.SOURCE),
            "VERSION": values("RMQ_VERSION", name if release else follows, doc.VERSION, nested=True),
            "ROCKETMQ_URL": values("RMQ_ROCKETMQ_URL", "https://github.com/apache/rocketmq.git", doc.URL),
            "ROCKETMQ_REF": values("RMQ_ROCKETMQ_REF", name, doc.REF, nested=True),
            "DLEDGER_URL": values("RMQ_DLEDGER_URL", dledger_url, doc.URL),
            "DLEDGER_REF": values("RMQ_DLEDGER_REF", "", doc.DLEDGER_REF),
            "REFRESH": values("RMQ_REFRESH", "", doc.REFRESH),
            "BUILD_IMAGE": values("RMQ_BUILD_IMAGE", "maven:3.9-eclipse-temurin-8", doc.BUILD_BASE),
            "RUNTIME_IMAGE": values("RMQ_RUNTIME_IMAGE", "eclipse-temurin:8-jre", doc.RUNTIME_BASE),
        },
        "secrets": ["ca_bundle", "maven_settings"],
    }


def secrets(values: Values) -> dict[str, Node]:
    """Files that the build may read."""
    return {
        "ca_bundle": {"file": values("RMQ_CA_BUNDLE", "/dev/null", doc.CA_BUNDLE)},
        "maven_settings": {"file": values("RMQ_MAVEN_SETTINGS", "/dev/null", doc.MAVEN_SETTINGS)},
    }
