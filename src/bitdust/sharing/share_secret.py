"""The keys of a share: the one all members were handed, and those that came after a revocation.

The share's RSA key goes from person to person. What follows from it alone is enough until somebody
is put out; from then on each epoch has a key of its own, 32 random bytes that the charter carries
sealed for every member, and everything new is locked under it. A charter also carries the older
keys, each locked under the next, so that whoever holds the newest reads what was there before.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bitdust.crypto import PrivateKey, PublicKey
from bitdust.errors import IntegrityError
from bitdust.storage import BLOCK_KEK, JOURNAL_ID, unwrap_key, wrap_key
from bitdust.supply import Charter

EPOCH_KEY: Final = 32
_CONTEXT: Final = b"bitdust share epoch v1\x00"


def seal_epoch(key: bytes, share: bytes, epoch: int, member: PublicKey) -> bytes:
    """An epoch's key for one member."""
    return member.seal(key, _context(share, epoch))


def wrapped_chain(keys: Sequence[bytes]) -> tuple[bytes, ...]:
    """The keys before the newest, each locked under the next, the latest first.

    Args:
        keys: of the epochs from 1 on, the newest last.
    """
    return tuple(
        wrap_key(later, earlier) for earlier, later in reversed(list(itertools.pairwise(keys)))
    )


def open_epochs(charter: Charter, node: bytes, identity: PrivateKey) -> list[bytes]:
    """The keys of all epochs from 1 on, the newest last; costs an RSA operation.

    Args:
        charter: proven before.
        node: own node id.
        identity: own identity key.

    Raises:
        IntegrityError: they are not for this person, or do not open.
    """
    if not charter.epoch:
        return []
    member = charter.member(node)
    if member is None:
        raise IntegrityError("the key of the share is not for this person any more")
    newest = identity.unseal(member.sealed, _context(charter.share, charter.epoch))
    if len(newest) != EPOCH_KEY:
        raise IntegrityError("the key of the share has the wrong length")
    keys = [newest]
    for wrapped in charter.chain:
        keys.append(unwrap_key(keys[-1], wrapped))
    return keys[::-1]


class ShareSecret:
    """Where all secrets of one writer in a share come from; stands in for a private key.

    Args:
        key: the share's RSA key.
        writer: node id of whose catalog it is.
        epochs: keys of the epochs from 1 on, the newest last.
    """

    def __init__(self, key: PrivateKey, writer: bytes, epochs: Sequence[bytes] = ()) -> None:
        self._key = key
        self._writer = writer
        self._epochs = list(epochs)

    def derive(self, info: bytes, length: int = 32, salt: bytes = b"") -> bytes:
        """See ``bitdust.storage.ports.Secret``."""
        if info == JOURNAL_ID:
            return self._key.derive(info, length, salt=salt + self._writer)
        first = self._key.derive(info, length, salt=salt)
        if info != BLOCK_KEK:
            return first
        later = [
            HKDF(algorithm=hashes.SHA256(), length=length, salt=salt or None, info=info).derive(key)
            for key in self._epochs
        ]
        return b"".join([*reversed(later), first])


def _context(share: bytes, epoch: int) -> bytes:
    return _CONTEXT + share + epoch.to_bytes(4, "big")


def seal_for_all(
    key: bytes, share: bytes, epoch: int, members: Mapping[bytes, PublicKey]
) -> dict[bytes, bytes]:
    """An epoch's key for every member, by node id; costs an RSA operation each."""
    return {node: seal_epoch(key, share, epoch, public) for node, public in members.items()}
