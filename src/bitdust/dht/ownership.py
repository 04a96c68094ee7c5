"""Who owns a record: the Ed25519 keys under which BEP 44 items stand, and the check of their hand.

An owned record stands under the owner's own DHT key, which derives from the master key and whose
public half stands in the signed identity document. A group's record stands under a key that derives
from the group's secret, so that its members, and nobody else, find and write it. A record of nobody
stands under a key that derives from its public name, so that everybody may write it.

Source: BEP 44 (mutable items).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final, Protocol

from blake3 import blake3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bitdust.dht.topics import MAX_NAME_BYTES, pack_fields
from bitdust.errors import InvalidInput

OWNER_INFO: Final = b"bitdust dht ed25519 v1"
SEED_SIZE: Final = 32
PUBLIC_SIZE: Final = 32
SIGNATURE_SIZE: Final = 64
SALT_SIZE: Final = 64

_SALT_LABEL: Final = b"bitdust dht record v1"
_OPEN_LABEL: Final = "bitdust dht open record v1"


class KeySource(Protocol):
    """A secret from which keys derive; ``bitdust.crypto.PrivateKey`` is one."""

    def derive(self, info: bytes, length: int = 32, salt: bytes = b"") -> bytes:
        """``length`` secret bytes for the purpose ``info``."""
        ...


@dataclass(frozen=True, slots=True)
class SharedSecret:
    """A secret that several people hold, such as the key of a group's epoch, as a key source.

    Args:
        secret: 32 bytes or more of full entropy.
    """

    secret: bytes = field(repr=False)

    def derive(self, info: bytes, length: int = 32, salt: bytes = b"") -> bytes:
        """``length`` secret bytes for the purpose ``info``.

        Source: RFC 5869 (HKDF-SHA256).
        """
        if len(self.secret) < SEED_SIZE:
            raise InvalidInput(f"a shared secret has {SEED_SIZE} bytes or more")
        return HKDF(SHA256(), length, salt, info).derive(self.secret)


def owner_seed(owner: KeySource) -> bytes:
    """The 32-byte Ed25519 seed of a person's DHT key."""
    return owner.derive(OWNER_INFO, SEED_SIZE)


def owner_dht_key(owner: KeySource) -> bytes:
    """The public half, 32 bytes, that stands as ``dht_key`` in the person's identity document."""
    return public_of(owner_seed(owner))


def public_of(seed: bytes) -> bytes:
    """The Ed25519 public key, 32 bytes, of a 32-byte seed."""
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def expanded_secret(seed: bytes) -> bytes:
    """The 64-byte form of a seed that libtorrent signs with: SHA-512, clamped.

    Source: RFC 8032 section 5.1.5.
    """
    secret = bytearray(hashlib.sha512(seed).digest())
    secret[0] &= 248
    secret[31] &= 63
    secret[31] |= 64
    return bytes(secret)


def record_salt(record_type: str, key: bytes, layer: int, network: str = "") -> bytes:
    """The BEP 44 salt under which a record stands: 64 hexadecimal digits, as bytes.

    Digits, because the Python side of libtorrent 2.0 takes salts for text.

    Raises:
        InvalidInput: the network's name is too long.
    """
    name = network.encode("utf-8", "backslashreplace")
    if len(name) > MAX_NAME_BYTES:
        raise InvalidInput(f"the network name is longer than {MAX_NAME_BYTES} bytes")
    packed = pack_fields(_SALT_LABEL, name, record_type.encode(), bytes([layer]), key)
    return blake3(packed).hexdigest(length=SALT_SIZE // 2).encode()


def open_seed(salt: bytes) -> bytes:
    """The seed, known to everybody, of a record that belongs to nobody."""
    return blake3(salt, derive_key_context=_OPEN_LABEL).digest(length=SEED_SIZE)


def item_target(public_key: bytes, salt: bytes) -> bytes:
    """Where a mutable item stands in the DHT, 20 bytes.

    Source: BEP 44.
    """
    return hashlib.sha1(public_key + salt, usedforsecurity=False).digest()


def _signed_bytes(salt: bytes, seq: int, value: bytes) -> bytes:
    head = b"4:salt%d:%s" % (len(salt), salt) if salt else b""
    return head + b"3:seqi%de1:v%d:%s" % (seq, len(value), value)


def sign_item(seed: bytes, salt: bytes, seq: int, value: bytes) -> bytes:
    """The BEP 44 signature, 64 bytes, over a mutable item whose value is a byte string."""
    return Ed25519PrivateKey.from_private_bytes(seed).sign(_signed_bytes(salt, seq, value))


def is_signed(public_key: bytes, salt: bytes, seq: int, value: bytes, signature: bytes) -> bool:
    """Whether the owner of ``public_key`` signed exactly this item."""
    if len(public_key) != PUBLIC_SIZE or len(signature) != SIGNATURE_SIZE:
        return False
    try:
        key = Ed25519PublicKey.from_public_bytes(public_key)
        key.verify(signature, _signed_bytes(salt, seq, value))
    except (InvalidSignature, ValueError):
        return False
    return True
