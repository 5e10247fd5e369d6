"""Promises of rmqkit.wire.properties."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmqkit.errors import WireError
from rmqkit.wire.properties import parse_properties, render_properties

text = st.text(st.characters(exclude_categories=["Cs"], max_codepoint=0xFFFF), max_size=20)


@given(st.dictionaries(text, text, max_size=5))
def test_values_survive_writing_and_reading(values: dict[str, str]) -> None:
    assert dict(parse_properties(render_properties(values))) == values


@given(st.text(max_size=80))
def test_any_text_gives_values_or_a_wire_error(anything: str) -> None:
    with contextlib.suppress(WireError):
        parse_properties(anything)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a=b", {"a": "b"}),
        ("  a  =  b ", {"a": "b "}),
        ("a:b", {"a": "b"}),
        ("a b", {"a": "b"}),
        ("a", {"a": ""}),
        ("a==b", {"a": "=b"}),
        ("a\\=b=c", {"a=b": "c"}),
        ("a=one\\\n   two", {"a": "onetwo"}),
        ("a=end\\\\\nb=c", {"a": "end\\", "b": "c"}),
        ("# comment\n! too\n\na=b", {"a": "b"}),
        ("a=\\u4f60\\n\\t\\q", {"a": "你\n\tq"}),
        ("a=1\na=2", {"a": "2"}),
        ("a=b\r\nc=d\re=f", {"a": "b", "c": "d", "e": "f"}),
        ("a=x\\", {"a": "x"}),
        ("dLegerPeers=n0-h:1;n1-h:2", {"dLegerPeers": "n0-h:1;n1-h:2"}),
    ],
)
def test_lines_read_as_javas_properties_reads_them(line: str, expected: dict[str, str]) -> None:
    assert dict(parse_properties(line)) == expected


@pytest.mark.parametrize("bad", ["a=\\u12", "a=\\u12zz", "\\uzzzz=1"])
def test_a_malformed_escape_is_a_wire_error(bad: str) -> None:
    with pytest.raises(WireError, match="malformed"):
        parse_properties(bad)
