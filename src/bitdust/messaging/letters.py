"""What travels between two people: cards, envelopes, payloads. Pure; see docs/spec/messages.md.

A card says under which keys a person can be written to, signed with the master key. An envelope is
one encrypted message; whoever carries it sees sender, receiver and size. Its payload is what both
ends read, signed by its sender.
"""

from __future__ import annotations

from enum import IntEnum
from hashlib import sha256
from typing import Annotated, Final, Literal, TypeVar

import msgspec

from bitdust.errors import FormatError

VERSION: Final = 1
MAX_ENVELOPE: Final = 80 * 1024
"""Bytes of one envelope: the largest data, its frame and an opening."""
MAX_PAYLOAD: Final = 68 * 1024
MAX_CARD: Final = 4096
MAX_BATCH: Final = 64
"""Envelopes in one request."""
MAX_BATCH_BYTES: Final = 512 * 1024
MAX_IDS: Final = 256
"""Message ids in one control payload."""
MAX_ONE_TIME: Final = 100
"""One-time keys handed over at once, and kept at a supplier."""
MAX_IDURL: Final = 400
MAX_COUNT: Final = (1 << 31) - 1
MAX_TIME: Final = float(1 << 40)

Key32 = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Id16 = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
Epoch = Annotated[bytes, msgspec.Meta(min_length=8, max_length=8)]
Signature64 = Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]
RsaSignature = Annotated[bytes, msgspec.Meta(max_length=1024)]
KeyDer = Annotated[bytes, msgspec.Meta(max_length=2048)]
Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]
Second = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]
Place = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
Moment = Annotated[float, msgspec.Meta(ge=0, le=MAX_TIME)]
Idurl = Annotated[str, msgspec.Meta(max_length=MAX_IDURL)]

Kind = Literal["message", "acked", "unreadable"]

NO_SESSION: Final = bytes(16)
"""The session of an envelope that is sealed for the master key, without a ratchet."""
NO_KEY: Final = bytes(32)

T = TypeVar("T")


class Card(msgspec.Struct, frozen=True, array_like=True):
    """The keys under which a person can be written to.

    Args:
        idurl: where the person's identity document is served.
        identity: Ed25519 key that signs the prekeys and everything the person writes.
        prekey: X25519 key, replaced from time to time.
        prekey_signature: over it, by ``identity``.
        created: second in which it was signed.
        key: the master key as SPKI DER; its SHA-256 is the person's node id.
        signature: over all of that, by the master key.
    """

    idurl: Idurl
    identity: Key32
    prekey: Key32
    prekey_signature: Signature64
    created: Second
    key: KeyDer
    signature: RsaSignature = b""

    @property
    def node_id(self) -> bytes:
        """Whose card it is, 32 bytes."""
        return sha256(self.key).digest()

    def to_sign(self) -> bytes:
        """What the master key signs."""
        return b"bitdust message card 1\0" + msgspec.msgpack.encode(
            msgspec.structs.replace(self, signature=b"")
        )


class OneTimeKey(msgspec.Struct, frozen=True, array_like=True):
    """An X25519 key for the first message of one session, signed by the card's ``identity``."""

    key: Key32
    signature: Signature64

    def to_sign(self) -> bytes:
        """What the identity signs."""
        return b"bitdust one-time key 1\0" + self.key


class Bundle(msgspec.Struct, frozen=True, array_like=True):
    """What it takes to begin a session; without a one-time key when none is left."""

    card: Card
    one_time: OneTimeKey | None = None


class Opening(msgspec.Struct, frozen=True, array_like=True):
    """What the receiver needs to take part in a session that the sender began.

    Args:
        card: the sender's.
        ephemeral: the sender's X25519 key for this session.
        prekey: which key of the receiver's card was used.
        one_time: which one-time key was used.
    """

    card: Card
    ephemeral: Key32
    prekey: Key32
    one_time: Key32 | None = None


class Envelope(msgspec.Struct, frozen=True, array_like=True):
    """One encrypted message.

    Args:
        version: of this format.
        message_id: chosen at random by the sender.
        sender: node id.
        recipient: node id.
        session: which ratchet; ``NO_SESSION`` for a sealed one.
        ratchet: the sender's ratchet key.
        previous: messages in the sender's former chain.
        number: of this one in its chain, from 0.
        opening: in every envelope until the receiver answered in this session.
        body: ciphertext.
    """

    version: Literal[1]
    message_id: Id16
    sender: Key32
    recipient: Key32
    session: Id16
    ratchet: Key32
    previous: Count
    number: Count
    opening: Opening | None
    body: Annotated[bytes, msgspec.Meta(max_length=MAX_ENVELOPE)]


class Payload(msgspec.Struct, frozen=True, array_like=True):
    """What an envelope holds.

    Args:
        kind: ``message``; ``acked`` names messages that arrived; ``unreadable`` names envelopes
            that must be encrypted again.
        message_id: of the envelope.
        epoch: of the counter, chosen at random when the sender's machine began to count.
        place: of this message among all that the sender wrote to this receiver, from 1; 0 for
            what is no message.
        oldest: the lowest place that the sender still tries to bring; nothing below it is to be
            waited for.
        time: when it was written, seconds since 1970.
        data: JSON, or the ids that it names, joined.
    """

    kind: Kind
    message_id: Id16
    epoch: Epoch
    place: Place
    oldest: Place
    time: Moment
    data: Annotated[bytes, msgspec.Meta(max_length=MAX_PAYLOAD)]

    def ids(self) -> list[bytes]:
        """The ids that a control payload names.

        Raises:
            FormatError: these are no ids.
        """
        if len(self.data) % 16 or len(self.data) > 16 * MAX_IDS:
            raise FormatError("a list of message ids of an impossible length")
        return [self.data[start : start + 16] for start in range(0, len(self.data), 16)]


