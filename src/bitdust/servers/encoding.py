"""JSON as the interfaces speak it: bounded on the way in, sorted keys on the way out."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from bitdust.errors import InvalidInput


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def decode_object(raw: bytes | str) -> dict[str, Any]:
    """A JSON object; an empty text is an empty object.

    Raises:
        InvalidInput: not JSON, too deeply nested, or not an object.
    """
    if not raw.strip():
        return {}
    try:
        value = json.loads(raw, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise InvalidInput("invalid json input", hint="send a JSON object") from None
    if not isinstance(value, dict):
        raise InvalidInput("invalid json input: not an object", hint="send a JSON object")
    return value


def encode(value: dict[str, Any], *, pretty: bool) -> bytes:
    """JSON with sorted keys; ``pretty`` adds indentation and a line break at the end.

    Raises:
        TypeError: the value holds something that JSON has no form for.
    """
    try:
        raw = msgspec.json.encode(value, order="sorted")
        return msgspec.json.format(raw, indent=2) + b"\n" if pretty else raw
    except (UnicodeEncodeError, OverflowError):
        # a file name that is no Unicode needs escapes; a number beyond 64 bits needs digits
        text = json.dumps(value, sort_keys=True, indent=2 if pretty else None)
        return text.encode("ascii") + (b"\n" if pretty else b"")
