"""Promises of rmqkit.wire.javatext."""

from __future__ import annotations

import pytest

from rmqkit.wire.javatext import java_hash


@pytest.mark.parametrize(
    ("text", "expected"),  # as Java prints "…".hashCode()
    [
        ("", 0),
        ("a", 97),
        ("TagA", 2598919),
        ("hello world", 1794106052),
        ("polygenelubricants", -2147483648),
        ("订单", 1129459),
        ("\U0001f600", 1772899),
    ],
)
def test_texts_hash_as_in_java(text: str, expected: int) -> None:
    assert java_hash(text) == expected
