"""JSON values of the DHT: what may be written, and the bounds on what strangers wrote.

Both directions walk the whole value with an explicit stack, so that neither depth nor size of a
foreign value costs more than its bounds.
"""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec

from bitdust.errors import BitdustError, FormatError, InvalidInput

MAX_VALUE_BYTES: Final = 64 * 1024
MAX_DEPTH: Final = 32
MAX_ELEMENTS: Final = MAX_VALUE_BYTES
MAX_INTEGER: Final = 2**63 - 1
MIN_INTEGER: Final = -(2**63)


def _check(value: Any, error: type[BitdustError]) -> None:
    stack: list[tuple[Any, int]] = [(value, 1)]
    seen = 0
    while stack:
        item, depth = stack.pop()
        seen += 1
        if depth > MAX_DEPTH:
            raise error(f"the value is nested more than {MAX_DEPTH} deep")
        if seen + len(stack) > MAX_ELEMENTS:
            raise error(f"the value has more than {MAX_ELEMENTS} elements")
        if item is None or isinstance(item, (bool, str)):
            continue
        if isinstance(item, int):
            if not MIN_INTEGER <= item <= MAX_INTEGER:
                raise error("the value holds a whole number beyond 64 bits")
        elif isinstance(item, float):
            if not math.isfinite(item):
                raise error("the value holds a number that JSON does not have")
        elif isinstance(item, (list, tuple)):
            if len(item) > MAX_ELEMENTS:
                raise error(f"the value has more than {MAX_ELEMENTS} elements")
            stack.extend((child, depth + 1) for child in item)
        elif isinstance(item, dict):
            if len(item) > MAX_ELEMENTS:
                raise error(f"the value has more than {MAX_ELEMENTS} elements")
            if not all(isinstance(key, str) for key in item):
                raise error("the value has a field whose name is no text")
            stack.extend((child, depth + 1) for child in item.values())
        else:
            raise error(f"the value holds a {type(item).__name__}, which JSON does not have")


def encode_value(value: Any) -> bytes:
    """A JSON value as bytes: UTF-8, fields sorted, no spaces.

    Args:
        value: null, booleans, 64-bit whole numbers, finite numbers, text, lists and objects.
    Returns:
        At most 65,536 bytes.
    Raises:
        InvalidInput: not JSON, nested more than 32 deep, or too large.
    """
    _check(value, InvalidInput)
    try:
        raw = msgspec.json.encode(value, order="sorted")
    except (msgspec.MsgspecError, UnicodeEncodeError, TypeError, ValueError) as exc:
        raise InvalidInput("the value cannot be written as JSON") from exc
    if len(raw) > MAX_VALUE_BYTES:
        raise InvalidInput(
            f"the value takes {len(raw)} bytes as JSON, at most {MAX_VALUE_BYTES} fit in the DHT"
        )
    return raw


def decode_value(raw: bytes) -> Any:
    """Read a JSON value that came from a stranger.

    Raises:
        FormatError: not JSON, or beyond the bounds of ``encode_value``.
    """
    if len(raw) > MAX_VALUE_BYTES:
        raise FormatError(f"a DHT value of {len(raw)} bytes exceeds {MAX_VALUE_BYTES}")
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as exc:
        raise FormatError("a DHT value is not JSON") from exc
    _check(value, FormatError)
    return value