class Signed(msgspec.Struct, frozen=True, array_like=True):
    """A payload with its sender's signature: the plaintext of an envelope."""

    payload: Annotated[bytes, msgspec.Meta(max_length=MAX_PAYLOAD + 128)]
    signature: Signature64


def payload_to_sign(payload: bytes, sender: bytes, recipient: bytes) -> bytes:
    """What the sender's identity signs: the payload, and between whom it was said."""
    return b"bitdust message 1\0" + sender + recipient + payload


class Outcome(IntEnum):
    """What became of one envelope at its receiver."""

    TAKEN = 0
    CONSUMED = 1
    """Taken, and a program was listening."""
    AGAIN = 2
    """Taken before."""
    UNREADABLE = 3
    """It must be encrypted again in a new session."""
    REFUSED = 4
    """It will never be taken."""
    BUSY = 5
    """Later perhaps."""


TAKEN_OUTCOMES: Final = (Outcome.TAKEN, Outcome.CONSUMED, Outcome.AGAIN)


class Delivered(msgspec.Struct, frozen=True):
    """The answer to a batch of envelopes: an outcome for each, in order."""

    outcomes: Annotated[list[Outcome], msgspec.Meta(max_length=MAX_BATCH)]


class Nothing(msgspec.Struct, frozen=True):
    """A request or an answer without content."""


class Put(msgspec.Struct, frozen=True):
    """To a supplier: keep the envelopes of the body for one of its customers."""

    recipient: Key32


class PutOutcome(IntEnum):
    """What a mailbox did with an envelope."""

    KEPT = 0
    THERE = 1
    """It was there before."""
    FULL = 2


class PutDone(msgspec.Struct, frozen=True):
    """The answer: an outcome for each envelope, in order."""

    outcomes: Annotated[list[PutOutcome], msgspec.Meta(max_length=MAX_BATCH)]


class Fetch(msgspec.Struct, frozen=True):
    """From a customer: what came after number ``after``."""

    after: Annotated[int, msgspec.Meta(ge=0, le=1 << 60)]


class Fetched(msgspec.Struct, frozen=True):
    """The answer; the envelopes are its body.

    Args:
        last: number of the last one, to go on after it.
        more: whether there are more.
    """

    last: Annotated[int, msgspec.Meta(ge=0, le=1 << 60)]
    more: bool


class Drop(msgspec.Struct, frozen=True):
    """From a customer: these were read. Sender and id of each."""

    letters: Annotated[list[tuple[Key32, Id16]], msgspec.Meta(max_length=MAX_IDS)]


class KeysOf(msgspec.Struct, frozen=True):
    """To a supplier: the keys of one of its customers."""

    recipient: Key32


class Offer(msgspec.Struct, frozen=True):
    """From a customer: its card, and more one-time keys; none of them only asks for the count."""

    card: Card
    one_time: Annotated[list[OneTimeKey], msgspec.Meta(max_length=MAX_ONE_TIME)]


class Offered(msgspec.Struct, frozen=True):
    """The answer: how many one-time keys are left."""

    one_time: Count


class KeysFound(msgspec.Struct, frozen=True):
    """The keys of somebody, if they are known."""

    bundle: Bundle | None


def associated_data(agreed: bytes, envelope: Envelope) -> bytes:
    """What the ratchet authenticates beside its own header.

    Args:
        agreed: both identity keys, as the key agreement gave them.
        envelope: the body of it is not read.
    """
    return b"".join(
        (agreed, envelope.sender, envelope.recipient, envelope.message_id, envelope.session)
    )


def encode(value: msgspec.Struct) -> bytes:
    """A struct of this module as msgpack."""
    return msgspec.msgpack.encode(value)


def decode(raw: bytes | memoryview, kind: type[T], limit: int) -> T:
    """Foreign msgpack as a struct of this module.

    Raises:
        FormatError: too long, or not of that form.
    """
    if len(raw) > limit:
        raise FormatError(f"{kind.__name__} of {len(raw)} bytes, at most {limit} are taken")
    try:
        return msgspec.msgpack.decode(raw, type=kind)
    except (ValueError, RecursionError) as exc:
        raise FormatError(f"not a {kind.__name__}: {type(exc).__name__}") from exc


def join(envelopes: list[bytes]) -> bytes:
    """Envelopes as one body, each after its length in 4 bytes."""
    parts: list[bytes] = []
    for envelope in envelopes:
        parts += (len(envelope).to_bytes(4, "big"), envelope)
    return b"".join(parts)


def split(body: bytes) -> list[bytes]:
    """The reverse of ``join``.

    Raises:
        FormatError: truncated, too many, or one too long.
    """
    found: list[bytes] = []
    place = 0
    while place < len(body):
        size = int.from_bytes(body[place : place + 4], "big")
        place += 4
        if size > MAX_ENVELOPE or place + size > len(body):
            raise FormatError("a batch of messages that is cut off or too long")
        found.append(body[place : place + size])
        place += size
        if len(found) > MAX_BATCH:
            raise FormatError(f"more than {MAX_BATCH} messages in one batch")
    return found
