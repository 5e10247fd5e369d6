"""What the committed compose/docker-compose.dledger.yml promises, without an engine."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from rmqkit.topology.committed import BROKER_MACHINE, NAMESERVER_MACHINE, committed_compose, env_example

ROOT = Path(__file__).resolve().parents[3]
FILE = ROOT / "compose" / "docker-compose.dledger.yml"
EXAMPLE = ROOT / "compose" / ".env.example"
DOCKERFILE = ROOT / "images" / "rocketmq" / "Dockerfile"

TEXT = FILE.read_text(encoding="utf-8")
EXAMPLE_TEXT = EXAMPLE.read_text(encoding="utf-8")
BODY = "\n".join(line for line in TEXT.splitlines() if not line.lstrip().startswith("#"))
_INNERMOST = re.compile(r"\$\{(\w+):-([^${}]*)\}")


def with_variables(**variables: str) -> dict[str, Any]:
    """The file as Compose reads it with these variables set."""

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: filled(item) for key, item in value.items()}
        if isinstance(value, list):
            return [filled(item) for item in value]
        if not isinstance(value, str):
            return value
        while (again := _INNERMOST.sub(lambda found: variables.get(found[1]) or found[2], value)) != value:
            value = again
        return value

    tree: dict[str, Any] = filled(yaml.safe_load(BODY))
    return tree


def environment(tree: Mapping[str, Any], service: str) -> dict[str, str]:
    found: dict[str, str] = tree["services"][service]["environment"]
    return found


def test_the_committed_file_is_what_the_stock_specification_renders() -> None:
    assert committed_compose().text == TEXT, "the file has drifted: run scripts/render-compose"


def run_script(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = root / "scripts" / "render-compose"
    return subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def copy_of_the_project(tmp_path: Path) -> Path:
    """A root with the script, whose compose folder may be spoilt; the package is the real one."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "render-compose").write_bytes((ROOT / "scripts" / "render-compose").read_bytes())
    (tmp_path / "rmqkit").symlink_to(ROOT / "rmqkit")
    (tmp_path / "compose").mkdir()
    return tmp_path


def test_the_script_mends_a_drifted_file_and_check_only_tells(copy_of_the_project: Path) -> None:
    target = copy_of_the_project / "compose" / FILE.name
    target.write_text(TEXT.replace("30911", "30912"), encoding="utf-8")
    (target.parent / EXAMPLE.name).write_text(EXAMPLE_TEXT, encoding="utf-8")
    told = run_script(copy_of_the_project, "--check")
    assert told.returncode == 1
    assert "run scripts/render-compose" in told.stderr
    assert target.read_text(encoding="utf-8") != TEXT
    assert run_script(copy_of_the_project).returncode == 0
    assert target.read_text(encoding="utf-8") == TEXT
    assert run_script(copy_of_the_project, "--check").returncode == 0
    assert run_script(copy_of_the_project, "--wrong").returncode == 2


def test_with_no_variable_set_it_is_the_tutorials_cluster() -> None:
    tree = with_variables()
    replicas = {name: service["deploy"]["replicas"] for name, service in tree["services"].items()}
    assert replicas == {"namesrv0": "1", "namesrv1": "0", "namesrv2": "0", "n0": "1", "n1": "1", "n2": "1"}
    assert environment(tree, "namesrv0")["RMQ_CONF_listenPort"] == "9876"
    n1 = environment(tree, "n1")
    assert n1["RMQ_CONF_listenPort"] == "30921"
    assert n1["RMQ_CONF_brokerIP1"] == "127.0.0.1"
    assert n1["RMQ_CONF_dLegerSelfId"] == "n1"
    assert n1["RMQ_CONF_namesrvAddr"] == "127.0.0.1:9876"
    assert n1["RMQ_CONF_dLegerPeers"] == "n0-127.0.0.1:40911;n1-127.0.0.1:40912;n2-127.0.0.1:40913"
    assert n1["RMQ_CONF_sendMessageThreadPoolNums"] == "auto"


def test_three_hosts_are_a_matter_of_variables_alone() -> None:
    addresses = ("10.0.0.1", "10.0.0.2", "10.0.0.3")
    servers = ";".join(f"{address}:9876" for address in addresses)
    tree = with_variables(
        RMQ_NAMESRV0="0",
        RMQ_NAMESRV1="1",
        RMQ_N0="0",
        RMQ_N2="0",
        RMQ_NAMESRV_ADDR=servers,
        **{f"RMQ_N{number}_HOST": address for number, address in enumerate(addresses)},
    )
    replicas = {name: service["deploy"]["replicas"] for name, service in tree["services"].items()}
    assert replicas == {"namesrv0": "0", "namesrv1": "1", "namesrv2": "0", "n0": "0", "n1": "1", "n2": "0"}
    assert environment(tree, "namesrv1")["RMQ_CONF_listenPort"] == "9876"
    n1 = environment(tree, "n1")
    assert n1["RMQ_CONF_brokerIP1"] == "10.0.0.2"
    assert n1["RMQ_CONF_dLegerPeers"] == "n0-10.0.0.1:40911;n1-10.0.0.2:40912;n2-10.0.0.3:40913"
    assert n1["RMQ_CONF_namesrvAddr"] == servers


