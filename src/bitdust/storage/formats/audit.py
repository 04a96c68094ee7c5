"""One-time challenges: a supplier proves that it holds a fragment without sending it.

While the owner has the fragment at hand, it makes a few challenges and keeps them: a random key and
the answer (see ``bitdust.proofs``). A challenge is taken out of the catalog before it is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from bitdust.errors import FormatError, InvalidInput
from bitdust.proofs import ANSWER_SIZE, CHALLENGE_KEY_SIZE, answer, check_answer, spans
from bitdust.storage.formats.seal import gather

__all__ = [
    "CHALLENGE_SIZE",
    "MAX_CHALLENGES",
    "answer",
    "check_answer",
    "make_challenges",
    "pack_challenges",
    "spans",
    "take_challenge",
]

Buffer = bytes | bytearray | memoryview

MAX_CHALLENGES: Final = 64
CHALLENGE_SIZE: Final = CHALLENGE_KEY_SIZE + ANSWER_SIZE
"""Bytes that one challenge takes in the catalog: the key, then the answer."""


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


def pack_challenges(challenges: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Challenges as the catalog keeps them: key and answer of each, one after the other."""
    return b"".join(key + expected for key, expected in challenges)


def take_challenge(packed: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Take the next challenge from those that the catalog keeps.

    Returns:
        Key, expected answer and what is left; None when all are used up.

    Raises:
        FormatError: no whole number of challenges.
    """
    if len(packed) % CHALLENGE_SIZE:
        raise FormatError("the challenges of a fragment have a wrong length")
    if not packed:
        return None
    return (
        packed[:CHALLENGE_KEY_SIZE],
        packed[CHALLENGE_KEY_SIZE:CHALLENGE_SIZE],
        packed[CHALLENGE_SIZE:],
    )
