"""Pure cryptography over the ``cryptography`` package: RSA keys, sealed envelopes, locked keys.

No I/O and no clock. Storage formats that encrypt bulk data live in ``bitdust.storage``; this room
holds what proves who somebody is and what only that somebody can open.
"""

from __future__ import annotations

from bitdust.crypto.keys import (
    DEFAULT_KEY_SIZE,
    KEY_SIZES,
    MAX_PEM_SIZE,
    MAX_SEALED_PLAIN,
    PrivateKey,
    PublicKey,
)
from bitdust.crypto.lock import LockCost, is_locked, lock_key, unlock_key

__all__ = [
    "DEFAULT_KEY_SIZE",
    "KEY_SIZES",
    "MAX_PEM_SIZE",
    "MAX_SEALED_PLAIN",
    "LockCost",
    "PrivateKey",
    "PublicKey",
    "is_locked",
    "lock_key",
    "unlock_key",
]
