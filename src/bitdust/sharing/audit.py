"""Proving that one holds a key without showing it: what both sides of an audit compute. Pure.

Everything is bound to both node ids, which the session has proven, and to a fresh challenge: an
answer is good for one question of one person to one other, so nobody can pass a question on to
somebody who does hold the key and sell the answer as an own one. Questions, answers and signatures
begin with contexts that nothing else in the program signs or hashes.

Source: docs/spec/people.md; HMAC: RFC 2104.
"""

from __future__ import annotations

import hmac
from typing import Annotated, Final

import msgspec

from bitdust.crypto import PrivateKey, PublicKey
from bitdust.errors import IntegrityError
from bitdust.ids import KeyID

CHALLENGE_SIZE: Final = 32
_QUESTION: Final = b"bitdust key audit 1 question\x00"
_ANSWER: Final = b"bitdust key audit 1 answer\x00"
_SIGNED: Final = b"bitdust key audit 1 signed\x00"


class Question(msgspec.Struct, frozen=True):
    """Arguments of ``key.audit``.

    Args:
        key_id: which key.
        private: whether the private half is asked for.
        challenge: chance, never the same twice.
        proof: that the asking side holds the public half itself.
    """

    key_id: Annotated[str, msgspec.Meta(max_length=512)]
    private: bool
    challenge: Annotated[bytes, msgspec.Meta(min_length=CHALLENGE_SIZE, max_length=CHALLENGE_SIZE)]
    proof: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class Proof(msgspec.Struct, frozen=True):
    """Answer to ``key.audit``: empty when the key is not held, or is nothing to the asking side."""

    proof: Annotated[bytes, msgspec.Meta(max_length=1024)] = b""


class Audit:
    """One audit, as both sides know it.

    Args:
        key_id: the key.
        public: its public half.
        asking: node id of who asks.
        asked: node id of who shall prove.
        private: whether the private half is asked for.
        challenge: 32 bytes of chance.
    """

    def __init__(
        self,
        key_id: KeyID,
        public: PublicKey,
        *,
        asking: bytes,
        asked: bytes,
        private: bool,
        challenge: bytes,
    ) -> None:
        self._public = public
        self._private = private
        self._challenge = challenge
        name = str(key_id).encode("utf-8")
        kind = b"private" if private else b"public\x00"
        self._bound = b"".join(
            (challenge, asking, asked, kind, len(name).to_bytes(2, "big"), name, public.der)
        )

    def question_proof(self) -> bytes:
        """What shows that the asking side holds the public half."""
        return hmac.digest(self._challenge, _QUESTION + self._bound, "sha256")

    def check_question(self, proof: bytes) -> bool:
        """Whether the asking side holds the public half."""
        return hmac.compare_digest(proof, self.question_proof())

    def prove(self, private: PrivateKey | None) -> bytes:
        """The answer; empty when the private half is asked for and not held."""
        if not self._private:
            return hmac.digest(self._challenge, _ANSWER + self._bound, "sha256")
        return b"" if private is None else private.sign(_SIGNED + self._bound)

    def check(self, proof: bytes) -> None:
        """Take an answer.

        Raises:
            IntegrityError: it proves nothing.
        """
        if self._private:
            self._public.verify(proof, _SIGNED + self._bound)
        elif not hmac.compare_digest(proof, self.prove(None)):
            raise IntegrityError("the proof does not fit the key")