def test_a_moved_nameserver_port_reaches_its_brokers() -> None:
    tree = with_variables(RMQ_NAMESRV0_PORT="9877")
    assert environment(tree, "namesrv0")["RMQ_CONF_listenPort"] == "9877"
    assert environment(tree, "n2")["RMQ_CONF_namesrvAddr"] == "127.0.0.1:9877"


def test_another_edition_never_gets_the_default_editions_content() -> None:
    tree = with_variables(RMQ_EDITION="4.9.8")
    assert {service["image"] for service in tree["services"].values()} == {"rmqkit/rocketmq:4.9.8"}
    arguments = tree["services"]["namesrv0"]["build"]["args"]
    assert [arguments[key] for key in ("EDITION", "VERSION", "ROCKETMQ_REF")] == ["4.9.8"] * 3


def test_every_variable_is_in_the_table_with_the_default_that_it_has() -> None:
    used = set(re.findall(r"\$\{(RMQ_\w+)", BODY))
    head = TEXT[: TEXT.index("\nname:")]
    rows = dict(re.findall(r"^#     (RMQ_\w+)  +(.*)$", head[head.index("Variables") :], flags=re.MULTILINE))
    assert set(rows) | set(re.findall(r"^#     (RMQ_\w+)$", head, flags=re.MULTILINE)) == used
    assert rows["RMQ_N1_PORT"].startswith("30921")
    assert rows["RMQ_NAMESRV_ADDR"].startswith("127.0.0.1:9876")
    assert rows["RMQ_EDITION"].startswith("store_with_dledger ")


def test_nothing_but_the_kits_own_variables_decides() -> None:
    assert not [name for name in re.findall(r"\$\{?(\w+)", BODY) if not name.startswith("RMQ_")]


def test_every_value_that_a_host_decides_is_a_variable() -> None:
    """Numbers and addresses stand in the file only as defaults of variables."""
    stripped = BODY
    while (inner := _INNERMOST.sub("", stripped)) != stripped:
        stripped = inner
    assert not re.findall(r"\b(?:\d+\.\d+\.\d+\.\d+|[1-9]\d{3,}|n\d-\d)\b", stripped)


def dockerfile_defaults() -> dict[str, str]:
    return dict(re.findall(r"^ARG (\w+)=(.*)$", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE))


def test_the_build_arguments_are_the_dockerfiles_with_its_defaults() -> None:
    arguments = {
        key: str(value or "") for key, value in with_variables()["services"]["namesrv0"]["build"]["args"].items()
    }
    edition = arguments.pop("EDITION")
    defaults = dockerfile_defaults()
    assert defaults.pop("EDITION") == ""
    assert edition == "store_with_dledger"
    assert arguments == defaults


def test_the_build_context_is_beside_the_compose_folder_in_a_checkout_and_in_the_wheel() -> None:
    context = with_variables()["services"]["namesrv0"]["build"]["context"]
    assert (FILE.parent / context).resolve() == DOCKERFILE.parent


def test_the_committed_example_is_what_the_file_renders() -> None:
    assert env_example() == EXAMPLE_TEXT, "the file has drifted: run scripts/render-compose"


def test_the_example_documents_every_variable_of_the_file_and_no_other() -> None:
    used = set(re.findall(r"\$\{(RMQ_\w+)", BODY))
    rows = re.findall(r"^#(RMQ_\w+)=(.*)$", EXAMPLE_TEXT, flags=re.MULTILINE)
    assert {name for name, _ in rows} == used
    assert len(rows) == len(used)
    assert set(re.findall(r"\bRMQ_\w+", EXAMPLE_TEXT)) == used


def test_an_example_that_is_copied_whole_or_with_every_line_taken_in_changes_nothing() -> None:
    assert not [line for line in EXAMPLE_TEXT.splitlines() if line and not line.startswith("#")]
    rows = dict(re.findall(r"^#(RMQ_\w+)=(.*)$", EXAMPLE_TEXT, flags=re.MULTILINE))
    assert with_variables(**rows) == with_variables()


def test_the_profiles_of_production_machines_are_variables_of_the_file_and_stand_in_the_example() -> None:
    known = committed_compose().variables
    for profile in (NAMESERVER_MACHINE, BROKER_MACHINE):
        assert set(profile) <= set(known)
        assert all(f"#     {name}={value}\n" in EXAMPLE_TEXT for name, value in profile.items())
        page = (ROOT / "docs" / "compose.md").read_text(encoding="utf-8")
        assert ", ".join(f"`{name}={value}`" for name, value in profile.items()) in page
