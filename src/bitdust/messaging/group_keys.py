"""Keys of a group: epochs, senders, access, the sealing of new epochs, who vouches for whom. Pure.

Everything a member is in a group derives from its identity key and the group's key, so that it is
the same after the machine was lost. A removed member keeps the group's key and the old epochs; the
new epoch's key, and with it the key that opens brokers, is sealed to each of the others.

Source: RFC 5869 (HKDF), RFC 7748 (X25519), RFC 8032 (Ed25519), NIST SP 800-38D (GCM).
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Final

import msgspec
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bitdust.clock import Random
from bitdust.crypto import PrivateKey, PublicKey
from bitdust.errors import BitdustError, FormatError, IntegrityError, KeyProblem
from bitdust.messaging.group_wire import (
    KEY_SIZE,
    MAX_CONTENT,
    MAX_IDURL,
    Bytes32,
    Entry,
    Idurl,
    Kind,
    Number,
    Signature,
)

NONCE_SIZE: Final = 12
_SENDER_INFO: Final = b"bitdust group sender v1"
_WRAP_INFO: Final = b"bitdust group wrap v1"
_ACCESS_INFO: Final = b"bitdust group access key v1"
_CONTENT_INFO: Final = b"bitdust group content v1"
_SEAL_INFO: Final = b"bitdust group epoch v1"
_CARD_DOMAIN: Final = b"bitdust group member v1\x00"
_VOUCHER_DOMAIN: Final = b"bitdust group voucher v1\x00"


class Card(msgspec.Struct, frozen=True, array_like=True):
    """Who a sender is: signed with the person's identity key.

    Args:
        idurl: the person's address.
        identity: its public key, DER; its SHA-256 is the node id.
        sender: Ed25519 key of the person in this group.
        wrap: X25519 key to which keys of new epochs are sealed.
        signature: by the identity key.
    """

    idurl: Idurl
    identity: Annotated[bytes, msgspec.Meta(max_length=2048)]
    sender: Bytes32
    wrap: Bytes32
    signature: Annotated[bytes, msgspec.Meta(max_length=512)] = b""

    @property
    def node_id(self) -> bytes:
        """The person's node id."""
        return hashlib.sha256(self.identity).digest()

    def message(self, group: bytes) -> bytes:
        """What is signed, for the group of that key fingerprint."""
        return _CARD_DOMAIN + msgspec.msgpack.encode((group, self.idurl, self.sender, self.wrap))

    def check(self, group: bytes) -> None:
        """Check the signature.

        Raises:
            IntegrityError, FormatError: it does not fit, or no usable key.
        """
        try:
            PublicKey.from_der(self.identity).verify(self.signature, self.message(group))
        except KeyProblem as exc:
            raise FormatError("a member's key cannot be used") from exc


class Voucher(msgspec.Struct, frozen=True, array_like=True):
    """A member's word that a person was invited.

    Args:
        by: the member's sender key.
        epoch: in which it was given.
        node: who was invited.
        idurl: that person's address, as the member knows it.
        signature: by the member's sender key.
    """

    by: Bytes32
    epoch: Number
    node: Bytes32
    idurl: Annotated[str, msgspec.Meta(max_length=MAX_IDURL)]
    signature: Signature = b""

    def message(self, stream: bytes) -> bytes:
        """What is signed."""
        rest = (stream, self.by, self.epoch, self.node, self.idurl)
        return _VOUCHER_DOMAIN + msgspec.msgpack.encode(rest)


class Wrap(msgspec.Struct, frozen=True, array_like=True):
    """The key of a new epoch, sealed to one member."""

    sender: Bytes32
    sealed: Annotated[bytes, msgspec.Meta(min_length=48, max_length=48)]


class SenderKeys:
    """One person's keys in one group.

    Args:
        identity: the person's identity key.
        group: fingerprint of the group's key, 32 bytes.
    """

    def __init__(self, identity: PrivateKey, group: bytes) -> None:
        self._sign = Ed25519PrivateKey.from_private_bytes(
            identity.derive(_SENDER_INFO + group, KEY_SIZE)
        )
        self._wrap = X25519PrivateKey.from_private_bytes(
            identity.derive(_WRAP_INFO + group, KEY_SIZE)
        )
        self.sender = self._sign.public_key().public_bytes_raw()
        self.wrap = self._wrap.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """Ed25519, 64 bytes."""
        return self._sign.sign(message)

    def card(self, identity: PrivateKey, idurl: str, group: bytes) -> Card:
        """This person's card; takes milliseconds."""
        card = Card(idurl, identity.public.der, self.sender, self.wrap)
        return msgspec.structs.replace(card, signature=identity.sign(card.message(group)))

    def open(self, wrap: Wrap, ephemeral: bytes, stream: bytes, epoch: int) -> bytes:
        """The epoch's key out of the own wrap.

        Raises:
            IntegrityError: it does not open.
        """
        try:
            shared = self._wrap.exchange(X25519PublicKey.from_public_bytes(ephemeral))
            key = _seal_key(shared, ephemeral, stream, epoch, wrap.sender)
            return AESGCM(key).decrypt(bytes(NONCE_SIZE), wrap.sealed, wrap.sender)
        except (ValueError, InvalidTag) as exc:
            raise IntegrityError("the key of a group's new epoch does not open") from exc


