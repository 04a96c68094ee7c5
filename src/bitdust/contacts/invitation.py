"""The code by which two people become friends by hand: what is in it, and what it proves. Pure.

    alice@id.example.org/7K2QF-M9TRA-W6BPX-4H0EZ

The address says where to find the inviter. The twenty characters hold 80 bits of chance, which only
these two people know, and 20 bits by which typing errors show, in the address too. Each side shows
the other, in a session in which both proved their identity keys, that it knows the secret; what it
shows is bound to both keys, so whoever answers in the inviter's place learns nothing of use, and 80
bits cannot be searched afterwards.

Source: docs/spec/people.md; base 32 of Douglas Crockford; HMAC: RFC 2104.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from bitdust.errors import BitdustError, InvalidInput
from bitdust.ids import GlobalID

ACCEPT: Final = "friend.accept"
SECRET_SIZE: Final = 10
MAX_CODE: Final = 500
"""Characters of a code as it is typed."""

_DIGITS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LIKE: Final = str.maketrans("OIL", "011")
_GROUP: Final = 5
_LENGTH: Final = 20
_CHECK_BITS: Final = 20
_ID: Final = b"bitdust invitation 1 id\x00"
_CHECK: Final = b"bitdust invitation 1 check\x00"
_ACCEPT: Final = b"bitdust invitation 1 accept\x00"
_WELCOME: Final = b"bitdust invitation 1 welcome\x00"
_HINT: Final = "it looks like alice@id.example.org/7K2QF-M9TRA-W6BPX-4H0EZ; copy it again"

_Proof = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class Acceptance(msgspec.Struct, frozen=True):
    """Arguments of ``friend.accept``: which invitation, and that one knows its secret."""

    number: Annotated[bytes, msgspec.Meta(min_length=8, max_length=8)]
    proof: _Proof


class Welcome(msgspec.Struct, frozen=True):
    """Answer to ``friend.accept``: that the inviter knows the secret, too."""

    proof: _Proof


@dataclass(frozen=True, slots=True)
class Code:
    """An invitation as it is passed from hand to hand.

    Args:
        inviter: where to find who invites.
        secret: ``SECRET_SIZE`` bytes.
    """

    inviter: GlobalID
    secret: bytes

    def __repr__(self) -> str:
        return f"<Code of {self.inviter}>"

    @property
    def text(self) -> str:
        """What is shown and typed."""
        number = int.from_bytes(self.secret, "big") << _CHECK_BITS | self._check()
        digits = "".join(_DIGITS[number >> 5 * place & 31] for place in reversed(range(_LENGTH)))
        groups = [digits[at : at + _GROUP] for at in range(0, _LENGTH, _GROUP)]
        return f"{self.inviter}/{'-'.join(groups)}"

    @classmethod
    def parse(cls, text: str) -> Code:
        """Read what somebody typed, in any case, with any blanks and dashes.

        Raises:
            InvalidInput: not a code, or one with an error of typing in it.
        """
        text = re.sub(r"\s", "", text[: MAX_CODE + 1])
        address, slash, typed = text.rpartition("/")
        digits = typed.replace("-", "").upper().translate(_LIKE)
        fits = len(digits) == _LENGTH and all(digit in _DIGITS for digit in digits)
        if not slash or not fits or len(text) > MAX_CODE:
            raise InvalidInput("this is not the code of an invitation", hint=_HINT)
        try:
            inviter = GlobalID.parse(address.lower())
        except BitdustError as exc:
            raise InvalidInput("the address in the code is malformed", hint=_HINT) from exc
        number = 0
        for digit in digits:
            number = number << 5 | _DIGITS.index(digit)
        code = cls(inviter, (number >> _CHECK_BITS).to_bytes(SECRET_SIZE, "big"))
        if code._check() != number & (1 << _CHECK_BITS) - 1:
            raise InvalidInput("there is an error of typing in the code", hint=_HINT)
        return code

    def _check(self) -> int:
        digest = hashlib.sha256(_CHECK + self.secret + str(self.inviter).encode("ascii")).digest()
        return int.from_bytes(digest[:3], "big") >> 4

    @property
    def number(self) -> bytes:
        """Tells invitations apart without giving the secret away."""
        return number_of(self.secret)


def number_of(secret: bytes) -> bytes:
    """Which invitation a secret belongs to, 8 bytes."""
    return hashlib.sha256(_ID + secret).digest()[:8]


def acceptance_proof(secret: bytes, inviter: bytes, guest: bytes) -> bytes:
    """What the guest shows.

    Args:
        inviter: node id. guest: node id.
    """
    return hmac.digest(secret, _ACCEPT + inviter + guest, "sha256")


def welcome_proof(secret: bytes, inviter: bytes, guest: bytes) -> bytes:
    """What the inviter shows in return."""
    return hmac.digest(secret, _WELCOME + inviter + guest, "sha256")


def is_proof(expected: bytes, given: bytes) -> bool:
    """Whether a proof is right, in constant time."""
    return hmac.compare_digest(expected, given)
