"""What the doctor reads, and that it has nothing to say about what the kit itself writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from rmqkit.cli import EXIT_FAILED, EXIT_OK, EXIT_USAGE, main
from rmqkit.deploy.doctor import Diagnosis, examine_paths
from rmqkit.deploy.folder import write_folder
from rmqkit.errors import UsageError
from rmqkit.topology.committed import env_example
from rmqkit.topology.deployfile import load_deployment
from rmqkit.topology.doctor.composeread import filled, read_compose, read_env
from rmqkit.topology.doctor.documents import read_properties
from rmqkit.topology.doctor.findings import REGISTER
from rmqkit.topology.hostfiles import deployment_files
from rmqkit.topology.sizing import MEASURED_GROUP_TPS

ROOT = Path(__file__).resolve().parents[3]
SPEC = """\
name: orders
edition: 4.9.8
environment: production
hosts:
  - {name: a, address: 10.0.0.1, cores: 16, memory: 32g, store: /srv/rocketmq}
  - {name: b, address: 10.0.0.2, cores: 16, memory: 32g}
  - {name: c, address: 10.0.0.3, cores: 16, memory: 32g}
groups: 2
brokers:
  config: {fileReservedTime: "48"}
"""
Ran = tuple[int, str, str]


def shown(seen: Diagnosis) -> list[str]:
    return [f"{finding.about.name} {finding.where} {finding.seen}" for finding in seen.findings]


@pytest.fixture
def rendered(tmp_path: Path) -> Path:
    folder = tmp_path / "deploy"
    write_folder(folder, deployment_files(load_deployment(SPEC, source="cluster.yaml")))
    return folder


@pytest.fixture
def ran(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    def run(*argv: str) -> Ran:
        code = main(argv)
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return run


def test_a_specification_the_kit_renders_has_no_finding(tmp_path: Path) -> None:
    (tmp_path / "cluster.yaml").write_text(SPEC, encoding="utf-8")
    seen = examine_paths([tmp_path / "cluster.yaml"])
    assert shown(seen) == []
    assert (seen.brokers, seen.nameservers) == (6, 3)


def test_a_rendered_folder_has_no_finding_whole_or_one_host_of_it(rendered: Path) -> None:
    whole = examine_paths([rendered])
    assert shown(whole) == []
    assert (whole.brokers, whole.nameservers) == (12, 6)  # each of them for Docker, and as a plain file
    assert shown(examine_paths([rendered / "b"])) == []
    assert shown(examine_paths(sorted(rendered.rglob("broker.conf")))) == []


def test_the_committed_compose_folder_and_its_example_have_no_finding(tmp_path: Path) -> None:
    assert shown(examine_paths([ROOT / "compose"])) == []
    (tmp_path / ".env").write_text(env_example(), encoding="utf-8")
    assert shown(examine_paths([tmp_path / ".env"])) == []


def test_a_mistake_by_hand_in_one_host_of_a_rendered_folder_is_found_across_hosts(rendered: Path) -> None:
    env = rendered / "b" / ".env"
    text = env.read_text(encoding="utf-8")
    assert "RMQ_RAFTNODE01_N2_HOST=10.0.0.3\n" in text
    env.write_text(text.replace("RMQ_RAFTNODE01_N2_HOST=10.0.0.3", "RMQ_RAFTNODE01_N2_HOST=10.0.0.33"), "utf-8")
    seen = examine_paths([rendered])
    assert not seen.healthy
    assert {finding.about.name for finding in seen.findings} == {"peers-differ", "files-disagree"}
    differs = next(finding for finding in seen.findings if finding.about.name == "peers-differ")
    assert "only here: n2-10.0.0.33:40916" in differs.seen
    assert differs.where.startswith(f"{env}:")


def test_the_spec_itself_is_judged_at_its_own_lines(tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text(SPEC.replace('{fileReservedTime: "48"}', '{fileReservedTim: "48", preferredLeaderId: n0}'), "utf-8")
    found = {(finding.about.name, finding.where) for finding in examine_paths([file]).findings}
    assert found == {("misspelt-key", f"{file}:10"), ("preferred-leader", f"{file}:10")}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1", {"a": "1"}),
        ("a : 1 2 ", {"a": "1 2 "}),
        ("  a\t=\t1", {"a": "1"}),
        ("a 1", {"a": "1"}),
        ("# a=1\n! b=2\n\nc=3", {"c": "3"}),
        ("a=1,\\\n   2", {"a": "1,2"}),
        ("a\\=b=c\\\\d", {"a=b": "c\\d"}),
        ("a=\\u0041\\t|", {"a": "A\t|"}),
        ("a=1\r\nb=2", {"a": "1", "b": "2"}),
        ("a", {"a": ""}),
        ("a=1\\", {"a": "1"}),
    ],
)
def test_properties_are_read_as_java_does(text: str, expected: dict[str, str]) -> None:
    settings, _ = read_properties(text, "f")
    assert {key: setting.value for key, setting in settings.items()} == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$A-${A}-${B:-x}-$$A", "1-1-x-$A"),
        ("${B:-${C:-${A}}}", "1"),
        ("${E-x}${E:-y}", "y"),
        ("${A:+set}${B:+unset}", "set"),
        ("${B:?must}", ""),
        ("cost: 5$", "cost: 5$"),
        ("${A", "1"),
    ],
)
def test_variables_are_filled_in_as_compose_does(text: str, expected: str) -> None:
    assert filled(text, {"A": "1", "E": ""})[0] == expected


def test_an_env_file_is_read_as_compose_does() -> None:
    env = read_env("export A=1\nB='x # $A'\nC=\"y $A\"\nD=z # said\nE=\n\n# F=1\nwhat is this\nA=2\n", ".env")
    assert env.values == {"A": "2", "B": "x # $A", "C": "y 1", "D": "z", "E": ""}
    assert [(note.finding, note.where) for note in env.notes] == [("unreadable", ".env:8"), ("key-twice", ".env:9")]


def test_the_doctor_reads_the_compose_file_as_the_specification_says(rendered: Path) -> None:
    """Its own reading of what the kit renders gives the configuration that was rendered."""
    plan = load_deployment(SPEC, source="cluster.yaml")
    text = (rendered / "a" / "docker-compose.yml").read_text(encoding="utf-8")
    env = read_env((rendered / "a" / ".env").read_text(encoding="utf-8"), ".env")
    services = read_compose(text, source="f", env=env, host="a")
    environment = yaml.safe_load(text)["services"]["raftnode01-n0"]["environment"]
    assert len(services.members) == 2
    member = services.members[1]
    assert set(member.settings) == {key.removeprefix("RMQ_CONF_") for key in environment if "RMQ_CONF_" in key}
    assert member.get("dLegerPeers") == plan.spec.groups[1].dledger_peers
    assert (member.process["@heap"].value, member.process["@store"].value) == (
        "4096m",
        "/srv/rocketmq/raftnode01-n0",
    )


def test_a_path_with_nothing_to_look_at_is_wrong_use(tmp_path: Path, ran: Callable[..., Ran]) -> None:
    with pytest.raises(UsageError, match="nothing to look at"):
        examine_paths([tmp_path])
    with pytest.raises(UsageError, match="does not exist"):
        examine_paths([tmp_path / "none.conf"])
    (tmp_path / "notes.txt").write_text("hello\n", encoding="utf-8")
    with pytest.raises(UsageError, match="no file that the doctor knows"):
        examine_paths([tmp_path / "notes.txt"])
    assert ran("doctor", str(tmp_path / "none"))[0] == EXIT_USAGE


def test_render_and_doctor_on_the_command_line(tmp_path: Path, ran: Callable[..., Ran]) -> None:
    spec, out = tmp_path / "cluster.yaml", tmp_path / "deploy"
    spec.write_text(SPEC, encoding="utf-8")
    code, said, err = ran("render", str(spec), "-o", str(out))
    assert code == EXIT_OK
    assert f"{out / 'a'}: 10.0.0.1, namesrv0, raftnode00-n0, raftnode01-n0" in said
    assert "15 files written" in err
    assert ran("doctor", str(out))[0] == EXIT_OK
    conf = out / "a" / "raftnode00-n0" / "broker.conf"
    conf.write_text(conf.read_text(encoding="utf-8").replace("dLegerSelfId=n0", "dLegerSelfId=n9"), encoding="utf-8")
    code, said, err = ran("doctor", str(out))
    assert code == EXIT_FAILED
    assert "error: self-id-not-a-peer" in said
    assert "MemberState" in said
    assert "1 errors, 0 warnings" in err
    code, said, _ = ran("doctor", str(out), "--json")
    read = json.loads(said)
    assert (code, read["healthy"], [each["name"] for each in read["findings"]]) == (
        EXIT_FAILED,
        False,
        ["self-id-not-a-peer"],
    )
    code, _, err = ran("render", str(spec), "-o", str(out))
    assert code == EXIT_USAGE
    assert "changed by hand" in err
    assert ran("render", str(spec), "-o", str(out), "--force")[0] == EXIT_OK
    assert ran("doctor", str(out))[0] == EXIT_OK


def test_warnings_alone_leave_the_exit_code_0(tmp_path: Path, ran: Callable[..., Ran]) -> None:
    spec = tmp_path / "cluster.yaml"
    spec.write_text(SPEC + "nameservers: {on: [a, b]}\n", encoding="utf-8")
    code, said, _ = ran("doctor", str(spec))
    assert code == EXIT_OK
    assert "warning: one-nameserver" in said


def test_a_broken_specification_is_one_screen_with_every_mistake(tmp_path: Path, ran: Callable[..., Ran]) -> None:
    spec = tmp_path / "cluster.yaml"
    spec.write_text(SPEC.replace("cores: 16", "coars: 16"), encoding="utf-8")
    code, out, err = ran("render", str(spec), "-o", str(tmp_path / "out"))
    assert (code, out) == (EXIT_USAGE, "")
    assert f"{spec}:5: hosts[0].coars: unknown key: did you mean 'cores'?" in err
    assert not (tmp_path / "out").exists()


def test_size_on_the_command_line(ran: Callable[..., Ran]) -> None:
    code, out, _ = ran("size", "--tps", "20000", "--message-bytes", "1024", "--retention", "3d")
    assert code == EXIT_OK
    assert "5 of 3 replicas" in out
    code, out, _ = ran("size", "--tps", "1", "--message-bytes", "1", "--retention", "72h", "--json")
    assert json.loads(out)["groups"] == 1
    assert json.loads(out)["load"]["group_tps"] == MEASURED_GROUP_TPS
    assert ran("size", "--tps", "1", "--message-bytes", "1", "--retention", "soon")[0] == EXIT_USAGE


def test_every_finding_is_said_in_a_sentence_and_has_its_source_and_mend() -> None:
    for name, (about, _) in REGISTER.items():
        assert about.name == name
        assert all((about.what, about.why, about.mend))
        assert not about.what.endswith(".")
