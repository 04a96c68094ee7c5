"""Proof of possession: what both sides of an audit compute.

A challenge is a random key. It chooses 32 places of 1 KiB in an object, which nobody knows before
the key is shown; the answer is BLAKE3, keyed with it, over the bytes there. An object of up to
32 KiB is hashed whole. Who lost a share p of an object passes with probability (1 - p)^32 at most.
"""

from __future__ import annotations

from collections.abc import Callable
from hmac import compare_digest
from typing import Final

from blake3 import blake3

from bitdust.errors import IntegrityError, InvalidInput

Buffer = bytes | bytearray | memoryview

CHALLENGE_KEY_SIZE: Final = 32
ANSWER_SIZE: Final = 32
SPAN: Final = 1024
SPANS: Final = 32


def spans(key: bytes, size: int) -> list[tuple[int, int]]:
    """Which parts of an object a challenge asks for.

    Args:
        key: 32 bytes.
        size: bytes of the object.

    Returns:
        Offset and length of each part, in the order in which they are hashed.

    Raises:
        InvalidInput: a key of another length.
    """
    if len(key) != CHALLENGE_KEY_SIZE or size < 0:
        raise InvalidInput("a challenge has a key of 32 bytes")
    if size <= SPAN * SPANS:
        return [(0, size)] if size else []
    chance = blake3(b"bitdust audit spans v1" + size.to_bytes(8, "big"), key=key).digest(8 * SPANS)
    room = size - SPAN + 1
    return sorted(
        (int.from_bytes(chance[8 * at : 8 * at + 8], "big") % room, SPAN) for at in range(SPANS)
    )


def answer(key: bytes, size: int, read: Callable[[int, int], Buffer]) -> bytes:
    """What proves possession: 32 bytes.

    Args:
        key: of the challenge, 32 bytes.
        size: bytes of the object.
        read: gives that many bytes from that offset on.

    Raises:
        IntegrityError: the reader gave another number of bytes.
        InvalidInput: a key of another length.
    """
    found: list[Buffer] = [size.to_bytes(8, "big")]
    for offset, length in spans(key, size):
        part = read(offset, length)
        if len(part) != length:
            raise IntegrityError("an object is shorter than it should be")
        found.append(part)
    return blake3(b"".join(found), key=key).digest()


def check_answer(expected: bytes, given: bytes) -> bool:
    """Whether an answer is right, in constant time."""
    return compare_digest(expected, given)
