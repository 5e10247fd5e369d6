"""The writer of YAML promises that a YAML library reads back exactly what was given."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rmqkit.topology.values import Meaning, Values, literal, resolved
from rmqkit.topology.yamltext import Anchor, Merge, Node, Note, yaml_text

text = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | text
    | st.sampled_from(["yes", "1", "0o7", "1e3", "~", "a: b", "- x", ".5"])
)
keys = st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(lambda k: k != "<<")
trees: st.SearchStrategy[Any] = st.dictionaries(
    keys,
    st.recursive(
        scalars,
        lambda inner: (
            st.lists(scalars | st.dictionaries(keys, inner, max_size=3), max_size=3)
            | st.dictionaries(keys, inner, max_size=3)
        ),
        max_leaves=12,
    ),
    max_size=4,
)


@given(tree=trees)
@settings(deadline=None)
def test_a_yaml_library_reads_back_what_was_written(tree: dict[str, Node]) -> None:
    assert (yaml.safe_load(yaml_text(tree, comments=True)) or {}) == tree


@given(tree=trees)
@settings(deadline=None)
def test_spreading_entries_changes_nothing_but_blank_lines(tree: dict[str, Node]) -> None:
    spread = yaml_text(tree, comments=True, spread=frozenset(tree))
    plain = yaml_text(tree, comments=True)
    assert [line for line in spread.splitlines() if line] == [line for line in plain.splitlines() if line]


def test_merged_mappings_arrive_where_they_are_merged() -> None:
    tree: dict[str, Node] = {
        "x-a": Anchor("a", {"one": "1", "two": "2"}),
        "x-b": Anchor("b", {"two": "B"}),
        "use": {"<<": Merge(("a",)), "two": "own"},
        "both": {"<<": Merge(("b", "a"))},
    }
    read = yaml.safe_load(yaml_text(tree, comments=False))
    assert read["use"] == {"one": "1", "two": "own"}
    assert read["both"] == {"one": "1", "two": "B"}


def test_comments_can_be_left_out() -> None:
    tree: dict[str, Node] = {"a": Note("b", "why\n\nand more")}
    assert yaml_text(tree, comments=True) == "# why\n#\n# and more\na: b\n"
    assert yaml_text(tree, comments=False) == "a: b\n"


MEANING = Meaning("s", "m")


def test_a_value_is_itself_or_a_variable_with_that_default() -> None:
    assert Values(parametrized=False)("RMQ_A", "x", MEANING) == "x"
    values = Values(parametrized=True)
    assert values("RMQ_A", "x", MEANING) == "${RMQ_A:-x}"
    assert values("RMQ_B", f"{values('RMQ_A', 'x', MEANING)}:1", MEANING, nested=True) == "${RMQ_B:-${RMQ_A:-x}:1}"
    assert [(v.name, v.default) for v in values.variables.values()] == [("RMQ_A", "x"), ("RMQ_B", "x:1")]


@pytest.mark.parametrize(("given_text", "expected"), [("a$b", "a$$b"), ("${X}", "$${X}"), ("", "")])
def test_a_dollar_sign_of_a_value_is_not_taken_for_a_variable(given_text: str, expected: str) -> None:
    assert literal(given_text) == expected


def test_nested_defaults_are_resolved_from_the_inside() -> None:
    assert resolved("a-${A:-${B:-${C:-1}2}3}") == "a-123"
