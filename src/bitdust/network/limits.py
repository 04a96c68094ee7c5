"""Every bound of the network in one place, by name."""

from __future__ import annotations

from dataclasses import dataclass, field

KIB = 1024
MIB = 1024 * KIB

PROTOCOL_VERSION = 1
"""The version of the wire format spoken here; a HELLO with another one is refused."""

MAX_HEADER = 16 * KIB
"""Bytes of one frame's msgpack header."""

MAX_FRAME_BODY = 256 * KIB
"""Bytes of one DATA frame's body; each side may announce less in its HELLO."""

MIN_FRAME_BODY = 16 * KIB
"""The least a side may announce as its largest DATA body."""

MAX_ARGS = 64 * KIB
"""Bytes of a request's or response's arguments."""

MAX_DOCUMENT = 64 * KIB
"""Bytes of the identity document in a HELLO."""

MAX_SIGNATURE = 1 * KIB
"""Bytes of the signature in an AUTH; RSA with 4096 bits needs 512."""

NONCE_SIZE = 32
MAX_METHOD = 64
MAX_REASON = 64
MAX_MESSAGE = 500
MAX_FEATURES = 32

FREE_PREFIX = 64 * KIB
"""The first bytes of each body, in each direction, that use no connection credit.

So a small message passes even when slow readers of large bodies hold all connection credit.
"""

MAX_WINDOW = 1 << 30
"""The most credit a side may hold at any time, for a stream or a connection."""

BULK_SLICE = 256 * KIB
"""Most body bytes of one stream in a row when no other stream waits."""

SHARED_SLICE = 64 * KIB
"""Most body bytes of one stream in a row when other streams wait too."""

FRESH_PER_BULK = 16
"""Slices of young streams that may pass before one slice of a large body gets its turn."""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """What one side of a session accepts; the first four fields are announced in its HELLO.

    Args:
        max_frame_body: largest DATA body in bytes.
        stream_window: body bytes of one stream, in one direction, sent but not consumed.
        connection_window: the same over all streams, without each body's ``FREE_PREFIX``.
        max_streams: streams the other side may have open at a time.
        ping_after: seconds without a byte received before a PING is sent.
        dead_after: seconds without a byte received before the connection is given up.
        stall_after: seconds a half-sent body may stand still before its stream is reset.
        ping_burst: PINGs taken at once; ``ping_rate`` more per second.
        reset_burst: RESETs taken at once; ``reset_rate`` more per second.
        credit_burst: CREDITs taken at once; ``credit_rate`` more per second, and one more for
            every ``FREE_PREFIX`` of body bytes sent.
        max_replies: control frames waiting to be sent before the peer counts as not reading.
    """

    max_frame_body: int = MAX_FRAME_BODY
    stream_window: int = 4 * MIB
    connection_window: int = 32 * MIB
    max_streams: int = 256
    ping_after: float = 20.0
    dead_after: float = 45.0
    stall_after: float = 120.0
    ping_burst: int = 20
    ping_rate: float = 1.0
    reset_burst: int = 600
    reset_rate: float = 100.0
    credit_burst: int = 2000
    credit_rate: float = 200.0
    max_replies: int = 4096


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a whole ``Network``.

    Args:
        session: bounds of each session.
        max_connections: connections of both directions, handshakes included.
        max_connections_per_address: inbound connections from one remote address.
        max_handshakes: inbound handshakes going on at a time.
        handshake_timeout: seconds from the accepted connection to the proven identity.
        max_handlers_per_peer: handlers running at a time for one peer; more requests wait.
        max_requests_per_peer: own requests open at a time to one peer; more wait their turn.
        max_documents: documents of contacts remembered.
        max_endpoints: addresses tried for one contact in one attempt.
        dial_timeout: seconds for one address.
        back_off_first: seconds before the first new attempt to reach a kept contact.
        back_off_most: the longest pause between attempts.
        stable_after: seconds a connection must have stood before the back-off starts afresh.
        drain_timeout: seconds a retired or stopping connection may take to end its streams.
        liveness_timeout: seconds an old connection has to answer when a second one appears.
        duplicate_grace: seconds both connections of a pair stay in use before one is retired, so
            that both sides know the other one.
    """

    session: SessionLimits = field(default_factory=SessionLimits)
    max_connections: int = 1024
    max_connections_per_address: int = 64
    max_handshakes: int = 64
    handshake_timeout: float = 10.0
    max_handlers_per_peer: int = 64
    max_requests_per_peer: int = 200
    max_documents: int = 10_000
    max_endpoints: int = 16
    dial_timeout: float = 10.0
    back_off_first: float = 1.0
    back_off_most: float = 300.0
    stable_after: float = 30.0
    drain_timeout: float = 10.0
    liveness_timeout: float = 5.0
    duplicate_grace: float = 1.0
