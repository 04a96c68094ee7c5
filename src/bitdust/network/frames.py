"""Frames: how bytes on a connection are cut, pure.

    0      1      2             4                   8                  12
    | type | flags | header size | stream id         | body size         | header … body …
      u8     u8      u16           u32                 u32                 all big-endian

The header is msgpack, the body raw. DATA bodies are handed on piece by piece as they arrive; all
other frames are small and come whole.

Source: docs/spec/wire.md.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

from bitdust.network.limits import (
    MAX_ARGS,
    MAX_DOCUMENT,
    MAX_FRAME_BODY,
    MAX_HEADER,
    MAX_SIGNATURE,
)

Chunk: TypeAlias = bytes | memoryview
"""Bytes that may be a view into a larger read."""

HEAD_SIZE: Final = 12
FIN: Final = 0x01
"""Flag: the sender's half of the stream ends with this frame."""
REFUSED: Final = 0x02
"""Flag of RESPONSE: the request was refused; the header says why."""

_HEAD = struct.Struct(">BBHII")
_PIN_SHARE = 4
"""A piece smaller than a quarter of the read it came in is copied, so as not to pin the read."""


class FrameType(IntEnum):
    """The kinds of frames."""

    HELLO = 1
    AUTH = 2
    REQUEST = 3
    RESPONSE = 4
    DATA = 5
    RESET = 6
    CREDIT = 7
    PING = 8
    PONG = 9
    GOAWAY = 10
    CLOSE = 11


class _Shape(NamedTuple):
    flags: int
    max_header: int
    min_body: int
    max_body: int
    on_stream: bool | None  # None: either


_SHAPES: Final[dict[int, _Shape]] = {
    FrameType.HELLO: _Shape(0, MAX_HEADER, 1, MAX_DOCUMENT, False),
    FrameType.AUTH: _Shape(0, 0, 1, MAX_SIGNATURE, False),
    FrameType.REQUEST: _Shape(FIN, MAX_HEADER, 0, MAX_ARGS, True),
    FrameType.RESPONSE: _Shape(FIN | REFUSED, MAX_HEADER, 0, MAX_ARGS, True),
    FrameType.DATA: _Shape(FIN, 0, 0, MAX_FRAME_BODY, True),
    FrameType.RESET: _Shape(0, 0, 1, 1, True),
    FrameType.CREDIT: _Shape(0, 0, 4, 4, None),
    FrameType.PING: _Shape(0, 0, 8, 8, False),
    FrameType.PONG: _Shape(0, 0, 8, 8, False),
    FrameType.GOAWAY: _Shape(0, 0, 0, 0, False),
    FrameType.CLOSE: _Shape(0, MAX_HEADER, 0, 0, False),
}
_DATA: Final = int(FrameType.DATA)


@dataclass(frozen=True, slots=True)
class Violation:
    """How a peer broke the protocol.

    Args:
        kind: stable name, the key under which it is counted.
        message: details for the log; holds nothing the peer sent but numbers.
    """

    kind: str
    message: str


class Frame(NamedTuple):
    """One frame, or one piece of a DATA frame (``FIN`` only on the last piece)."""

    type: int
    flags: int
    stream: int
    header: bytes
    body: Chunk


def encode_head(kind: int, flags: int, stream: int, header_size: int, body_size: int) -> bytes:
    """The fixed 12 bytes of a frame."""
    return _HEAD.pack(kind, flags, header_size, stream, body_size)


def encode_frame(
    kind: int, *, flags: int = 0, stream: int = 0, header: bytes = b"", body: bytes = b""
) -> bytes:
    """One small frame as bytes; for DATA use ``encode_head`` and send the body by itself."""
    return _HEAD.pack(kind, flags, len(header), stream, len(body)) + header + body


def total_size(chunks: Sequence[Chunk]) -> int:
    """Bytes in all chunks."""
    return sum(map(len, chunks))


class FrameParser:
    """Cuts a stream of bytes, split anywhere, into frames.

    Args:
        max_body: largest DATA body accepted, in bytes.
    """

    __slots__ = ("_flags", "_head", "_left", "_max_body", "_pending", "_stream", "violation")

    def __init__(self, max_body: int = MAX_FRAME_BODY) -> None:
        self._max_body = max_body
        self._pending = bytearray()
        self._head: tuple[int, int, int, int, int] | None = None
        self._left = 0  # bytes of the current DATA body still to come
        self._flags = 0
        self._stream = 0
        self.violation: Violation | None = None

    @property
    def buffered(self) -> int:
        """Bytes held back because a frame is not complete."""
        return len(self._pending)

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes and give back what they complete.

        After malformed bytes ``violation`` is set, the frames before them are still given back,
        and everything later is ignored.
        """
        frames: list[Frame] = []
        if self.violation is not None:
            return frames
        view = memoryview(data)
        pos, size = 0, len(data)
        while pos < size:
            if self._left:
                take = min(self._left, size - pos)
                self._left -= take
                piece = view[pos : pos + take]
                pos += take
                frames.append(
                    Frame(
                        _DATA,
                        self._flags if not self._left else 0,
                        self._stream,
                        b"",
                        piece if take * _PIN_SHARE >= size else bytes(piece),
                    )
                )
                continue
            head = self._head
            need = HEAD_SIZE if head is None else head[2] + head[4]
            missing = need - len(self._pending)
            if size - pos < missing:
                self._pending += view[pos:]
                break
            if self._pending:
                self._pending += view[pos : pos + missing]
                unit = bytes(self._pending)
                self._pending.clear()
            else:
                unit = bytes(view[pos : pos + missing])
            pos += missing
            if head is None:
                head = _HEAD.unpack(unit)
                self.violation = self._check(head)
                if self.violation is not None:
                    break
                if not self._begin(head, frames):
                    continue
                self._head = head
            else:
                self._head = None
                kind, flags, header_size, stream, _ = head
                frames.append(Frame(kind, flags, stream, unit[:header_size], unit[header_size:]))
        return frames

    def _begin(self, head: tuple[int, int, int, int, int], frames: list[Frame]) -> bool:
        """Start a frame; False when nothing of it has to be collected."""
        kind, flags, header_size, stream, body_size = head
        if kind == _DATA and body_size:
            self._left, self._flags, self._stream = body_size, flags, stream
            return False
        if header_size + body_size == 0:
            frames.append(Frame(kind, flags, stream, b"", b""))
            return False
        return True

    def _check(self, head: tuple[int, int, int, int, int]) -> Violation | None:
        kind, flags, header_size, stream, body_size = head
        shape = _SHAPES.get(kind)
        if shape is None:
            return Violation("frame-type", f"frame of unknown type {kind}")
        if flags & ~shape.flags:
            return Violation("frame-flags", f"flags {flags:#x} on a frame of type {kind}")
        if header_size > shape.max_header:
            return Violation("frame-size", f"header of {header_size} bytes, type {kind}")
        limit = self._max_body if kind == _DATA else shape.max_body
        if not shape.min_body <= body_size <= limit:
            return Violation("frame-size", f"body of {body_size} bytes, type {kind}")
        if shape.on_stream is not None and shape.on_stream != (stream != 0):
            return Violation("frame-stream", f"stream id {stream} on a frame of type {kind}")
        if kind == _DATA and not body_size and not flags & FIN:
            return Violation("frame-size", "empty DATA that ends nothing")
        return None
