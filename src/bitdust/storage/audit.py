"""One-time challenges: a supplier proves that it holds a fragment without sending it.

While the owner has the fragment at hand, it makes a few challenges and keeps them: a random key and
the answer. The key chooses 32 places of 1 KiB, which no one can know before it is shown; the answer
is BLAKE3, keyed with it, over the bytes there. A fragment of up to 32 KiB is hashed whole. A
supplier that lost a share p of a fragment passes with probability (1 - p)^32 at most; the same
challenge is never asked twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hmac import compare_digest
from typing import Final

from blake3 import blake3

from bitdust.errors import IntegrityError, InvalidInput
from bitdust.storage.seal import gather

Buffer = bytes | bytearray | memoryview

CHALLENGE_KEY_SIZE: Final = 32
SPAN: Final = 1024
SPANS: Final = 32
MAX_CHALLENGES: Final = 64


def spans(key: bytes, size: int) -> list[tuple[int, int]]:
    """Which parts of a fragment a challenge asks for.

    Args:
        key: 32 bytes.
        size: bytes of the fragment.

    Returns:
        Offset and length of each part, in the order in which they are hashed.
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
        size: bytes of the fragment.
        read: gives that many bytes from that offset on.

    Raises:
        IntegrityError: the reader gave another number of bytes.
    """
    found: list[Buffer] = [size.to_bytes(8, "big")]
    for offset, length in spans(key, size):
        part = read(offset, length)
        if len(part) != length:
            raise IntegrityError("a fragment is shorter than it should be")
        found.append(part)
    return blake3(b"".join(found), key=key).digest()


def make_challenges(
    buffers: Sequence[Buffer], count: int, token: Callable[[int], bytes]
) -> list[tuple[bytes, bytes]]:
    """Make challenges for a fragment.

    Args:
        buffers: the fragment in parts.
        count: how many, at most ``MAX_CHALLENGES``.
        token: gives that many unpredictable bytes.

    Returns:
        Key and answer of each, 32 bytes both.
    """
    if not 0 <= count <= MAX_CHALLENGES:
        raise InvalidInput(f"at most {MAX_CHALLENGES} challenges are kept for a fragment")
    whole = gather(buffers)

    def read(offset: int, length: int) -> memoryview:
        return whole[offset : offset + length]

    keys = [token(CHALLENGE_KEY_SIZE) for _ in range(count)]
    return [(key, answer(key, len(whole), read)) for key in keys]


def check_answer(expected: bytes, given: bytes) -> bool:
    """Whether an answer is right, in constant time."""
    return compare_digest(expected, given)
