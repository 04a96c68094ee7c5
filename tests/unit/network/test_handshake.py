"""The handshake against its frozen vectors, and every way to cheat in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bitdust.crypto import PrivateKey
from bitdust.identity import IdentityDocument
from bitdust.network.frames import Frame, FrameParser, FrameType, encode_frame
from bitdust.network.handshake import (
    LABEL,
    Handshake,
    HandshakeFailed,
    PeerClosed,
    Role,
    transcript,
)
from bitdust.network.limits import SessionLimits
from bitdust.network.messages import CloseHeader, HelloHeader, encode

FOLDER = Path(__file__).parents[2] / "vectors" / "network"
VECTOR = json.loads((FOLDER / "handshake.json").read_text())
KEYS = [PrivateKey.from_pem(pem) for pem in json.loads((FOLDER / "keys.json").read_text())]
ALICE, BOB, CAROL = KEYS[:3]
CERTIFICATE = bytes.fromhex(VECTOR["listener_certificate"])


def one(raw: bytes) -> Frame:
    """The only frame in ``raw``."""
    parser = FrameParser()
    (frame,) = parser.feed(raw)
    assert parser.violation is None
    return frame


def side(
    role: Role,
    key: PrivateKey,
    document: str,
    *,
    nonce: bytes = b"",
    seen: bytes = CERTIFICATE,
    expect: bytes | None = None,
) -> Handshake[IdentityDocument]:
    fixed = VECTOR["nonce_dialler" if role is Role.DIALLER else "nonce_listener"]
    return Handshake(
        role,
        node_id=key.public.fingerprint,
        document=VECTOR[document].encode(),
        nonce=nonce or bytes.fromhex(fixed),
        limits=SessionLimits(),
        listener_certificate=seen,
        parse_document=IdentityDocument.parse,
        verify=lambda who, signature, message: who.public_key.verify(signature, message),
        expect=expect,
    )


def dialler(**options: bytes) -> Handshake[IdentityDocument]:
    return side(Role.DIALLER, ALICE, "document_dialler", **options)


def listener(**options: bytes) -> Handshake[IdentityDocument]:
    return side(Role.LISTENER, BOB, "document_listener", **options)


def fails(kind: str) -> pytest.RaisesExc[HandshakeFailed]:
    return pytest.RaisesExc(HandshakeFailed, check=lambda exc: exc.violation.kind == kind)


def test_frozen_transcript_and_signatures() -> None:
    a, b = dialler(), listener()
    assert a.hello.hex() == VECTOR["hello_dialler"]
    assert b.hello.hex() == VECTOR["hello_listener"]
    b.receive_hello(one(a.hello))
    a.receive_hello(one(b.hello))
    assert a.to_sign().hex() == VECTOR["signed_by_dialler"]
    assert b.to_sign().hex() == VECTOR["signed_by_listener"]
    proven = b.receive_auth(one(a.auth(bytes.fromhex(VECTOR["signature_dialler"]))))
    assert proven.document.node_id == ALICE.public.fingerprint
    assert proven.limits.max_streams == SessionLimits().max_streams
    proven = a.receive_auth(one(b.auth(bytes.fromhex(VECTOR["signature_listener"]))))
    assert proven.document.node_id == BOB.public.fingerprint


def test_everything_said_and_seen_is_in_the_transcript() -> None:
    parts = {
        "dialler_hello": b"a",
        "listener_hello": b"b",
        "listener_certificate": b"c",
        "dialler_certificate": b"",
    }
    seen = {transcript(role, **parts) for role in Role}
    for name in parts:
        seen.add(transcript(Role.DIALLER, **{**parts, name: b"x"}))
    # Moving a byte over the border between two parts changes it too.
    seen.add(transcript(Role.DIALLER, **{**parts, "dialler_hello": b"ab", "listener_hello": b""}))
    assert len(seen) == 7
    assert all(message.startswith(LABEL) for message in seen)


def test_the_own_signature_sent_back_proves_nothing() -> None:
    a, b = dialler(), listener()
    a.receive_hello(one(b.hello))
    with fails("impersonation"):
        a.receive_auth(one(a.auth(ALICE.sign(a.to_sign()))))


def test_the_own_hello_sent_back_is_refused() -> None:
    b = listener()
    with fails("reflection"):
        b.receive_hello(one(b.hello))
    again = side(Role.LISTENER, BOB, "document_listener", nonce=b"\x09" * 32)
    with fails("reflection"):
        b.receive_hello(one(again.hello))


def test_a_replayed_handshake_is_refused() -> None:
    """All frames of an earlier dialler, sent again to the same listener with its new nonce."""
    b = listener(nonce=b"\x07" * 32)
    b.receive_hello(one(bytes.fromhex(VECTOR["hello_dialler"])))
    signature = bytes.fromhex(VECTOR["signature_dialler"])
    with fails("impersonation"):
        b.receive_auth(one(encode_frame(FrameType.AUTH, body=signature)))


def test_another_persons_document_is_of_no_use_without_the_key() -> None:
    b = listener()
    liar = side(Role.DIALLER, CAROL, "document_dialler")  # Alice's document, Carol's key
    b.receive_hello(one(liar.hello))
    liar.receive_hello(one(b.hello))
    with fails("impersonation"):
        b.receive_auth(one(liar.auth(CAROL.sign(liar.to_sign()))))


def test_somebody_in_the_middle_with_another_certificate_is_seen_by_the_dialler() -> None:
    a, b = dialler(seen=b"\x55" * 32), listener()
    with fails("certificate"):
        a.receive_hello(one(b.hello))


def test_a_signature_given_to_another_certificate_is_of_no_use_to_the_listener() -> None:
    """Carol is dialled by Alice and passes Alice's frames on to Bob."""
    a = dialler(seen=b"\x55" * 32)
    a._check_certificate = lambda document: None  # type: ignore[method-assign]
    b = listener()
    b.receive_hello(one(a.hello))
    a.receive_hello(one(b.hello))
    with fails("impersonation"):
        b.receive_auth(one(a.auth(ALICE.sign(a.to_sign()))))


