"""Promises of rmqkit.wire.fastjson."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmqkit.errors import WireError
from rmqkit.wire.fastjson import loads, loads_tolerant

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12)
plain_objects = st.dictionaries(st.text(max_size=6), st.integers() | st.text(max_size=6), max_size=3)
# A key is text, an integer, or (as its items) an object: what fastjson writes for Long and MessageQueue keys.
keys = st.text(max_size=6) | st.integers() | plain_objects.map(lambda item: tuple(sorted(item.items())))
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=20,
)
blanks = st.sampled_from(["", " ", "\n", "\t "])


def write(value: Any, blank: str) -> str:
    """``value`` as fastjson writes it: keys that are not text stay as they are."""
    if isinstance(value, dict):
        items = (f"{write_key(key, blank)}{blank}:{blank}{write(item, blank)}" for key, item in value.items())
        return "{" + blank + f"{blank},{blank}".join(items) + blank + "}"
    if isinstance(value, list):
        return "[" + blank + f"{blank},{blank}".join(write(item, blank) for item in value) + blank + "]"
    return json.dumps(value)


def write_key(key: Any, blank: str) -> str:
    return write(dict(key), blank) if isinstance(key, tuple) else json.dumps(key)


@given(values, blanks)
def test_what_fastjson_writes_reads_back(value: Any, blank: str) -> None:
    assert loads(write(value, blank)) == value


@given(values)
def test_the_fast_path_and_the_tolerant_parser_agree_on_standard_json(value: Any) -> None:
    text = json.dumps(value, skipkeys=True)
    assert loads(text) == loads_tolerant(text) == json.loads(text)


@given(st.text(alphabet='{}[]:,"-0123456789eEtrufalsn\\ ', max_size=60) | st.text(max_size=60))
def test_any_text_gives_a_value_or_a_wire_error(text: str) -> None:
    with contextlib.suppress(WireError):
        loads(text)


@given(values, st.data())
def test_a_text_cut_short_is_a_wire_error(value: Any, data: st.DataObject) -> None:
    text = write([value], "")
    cut = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(WireError):
        loads(text[:cut])


def test_broker_ids_are_integers_also_negative_ones() -> None:
    assert loads('{"brokerAddrs":{0:"a:1",-1:"b:2"}}') == {"brokerAddrs": {0: "a:1", -1: "b:2"}}


def test_message_queues_as_keys_become_sorted_items() -> None:
    parsed = loads('{"offsetTable":{{"queueId":3,"brokerName":"b","topic":"T"}:{"maxOffset":1}}}')
    assert parsed["offsetTable"] == {(("brokerName", "b"), ("queueId", 3), ("topic", "T")): {"maxOffset": 1}}


def test_text_that_looks_like_keys_stays_text() -> None:
    assert loads('{0:"{1:2}","{{":"}"}') == {0: "{1:2}", "{{": "}"}


@pytest.mark.parametrize(
    "text",
    ["", " ", "{", "{0}", "{0:}", "{0:1,}", "[1,]", "[1 2]", '{"a" 1}', "{0:1}x", "nul", '"open', "{:1}", "[-]"],
)
def test_what_is_no_json_is_a_wire_error_that_shows_it(text: str) -> None:
    with pytest.raises(WireError, match="does not parse"):
        loads(text)


def test_bytes_that_are_not_utf8_are_a_wire_error() -> None:
    with pytest.raises(WireError, match="not UTF-8"):
        loads(b'{"a":"\xff"}')


@pytest.mark.parametrize("opening", ["[", "{0:", "{{"])
def test_endless_nesting_is_a_wire_error(opening: str) -> None:
    with pytest.raises(WireError, match="nested deeper"):
        loads(opening * 100_000)


def test_a_number_of_absurd_length_is_a_wire_error() -> None:
    with pytest.raises(WireError):
        loads("{0:" + "9" * 5000 + "}")
