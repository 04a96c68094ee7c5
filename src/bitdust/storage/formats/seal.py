"""Sealing of blocks: AES-256-GCM in stripes, so that any part can be read and checked alone.

The construction is STREAM, as in age: every block has a fresh random key; stripe i is sealed under
the nonce ``i as 11 bytes, big endian`` followed by 1 for the last stripe and 0 for all others. A
stripe moved, dropped, repeated or taken from another block fails to open. The associated data of
every stripe ties it to the block's id, kind, size and stripe size.

Source: Hoang et al., "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", 2015;
age v1 payload (C2SP); RFC 3394 for the wrapped keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap,
    aes_key_wrap,
)

from bitdust.errors import IntegrityError, InvalidInput

Buffer = bytes | bytearray | memoryview

BLOCK_ID_SIZE: Final = 16
KEY_SIZE: Final = 32
WRAPPED_KEY_SIZE: Final = 40
TAG_SIZE: Final = 16
# Sealed stripes are exactly 1 MiB, which 2, 4 and 64 suppliers divide without filling.
STRIPE_SEALED: Final = 1024 * 1024
STRIPE_PLAIN: Final = STRIPE_SEALED - TAG_SIZE
MIN_STRIPE_PLAIN: Final = 1024 - TAG_SIZE
MAX_STRIPE_PLAIN: Final = 4 * 1024 * 1024
MAX_PAYLOAD: Final = 16 * 1024 * 1024


class BlockKind(IntEnum):
    """What a block holds."""

    DATA = 1
    JOURNAL = 2


def wrap_key(kek: bytes, key: bytes) -> bytes:
    """Lock a block key of 32 bytes under the owner's key-encryption key, into 40 bytes.

    Args:
        kek: 32 bytes; or several such keys in a row, of which the first, the newest, is used.
        key: of the block.
    """
    return aes_key_wrap(kek[:KEY_SIZE], key)


def unwrap_key(kek: bytes, wrapped: bytes) -> bytes:
    """The reverse of ``wrap_key``, with whichever of the keys in ``kek`` it takes.

    Raises:
        IntegrityError: locked under another key, or damaged.
    """
    for at in range(0, max(1, len(kek)), KEY_SIZE):
        try:
            key = aes_key_unwrap(kek[at : at + KEY_SIZE], wrapped)
            break
        except (InvalidUnwrap, ValueError) as error:
            problem = error
    else:
        raise IntegrityError("the key of a block cannot be unlocked with this key") from problem
    if len(key) != KEY_SIZE:
        raise IntegrityError("the key of a block has the wrong length")
    return key


def stripe_count(size: int, stripe_plain: int = STRIPE_PLAIN) -> int:
    """How many stripes a payload of ``size`` bytes has; an empty one has one."""
    return max(1, -(-size // stripe_plain))


class StripeCipher:
    """Seals and opens the stripes of one block, in any order.

    Args:
        block_id: 16 bytes.
        key: 32 bytes, random, of this block alone.
        size: bytes of the payload.
        kind: what the block holds.
        stripe_plain: payload bytes in each stripe but the last.
    """

    def __init__(
        self,
        block_id: bytes,
        key: bytes,
        size: int,
        kind: BlockKind = BlockKind.DATA,
        stripe_plain: int = STRIPE_PLAIN,
    ) -> None:
        if len(block_id) != BLOCK_ID_SIZE or len(key) != KEY_SIZE:
            raise InvalidInput("a block id has 16 bytes and a block key 32")
        if not 0 <= size <= MAX_PAYLOAD:
            raise InvalidInput("a block holds at most 16 MiB")
        if not MIN_STRIPE_PLAIN <= stripe_plain <= MAX_STRIPE_PLAIN:
            raise InvalidInput("the stripe size is out of range")
        self._aead = AESGCM(key)
        self._context = (
            block_id + bytes([kind]) + size.to_bytes(8, "big") + stripe_plain.to_bytes(4, "big")
        )
        self.size = size
        self.stripe_plain = stripe_plain
        self.stripes = stripe_count(size, stripe_plain)

    def plain_range(self, index: int) -> tuple[int, int]:
        """Where the payload of stripe ``index`` begins and ends."""
        if not 0 <= index < self.stripes:
            raise InvalidInput("no such stripe")
        start = index * self.stripe_plain
        return start, min(start + self.stripe_plain, self.size)

    def _nonce(self, index: int) -> bytes:
        return index.to_bytes(11, "big") + (b"\1" if index == self.stripes - 1 else b"\0")

    def seal_into(self, index: int, plain: Buffer, out: memoryview) -> None:
        """Seal one stripe into ``out``, which is ``TAG_SIZE`` longer than ``plain``."""
        start, end = self.plain_range(index)
        if len(plain) != end - start:
            raise InvalidInput("a stripe has the wrong length")
        self._aead.encrypt_into(self._nonce(index), plain, self._context, out)

    def open_into(self, index: int, sealed: Buffer, out: memoryview) -> None:
        """Open one stripe into ``out``, which is ``TAG_SIZE`` shorter than ``sealed``.

        Raises:
            IntegrityError: damaged, or not this stripe of this block.
        """
        start, end = self.plain_range(index)
        if len(sealed) != end - start + TAG_SIZE:
            raise IntegrityError("a stripe has the wrong length")
        try:
            self._aead.decrypt_into(self._nonce(index), sealed, self._context, out)
        except InvalidTag as error:
            raise IntegrityError("a stripe is damaged or not what it should be") from error

    def seal(self, index: int, plain: Buffer) -> bytearray:
        """Seal one stripe; see ``seal_into``."""
        out = bytearray(len(plain) + TAG_SIZE)
        self.seal_into(index, plain, memoryview(out))
        return out

    def open(self, index: int, sealed: Buffer) -> bytearray:
        """Open one stripe; see ``open_into``."""
        out = bytearray(max(0, len(sealed) - TAG_SIZE))
        self.open_into(index, sealed, memoryview(out))
        return out


def gather(buffers: Sequence[Buffer]) -> memoryview:
    """One contiguous view of a payload given in parts; one part is not copied."""
    if len(buffers) == 1:
        return memoryview(buffers[0])
    return memoryview(b"".join(buffers))


def seal_block(
    block_id: bytes,
    key: bytes,
    buffers: Sequence[Buffer],
    kind: BlockKind = BlockKind.DATA,
    stripe_plain: int = STRIPE_PLAIN,
) -> Iterator[bytearray]:
    """The sealed stripes of a block, in order; arguments as in ``StripeCipher``."""
    payload = gather(buffers)
    cipher = StripeCipher(block_id, key, len(payload), kind, stripe_plain)
    for index in range(cipher.stripes):
        start, end = cipher.plain_range(index)
        yield cipher.seal(index, payload[start:end])
