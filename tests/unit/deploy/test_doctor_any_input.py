"""Whatever stands in a file, the doctor ends with findings, never with a traceback."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rmqkit.topology.deployfile import parse_deployment
from rmqkit.topology.doctor.brokerkeys import KEYS
from rmqkit.topology.doctor.documents import Document, FileKind, build_case
from rmqkit.topology.doctor.findings import diagnose

few = settings(deadline=None, max_examples=60)
text = st.text(max_size=60)
odd = st.sampled_from(
    ["", " ", "0", "-1", "²", "1e9", "99999", "n0", "true ", "10.0.0.1", "::1", "a:b:c", ";;", "${", "$$"]
)
values = text | odd
keys = (
    st.sampled_from(["dLegerPeers", "dLegerSelfId", "brokerIP1", "listenPort", "namesrvAddr", *list(KEYS)[:20]]) | text
)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | values
trees: st.SearchStrategy[Any] = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3), max_leaves=8
)
service = st.fixed_dictionaries(
    {"command": st.sampled_from([["broker"], "broker", ["namesrv"], [], None, 5]) | trees},
    optional=dict.fromkeys(
        ("environment", "labels", "deploy", "ulimits", "volumes", "user", "mem_limit", "restart", "scale"), trees
    ),
)


def judged(kind: FileKind, content: str) -> None:
    for finding in diagnose(build_case([Document("f", kind, content, beside=("x",), readable_by_all=True)])):
        assert finding.where
        assert finding.seen


@given(content=text)
@few
def test_any_text_in_any_kind_of_file(content: str) -> None:
    for kind in FileKind:
        judged(kind, content)


@given(lines=st.dictionaries(keys, values, max_size=12))
@example(lines={"listenPort": "²", "dLegerPeers": "n0-h:²", "sendMessageThreadPoolNums": "²"})
@few
def test_any_values_in_a_broker_conf(lines: dict[str, str]) -> None:
    judged(FileKind.BROKER, "".join(f"{key}={value}\n" for key, value in lines.items()))


@given(services=st.dictionaries(st.sampled_from(["n0", "namesrv0", "x"]), service | trees, max_size=3))
@example(
    services={"n0": {"command": ["broker"], "volumes": ["²"], "mem_limit": "²g", "ulimits": {"nofile": {"soft": "²"}}}}
)
@few
def test_any_values_in_a_compose_file(services: dict[str, Any]) -> None:
    judged(FileKind.COMPOSE, yaml.safe_dump({"services": services}))


@given(
    tree=st.dictionaries(st.sampled_from(["name", "edition", "hosts", "groups", "nameservers", "ports"]) | text, trees)
)
@few
def test_any_values_in_a_specification(tree: dict[str, Any]) -> None:
    parsed = parse_deployment(yaml.safe_dump(tree))
    assert (parsed.plan is None) == bool(parsed.problems)
    judged(FileKind.SPEC, yaml.safe_dump(tree))
