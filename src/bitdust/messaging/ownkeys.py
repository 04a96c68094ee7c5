"""The keys under which this node's person is written to: what they sign, and prekeys. No I/O."""

from __future__ import annotations

from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from bitdust.errors import IntegrityError

PREKEY_DOMAIN: Final = b"bitdust prekey 1\0"


class Duplicate(IntegrityError):
    """The key of this message was used before: it is a copy of one that arrived."""

    code = "duplicate"


class Prekey(msgspec.Struct, frozen=True, array_like=True):
    """An own prekey: its secret, its public half, and the identity's signature over that."""

    secret: bytes
    public: bytes
    signature: bytes


class OwnKeys:
    """The keys of this node's person for messages.

    Args:
        seed: 32 secret bytes that follow from the master key.
    """

    def __init__(self, seed: bytes) -> None:
        self.seed = seed
        """Goes into key agreements, and nowhere else."""
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.identity = self._key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """Ed25519 signature, 64 bytes."""
        return self._key.sign(message)

    def make_prekey(self, secret: bytes) -> Prekey:
        """A prekey with its signature, of 32 random bytes."""
        public = X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
        return Prekey(secret, public, self.sign(PREKEY_DOMAIN + public))


def check_signature(identity: bytes, signature: bytes, message: bytes) -> None:
    """Check an Ed25519 signature.

    Raises:
        IntegrityError: it does not fit.
    """
    try:
        Ed25519PublicKey.from_public_bytes(identity).verify(signature, message)
    except (InvalidSignature, ValueError) as exc:
        raise IntegrityError("a signature on a message does not fit") from exc
