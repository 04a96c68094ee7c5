"""What a session tells its owner, pure."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from bitdust.network.frames import Chunk, Violation


class RequestReceived(NamedTuple):
    """The peer opened a stream; ``ended`` when it has no body."""

    stream: int
    method: str
    args: bytes
    length: int
    ended: bool


class ResponseReceived(NamedTuple):
    """The peer answers; ``reason`` is None unless it refused."""

    stream: int
    args: bytes
    length: int
    reason: str | None
    message: str
    ended: bool


class BodyReceived(NamedTuple):
    """A piece of the peer's body; ``ended`` with the last one, whose data may be empty."""

    stream: int
    data: Chunk
    ended: bool


class StreamReset(NamedTuple):
    """The peer stopped a stream; ``complete`` when its own half had ended before."""

    stream: int
    code: int
    complete: bool


class PongReceived(NamedTuple):
    """The answer to a ``ping`` with this token."""

    token: bytes


class PeerGoingAway(NamedTuple):
    """The peer opens no more streams and wants none."""


class SessionClosed(NamedTuple):
    """The end, always the last event."""

    reason: str
    message: str
    violation: Violation | None


Event: TypeAlias = (
    RequestReceived
    | ResponseReceived
    | BodyReceived
    | StreamReset
    | PongReceived
    | PeerGoingAway
    | SessionClosed
)