class EpochKey:
    """The key of one epoch.

    Args:
        secret: 32 bytes.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) != KEY_SIZE:
            raise FormatError("the key of a group's epoch has 32 bytes")
        self.secret = secret
        self._access = Ed25519PrivateKey.from_private_bytes(_expand(secret, _ACCESS_INFO))
        self.access = self._access.public_key().public_bytes_raw()
        self._ciphers: dict[bytes, AESGCM] = {}

    def prove(self, message: bytes) -> bytes:
        """Sign as somebody who has this key."""
        return self._access.sign(message)

    def close(self, plain: bytes, sender: bytes, head: bytes, random: Random) -> bytes:
        """Encrypt an entry's content."""
        nonce = random.token(NONCE_SIZE)
        return nonce + self._cipher(sender).encrypt(nonce, plain, head)

    def open(self, content: bytes, sender: bytes, head: bytes) -> bytes:
        """Decrypt it.

        Raises:
            IntegrityError: made with another key, or damaged.
        """
        try:
            return self._cipher(sender).decrypt(content[:NONCE_SIZE], content[NONCE_SIZE:], head)
        except (ValueError, InvalidTag) as exc:
            raise IntegrityError("an entry of a group does not open") from exc

    def _cipher(self, sender: bytes) -> AESGCM:
        # a key of its own for each sender: their random nonces never meet
        cipher = self._ciphers.get(sender)
        if cipher is None:
            cipher = self._ciphers[sender] = AESGCM(_expand(self.secret, _CONTENT_INFO + sender))
        return cipher


def make_entry(
    kind: Kind,
    epoch: int,
    key: EpochKey,
    keys: SenderKeys,
    *,
    stream: bytes,
    counter: int,
    before: bytes,
    plain: bytes,
    random: Random,
    opened: bytes = b"",
) -> bytes:
    """An entry, encrypted and signed.

    Raises:
        FormatError: the content is too large.
    """
    if len(plain) > MAX_CONTENT:
        raise FormatError("too much for one entry of a group")
    bare = Entry(kind, epoch, keys.sender, counter, before, opened, b"", b"")
    content = key.close(plain, keys.sender, stream + bare.head(), random)
    entry = msgspec.structs.replace(bare, content=content)
    return msgspec.structs.replace(entry, signature=keys.sign(entry.message(stream))).encode()


def open_entry(entry: Entry, key: EpochKey, stream: bytes) -> bytes:
    """The content of an entry whose signature was checked.

    Raises:
        IntegrityError: it does not open.
    """
    return key.open(entry.content, entry.sender, stream + entry.head())


def is_signed(key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the holder of an Ed25519 key signed that."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def vouch(keys: SenderKeys, stream: bytes, epoch: int, node: bytes, idurl: str) -> Voucher:
    """A voucher for an invited person."""
    bare = Voucher(keys.sender, epoch, node, idurl)
    return msgspec.structs.replace(bare, signature=keys.sign(bare.message(stream)))


def seal_epoch(
    secret: bytes, members: dict[bytes, bytes], stream: bytes, epoch: int, random: Random
) -> tuple[bytes, list[Wrap]]:
    """Seal a new epoch's key to members.

    Args:
        secret: the key, 32 bytes.
        members: sender key to wrap key; 0.1 ms each.

    Returns:
        The one-time public key, and a wrap for each member whose key can be used.
    """
    once = X25519PrivateKey.from_private_bytes(random.token(KEY_SIZE))
    ephemeral = once.public_key().public_bytes_raw()
    wraps = []
    for sender, wrap in members.items():
        try:
            shared = once.exchange(X25519PublicKey.from_public_bytes(wrap))
        except ValueError:  # a key that leads to nothing: its owner chose not to read on
            continue
        key = _seal_key(shared, ephemeral, stream, epoch, sender)
        wraps.append(Wrap(sender, AESGCM(key).encrypt(bytes(NONCE_SIZE), secret, sender)))
    return ephemeral, wraps


def check_card(card: Card, group: bytes) -> str:
    """Why a card cannot be taken; empty when it can."""
    try:
        card.check(group)
    except BitdustError as exc:
        return exc.message
    return ""


def _seal_key(shared: bytes, ephemeral: bytes, stream: bytes, epoch: int, sender: bytes) -> bytes:
    info = b"".join((_SEAL_INFO, stream, epoch.to_bytes(8, "big"), ephemeral, sender))
    return _expand(shared, info)


def _expand(secret: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_SIZE, salt=None, info=info).derive(secret)
