"""The handshake: both sides prove their identity key over what they said and saw, pure.

    dialler                              listener
    HELLO  ->                        <-  HELLO       version, nonce, limits, identity document
    AUTH   ->                                        signature, checked before the next line
                                     <-  AUTH        signature

Each signs the label, its own role, both HELLO frames byte for byte and the TLS certificates'
fingerprints. The certificate the dialler saw must be the one in the listener's identity document.
So a signature is good for one role in one connection through one certificate: it can be neither
replayed, nor reflected, nor passed on by somebody in the middle.

Source: docs/spec/wire.md.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum
from typing import Final, Generic, Protocol, TypeVar

from bitdust.errors import BitdustError
from bitdust.network.frames import Frame, FrameType, Violation, encode_frame
from bitdust.network.limits import MAX_DOCUMENT, PROTOCOL_VERSION, SessionLimits
from bitdust.network.messages import DECODE_ERRORS, HelloHeader, decode_close, decode_hello, encode

LABEL: Final = b"bitdust session handshake 1\x00"
"""Separates these signatures from all others made with the same key."""


class Role(Enum):
    """Which side of the connection a node is."""

    DIALLER = b"dialler"
    LISTENER = b"listener"

    @property
    def other(self) -> Role:
        """The opposite side."""
        return Role.LISTENER if self is Role.DIALLER else Role.DIALLER


class Claim(Protocol):
    """What the handshake needs of an identity document whose own signature is already checked."""

    @property
    def node_id(self) -> bytes: ...
    @property
    def certificate(self) -> str: ...


C = TypeVar("C", bound=Claim)


@dataclass(frozen=True, slots=True)
class Proven(Generic[C]):
    """A finished handshake: who the peer is and what it accepts."""

    document: C
    limits: SessionLimits
    features: frozenset[str]


class HandshakeFailed(Exception):
    """Inside this package only: the peer broke the handshake; never crosses its border."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.violation = Violation(kind, message)


