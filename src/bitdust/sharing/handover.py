"""A key on its way to another person: what it says, sealed for one, signed by another. Pure.

Two signatures are in it. The sender's covers everything, and names the receiver and the moment. The
owner's says that the key belongs to its name, whoever passes it on, so that nobody can plant a key
under another person's name.

Source: docs/spec/people.md.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeVar

import msgspec

from bitdust.crypto import PrivateKey, PublicKey
from bitdust.errors import FormatError, IntegrityError, InvalidName, KeyProblem
from bitdust.identity import key_signature_message
from bitdust.ids import MASTER_ALIAS, KeyID

SHARE_KEY: Final = "key.share"
"""The request: no arguments, the sealed hand-over as its body."""
AUDIT_KEY: Final = "key.audit"

MAX_EXTRA: Final = 128 * 1024
"""Bytes that groups and shares may put beside the key."""
MAX_HANDOVER: Final = MAX_EXTRA + 16 * 1024
"""Bytes of the sealed whole."""
MAX_PRIVATE: Final = 4096
"""Characters of a private key as PEM; 4096 bits need 3,250."""
MAX_KEY_ID: Final = 512
MAX_LABEL: Final = 256
MAX_SKEW: Final = 600.0
"""Seconds that the clocks of two nodes may differ, and a hand-over may take."""

_CONTEXT: Final = b"bitdust key handover 1\x00"
_T = TypeVar("_T")

_NodeField = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
_Signature = Annotated[bytes, msgspec.Meta(max_length=1024)]
_KeyName = Annotated[str, msgspec.Meta(max_length=MAX_KEY_ID)]


class HandOver(msgspec.Struct, frozen=True):
    """What the sender signs.

    Args:
        sender: node id.
        receiver: node id.
        time: wall clock of the sender, seconds.
        nonce: never the same twice.
        key_id: of the key.
        public: its public half, SPKI DER.
        private: its private half as PEM, empty when only the public half is given.
        label: words of the owner or of the sender.
        signed_as: the key id under which the owner signed it, empty when it is ``key_id``; the
            owner may have moved to another address since.
        signature: the owner's over that key id and the public half.
        extra: bytes for the part of the program that the alias belongs to.
    """

    sender: _NodeField
    receiver: _NodeField
    time: Annotated[float, msgspec.Meta(ge=0, le=1e12)]
    nonce: Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
    key_id: _KeyName
    public: Annotated[bytes, msgspec.Meta(max_length=2048)]
    private: Annotated[str, msgspec.Meta(max_length=MAX_PRIVATE)] = ""
    label: Annotated[str, msgspec.Meta(max_length=MAX_LABEL)] = ""
    signed_as: _KeyName = ""
    signature: _Signature = b""
    extra: Annotated[bytes, msgspec.Meta(max_length=MAX_EXTRA)] = b""


class Taken(msgspec.Struct, frozen=True):
    """Answer to ``key.share``: whether the receiver knew the key before."""

    known: bool = False


class _Signed(msgspec.Struct, frozen=True):
    payload: Annotated[bytes, msgspec.Meta(max_length=MAX_HANDOVER)]
    signature: _Signature


def seal_handover(handover: HandOver, sender: PrivateKey, receiver: PublicKey) -> bytes:
    """The bytes to send; costs a signature.

    Raises:
        InvalidInput: longer than a sealed envelope may be.
    """
    payload = msgspec.msgpack.encode(handover)
    context = _context(handover.sender, handover.receiver)
    signed = _Signed(payload, sender.sign(context + payload))
    return receiver.seal(msgspec.msgpack.encode(signed), context)


def open_handover(sealed: bytes, receiver: PrivateKey, sender: PublicKey, now: float) -> HandOver:
    """Read what a peer sent.

    Args:
        sealed: the bytes as they came.
        receiver: own identity key.
        sender: identity key that the peer proved to have.
        now: wall clock, seconds.

    Raises:
        FormatError: not a hand-over.
        IntegrityError: not for us, not by that sender, too old, or from the future.
    """
    if len(sealed) > MAX_HANDOVER:
        raise FormatError(f"a hand-over of {len(sealed)} bytes, at most {MAX_HANDOVER} are taken")
    context = _context(sender.fingerprint, receiver.public.fingerprint)
    signed = _decode(receiver.unseal(sealed, context), _Signed)
    sender.verify(signed.signature, context + signed.payload)
    handover = _decode(signed.payload, HandOver)
    if (handover.sender, handover.receiver) != (sender.fingerprint, receiver.public.fingerprint):
        raise IntegrityError("the hand-over names other people than those who speak")
    if abs(now - handover.time) > MAX_SKEW:
        raise IntegrityError(
            "the hand-over is too old or from the future", hint="compare the clocks of both nodes"
        )
    return handover


def key_in(handover: HandOver) -> tuple[KeyID, PrivateKey | PublicKey]:
    """The key that is handed over, its halves fitting each other.

    Raises:
        FormatError: no key, halves that do not fit, or a name that cannot be handed over.
    """
    try:
        key_id = KeyID.parse(handover.key_id)
    except InvalidName as exc:
        raise FormatError("the hand-over names no key") from exc
    if str(key_id) != handover.key_id:
        raise FormatError("the key id is not in its canonical spelling")
    if key_id.alias == MASTER_ALIAS:
        raise FormatError("an identity key is not handed over")
    if not handover.label.isprintable():
        raise FormatError("the label is not printable")
    public = PublicKey.from_der(handover.public)
    if not handover.private:
        return key_id, public
    try:
        private = PrivateKey.from_pem(handover.private)
    except KeyProblem as exc:
        raise FormatError("the private half is damaged") from exc
    if private.public != public:
        raise FormatError("the private half does not fit the public one")
    return key_id, private


def check_owner(handover: HandOver, key_id: KeyID, public: PublicKey, owner: PublicKey) -> KeyID:
    """Check that the owner named in the key id really made the key.

    Args:
        handover: holds the owner's signature.
        key_id: the parsed name.
        public: the public half.
        owner: the owner's identity key, found independently of the sender.

    Returns:
        the key id that the owner signed.

    Raises:
        FormatError: the name that was signed is no key id, or has another alias.
        IntegrityError: the owner did not sign it.
    """
    try:
        signed_as = KeyID.parse(handover.signed_as) if handover.signed_as else key_id
    except InvalidName as exc:
        raise FormatError("the hand-over names no key") from exc
    if signed_as.alias != key_id.alias:
        raise FormatError("the owner signed the key under another alias")
    owner.verify(handover.signature, key_signature_message(signed_as, public))
    return signed_as


def _context(sender: bytes, receiver: bytes) -> bytes:
    return _CONTEXT + sender + receiver


def _decode(raw: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.msgpack.decode(raw, type=kind)
    except (ValueError, RecursionError) as exc:
        raise FormatError("not a hand-over of a key") from exc
