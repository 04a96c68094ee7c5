"""What the msgpack headers of frames hold, pure.

Source: docs/spec/wire.md.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from bitdust.errors import FormatError
from bitdust.network.limits import (
    MAX_FEATURES,
    MAX_MESSAGE,
    MAX_METHOD,
    MAX_REASON,
    MAX_WINDOW,
    MIN_FRAME_BODY,
    NONCE_SIZE,
)

UNKNOWN_LENGTH: Final = -1
"""Body length of a body whose size its sender does not know before its end."""

_METHOD = re.compile(rf"[a-z0-9][a-z0-9._-]{{0,{MAX_METHOD - 1}}}")

Length = Annotated[int, Meta(ge=-1, le=(1 << 62))]
Feature = Annotated[str, Meta(max_length=64)]


class ResetCode(IntEnum):
    """Why a half of a stream ended early."""

    CANCELLED = 1
    """The one who asked no longer wants the answer."""
    NO_BODY = 2
    """The answer is complete; the rest of the request's body is not wanted."""
    FAILED = 3
    """The sender's body source failed half-way."""
    STALLED = 4
    """The body stood still for too long."""
    BUSY = 5
    """Too many requests are open."""
    ACKNOWLEDGED = 6
    """Answer to a RESET: nothing more will come on this stream."""
    DAMAGED = 7
    """The sender found half-way that what it keeps is damaged."""


class HelloHeader(msgspec.Struct, frozen=True):
    """Header of HELLO; the body is the identity document."""

    version: Annotated[int, Meta(ge=0, le=65535)]
    nonce: Annotated[bytes, Meta(min_length=NONCE_SIZE, max_length=NONCE_SIZE)]
    max_frame_body: Annotated[int, Meta(ge=MIN_FRAME_BODY, le=MAX_WINDOW)]
    stream_window: Annotated[int, Meta(ge=MIN_FRAME_BODY, le=MAX_WINDOW)]
    connection_window: Annotated[int, Meta(ge=MIN_FRAME_BODY, le=MAX_WINDOW)]
    max_streams: Annotated[int, Meta(ge=1, le=65535)]
    features: Annotated[list[Feature], Meta(max_length=MAX_FEATURES)] = []


class RequestHeader(msgspec.Struct, frozen=True):
    """Header of REQUEST; the frame's body is the arguments."""

    method: Annotated[str, Meta(min_length=1, max_length=MAX_METHOD)]
    length: Length = UNKNOWN_LENGTH


class ResponseHeader(msgspec.Struct, frozen=True, omit_defaults=True):
    """Header of RESPONSE; ``reason`` and ``message`` are set when it is flagged REFUSED."""

    length: Length = UNKNOWN_LENGTH
    reason: Annotated[str, Meta(max_length=MAX_REASON)] = ""
    message: Annotated[str, Meta(max_length=MAX_MESSAGE)] = ""


class CloseHeader(msgspec.Struct, frozen=True, omit_defaults=True):
    """Header of CLOSE."""

    reason: Annotated[str, Meta(max_length=MAX_REASON)] = ""
    message: Annotated[str, Meta(max_length=MAX_MESSAGE)] = ""


_encoder = msgspec.msgpack.Encoder()
encode = _encoder.encode
decode_hello = msgspec.msgpack.Decoder(HelloHeader).decode
decode_request = msgspec.msgpack.Decoder(RequestHeader).decode
decode_response = msgspec.msgpack.Decoder(ResponseHeader).decode
decode_close = msgspec.msgpack.Decoder(CloseHeader).decode

DECODE_ERRORS: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What the decoders above may raise on foreign bytes."""


def is_method(name: str) -> bool:
    """Whether ``name`` may name a method: 1 to 64 of ``a-z 0-9 . _ -``."""
    return _METHOD.fullmatch(name) is not None


def encode_args(args: Any) -> bytes:
    """Arguments (a Struct, dict or None) as msgpack; None is no bytes at all."""
    return b"" if args is None else _encoder.encode(args)


def decode_args(raw: bytes, kind: type[Any]) -> Any:
    """Arguments from a peer as ``kind``.

    Raises:
        FormatError: they are not of that form.
    """
    try:
        return msgspec.msgpack.decode(raw or b"\x80", type=kind)
    except DECODE_ERRORS as exc:
        raise FormatError(f"arguments that are not {kind.__name__}") from exc


def shorten(text: str, limit: int) -> str:
    """``text`` cut to ``limit`` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