class PeerClosed(Exception):
    """Inside this package only: the peer ended the handshake with a CLOSE."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Handshake(Generic[C]):
    """One side of one handshake.

    Args:
        role: this side.
        node_id: own node id, 32 bytes.
        document: own identity document as XML.
        nonce: 32 unpredictable bytes, used once.
        limits: what this side accepts.
        listener_certificate: SHA-256 of the listener's TLS certificate (own or seen), 32 bytes.
        dialler_certificate: the same of the dialler, empty when it has none.
        parse_document: reads and verifies an identity document; raises ``BitdustError``.
        verify: checks ``(document, signature, message)``; raises ``BitdustError``.
        expect: the only node id accepted, None for any.
        features: names of optional parts of the protocol this side can do.
    """

    def __init__(
        self,
        role: Role,
        *,
        node_id: bytes,
        document: bytes,
        nonce: bytes,
        limits: SessionLimits,
        listener_certificate: bytes,
        dialler_certificate: bytes = b"",
        parse_document: Callable[[bytes], C],
        verify: Callable[[C, bytes, bytes], None],
        expect: bytes | None = None,
        features: Collection[str] = (),
    ) -> None:
        if len(document) > MAX_DOCUMENT:
            raise ValueError("own identity document is too large")
        self.role = role
        self._node_id = node_id
        self._nonce = nonce
        self._listener_certificate = listener_certificate
        self._dialler_certificate = dialler_certificate
        self._parse_document = parse_document
        self._verify = verify
        self._expect = expect
        header = HelloHeader(
            version=PROTOCOL_VERSION,
            nonce=nonce,
            max_frame_body=limits.max_frame_body,
            stream_window=limits.stream_window,
            connection_window=limits.connection_window,
            max_streams=limits.max_streams,
            features=sorted(features),
        )
        self.hello = encode_frame(FrameType.HELLO, header=encode(header), body=document)
        """The first bytes to send."""
        self._peer_hello = b""
        self._proven: Proven[C] | None = None

    def receive_hello(self, frame: Frame) -> C:
        """Take the peer's first frame.

        Raises:
            HandshakeFailed: malformed, another version, an unfit document or certificate.
            PeerClosed: the peer gave up.
        """
        self._check_type(frame, FrameType.HELLO)
        try:
            header = decode_hello(frame.header)
        except DECODE_ERRORS as exc:
            raise HandshakeFailed("hello", "malformed HELLO header") from exc
        if header.version != PROTOCOL_VERSION:
            raise HandshakeFailed("version", f"protocol version {header.version}")
        if hmac.compare_digest(header.nonce, self._nonce):
            raise HandshakeFailed("reflection", "own nonce came back")
        try:
            document = self._parse_document(bytes(frame.body))
        except BitdustError as exc:
            raise HandshakeFailed("identity-document", f"unfit document: {exc.code}") from exc
        if document.node_id == self._node_id:
            raise HandshakeFailed("reflection", "the peer claims this node's own identity")
        if self._expect is not None and document.node_id != self._expect:
            raise HandshakeFailed("unexpected-identity", "another node answers at that address")
        if self.role is Role.DIALLER:
            self._check_certificate(document)
        self._peer_hello = encode_frame(
            FrameType.HELLO, header=frame.header, body=bytes(frame.body)
        )
        self._proven = Proven(
            document,
            SessionLimits(
                max_frame_body=header.max_frame_body,
                stream_window=header.stream_window,
                connection_window=header.connection_window,
                max_streams=header.max_streams,
            ),
            frozenset(header.features),
        )
        return document

    def to_sign(self) -> bytes:
        """The message this side signs, once the peer's HELLO was taken."""
        return self._message(self.role)

    def auth(self, signature: bytes) -> bytes:
        """The AUTH frame for a signature of ``to_sign()``."""
        return encode_frame(FrameType.AUTH, body=signature)

    def receive_auth(self, frame: Frame) -> Proven[C]:
        """Take the peer's second frame; the peer is proven when this returns.

        Raises:
            HandshakeFailed: the signature is not the peer's over this very handshake.
            PeerClosed: the peer gave up.
        """
        self._check_type(frame, FrameType.AUTH)
        if self._proven is None:
            raise HandshakeFailed("hello", "AUTH before HELLO")
        try:
            self._verify(self._proven.document, bytes(frame.body), self._message(self.role.other))
        except BitdustError as exc:
            raise HandshakeFailed("impersonation", "the signature is not this identity's") from exc
        return self._proven

    def _check_type(self, frame: Frame, wanted: FrameType) -> None:
        if frame.type == wanted:
            return
        if frame.type == FrameType.CLOSE:
            try:
                header = decode_close(frame.header or b"\x80")
            except DECODE_ERRORS as exc:
                raise HandshakeFailed("header", "malformed CLOSE header") from exc
            raise PeerClosed(header.reason, header.message)
        raise HandshakeFailed("handshake-order", f"frame of type {frame.type} in the handshake")

    def _check_certificate(self, document: C) -> None:
        stated = document.certificate.lower()
        if not hmac.compare_digest(
            stated.encode("utf-8", "replace"), self._listener_certificate.hex().encode()
        ):
            raise HandshakeFailed(
                "certificate", "the TLS certificate is not the one in the identity document"
            )

    def _message(self, role: Role) -> bytes:
        dialler = self.role is Role.DIALLER
        return transcript(
            role,
            dialler_hello=self.hello if dialler else self._peer_hello,
            listener_hello=self._peer_hello if dialler else self.hello,
            listener_certificate=self._listener_certificate,
            dialler_certificate=self._dialler_certificate,
        )


def transcript(
    role: Role,
    *,
    dialler_hello: bytes,
    listener_hello: bytes,
    listener_certificate: bytes,
    dialler_certificate: bytes,
) -> bytes:
    """What the side ``role`` signs: the label and the SHA-256 of all parts, each with its size."""
    digest = hashlib.sha256()
    for part in (
        role.value,
        dialler_hello,
        listener_hello,
        listener_certificate,
        dialler_certificate,
    ):
        digest.update(len(part).to_bytes(4, "big"))
        digest.update(part)
    return LABEL + digest.digest()