def test_only_the_expected_identity_is_taken() -> None:
    a = dialler(expect=CAROL.public.fingerprint)
    with fails("unexpected-identity"):
        a.receive_hello(one(listener().hello))
    a = dialler(expect=BOB.public.fingerprint)
    assert a.receive_hello(one(listener().hello)).node_id == BOB.public.fingerprint


@pytest.mark.parametrize(
    ("kind", "header", "document"),
    [
        ("hello", b"\xc1", b"x"),
        ("hello", encode({"version": 1}), b"x"),
        ("hello", encode(HelloHeader(1, b"\0" * 32, 99, 65536, 65536, 1)), b"x"),
        ("version", encode(HelloHeader(2, b"\0" * 32, 65536, 65536, 65536, 1)), b"x"),
        ("identity-document", encode(HelloHeader(1, b"\0" * 32, 65536, 65536, 65536, 1)), b"<x/>"),
        (
            "identity-document",
            encode(HelloHeader(1, b"\0" * 32, 65536, 65536, 65536, 1)),
            VECTOR["document_dialler"].replace("alice", "mallory").encode(),
        ),
    ],
)
def test_unfit_hellos_are_refused(kind: str, header: bytes, document: bytes) -> None:
    with fails(kind):
        listener().receive_hello(one(encode_frame(FrameType.HELLO, header=header, body=document)))


def test_frames_out_of_order_are_refused() -> None:
    with fails("handshake-order"):
        listener().receive_hello(one(encode_frame(FrameType.PING, body=bytes(8))))
    with fails("hello"):
        listener().receive_auth(one(encode_frame(FrameType.AUTH, body=b"x")))
    b = listener()
    b.receive_hello(one(dialler().hello))
    with fails("handshake-order"):
        b.receive_auth(one(dialler().hello))


def test_a_peer_may_say_why_it_gives_up() -> None:
    close = encode_frame(FrameType.CLOSE, header=encode(CloseHeader("stopping")))
    with pytest.raises(PeerClosed) as caught:
        listener().receive_hello(one(close))
    assert caught.value.reason == "stopping"
