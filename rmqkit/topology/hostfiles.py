"""The files of a placed deployment, as text: for each host `.env`, Compose file, and plain configuration files.

What belongs here: which files there are and what stands in them. What does not: writing them
(``deploy/folder.py``), who runs where (``placement.py``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from rmqkit.topology.brokerconf import DATA_DIR, broker_config, nameserver_config
from rmqkit.topology.compose import compose_file, variable_prefix
from rmqkit.topology.composedoc import in_sections
from rmqkit.topology.deployment import HostSpec
from rmqkit.topology.parts import GroupSpec, NameServerSpec, PeerSpec
from rmqkit.topology.placement import Plan
from rmqkit.topology.values import Variable

COMPOSE_NAME: Final = "docker-compose.yml"
ENV_NAME: Final = ".env"
_PLAIN = re.compile(r"[A-Za-z0-9_./:;,@-]*")

KEY_COMMENTS: Final[Mapping[str, str]] = {
    "brokerClusterName": "Name of the cluster: the same for every broker.",
    "brokerName": "Name of the group, the same for all its replicas: a route names this, not a machine.",
    "listenPort": "Clients connect here. The port 2 below is opened too, and the one above is kept.",
    "namesrvAddr": "Every NameServer, ';' between them: a broker registers with each.",
    "brokerIP1": "Where clients AND the other brokers reach this one; never left to the broker to guess.",
    "storePathRootDir": "Store, offsets and topics. It belongs to this broker alone, and to the user it runs as.",
    "storePathCommitLog": "The log of a broker without Raft; DLedger keeps its own below storePathRootDir.",
    "enableDLegerCommitLog": "The log is replicated by Raft. (RocketMQ spells it DLeger.)",
    "dLegerGroup": "Name of the Raft group: the broker's name.",
    "dLegerPeers": "Every replica, id-address:port, ';' between them: the same text in each replica's file.",
    "dLegerSelfId": "Which of them this one is: the only line, beside addresses, ports and paths, that differs.",
    "sendMessageThreadPoolNums": "Threads that take messages: as many as this machine has cores.",
}


def deployment_files(plan: Plan) -> dict[str, str]:
    """Every file of the deployment: path below the output folder -> text. Same input, same bytes.

    For each host: ``HOST/.env``, ``HOST/docker-compose.yml`` (alike on all), ``HOST/SERVICE/broker.conf`` and
    ``HOST/SERVICE/namesrv.conf`` for those who run without Docker.
    """
    services = tuple(plan.host_of)
    compose = compose_file(plan.spec, parametrized=True, comments=True, off=services, build=False)
    files: dict[str, str] = {}
    for host in plan.deployment.hosts:
        files[f"{host.name}/{ENV_NAME}"] = host_env(plan, host, compose.variables)
        files[f"{host.name}/{COMPOSE_NAME}"] = compose.text
        for server in plan.nameservers_on(host):
            files[f"{host.name}/{server.name}/namesrv.conf"] = namesrv_conf(plan, server)
        for group, peer in plan.brokers_on(host):
            service = plan.spec.service_of(group, peer)
            files[f"{host.name}/{service}/broker.conf"] = broker_conf(plan, host, group, peer)
    return files


def host_env(plan: Plan, host: HostSpec, variables: Mapping[str, Variable]) -> str:
    """The ``.env`` of one host, for the Compose file that has ``variables``."""
    here = [service for service, name in plan.host_of.items() if name == host.name]
    chosen = _host_values(plan, host)
    stores = {f"{variable_prefix(service)}_STORE" for service in here}
    lines = [
        f"# Host {host.name}, {host.address}, of {plan.deployment.name} ({plan.deployment.environment}):",
        f"# {', '.join(here) or 'nothing runs here'}.",
        "# Rendered by `rmqkit render` from the specification: change that, and render again.",
    ]
    for section, rows in in_sections(variables):
        shown = []
        for row in rows:
            if row.name.endswith("_STORE") and row.name not in stores:
                continue  # where another host keeps its stores is that host's affair
            if row.name.endswith("_RAFT_HOST"):
                continue  # it follows from the host: one address for clients and peers
            if row.name in chosen or row.meaning.section not in ("Names and users", "The image, and how it is built"):
                shown.append((row, chosen.get(row.name, row.default)))
        if not shown:
            continue
        lines += ["", f"# {section}"]
        before = None
        for row, value in shown:
            if row.meaning != before:
                lines.append(f"# {row.meaning.text}")
            before = row.meaning
            lines.append(f"{row.name}={_quoted(value)}")
    return "\n".join(lines) + "\n"


def _host_values(plan: Plan, host: HostSpec) -> dict[str, str]:
    """What differs from host to host, or is the deployment's own choice."""
    values = {
        "RMQ_EDITION": plan.spec.edition,
        "RMQ_IMAGE": plan.spec.image_ref,
        "RMQ_NAMESRV_HEAP": f"{plan.nameserver_heap_mb(host)}m",
        "RMQ_BROKER_HEAP": f"{plan.broker_heap_mb(host)}m",
        "RMQ_BROKER_DIRECT": f"{plan.broker_direct_mb(host)}m",
        "RMQ_SEND_THREADS": str(plan.threads(host)),
        "RMQ_NOFILE": str(plan.deployment.brokers.nofile),
        "RMQ_BROKER_MEMORY": plan.deployment.brokers.memory_limit or "0",
        "RMQ_NAMESRV_MEMORY": plan.deployment.nameservers.memory_limit or "0",
    }
    for service, name in plan.host_of.items():
        values[variable_prefix(service)] = str(int(name == host.name))
        if name == host.name and host.store != "volume":
            values[f"{variable_prefix(service)}_STORE"] = f"{host.store}/{service}"
    return values


def broker_conf(plan: Plan, host: HostSpec, group: GroupSpec, peer: PeerSpec) -> str:
    """The full ``broker.conf`` of one broker, for those who run it without Docker; a comment for each key."""
    service = plan.spec.service_of(group, peer)
    root = f"{DATA_DIR if host.store == 'volume' else host.store}/{service}/store"
    config = broker_config(plan.spec, group, peer) | {
        "storePathRootDir": root,
        "storePathCommitLog": f"{root}/commitlog",
    }
    if config.get("sendMessageThreadPoolNums") == "auto":  # the image's entrypoint knows that word, RocketMQ does not
        config["sendMessageThreadPoolNums"] = str(plan.threads(host))
    lines = [f"# {group.name} {peer.id} on host {host.name} of {plan.deployment.name}: bin/mqbroker -c THIS-FILE"]
    for key, value in config.items():
        lines += ["", f"# {KEY_COMMENTS.get(key, 'As the specification asks.')}", f"{key}={_property(value)}"]
    return "\n".join(lines) + "\n"


def namesrv_conf(plan: Plan, server: NameServerSpec) -> str:
    """The ``namesrv.conf`` of one NameServer."""
    lines = [f"# {server.name} of {plan.deployment.name}: bin/mqnamesrv -c THIS-FILE"]
    for key, value in nameserver_config(plan.spec, server).items():
        comment = "Brokers and clients connect here." if key == "listenPort" else "As the specification asks."
        lines += ["", f"# {comment}", f"{key}={_property(value)}"]
    return "\n".join(lines) + "\n"


def _property(value: str) -> str:
    """A value as Java's Properties.load reads it back; a backslash is its escape."""
    return value.replace("\\", "\\\\")


def _quoted(value: str) -> str:
    """A value as Compose reads it back from a `.env`: single quotes keep $ and # as they are."""
    if _PLAIN.fullmatch(value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
