"""JSON values: their bounds, on the way out and on the way in."""

from __future__ import annotations

from typing import Any

import pytest

from bitdust.dht.values import MAX_DEPTH, MAX_VALUE_BYTES, decode_value, encode_value
from bitdust.errors import FormatError, InvalidInput


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_fields_are_sorted_so_that_equal_values_have_equal_bytes() -> None:
    assert encode_value({"b": 1, "a": [None, True, "ü"]}) == '{"a":[null,true,"ü"],"b":1}'.encode()


def test_the_largest_value_fits_and_one_byte_more_does_not() -> None:
    text = "x" * (MAX_VALUE_BYTES - 2)
    assert decode_value(encode_value(text)) == text
    with pytest.raises(InvalidInput):
        encode_value(text + "x")
    with pytest.raises(FormatError):
        decode_value(b'"' + b"x" * (MAX_VALUE_BYTES - 1) + b'"')


def test_depth_is_bounded_both_ways() -> None:
    assert decode_value(encode_value(nested(MAX_DEPTH))) == nested(MAX_DEPTH)
    with pytest.raises(InvalidInput):
        encode_value(nested(MAX_DEPTH + 1))
    with pytest.raises(FormatError):
        decode_value(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        2**63,
        -(2**63) - 1,
        {1: "a"},
        {"a": b"bytes"},
        {"a": {1, 2}},
        "\ud800",
        {"\ud800": 1},
        object(),
    ],
)
def test_what_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInput):
        encode_value(value)


def test_a_value_that_holds_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(InvalidInput):
        encode_value(loop)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[1,]",
        b"nul",
        b"1e999",
        b"NaN",
        b"9223372036854775808",
        b"1" * 5000,
        b'"\xff"',
        b'{"a":1}x',
        b"[" * 60000,
        b'{"a":' * 10000,
    ],
)
def test_foreign_rubbish_raises_only_format_errors(raw: bytes) -> None:
    with pytest.raises(FormatError):
        decode_value(raw)
