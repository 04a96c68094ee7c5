"""Bounded decoding and the shared value types of everything the supply domain signs or sends."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Protocol, TypeVar

import msgspec

from bitdust.errors import FormatError, InvalidName, KeyProblem
from bitdust.ids import IDURL

MAX_BYTES = 1 << 50
"""Largest byte count any message may speak of."""
MAX_TIME = 1 << 40
"""Latest second any message may speak of; far beyond any clock."""
MAX_IDURL = 400
"""Longest IDURL text in a signed record, characters."""
MAX_SIGNATURE = 1024
"""Longest RSA signature taken, bytes."""
MAX_KEY_DER = 2048
"""Longest public key taken, bytes of SPKI DER."""

NUMBERS = (2, 4, 7, 13, 18, 26, 64)
"""How many suppliers a customer may have; each number has its erasure code ``ecc/NxN``."""
MAX_SUPPLIERS = max(NUMBERS)

NodeID = bytes
"""32 bytes: SHA-256 of a master key's SPKI DER."""

Digest = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
NodeField = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Token = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
Signature = Annotated[bytes, msgspec.Meta(max_length=MAX_SIGNATURE)]
KeyDer = Annotated[bytes, msgspec.Meta(max_length=MAX_KEY_DER)]
IdurlText = Annotated[str, msgspec.Meta(max_length=MAX_IDURL)]
ByteCount = Annotated[int, msgspec.Meta(ge=0, le=MAX_BYTES)]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=MAX_TIME)]
Revision = Annotated[int, msgspec.Meta(ge=1, le=1 << 48)]
Position = Annotated[int, msgspec.Meta(ge=0, lt=MAX_SUPPLIERS)]

T = TypeVar("T")


class Phase(StrEnum):
    """Where a contract stands in time."""

    ACTIVE = "active"
    GRACE = "grace"
    LAPSED = "lapsed"


class Verifier(Protocol):
    """A public master key."""

    @property
    def fingerprint(self) -> bytes:
        """The node id of the key's owner, 32 bytes."""
        ...

    @property
    def der(self) -> bytes:
        """The key as SPKI DER."""
        ...

    def verify(self, signature: bytes, message: bytes) -> None:
        """Raise ``IntegrityError`` unless ``signature`` is the owner's over ``message``."""
        ...


class Signer(Protocol):
    """A private master key."""

    @property
    def public(self) -> Verifier:
        """Its public half."""
        ...

    def sign(self, message: bytes) -> bytes:
        """RSA-PSS signature over ``message``."""
        ...


def decode_bounded(raw: bytes, kind: type[T], limit: int) -> T:
    """Decode foreign msgpack bytes.

    Args:
        raw: the bytes.
        kind: the expected Struct.
        limit: most bytes taken.

    Raises:
        FormatError: too long, malformed, or not of that shape.
    """
    if len(raw) > limit:
        raise FormatError(f"{kind.__name__} of {len(raw)} bytes, at most {limit} are taken")
    try:
        return msgspec.msgpack.decode(raw, type=kind)
    except (ValueError, RecursionError) as exc:
        raise FormatError(f"not a {kind.__name__}: {type(exc).__name__}") from exc


def check_idurl(text: str) -> None:
    """Accept only IDURLs in their canonical spelling.

    Raises:
        FormatError: anything else.
    """
    try:
        canonical = str(IDURL.parse(text))
    except InvalidName as exc:
        raise FormatError("not an IDURL in a signed record") from exc
    if canonical != text:
        raise FormatError("an IDURL in a signed record is not in its canonical spelling")


def check_number(n: int) -> None:
    """Accept only the numbers of suppliers that have an erasure code.

    Raises:
        FormatError: another number.
    """
    if n not in NUMBERS:
        raise FormatError(f"{n} suppliers have no erasure code")


def check_signature(key: Verifier, signature: bytes, message: bytes) -> None:
    """Check a signature, keeping hostile bytes within the documented errors.

    Raises:
        IntegrityError: the signature does not fit.
        FormatError: the key cannot be used at all.
    """
    try:
        key.verify(signature, message)
    except KeyProblem as exc:
        raise FormatError("the key of a signed record cannot be used") from exc
